"""Draws one call of any registered operator, with random arguments, as a small network.

`draw(target, rng)` gives a module that takes an image of (N, 6, H, W) and calls exactly that ATen operator. The
arguments that decide about rows are drawn by the operator's own function below; the others by their type in the schema.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch

from narrows.layers.line_coding import DPCM
from narrows.rowgraph.cutting import overload

CHANNELS = 6
# Random, or picking rows by a table: refused whatever the arguments.
REFUSED = {
    f"aten.{name}.default"
    for name in ("grid_sampler", "grid_sampler_2d", "fractional_max_pool2d", "fractional_max_pool3d", "max_unpool3d")
}


class Called(torch.nn.Module):
    """``prepare(x)`` gives the tensors; `function` is called with them and `settings`."""

    def __init__(self, target: str, tensors: Callable[..., Any], settings: dict[str, Any], **weights: torch.Tensor):
        super().__init__()
        self.function, self.tensors, self.settings = overload(target), tensors, settings
        for name, weight in weights.items():
            self.register_buffer(name, weight)

    def forward(self, x: torch.Tensor) -> Any:
        args, kwargs = self.tensors(self, x), {}
        for argument in self.function._schema.arguments[len(args) :]:
            if argument.name in self.settings:
                if argument.kwarg_only:
                    kwargs[argument.name] = self.settings[argument.name]
                else:
                    args.append(self.settings[argument.name])
            elif argument.has_default_value() and not argument.kwarg_only:
                args.append(argument.default_value)
        result = self.function(*args, **kwargs)
        return result[0] if "batch_norm" in str(self.function) else result


Drawn = tuple[Callable[..., Any], dict[str, Any], dict[str, torch.Tensor]]
_drawers: dict[str, Callable[[random.Random, tuple[int, ...]], Drawn]] = {}


def drawer(*names: str) -> Any:
    def register(function: Any) -> Any:
        for name in names:
            _drawers[name if name.startswith("narrows.") else f"aten.{name}"] = function
        return function

    return register


def draw(target: str, rng: random.Random, shape: tuple[int, ...]) -> torch.nn.Module:
    """A network of one call for an image of `shape` (N, 6, H, W)."""
    tensors, settings, weights = _drawers.get(target, _by_schema(target))(rng, shape)
    return Called(target, tensors, settings, **weights).eval()


def _image(module: Any, x: torch.Tensor) -> list[Any]:
    return [x]


def _weight(rng: random.Random, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(rng.randrange(1 << 30))
    return torch.randn(shape, generator=generator, dtype=torch.float64) / max(1, torch.Size(shape[1:]).numel()) ** 0.5


_INTEGER = ("bitwise", "aten.__", "gcd", "lcm")
_SCALARS = {"negative_slope": 0.1, "exponent": 2, "decimals": 1, "weight": 0.3, "lambd": 0.4, "alpha": 1, "beta": 1}


def _by_schema(target: str) -> Callable[[random.Random, tuple[int, ...]], Drawn]:
    """Element-wise: a second tensor is another view of the image, one value for each channel, or one for each row."""
    schema = overload(target)._schema

    def drawn(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
        integer = any(word in target for word in _INTEGER)
        tensors = [a for a in schema.arguments if str(a.type) == "Tensor"]
        optional = [a for a in schema.arguments if str(a.type) == "Optional[Tensor]"]
        sizes = rng.choice([(1, CHANNELS, 1, 1), (1, 1, shape[2], 1), (1, CHANNELS, shape[2], shape[3]), (1, 1, 1, 1)])
        weights = {f"w{i}": _weight(rng, *sizes) * 0.5 for i in range(2)}
        kinds = [rng.choice(["image", "weight", "shifted"]) for _ in tensors[1:]]
        settings: dict[str, Any] = {}
        for argument in schema.arguments:
            kind = str(argument.type)
            if argument.name in ("memory_format", "dtype", "layout", "device", "pin_memory") or "Tensor" in kind:
                continue
            if argument.name in _SCALARS and (not argument.has_default_value() or rng.random() < 0.7):
                settings[argument.name] = _SCALARS[argument.name]
            elif kind == "number" and not argument.has_default_value():
                settings[argument.name] = rng.choice([2, 3]) if integer else rng.choice([2, 0.5, 1.5])
            elif "number" in kind and argument.name in ("min", "max"):
                settings[argument.name] = {"min": -0.3, "max": 0.6}[argument.name]
        if "rounding_mode" in {a.name for a in schema.arguments}:
            settings["rounding_mode"] = rng.choice(["floor", "trunc", None])
        if "alpha" in settings and integer:
            settings["alpha"] = 1

        def make(module: Any, x: torch.Tensor) -> list[Any]:
            cast = (lambda t: (t * 8).to(torch.int32)) if integer else (lambda t: t)
            given: list[Any] = []
            others = iter(kinds)
            for argument in schema.arguments:
                name = str(argument.type)
                if name == "Tensor":
                    if argument is tensors[0]:
                        value = x > 0 if argument.name == "condition" else cast(x)
                    else:
                        kind = next(others)
                        value = {"image": x * 0.5 + 0.25, "weight": module.w0.to(x.dtype), "shifted": x.roll(1, 3)}[
                            kind
                        ]
                        value = value > 0 if argument.name in ("mask", "condition") else cast(value)
                        if argument.name == "value":
                            value = module.w0.to(x.dtype).flatten()[0]
                    given.append(value)
                elif name == "Optional[Tensor]":
                    given.append(module.w1.to(x.dtype) if optional and argument is optional[0] else None)
                elif argument.kwarg_only:
                    break
                elif argument.name in settings:
                    given.append(settings[argument.name])
                elif argument.has_default_value():
                    given.append(argument.default_value)
                else:
                    given.append(rng.choice([2]))
            return given

        return make, settings, weights

    return drawn


def _dim(rng: random.Random, *choices: int) -> int:
    return rng.choice(choices or (1, 3, -1, -3))


@drawer("conv2d.default", "conv2d.padding")
def _conv2d(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    groups = rng.choice([1, 1, 2, 3, 6])
    kernel = (rng.randint(1, 5), rng.randint(1, 5))
    weights = {"w": _weight(rng, 6 * rng.choice([1, 2]), 6 // groups, *kernel), "b": _weight(rng, 12)}
    settings = {
        "stride": [rng.randint(1, 3), rng.randint(1, 3)],
        "padding": [rng.randint(0, 6), rng.randint(0, 6)],
        "dilation": [rng.randint(1, 3), rng.randint(1, 3)],
        "groups": groups,
    }
    bias = rng.random() < 0.5
    return (
        lambda m, x: [x, m.w.to(x.dtype), m.b[: m.w.shape[0]].to(x.dtype) if bias else None],
        settings,
        weights,
    )


@drawer("conv2d.padding")
def _conv2d_same(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    tensors, settings, weights = _conv2d(rng, shape)
    settings["padding"] = rng.choice(["same", "valid"])
    if settings["padding"] == "same":
        settings["stride"] = [1, 1]
    return tensors, settings, weights


@drawer("conv_transpose2d.input")
def _transposed(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    groups = rng.choice([1, 2, 3])
    weights = {"w": _weight(rng, 6, 2, rng.randint(1, 5), rng.randint(1, 5)), "b": _weight(rng, 2 * groups)}
    stride, dilation = [rng.randint(1, 4), rng.randint(1, 3)], [rng.randint(1, 3), 1]
    settings = {
        "stride": stride,
        "padding": [rng.randint(0, 3), rng.randint(0, 2)],
        "output_padding": [rng.randint(0, max(stride[0], dilation[0]) - 1), 0],
        "groups": groups,
        "dilation": dilation,
    }
    bias = rng.random() < 0.5
    return lambda m, x: [x, m.w.to(x.dtype), m.b.to(x.dtype) if bias else None], settings, weights


@drawer("max_pool2d.default", "max_pool2d_with_indices.default", "avg_pool2d.default")
def _pool(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    kernel = [rng.randint(1, 5), rng.randint(1, 5)]
    settings = {
        "kernel_size": kernel,
        "stride": [rng.randint(1, 4), rng.randint(1, 4)],
        "padding": [rng.randint(0, kernel[0] // 2), rng.randint(0, kernel[1] // 2)],
        "dilation": [rng.randint(1, 2), rng.randint(1, 2)],
        "ceil_mode": rng.random() < 0.5,
        "count_include_pad": rng.random() < 0.5,
        "divisor_override": rng.choice([None, 3]),
    }
    return _image, settings, {}


def _cells(rng: random.Random, dims: int) -> Callable[..., Any]:
    """The image for an operator over columns alone (rows in the batch), or over depth, rows and columns."""
    if dims == 1:
        return lambda m, x: [x.permute(0, 2, 1, 3).flatten(0, 1)]
    return lambda m, x: [x.unflatten(1, (3, 2)).transpose(1, 2)]


@drawer(
    *("max_pool1d.default", "avg_pool1d.default", "adaptive_avg_pool1d.default", "adaptive_max_pool1d.default"),
    *("upsample_linear1d.vec", "upsample_nearest1d.vec", "_upsample_nearest_exact1d.vec"),
)
def _one_dimension(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    kernel = rng.randint(1, 4)
    settings = {
        "kernel_size": [kernel],
        "stride": [rng.randint(1, 3)],
        "padding": [rng.randint(0, kernel // 2)],
        "ceil_mode": rng.random() < 0.5,
        "output_size": [rng.randint(1, 2 * shape[3])],
        "scale_factors": None,
        "align_corners": rng.random() < 0.5,
    }
    return _cells(rng, 1), settings, {}


@drawer(
    *("max_pool3d.default", "max_pool3d_with_indices.default", "avg_pool3d.default", "adaptive_avg_pool3d.default"),
    *("adaptive_max_pool3d.default", "upsample_trilinear3d.vec", "upsample_nearest3d.vec"),
    "_upsample_nearest_exact3d.vec",
)
def _three_dimensions(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    kernel = [1, rng.randint(1, 3), rng.randint(1, 3)]
    settings = {
        "kernel_size": kernel,
        "stride": [1, rng.randint(1, 3), rng.randint(1, 3)],
        "padding": [0, rng.randint(0, kernel[1] // 2), 0],
        "ceil_mode": rng.random() < 0.5,
        "output_size": [3, rng.randint(2, 2 * shape[2] + 1), rng.randint(1, shape[3])],
        "scale_factors": None,
        "align_corners": rng.random() < 0.5,
    }
    return _cells(rng, 3), settings, {}


@drawer("max_unpool3d.default")
def _unpool3d(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    def tensors(module: Any, x: torch.Tensor) -> list[Any]:
        deep = x.unflatten(1, (3, 2)).transpose(1, 2)
        return [
            *torch.nn.functional.max_pool3d(deep, (1, 1, 2), return_indices=True),
            [2, *shape[2:]],
            [1, 1, 2],
            [0] * 3,
        ]

    return tensors, {}, {}


@drawer(
    *("_native_batch_norm_legit.no_stats", "_native_batch_norm_legit_functional.default"),
    *("instance_norm.default", "group_norm.default"),
)
def _statistics(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    weights = {name: _weight(rng, CHANNELS) for name in "wbm"} | {"v": _weight(rng, CHANNELS).abs() + 0.5}
    settings = {
        "training": True,
        "use_input_stats": True,
        "momentum": 0.1,
        "eps": 1e-3,
        "num_groups": 2,
        "cudnn_enabled": False,
    }

    def tensors(m: Any, x: torch.Tensor) -> list[Any]:
        given: list[Any] = [x]
        for argument in m.function._schema.arguments[1:]:
            if "Tensor" not in str(argument.type):
                if argument.name in settings:
                    given.append(settings[argument.name])
                continue
            name = {"weight": "w", "bias": "b", "running_mean": "m", "running_var": "v"}[argument.name]
            given.append(getattr(m, name).to(x.dtype).clone())
        return given

    return tensors, settings, weights


@drawer("lstm.input", "gru.input", "rnn_tanh.input", "rnn_relu.input")
def _recurrence(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    size = rng.randint(1, 4)

    def tensors(m: Any, x: torch.Tensor) -> list[Any]:
        name = str(m.function).split(".")[1]
        gates = {"lstm": 4, "gru": 3}.get(name, 1)
        start = x.new_zeros((1, x.shape[0], size))
        weights = [m.a[: gates * size].to(x.dtype), m.b[: gates * size, :size].to(x.dtype)]
        state = [start, start] if name == "lstm" else start
        return [x.flatten(2).transpose(1, 2), state, weights, False, 1, 0.0, False, False, True]

    weights = {"a": _weight(rng, 4 * size, CHANNELS), "b": _weight(rng, 4 * size, 4)}
    return tensors, {}, weights


@drawer("adaptive_avg_pool2d.default", "adaptive_max_pool2d.default")
def _adaptive(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return _image, {"output_size": [rng.randint(2, 9), rng.randint(1, 9)]}, {}


@drawer("max_unpool2d.default")
def _unpool(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    kernel = [rng.randint(1, 3), rng.randint(1, 3)]

    def tensors(module: Any, x: torch.Tensor) -> list[Any]:
        return list(torch.nn.functional.max_pool2d(x, kernel, return_indices=True))

    return tensors, {"output_size": list(shape[2:])}, {}


@drawer(
    "upsample_bilinear2d.vec",
    "upsample_bicubic2d.vec",
    "_upsample_bilinear2d_aa.vec",
    "_upsample_bicubic2d_aa.vec",
    "upsample_nearest2d.vec",
    "_upsample_nearest_exact2d.vec",
)
def _resize(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    by_scale = rng.random() < 0.5
    scale = [rng.choice([0.5, 1.1, 2.0, 3.0, 0.7]), rng.choice([0.5, 2.0, 1.3])]
    scale = [max(s, 1.01 / size) for s, size in zip(scale, shape[2:], strict=True)]
    size = [rng.randint(1, 2 * n + 1) for n in shape[2:]]
    settings = {
        "output_size": None if by_scale else size,
        "scale_factors": scale if by_scale else None,
        "align_corners": rng.random() < 0.5,
    }
    return _image, settings, {}


@drawer("pad.default", "constant_pad_nd.default")
def _pad(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    mode = rng.choice(["constant", "reflect", "replicate"])
    most = [min(4, n - 1) if mode == "reflect" else 4 for n in shape[2:]]
    pad = [rng.randint(0, most[1]), rng.randint(0, most[1]), rng.randint(0, most[0]), rng.randint(0, most[0])]
    if mode == "constant" and shape[2] > 2:
        pad[rng.choice([2, 3])] = -1
    return _image, {"pad": pad, "mode": mode, "value": rng.choice([None, 1.5]) if mode == "constant" else None}, {}


@drawer("constant_pad_nd.default")
def _pad_constant(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return _image, {"pad": [rng.randint(0, 4) for _ in range(4)], "value": rng.choice([0, 1.5])}, {}


@drawer("slice.Tensor")
def _slice(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    dim = rng.choice([1, 2, 2, 3])
    start = rng.randint(0, shape[dim] - 1)
    settings = {"dim": dim, "start": start, "end": rng.choice([1 << 62, start + 1]), "step": rng.randint(1, 3)}
    return _image, settings, {}


@drawer("cat.default", "stack.default")
def _joined(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    weights = {"w": _weight(rng, 1, CHANNELS, shape[2], shape[3])}

    def tensors(module: Any, x: torch.Tensor) -> list[Any]:
        return [[x, module.w.to(x.dtype).expand(x.shape), x * 2]]

    return tensors, {"dim": rng.choice([1, 3, -1])}, weights


@drawer("split.Tensor", "unsafe_split.Tensor")
def _split(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return _image, {"split_size": rng.randint(1, 6), "dim": 1}, {}


@drawer("split_with_sizes.default")
def _split_sizes(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return _image, {"split_sizes": [1, 3, 2], "dim": 1}, {}


@drawer("chunk.default")
def _chunk(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return _image, {"chunks": rng.randint(1, 4), "dim": 1}, {}


@drawer("select.int", "unbind.int")
def _select(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return _image, {"dim": 1, "index": rng.randint(0, 5)}, {}


@drawer("index_select.default")
def _index_select(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    weights = {"where": torch.tensor([rng.randint(0, 5) for _ in range(4)])}
    return lambda m, x: [x, 1, m.where], {}, weights


@drawer("index.Tensor")
def _index(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    weights = {"where": torch.tensor([rng.randint(0, 5) for _ in range(4)])}
    return lambda m, x: [x, [None, m.where]], {}, weights


@drawer(
    *("softmax.int", "log_softmax.int", "argmax.default", "argmin.default", "max.dim", "min.dim", "median.dim"),
    *("any.dim", "all.dim", "prod.dim_int", "sort.default", "cummax.default", "cummin.default", "mode.default"),
    *("glu.default", "_softmax.default", "_log_softmax.default", "sort.stable"),
)
def _along_one(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    settings = {"dim": 1, "keepdim": rng.random() < 0.5, "descending": rng.random() < 0.5, "half_to_float": False}
    return _image, settings | {"stable": True}, {}


@drawer("cumsum.default", "cumprod.default", "logcumsumexp.default")
def _running(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return _image, {"dim": rng.choice([1, 2, 2, 3])}, {}


@drawer("narrows.vertical_iir.default")
def _recursive_filter(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    order = rng.choice([1, 2])
    settings = {"activation": rng.choice(["linear", "relu", "tanh", "leaky_relu"]), "upward": rng.random() < 0.2}
    feedback = [[rng.uniform(0, 0.9), *[rng.uniform(-0.8, 0.09)] * (order - 1)] for _ in range(CHANNELS)]
    weights = {"b": _weight(rng, CHANNELS, rng.randint(1, order + 1)), "a": torch.tensor(feedback)}
    across = rng.random() < 0.2

    def tensors(m: Any, x: torch.Tensor) -> list[Any]:
        return [x.transpose(2, 3) if across else x, m.b.to(x.dtype), m.a.to(x.dtype)]

    return tensors, settings, weights


@drawer("narrows.gated_iir.default")
def _gated_filter(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    across, lowest = rng.random() < 0.2, rng.choice([0.0, -1.0])

    def tensors(m: Any, x: torch.Tensor) -> list[Any]:
        x = x.transpose(2, 3) if across else x
        return [x, (x * 0.9).clamp(lowest, 0.9)]

    return tensors, {}, {}


@drawer("narrows.round_to_code.default")
def _round_to_code(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return _image, {"bits": 4}, {}


@drawer("narrows.dpcm.default")
def _dpcm(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    coder = DPCM(CHANNELS, rng.randint(2, 6), rng.uniform(-3, -1), rng.uniform(0.5, 3), rng.randint(2, 8)).double()
    tables = {"steps": coder.steps(), "low": coder.low, "high": coder.high}

    def tensors(m: Any, x: torch.Tensor) -> list[Any]:
        return [x, *(getattr(m, name).to(x.dtype) for name in tables)]

    return tensors, {"first_bits": coder.first_bits}, tables


@drawer("cummax.default", "cummin.default")
def _running_extremum(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return _image, {"dim": rng.choice([1, 2, 2, 3])}, {}


@drawer("topk.default")
def _topk(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return _image, {"k": rng.randint(1, 4), "dim": 1, "largest": rng.random() < 0.5, "sorted": True}, {}


@drawer(
    *("mean.dim", "sum.dim_IntList", "amax.default", "amin.default", "var.correction", "std.correction", "var.dim"),
    *("std.dim", "linalg_vector_norm.default", "norm.ScalarOpt_dim", "logsumexp.default", "any.dims", "all.dims"),
)
def _reduction(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    settings = {"dim": rng.choice([[1], [1, 3], [3]]), "keepdim": rng.random() < 0.5, "p": 2, "correction": 1}
    return _image, settings, {}


@drawer("layer_norm.default", "rms_norm.default")
def _layer_norm(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    weights = {"w": _weight(rng, CHANNELS), "b": _weight(rng, CHANNELS)}
    return lambda m, x: [x.permute(0, 2, 3, 1), [CHANNELS], m.w.to(x.dtype)], {"eps": 1e-5}, weights


@drawer("_native_batch_norm_legit_no_training.default")
def _batch_norm(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    weights = {name: _weight(rng, CHANNELS) for name in "wbm"} | {"v": _weight(rng, CHANNELS).abs() + 0.5}

    def tensors(m: Any, x: torch.Tensor) -> list[Any]:
        return [x * 1.5, *(getattr(m, name).to(x.dtype) for name in "wbmv"), 0.1, 1e-3]

    return tensors, {}, weights


@drawer("prelu.default")
def _prelu(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    weights = {"w": _weight(rng, rng.choice([1, CHANNELS]))}
    return lambda m, x: [x, m.w.to(x.dtype)], {}, weights


@drawer("linear.default")
def _linear(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    weights = {"w": _weight(rng, 5, CHANNELS), "b": _weight(rng, 5)}
    return lambda m, x: [x.permute(0, 2, 3, 1), m.w.to(x.dtype), m.b.to(x.dtype)], {}, weights


@drawer("matmul.default")
def _matmul(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    weights = {"w": _weight(rng, CHANNELS, 5)}
    both = rng.random() < 0.5

    def tensors(m: Any, x: torch.Tensor) -> list[Any]:
        rows = x.permute(0, 2, 3, 1)
        return [rows, rows.transpose(-1, -2)] if both else [rows, m.w.to(x.dtype)]

    return tensors, {}, weights


@drawer("bmm.default")
def _bmm(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    def tensors(m: Any, x: torch.Tensor) -> list[Any]:
        rows = x.permute(0, 2, 3, 1).flatten(0, 1)
        return [rows, rows.transpose(1, 2)]

    return tensors, {}, {}


@drawer("mm.default")
def _mm(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    weights = {"w": _weight(rng, CHANNELS, 5)}
    return lambda m, x: [x.permute(0, 2, 3, 1).reshape(-1, CHANNELS), m.w.to(x.dtype)], {}, weights


@drawer("t.default")
def _t(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return lambda m, x: [x.permute(0, 2, 3, 1).reshape(-1, CHANNELS)], {}, {}


@drawer("einsum.default")
def _einsum(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    weights = {"w": _weight(rng, 5, CHANNELS), "t": _weight(rng, shape[2], CHANNELS)}
    kind = rng.choice(["bchw,oc->bohw", "...hw,hc->...hwc", "bchw,bdhw->bcdh", "bchw,hc->bhw"])

    def tensors(m: Any, x: torch.Tensor) -> list[Any]:
        second = {"o": m.w, "h": m.t}.get(kind.split(",")[1][0])
        return [kind, [x, x if second is None else second.to(x.dtype)]]

    return tensors, {}, weights


@drawer("scaled_dot_product_attention.default")
def _attention(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    weights = {"mask": _weight(rng, shape[3], shape[3])}
    masked = rng.random() < 0.5

    def tensors(m: Any, x: torch.Tensor) -> list[Any]:
        rows = x.permute(0, 2, 3, 1)
        return [rows, rows * 0.5, rows + 1, m.mask.to(x.dtype) if masked else None]

    return tensors, {}, weights


@drawer("permute.default", "permute_copy.default")
def _permute(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return _image, {"dims": rng.sample(range(4), 4)}, {}


@drawer("transpose.int")
def _transpose(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    first, second = rng.sample(range(4), 2)
    return _image, {"dim0": first, "dim1": second}, {}


@drawer("view.default", "reshape.default", "_unsafe_view.default", "view_copy.default")
def _view(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    batch, channels, height, width = shape
    part = rng.choice([n for n in range(1, height + 1) if height % n == 0])
    sizes = [
        [batch, channels, height // part, part, width],
        [batch, channels, height * width],
        [batch, 2, 3, height, width],
        [batch, channels, height // part, part * width],
    ]
    size = rng.choice(sizes)
    return lambda m, x: [x.contiguous(), size], {}, {}


@drawer("unsqueeze.default")
def _unsqueeze(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return _image, {"dim": rng.randint(-5, 4)}, {}


@drawer("squeeze.dim", "squeeze.dims", "squeeze.default")
def _squeeze(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return lambda m, x: [x[:, :1]], {"dim": 1}, {}


@drawer("squeeze.dims")
def _squeeze_dims(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return lambda m, x: [x[:, :1].unsqueeze(4)], {"dim": [1, 4]}, {}


@drawer("expand.default")
def _expand(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return lambda m, x: [x[:, :1], [2, shape[0], 3, shape[2], shape[3]]], {}, {}


@drawer("repeat.default")
def _repeat(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return _image, {"repeats": [1, rng.randint(1, 2), 1, rng.randint(1, 3)]}, {}


@drawer("roll.default")
def _roll(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return _image, {"shifts": [rng.randint(-3, 3)], "dims": [rng.choice([1, 3])]}, {}


@drawer("flip.default")
def _flip(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return _image, {"dims": rng.choice([[1], [3], [1, 3]])}, {}


@drawer("pixel_shuffle.default")
def _shuffle(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    factor = rng.choice([1, 2, 3])

    def tensors(module: Any, x: torch.Tensor) -> list[Any]:
        return [torch.cat([x] * factor**2, 1)[:, : 2 * factor**2]]

    return tensors, {"upscale_factor": factor}, {}


@drawer("pixel_unshuffle.default")
def _unshuffle(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    factor = rng.choice([f for f in (1, 2, 3) if shape[2] % f == 0 and shape[3] % f == 0])
    return _image, {"downscale_factor": factor}, {}


@drawer("channel_shuffle.default", "native_channel_shuffle.default")
def _channel_shuffle(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return _image, {"groups": rng.choice([1, 2, 3])}, {}


@drawer("dropout.default", "feature_dropout.default", "alpha_dropout.default")
def _dropout(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return _image, {"p": 0.5, "train": False}, {}


@drawer("_to_copy.default", "to.dtype")
def _cast(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return _image, {"dtype": rng.choice([torch.float32, torch.float64, torch.int32])}, {}


@drawer("full_like.default")
def _full_like(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return _image, {"fill_value": 1.5}, {}


@drawer("view.dtype")
def _bits(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return lambda m, x: [(x > 0).to(torch.int64)], {"dtype": torch.float64}, {}


@drawer("bucketize.Tensor")
def _bucketize(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    weights = {"edges": _weight(rng, rng.randint(1, 9)).sort()[0]}
    return lambda m, x: [x, m.edges.to(x.dtype)], {"right": rng.random() < 0.5}, weights


@drawer("embedding.default")
def _embedding(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return lambda m, x: [m.w.to(x.dtype), (x > 0).long()], {}, {"w": _weight(rng, 2, 5)}


@drawer("gather.default", "scatter.src", "scatter.value", "scatter_add.default")
def _places(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    dim = rng.choice([1, 3, -1, 2])

    def tensors(m: Any, x: torch.Tensor) -> list[Any]:
        where = (x > 0).long() % shape[2] if dim == 2 else x.argsort(dim)
        names = [argument.name for argument in m.function._schema.arguments]
        return [x, dim, where, *([x * 2] if "src" in names else [1.5] if "value" in names else [])]

    return tensors, {}, {}


@drawer("unfold.default")
def _unfold(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    dim = rng.choice([1, 2, 2, 3])
    return _image, {"dimension": dim, "size": rng.randint(1, min(4, shape[dim])), "step": rng.randint(1, 3)}, {}


@drawer("diagonal.default")
def _diagonal(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    first, second = rng.choice([(1, 3), (3, 1), (0, 1), (0, 3)])
    return _image, {"offset": rng.randint(0, 1), "dim1": first, "dim2": second}, {}


@drawer("var_mean.correction")
def _moments(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return _image, {"dim": rng.choice([[1], [1, 3], [3]]), "keepdim": rng.random() < 0.5, "correction": 0}, {}


@drawer("kthvalue.default", "nanmedian.dim")
def _kth(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    return _image, {"k": rng.randint(1, CHANNELS), "dim": 1, "keepdim": rng.random() < 0.5}, {}


@drawer("addmm.default")
def _addmm(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    weights = {"b": _weight(rng, 5), "w": _weight(rng, CHANNELS, 5)}

    def tensors(m: Any, x: torch.Tensor) -> list[Any]:
        return [m.b.to(x.dtype), x.permute(0, 2, 3, 1).reshape(-1, CHANNELS), m.w.to(x.dtype)]

    return tensors, {"beta": rng.choice([1, 0.5]), "alpha": rng.choice([1, 2])}, weights


@drawer("baddbmm.default")
def _baddbmm(rng: random.Random, shape: tuple[int, ...]) -> Drawn:
    weights = {"b": _weight(rng, 1, shape[3], shape[3])}

    def tensors(m: Any, x: torch.Tensor) -> list[Any]:
        rows = x.permute(0, 2, 3, 1).flatten(0, 1)
        return [m.b.to(x.dtype), rows, rows.transpose(1, 2)]

    return tensors, {"beta": rng.choice([1, 0.5]), "alpha": rng.choice([1, 2])}, weights
