"""Which table tells the time of a call, and where in it: the kind of an operator and its features.

Measured and predicted calls go through the same function, so that they can't disagree. Features are logarithms to base
2; work is what a time grows with in proportion: multiply-accumulates (or elements) and bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log2, prod
from typing import Any, NamedTuple

from narrows.costing.layouts import Call, Layout
from narrows.rowgraph import onednn

__all__ = ["Described", "Scratch", "describe"]

# Widths are padded to this in the blocked layouts of oneDNN.
_BLOCK = 16
_VARIANTS = {"add_": "add", "sub": "add", "sub_": "add", "mul_": "mul", "rsub": "add", "div_": "div"}
_REDUCTIONS = ("mean", "sum", "amax", "amin", "max", "min", "argmax", "argmin", "std", "var", "prod", "norm")


class Scratch(NamedTuple):
    """Bytes of the blocks that a kernel allocates besides its results, in the order in which it does.

    Attributes:
        before: taken first, and given back before the results are allocated.
        through: taken before the results are allocated, and given back after.
        after: taken and given back when the results are allocated.
    """

    before: tuple[int, ...] = ()
    through: tuple[int, ...] = ()
    after: tuple[int, ...] = ()


@dataclass(frozen=True)
class Described:
    """Where to look a call up.

    Attributes:
        kind: of the table.
        features: logarithms to base 2.
        work: multiply-accumulates or elements, and bytes.
        scratch: what its kernel allocates besides its results.
    """

    kind: str
    features: tuple[float, ...]
    work: tuple[float, ...]
    scratch: Scratch = field(default=Scratch())


def describe(call: Call, threads: int = 1) -> Described | None:
    """Kind and features of `call`; None where no table knows such a call."""
    name = call.name
    if not call.outputs:
        return None
    if name in ("conv2d", "conv1d", "convolution"):
        return _convolution(call, threads)
    if name in ("conv_transpose2d", "conv_transpose1d"):
        return _transposed(call)
    if name in ("linear", "addmm", "matmul", "mm", "bmm", "baddbmm", "einsum"):
        return _product(call)
    if name == "scaled_dot_product_attention":
        return _attention(call)
    if name in ("batch_norm", "layer_norm", "group_norm", "instance_norm"):
        return _norm(call)
    if name.endswith(("max_pool2d", "avg_pool2d")):
        return _pool(call)
    if name.startswith("upsample_"):
        return _resize(call)
    if name in ("cat", "stack", "concat"):
        return _joined(call)
    if name in ("pad", "constant_pad_nd", "reflection_pad2d", "replication_pad2d"):
        return _padded(call)
    if name in ("clone", "contiguous", "reshape", "copy_", "to", "_to_copy", "flatten", "roll", "_unsafe_view"):
        return _copied(call)
    if name in ("pixel_shuffle", "pixel_unshuffle"):
        out = call.outputs[0]
        return Described("move pixel_shuffle", (_log(out.count), _log(call.args[1])), _bytes(call))
    if name in ("softmax", "log_softmax", "_softmax"):
        return _softmax(call)
    if name in _REDUCTIONS:
        return _reduction(call)
    return _pointwise(call)


def _log(value: float) -> float:
    return log2(max(float(value), 1.0))


def _pad(channels: int) -> float:
    """How much wider a blocked layout makes so many channels, as a logarithm."""
    return log2(-(-channels // _BLOCK) * _BLOCK / channels)


def _layout(tensor: Layout) -> str:
    return "channels_last" if tensor.channels_last else "contiguous"


def _bytes(call: Call, macs: float | None = None) -> tuple[float, ...]:
    moved = float(sum(t.count * t.itemsize for t in (*call.tensors, *call.outputs)))
    return (float(call.outputs[0].count) if macs is None else float(macs), moved)


def _pair(value: Any) -> list[int]:
    found = [int(each) for each in value] if isinstance(value, (list, tuple)) else [int(value)]
    return found * 2 if len(found) == 1 else found


def _convolution(call: Call, threads: int) -> Described | None:
    image, weight = call.args[0], call.args[1]
    stride, dilation = _pair(call.args[3]), _pair(call.args[5])
    groups = int(call.args[6]) if len(call.args) == 7 else int(call.args[8])
    out = call.outputs[0]
    if len(weight.shape) not in (3, 4):
        return None
    kernel = weight.shape[2:] if len(weight.shape) == 4 else (1, weight.shape[2])
    if len(weight.shape) == 3:
        stride, dilation = [1, stride[0]], [1, dilation[0]]
    cin, cout = weight.shape[1] * groups, weight.shape[0]
    area, pixels, width = prod(kernel), out.count // cout, out.shape[-1]
    macs = weight.shape[1] * area * out.count
    layout = _layout(image)
    work = _bytes(call, macs)
    features: tuple[float, ...]
    shape = (_log(stride[0] * stride[1]), _log(dilation[0] * dilation[1]), _log(width))
    if groups > 1 and weight.shape[1] == 1 and cout == cin:
        features = (_log(cin), _log(pixels), _log(area), *shape, _pad(cin), log2(kernel[0] / kernel[1]))
        return Described(f"conv depthwise {layout}", features, work, _blocked(call, layout))
    if groups > 1:
        inner, outer = weight.shape[1], cout // groups
        features = (_log(inner), _log(outer), _log(groups), _log(pixels), _log(area), *shape, _pad(inner), _pad(outer))
        return Described(f"conv grouped {layout}", features, work, _blocked(call, layout))
    features = (_log(cin), _log(cout), _log(pixels), _log(width), _pad(cin), _pad(cout))
    plain = stride == [1, 1] and dilation == [1, 1]
    batched = image.shape if len(image.shape) == len(weight.shape) else (1, *image.shape)
    large = onednn.takes_convolution(batched, kernel, groups)
    if area == 1 and plain:
        own = threads == 1 or not large
        size = "" if large else " small"
        return Described(f"conv 1x1{size} {layout}", features, work, Scratch() if own else _blocked(call, layout))
    extra = (_log(area), shape[0], shape[1], log2(kernel[0] / kernel[1]))
    if not large:
        columns = cin * area * pixels * image.itemsize
        return Described(f"conv small {layout}", (*features, *extra), work, Scratch(through=(columns,)))
    return Described(f"conv {layout}", (*features, *extra), work, _blocked(call, layout))


def _blocked(call: Call, layout: str) -> Scratch:
    """oneDNN's own copies, in blocks of channels: of a contiguous image, of the weights and of what comes out."""
    image, weight, out = call.args[0], call.args[1], call.outputs[0]
    outer, inner, channels = weight.shape[0], weight.shape[1], image.shape[-3] if len(image.shape) >= 3 else 1
    weights = -(-outer // _BLOCK) * _BLOCK * (-(-inner // _BLOCK) * _BLOCK if inner > 3 else inner)
    weights *= prod(weight.shape[2:]) * weight.itemsize
    if layout == "channels_last":
        return Scratch(through=(weights,))
    copied = (_padded_bytes(image),) if channels > 3 else ()
    return Scratch(before=(*copied, weights), through=(_padded_bytes(out),))


def _padded_bytes(tensor: Layout) -> int:
    channels = tensor.shape[-3] if len(tensor.shape) >= 3 else 1
    return tensor.count // channels * (-(-channels // _BLOCK) * _BLOCK) * tensor.itemsize


def _transposed(call: Call) -> Described | None:
    image, weight = call.args[0], call.args[1]
    if len(weight.shape) != 4:
        return None
    stride, groups = _pair(call.args[3]), int(call.args[6])
    cin, cout = weight.shape[0], weight.shape[1] * groups
    macs = image.count * weight.shape[1] * prod(weight.shape[2:])
    features = (
        _log(cin), _log(cout), _log(image.count // cin), _log(image.shape[-1]), _log(prod(weight.shape[2:])),
        _log(stride[0] * stride[1]), _log(groups), _pad(cin), _pad(cout),
    )  # fmt: skip
    layout = _layout(image)
    blocked = _blocked(call, layout)
    if layout == "contiguous":  # the image is copied once more, and so is the result
        blocked = Scratch(
            (image.count * image.itemsize, *blocked.before), (*blocked.through, _padded_bytes(call.outputs[0]))
        )
    return Described(f"conv transposed {layout}", features, _bytes(call, macs), blocked)


def _product(call: Call) -> Described | None:
    name, out = call.name, call.outputs[0]
    tensors = call.tensors
    if name == "linear" or (name in ("matmul", "mm") and len(tensors[1].shape) == 2 and len(tensors[0].shape) >= 2):
        x, weight = tensors[0], tensors[1]
        k = x.shape[-1]
        n, m = out.count // max(1, x.count // k), x.count // k
        macs = m * n * k
        copy = 0.0 if x.contiguous else 1.0
        features = (_log(m), _log(k), _log(n), _pad(n), _pad(k))
        scratch = Scratch(through=(x.count * x.itemsize,)) if copy else Scratch()
        return Described("linear", features, _bytes(call, macs), scratch)
    if name == "addmm":
        _, x, weight = tensors
        m, k, n = x.shape[0], x.shape[1], weight.shape[1]
        features = (_log(m), _log(k), _log(n), _pad(n), _pad(k))
        return Described("linear", features, _bytes(call, m * n * k))
    pair = tensors[-2:]
    if name == "einsum":
        if len(tensors) != 2 or not isinstance(call.args[0], str) or "." in call.args[0]:
            return None
        left, _, result = call.args[0].replace(" ", "").partition("->")
        first, _, second = left.partition(",")
        sizes = dict(zip(first + second, pair[0].shape + pair[1].shape, strict=True))
        batch = [s for s in result if s in first and s in second]
        b = prod(sizes[s] for s in batch)
        m = prod(sizes[s] for s in result if s in first and s not in second)
        n = prod(sizes[s] for s in result if s in second and s not in first)
        k = prod(sizes[s] for s in set(first) & set(second) if s not in result)
        transposed = 0.0
    else:
        if len(pair[0].shape) < 2 or len(pair[1].shape) < 2:
            return None
        m, k, n = pair[0].shape[-2], pair[0].shape[-1], pair[1].shape[-1]
        b = out.count // (m * n)
        transposed = 1.0 if pair[1].stride[-2] == 1 and n > 1 else 0.0
    return Described(
        "matmul", (_log(b), _log(m), _log(k), _log(n), transposed), _bytes(call, b * m * k * n)
    )  # fmt: skip


def _attention(call: Call) -> Described:
    q, k = call.args[0], call.args[1]
    heads, length, depth, other = prod(q.shape[:-2]), q.shape[-2], q.shape[-1], k.shape[-2]
    macs = 2 * heads * length * other * depth
    return Described("attention", (_log(heads), _log(length), _log(other), _log(depth)), _bytes(call, macs))


def _norm(call: Call) -> Described:
    x, name = call.args[0], call.name
    if name == "layer_norm":
        size = prod(call.args[1])
        kind = "" if x.contiguous else " permuted"
        scratch = Scratch() if x.contiguous else Scratch(after=(x.count * x.itemsize,))
        return Described(f"layer_norm{kind}", (_log(x.count // size), _log(size)), _bytes(call), scratch)
    channels = x.shape[1]
    features = [_log(channels), _log(x.count // channels)]
    if name == "group_norm":
        features.append(_log(channels // int(call.args[1])))
    return Described(f"{name} {_layout(x)}", tuple(features), _bytes(call))


def _pool(call: Call) -> Described | None:
    x, out, name = call.args[0], call.outputs[0], call.name
    channels = out.shape[-3] if len(out.shape) >= 3 else 1
    features: tuple[float, ...] = (_log(out.count), _log(channels), log2(max(1.0, x.count / max(1, out.count))))
    if name.startswith("adaptive"):
        features = (*features, _log(out.shape[-1]))
        return Described(f"{name} {_layout(x)}", features, (float(x.count), float(out.count)))
    area = prod(_pair(call.args[1]))
    indices = Scratch(after=(8 * out.count,)) if name == "max_pool2d" else Scratch()
    work = (float(out.count * area), _bytes(call)[1])
    return Described(f"{name} {_layout(x)}", (*features, _log(area)), work, indices)


def _resize(call: Call) -> Described:
    x, out = call.args[0], call.outputs[0]
    features = (_log(out.count), _log(out.shape[1]), log2(out.count / x.count), _log(out.shape[-1]))
    return Described(f"{call.name} {_layout(x)}", features, _bytes(call))


def _joined(call: Call) -> Described:
    parts, out = call.tensors, call.outputs[0]
    dimension = int(call.args[1]) % len(out.shape)
    # Elements that lie together in the result, from one part: those of the dimensions whose strides are no larger.
    inner = prod(s for s, step in zip(out.shape, out.stride, strict=True) if step < out.stride[dimension])
    run = inner * (out.shape[dimension] / len(parts))
    same = all(p.dense and p.channels_last == out.channels_last for p in parts)
    kind = "move cat" if same else "move cat mixed"
    return Described(kind, (_log(out.count), _log(len(parts)), _log(run)), _bytes(call))


def _padded(call: Call) -> Described:
    x, out = call.args[0], call.outputs[0]
    mode = call.args[2] if call.name == "pad" else call.name.split("_")[0]
    mode = {"reflection": "reflect", "replication": "replicate"}.get(str(mode), str(mode))
    mode = mode if mode in ("reflect", "replicate") else "constant"
    return Described(f"move pad {mode} {_layout(x)}", (_log(out.count), _log(out.shape[-1])), _bytes(call))


def _copied(call: Call) -> Described:
    x, out = call.tensors[-1], call.outputs[0]
    if call.name == "roll":
        return Described(f"move roll {_layout(x)}", (_log(out.count), _log(out.shape[-1])), _bytes(call))
    if x.contiguous or (x.dense and x.stride == out.stride):
        return Described("unary clone", (_log(out.count),), _bytes(call))
    if x.shape and (x.stride[-1] == 1 or x.shape[-1] == 1):
        # Rows stay whole.
        run = 1
        for size, step in zip(reversed(x.shape), reversed(x.stride), strict=True):
            if size != 1 and step != run:
                break
            run *= size
        return Described("move rows", (_log(out.count), _log(run)), _bytes(call))
    closest = min(range(len(x.shape)), key=lambda d: x.stride[d] if x.shape[d] > 1 else 1 << 60)
    return Described(
        "move transpose", (_log(out.count), _log(x.shape[-1]), _log(x.shape[closest])), _bytes(call)
    )  # fmt: skip


def _softmax(call: Call) -> Described:
    x = call.args[0]
    dimension = int(call.args[1]) % len(x.shape)
    size = x.shape[dimension]
    where = "last" if x.stride[dimension] == 1 else "strided"
    return Described(f"softmax {where}", (_log(x.count // size), _log(size)), _bytes(call))


def _reduction(call: Call) -> Described:
    x, out = call.tensors[0], call.outputs[0]
    size = x.count / max(1, out.count)
    given = call.args[1] if len(call.args) > 1 and isinstance(call.args[1], (list, tuple, int)) else None
    dims = range(len(x.shape)) if given is None or given is True or given is False else given
    dims = [dims] if isinstance(dims, int) else list(dims)
    inner = any(x.stride[int(d) % len(x.shape)] == 1 and x.shape[int(d) % len(x.shape)] > 1 for d in dims)
    name = {"amin": "amax", "max": "amax", "min": "amax"}.get(call.name, call.name)
    kind = f"reduce {name if name == 'amax' else 'mean'} {'inner' if inner else 'outer'}"
    return Described(kind, (_log(x.count), _log(size)), (float(x.count), float(out.count)))


def _pointwise(call: Call) -> Described | None:
    tensors, out = call.tensors, call.outputs[0]
    larger = [t for t in tensors if t.count > 1]
    if len(larger) <= 1:
        name = call.name
        if name == "pow":
            name = {2: "pow 2", 0.5: "sqrt"}.get(call.args[1], "pow")
        name = {"relu6": "hardtanh", "relu6_": "hardtanh_", "sub": "add", "rsub": "add"}.get(name, name)
        name = {"mul_": "mul", "div_": "div", "add_": "add", "clamp_min": "clamp", "clamp_": "clamp"}.get(name, name)
        return Described(f"unary {name}", (_log(out.count),), _bytes(call))
    if len(larger) != 2:
        return None
    name = _VARIANTS.get(call.name, call.name)
    place = "in place" if call.name.endswith("_") else "new"
    a, b = larger
    if a.count < b.count:
        a, b = b, a
    if a.shape == b.shape:
        if a.stride == b.stride or (a.contiguous and b.contiguous):
            return Described(f"binary same {place}", (_log(out.count), *_hard(name)), _bytes(call))
        channels = _log(out.shape[1]) if len(out.shape) > 1 else 0.0
        return Described(f"binary mixed {place}", (_log(out.count), *_hard(name), channels), _bytes(call))
    # Along the closest dimension of the larger, the smaller either stays (a value for a run) or goes along.
    shape = (1,) * (len(a.shape) - len(b.shape)) + b.shape
    order = sorted((d for d in range(len(a.shape)) if a.shape[d] > 1), key=lambda d: a.stride[d])
    stays = bool(order) and shape[order[0]] == 1
    run = 1
    for dimension in order:
        if (shape[dimension] == 1) != stays:
            break
        run *= a.shape[dimension]
    return Described(
        f"binary {'constant' if stays else 'repeated'} runs", (_log(out.count), _log(run), *_hard(name)), _bytes(call)
    )


def _hard(name: str) -> tuple[float]:
    """Division takes longer than the others."""
    return (1.0 if name in ("div", "pow", "atan2") else 0.0,)
