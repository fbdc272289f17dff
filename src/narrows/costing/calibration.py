"""Measures what this machine can do with PyTorch's operators, and writes it as a profile.

This file needs nothing but Python 3.9 and PyTorch, so that it can be copied to a small board and run there alone:

    python calibration.py --export profile.json

Some thousand operators are timed, each at one shape: convolutions of every kind, width and layout, matrix products,
attention, norms, pools, resizes, element-wise operators and copies. Shapes are drawn from a fixed seed, kinds take
turns, and the time given is spent: a slow machine measures fewer shapes, not smaller ones. A profile holds plain
measurements, no model of them; whoever predicts reads between them.
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import json
import math
import os
import platform
import random
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

__all__ = ["FORMAT", "VERSION", "Case", "Load", "Reading", "draw_cases", "main", "measure", "timed"]

FORMAT = "narrows machine profile"
VERSION = 1
"""Raised whenever a profile's meaning changes; a reader refuses every other."""

SECONDS, QUICK_SECONDS = 200, 40
_SEED = 20_260_101
# A batch shorter than this is dominated by the clock and by what the processor still remembers of the last case.
_BATCH, _SAMPLES = 3e-4, 5
# One case may take no longer than this, all its repetitions together.
_LONGEST = 0.4
_POOL = 1 << 25
# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


class Spec(NamedTuple):
    """A float32 tensor to be made: its shape, and its strides in elements."""

    shape: tuple
    stride: tuple


class Case(NamedTuple):
    """One operator at one shape: `target` is its ATen name, `args` what it takes, tensors as `Spec`."""

    kind: str
    target: str
    args: tuple


class Reading(NamedTuple):
    """Seconds of one call (median), and the spread of its samples: interquartile range / median."""

    seconds: float
    spread: float


# ---------------------------------------------------------------------------------------------------- what is measured


def _contiguous(*shape: int) -> Spec:
    stride, step = [], 1
    for size in reversed(shape):
        stride.append(step)
        step *= size
    return Spec(tuple(shape), tuple(reversed(stride)))


def _last(n: int, c: int, h: int, w: int) -> Spec:
    return Spec((n, c, h, w), (h * w * c, 1, w * c, c))


def _image(layout: str, c: int, h: int, w: int) -> Spec:
    return _last(1, c, h, w) if layout == "channels_last" else _contiguous(1, c, h, w)


def _elements(spec: Spec) -> int:
    return math.prod(spec.shape)


_ALIGNED = (8, 16, 24, 32, 48, 64, 96, 128, 160, 192, 256, 320, 384, 512, 768, 1024)


def _between(r: random.Random, low: float, high: float) -> int:
    """Log-uniform."""
    return max(int(low), min(int(high), round(math.exp(r.uniform(math.log(low), math.log(high))))))


def _channels(r: random.Random, low: int = 1, high: int = 1024) -> int:
    if r.random() < 0.65:
        return r.choice([c for c in _ALIGNED if low <= c <= high] or [high])
    return _between(r, low, high)


def _sides(r: random.Random, low: int = 4, high: int = 640) -> tuple:
    height = _between(r, low, high)
    if r.random() < 0.5:
        return height, height
    return height, max(low, min(high, round(height * r.uniform(0.5, 2))))


def _heaviest(r: random.Random) -> float:
    """Multiply-accumulates that a case may have: most stay light, so that many fit; some must be heavy."""
    return 3e9 if r.random() < 0.15 else 4e8


def _conv(r: random.Random, kind: str) -> Case | None:
    layout = "channels_last" if r.random() < 0.35 else "contiguous"
    h, w = _sides(r)
    k, stride, dilation, groups = (r.choice((1, 1, 3, 3, 3, 5, 7)), 1, 1, 1)
    kernel = (k, k)
    if kind == "dense":
        cin = r.choice((1, 3, 3, 4, 6)) if r.random() < 0.12 else _channels(r)
        cout = r.choice((1, 2, 3, 4, 10)) if r.random() < 0.08 else _channels(r)
        stride = 2 if r.random() < 0.25 else 1
        if stride == 1 and k == 3 and r.random() < 0.15:
            dilation = r.choice((2, 4, 8))
        if r.random() < 0.1:
            kernel = r.choice(((1, 3), (3, 1), (1, 5), (5, 1), (1, 7), (7, 1)))
        if r.random() < 0.08:  # patches
            kernel, stride = r.choice((((2, 2), 2), ((4, 4), 4), ((8, 8), 8), ((16, 16), 16)))
            if kernel[0] > 4:
                cin = r.choice((1, 3, 4, 6))
    elif kind == "pointwise":
        kernel, cin, cout = (1, 1), _channels(r), _channels(r)
    elif kind == "depthwise":
        cin = cout = groups = _channels(r, 4)
        k = r.choice((3, 3, 3, 5, 7))
        kernel = (k, k)
        if r.random() < 0.12:
            kernel = r.choice(((1, k), (k, 1)))
        stride = 2 if r.random() < 0.25 else 1
        if stride == 1 and r.random() < 0.1:
            dilation = 2
    else:
        groups = r.choice((2, 3, 4, 8, 16, 32))
        cin, cout = groups * _between(r, 2, 64), groups * _between(r, 2, 64)
        k = r.choice((1, 3, 3))
        kernel = (k, k)
        stride = 2 if r.random() < 0.15 else 1
    padding = [dilation * (side - 1) // 2 for side in kernel] if kernel[0] % 2 else [0, 0]
    rows = (h + 2 * padding[0] - dilation * (kernel[0] - 1) - 1) // stride + 1
    columns = (w + 2 * padding[1] - dilation * (kernel[1] - 1) - 1) // stride + 1
    if rows < 1 or columns < 1:
        return None
    macs = cin // groups * cout * rows * columns * kernel[0] * kernel[1]
    if macs > _heaviest(r) or (cin * h * w) > _POOL // 2 or cout * rows * columns > _POOL // 2:
        return None
    weight = _contiguous(cout, cin // groups, *kernel)
    bias = _contiguous(cout) if r.random() < 0.5 else None
    return Case(
        f"conv {kind}",
        "aten.conv2d.default",
        (_image(layout, cin, h, w), weight, bias, [stride, stride], padding, [dilation, dilation], groups),
    )


def _transposed(r: random.Random) -> Case | None:
    h, w = _sides(r, 4, 256)
    cin, cout = _channels(r), _channels(r)
    k, padding, extra = r.choice(((2, 0, 0), (2, 0, 0), (3, 1, 1), (4, 1, 0)))
    if 4 * h * w * cin * cout * k * k / 4 > _heaviest(r) or max(cin, 4 * cout) * h * w > _POOL // 2:
        return None
    return Case(
        "conv transposed",
        "aten.conv_transpose2d.input",
        (
            _image("channels_last" if r.random() < 0.25 else "contiguous", cin, h, w),
            _contiguous(cin, cout, k, k),
            _contiguous(cout) if r.random() < 0.5 else None,
            [2, 2],
            [padding, padding],
            [extra, extra],
        ),
    )


def _linear(r: random.Random) -> Case | None:
    m, k, n = _between(r, 1, 20_000), _channels(r, 4, 3072), _channels(r, 2, 3072)
    if m * k * n > _heaviest(r):
        return None
    shape = (m, k) if r.random() < 0.3 else (1, m, k)
    return Case(
        "linear",
        "aten.linear.default",
        (_contiguous(*shape), _contiguous(n, k), _contiguous(n) if r.random() < 0.8 else None),
    )


def _matmul(r: random.Random) -> Case | None:
    b, m, k, n = _between(r, 1, 64), _between(r, 2, 1024), _between(r, 2, 512), _between(r, 2, 1024)
    if b * m * k * n > _heaviest(r) or b * max(m * k, k * n, m * n) > _POOL // 4:
        return None
    right = _contiguous(b, k, n) if r.random() < 0.5 else Spec((b, k, n), (k * n, 1, k))
    return Case("matmul", "aten.matmul.default", (_contiguous(b, m, k), right))


def _attention(r: random.Random) -> Case | None:
    heads, length, depth = _between(r, 1, 64), _between(r, 4, 2048), r.choice((8, 16, 32, 64, 64, 96))
    other = length if r.random() < 0.8 else _between(r, 4, 2048)
    if heads * length * other * depth * 2 > _heaviest(r):
        return None
    # As written by users: (N, L, heads, depth), the heads brought forward by a transposition.
    q = Spec((1, heads, length, depth), (length * heads * depth, depth, heads * depth, 1))
    kv = Spec((1, heads, other, depth), (other * heads * depth, depth, heads * depth, 1))
    return Case("attention", "aten.scaled_dot_product_attention.default", (q, kv, kv))


_UNARY = {
    "relu.default": (), "relu_.default": (), "gelu.default": (), "silu.default": (), "silu_.default": (),
    "sigmoid.default": (), "tanh.default": (), "hardswish.default": (), "hardswish_.default": (),
    "hardsigmoid.default": (), "hardtanh.default": (0.0, 6.0), "hardtanh_.default": (0.0, 6.0),
    "leaky_relu.default": (0.1,), "leaky_relu_.default": (0.1,), "elu.default": (), "mish.default": (),
    "softplus.default": (), "exp.default": (), "log.default": (), "sqrt.default": (), "rsqrt.default": (),
    "pow.Tensor_Scalar": (2,), "pow.Tensor_Scalar ": (1.7,), "abs.default": (), "neg.default": (),
    "clamp.default": (0.0, 1.0), "mul.Tensor": (1.5,), "add.Tensor": (1.5,), "div.Tensor": (1.5,), "erf.default": (),
    "sin.default": (), "clone.default": (),
}  # fmt: skip
_BINARY = ("add.Tensor", "add_.Tensor", "mul.Tensor", "sub.Tensor", "div.Tensor", "maximum.default")
_COMMON = ("relu.default", "relu_.default", "gelu.default", "silu.default", "sigmoid.default", "clone.default")


def _unary(r: random.Random) -> Case:
    name = r.choice(_COMMON) if r.random() < 0.25 else r.choice(sorted(_UNARY))
    n = _between(r, 64, 1 << 24 if name.startswith(_COMMON) else 1 << 22)
    return Case("unary", "aten." + name.strip(), (_contiguous(1, 1, 1, n), *_UNARY[name]))


def _binary(r: random.Random) -> Case:
    name = r.choice(_BINARY[:3]) if r.random() < 0.6 else r.choice(_BINARY)
    form = r.choice(("same", "same", "same", "channel", "channel last", "pixel", "mixed", "vector"))
    c = _channels(r, 4, 512)
    side = _between(r, 4, min(512, math.isqrt((1 << 24) // c)))
    image = _contiguous(1, c, side, side)
    other = image
    if form == "channel":
        other = _contiguous(1, c, 1, 1)
    elif form == "channel last":
        image, other = _last(1, c, side, side), _last(1, c, 1, 1)
    elif form == "pixel":
        other = _contiguous(1, 1, side, side)
    elif form == "mixed":
        other = _last(1, c, side, side)
    elif form == "vector":
        image, other = _contiguous(1, side * side, c), _contiguous(c)
    return Case("binary", "aten." + name, (image, other))


def _picture(r: random.Random, largest: int = 1 << 24, low: int = 1) -> Spec:
    c = _channels(r, low, 1024)
    side = _between(r, 4, max(4, min(640, math.isqrt(largest // c))))
    return _image("channels_last" if r.random() < 0.3 else "contiguous", c, side, side)


def _norm(r: random.Random) -> Case:
    name = r.choice(("batch", "batch", "layer", "layer", "group", "instance"))
    image = _picture(r, low=4)
    c = image.shape[1]
    w = _contiguous(c)
    if name == "batch":
        return Case("norm", "aten.batch_norm.default", (image, w, w, w, w, False, 0.1, 1e-5, True))
    if name == "instance":
        return Case("norm", "aten.instance_norm.default", (image, w, w, None, None, True, 0.1, 1e-5, True))
    if name == "group":
        groups = r.choice([g for g in (1, 2, 4, 8, 16, 32) if c % g == 0])
        return Case("norm", "aten.group_norm.default", (image, groups, w, w, 1e-5, True))
    rows = image.shape[2] * image.shape[3]
    if r.random() < 0.3:  # channels brought last by a permutation
        x = Spec((1, *image.shape[2:], c), (c * rows, image.shape[3], 1, rows))
    else:
        x = _contiguous(1, rows, c)
    return Case("norm", "aten.layer_norm.default", (x, [c], w, w, 1e-5, True))


def _pool(r: random.Random) -> Case:
    image = _picture(r)
    name = r.choice(("max_pool2d", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"))
    k, stride, padding = r.choice(((2, 2, 0), (2, 2, 0), (3, 2, 1), (3, 1, 1), (5, 1, 2)))
    if name == "adaptive_avg_pool2d":
        side = r.choice((1, 1, 2, 6))
        return Case("pool", "aten.adaptive_avg_pool2d.default", (image, [side, side]))
    return Case("pool", f"aten.{name}.default", (image, [k, k], [stride, stride], [padding, padding]))


def _resize(r: random.Random) -> Case:
    factor = r.choice((2, 2, 2, 4, 8, 0.5))
    image = _picture(r, int((1 << 24) / max(1, factor) ** 2))
    size = [max(1, int(side * factor)) for side in image.shape[2:]]
    name = r.choice(("upsample_nearest2d.vec", "upsample_bilinear2d.vec", "upsample_bilinear2d.vec", "bicubic"))
    if name == "bicubic":
        return Case("resize", "aten.upsample_bicubic2d.vec", (image, size, False, None))
    if "nearest" in name:
        return Case("resize", f"aten.{name}", (image, size, None))
    return Case("resize", f"aten.{name}", (image, size, r.random() < 0.3, None))


def _move(r: random.Random) -> Case:
    """Copies of every kind: concatenation, padding, shuffles, permuted clones."""
    image = _picture(r, 1 << 23)
    n, c, h, w = image.shape
    form = r.choice(("cat", "cat", "pad", "reflect", "replicate", "permuted", "permuted", "shuffle", "pixels", "roll"))
    if form == "cat":
        last = image.stride[1] == 1 and c > 1
        parts = [_image("channels_last" if last else "contiguous", c, h, w) for _ in range(r.choice((2, 2, 3, 4)))]
        while len(parts) * c * h * w > _POOL:
            parts.pop()
        return Case("move", "aten.cat.default", (parts, 1))
    if form in ("pad", "reflect", "replicate"):
        p = r.choice((1, 2, 3))
        mode = "constant" if form == "pad" else form
        return Case("move", "aten.pad.default", (image, [p, p, p, p], mode, 0.0 if mode == "constant" else None))
    if form == "permuted":  # contiguous from channels-last, and the other way round
        if r.random() < 0.5:
            x = Spec((1, h, w, c), (c * h * w, w, 1, h * w))
        else:
            x = Spec((1, c, h, w), (c * h * w, 1, w * c, c))
        return Case("move", "aten.clone.default", (x, "contiguous_format"))
    if form == "shuffle":  # the copy that shuffling channels between groups makes
        groups = r.choice((2, 3, 4, 8))
        c = max(1, c // groups)
        x = Spec((1, c, groups, h, w), (groups * c * h * w, h * w, c * h * w, w, 1))
        return Case("move", "aten.clone.default", (x, "contiguous_format"))
    if form == "pixels":
        c = max(4, c // 4 * 4)
        return Case("move", "aten.pixel_shuffle.default", (_contiguous(1, c, h, w), 2))
    return Case("move", "aten.roll.default", (image, [1, 1], [2, 3]))


def _reduce(r: random.Random) -> Case:
    image = _picture(r, 1 << 23)
    n, c, h, w = image.shape
    form = r.choice(("mean", "mean", "channels", "softmax", "softmax", "softmax channels", "sum", "amax"))
    if form == "mean":
        return Case("reduce", "aten.mean.dim", (image, [2, 3], True))
    if form == "channels":
        return Case("reduce", "aten.mean.dim", (image, [1], True))
    if form == "sum":
        return Case("reduce", "aten.sum.dim_IntList", (image, [2, 3], True))
    if form == "amax":
        return Case("reduce", "aten.amax.default", (image, [1], True))
    if form == "softmax":
        return Case("reduce", "aten.softmax.int", (_contiguous(1, r.choice((1, 4, 8)), h * h // 4 + 1, c), -1))
    return Case("reduce", "aten.softmax.int", (image, 1))


def _view(r: random.Random) -> Case:
    x = _contiguous(1, 8, 16, 16)
    return r.choice(
        (
            Case("view", "aten.view.default", (x, [1, 8, 256])),
            Case("view", "aten.permute.default", (x, [0, 2, 3, 1])),
            Case("view", "aten.transpose.int", (x, 1, 2)),
            Case("view", "aten.slice.Tensor", (x, 1, 0, 4)),
            Case("view", "aten.unsqueeze.default", (x, 0)),
            Case("view", "aten.flatten.using_ints", (x, 1)),
        )
    )


# Family: (how many cases at most, how one is drawn). Families take turns in this proportion.
_FAMILIES: dict[str, tuple[int, Callable[[random.Random], Case | None]]] = {
    "dense": (2200, lambda r: _conv(r, "dense")),
    "pointwise": (800, lambda r: _conv(r, "pointwise")),
    "depthwise": (700, lambda r: _conv(r, "depthwise")),
    "grouped": (400, lambda r: _conv(r, "grouped")),
    "transposed": (350, _transposed),
    "linear": (600, _linear),
    "matmul": (250, _matmul),
    "attention": (160, _attention),
    "unary": (600, _unary),
    "binary": (500, _binary),
    "norm": (600, _norm),
    "pool": (400, _pool),
    "resize": (400, _resize),
    "move": (500, _move),
    "reduce": (300, _reduce),
    "view": (12, _view),
}


def draw_cases(seed: int = _SEED) -> list[Case]:
    """Every case, in the order of measurement: families take turns, so that any beginning of it covers them all."""
    placed: list[tuple[float, int, Case]] = []
    for number, (name, (count, draw)) in enumerate(_FAMILIES.items()):
        r = random.Random(f"{seed} {name}")
        drawn = 0
        while drawn < count:
            case = draw(r)
            if case is not None:
                placed.append(((drawn + 0.5) / count, number, case))
                drawn += 1
    placed.sort(key=lambda each: each[:2])
    return [case for _, _, case in placed]


# --------------------------------------------------------------------------------------------------- how it is measured


class Load:
    """Tells whether something else was running while a piece of work was timed.

    On one thread, work that was never put aside has used as much processor time as wall time has passed. Memory
    bandwidth and clock rate are shared without a trace in that figure: a reference piece of work, timed again and
    again, shows them.

    Args:
        wall, cpu: clocks in seconds; processor time of the whole process.
        threads: how many compute. With several, waiting threads may sleep or spin, so that processor time says little:
            then only the first test's lower half holds (at least one processor's worth).
    """

    SHARE = 0.93
    SLOWER = 1.12

    def __init__(
        self,
        wall: Callable[[], float] = time.perf_counter,
        cpu: Callable[[], float] = time.process_time,
        threads: int = 1,
    ):
        self.wall, self.cpu, self.threads = wall, cpu, threads
        self.discarded = 0
        self.references: list[float] = []

    def sample(self, work: Callable[[], Any], repeats: int) -> float | None:
        """Seconds of one repeat; None, and counted, where the process was put aside meanwhile."""
        cpu, wall = self.cpu(), self.wall()
        for _ in range(repeats):
            work()
        passed, used = self.wall() - wall, self.cpu() - cpu
        if used < self.SHARE * passed - 2e-5:
            self.discarded += 1
            return None
        return passed / repeats

    def steady(self, seconds: float) -> bool:
        """Whether the reference ran as fast as it usually does; its time is remembered."""
        self.references.append(seconds)
        return seconds <= self.SLOWER * _middle(sorted(self.references)[: max(3, len(self.references) // 2)])


def _middle(values: list[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def timed(work: Callable[[], Any], load: Load, samples: int = _SAMPLES, longest: float = _LONGEST) -> Reading | None:
    """Seconds of one call of `work`; None where no quiet moment came."""
    work()
    begun = load.wall()
    work()
    once = max(load.wall() - begun, 1e-7)
    repeats = max(1, min(2000, round(_BATCH / once)))
    wanted = max(3, min(samples, int(longest / (once * repeats))))
    taken: list[float] = []
    for _ in range(3 * wanted):
        seconds = load.sample(work, repeats)
        if seconds is not None:
            taken.append(seconds)
            if len(taken) == wanted:
                break
    if len(taken) < max(2, wanted // 2):
        return None
    ordered = sorted(taken)
    quarter = len(ordered) // 4
    middle = _middle(ordered)
    return Reading(middle, (ordered[-1 - quarter] - ordered[quarter]) / middle)


class _Heap:
    """glibc's allocator, which can be told to keep what is freed, so that no fresh pages blur what is timed."""

    def __init__(self) -> None:
        self.libc: Any = None
        if sys.platform.startswith("linux"):
            try:
                libc = ctypes.CDLL("libc.so.6")
                _ = libc.mallopt
                self.libc = libc
            except (OSError, AttributeError):
                pass

    def warm(self, torch: Any, count: int) -> None:
        """Keep `count` bytes of used pages on the heap from now on, and let every block come from there."""
        if self.libc is not None:
            self.libc.mallopt(_M_MMAP_MAX, 0)
            self.libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
            torch.empty(count, dtype=torch.uint8).fill_(1)


class _Maker:
    """Tensors from one pool of random numbers, so that none has to be filled."""

    def __init__(self, torch: Any, count: int):
        self.torch = torch
        generator = torch.Generator().manual_seed(_SEED)
        self.pool = torch.empty(count).uniform_(0.5, 1.5, generator=generator)
        # Weights of both signs, so that rectifiers and sums see what they see in a network.
        self.weights = torch.empty(min(count, 1 << 24)).normal_(0.0, 0.02, generator=generator)
        self.at = 0

    def __call__(self, spec: Spec, weight: bool = False) -> Any:
        store = self.weights if weight else self.pool
        count = 1 + sum((size - 1) * step for size, step in zip(spec.shape, spec.stride))  # noqa: B905
        if count > len(store):
            return self.torch.rand(count).as_strided(spec.shape, spec.stride)
        if self.at + count > len(store):
            self.at = 0
        tensor = store.as_strided(spec.shape, spec.stride, self.at)
        self.at = (self.at + count + 63) // 64 * 64
        return tensor

    def arguments(self, case: Case) -> list:
        self.at = 0
        made: list = []
        for place, value in enumerate(case.args):
            if isinstance(value, Spec) and place == 0 and case.target.partition(".")[2].partition(".")[0].endswith("_"):
                # Repeated in place, these would drift to where arithmetic is slow; 20 stays what it is.
                made.append(self.torch.full(value.shape, 20.0).as_strided(value.shape, value.stride))
            elif isinstance(value, Spec):
                made.append(self(value, weight=place == 1 and case.kind.startswith(("conv", "linear"))))
            elif isinstance(value, list) and value and isinstance(value[0], Spec):
                made.append([self(each) for each in value])
            else:
                made.append(value)
        return made


def _bound(torch: Any, case: Case, maker: _Maker) -> Callable[[], Any]:
    packet, overload = case.target.split(".")[1:]
    operator = getattr(getattr(torch.ops.aten, packet), overload)
    arguments = maker.arguments(case)
    if arguments[-1] == "contiguous_format":
        x = arguments[0]
        return lambda: operator(x, memory_format=torch.contiguous_format)
    return lambda: operator(*arguments)


def _plain(value: Any) -> Any:
    """As JSON has it: a tensor is {"shape": ..., "stride": ...}, the stride left out where contiguous."""
    if isinstance(value, Spec):
        said: dict = {"shape": list(value.shape)}
        if value.stride != _contiguous(*value.shape).stride:
            said["stride"] = list(value.stride)
        return said
    if isinstance(value, (list, tuple)) and not isinstance(value, Spec):
        return [_plain(each) for each in value]
    return value


def _outputs(result: Any) -> list:
    tensors = result if isinstance(result, (tuple, list)) else [result]
    return [_plain(Spec(tuple(t.shape), tuple(t.stride()))) for t in tensors]


class _Run:
    def __init__(self, torch: Any, seconds: float, load: Load, progress: Callable[[float, str], None] | None):
        self.torch, self.seconds, self.load, self.progress = torch, seconds, load, progress
        self.heap = _Heap()
        self.maker = _Maker(torch, _pool_size())
        self.begun = load.wall()
        self.points: list[dict] = []
        self.given_up = 0
        self.under_load = 0

    def left(self) -> float:
        return self.seconds - (self.load.wall() - self.begun)

    def reference(self) -> Callable[[], Any]:
        torch = self.torch
        x, w, big = torch.rand(1, 64, 56, 56), torch.rand(64, 64, 3, 3), torch.rand(1 << 21)

        def work() -> None:
            torch.conv2d(x, w, padding=1)
            torch.relu(big)

        return work

    def cases(self) -> None:
        reference = self.reference()
        again: list[Case] = []
        queue = iter(draw_cases())
        self._block(again, queue, reference, retry=True)
        self._block([], iter(again), reference, retry=False)

    def _block(self, again: list[Case], queue: Iterator[Case], reference: Any, retry: bool) -> None:
        """Case after case; those between two references belong together, and fall together when the later is slow."""
        block: list[tuple[Case, dict]] = []
        last = self.load.wall()
        ended = False
        while not ended:
            # What fell under load is measured again in the last tenth of the time.
            if self.left() <= (0.1 * self.seconds if retry and again else 0):
                ended = True
            case = None if ended else next(queue, None)
            if case is None:
                ended = True
            else:
                point = self.point(case)
                if point is not None:
                    block.append((case, point))
            if ended or self.load.wall() - last > 2.5:
                reading = timed(reference, self.load, samples=5)
                if reading is not None and self.load.steady(reading.seconds):
                    self.points += [point for _, point in block]
                else:
                    self.under_load += len(block)
                    again += [case for case, _ in block]
                block = []
                last = self.load.wall()
                if self.progress is not None:
                    self.progress(1 - max(0.0, self.left()) / self.seconds, f"{len(self.points)} operators")

    def point(self, case: Case) -> dict | None:
        try:
            work = _bound(self.torch, case, self.maker)
            reading = timed(work, self.load)
            if reading is None:
                self.given_up += 1
                return None
            output = _outputs(work())
        except (RuntimeError, AttributeError):
            return None  # this build of PyTorch has no such kernel
        return {
            "target": case.target,
            "args": _plain(case.args),
            "output": output,
            "seconds": float(f"{reading.seconds:.4g}"),
            "spread": round(reading.spread, 3),
        }

    def bandwidth(self) -> list[dict]:
        """Bytes a second copied, by the bytes that are touched again and again: shows the cache levels."""
        found = []
        for power in range(12, 28):
            count = (1 << power) // 8
            if 2 * count > len(self.maker.pool):
                break
            source, target = self.maker.pool[:count], self.maker.pool[count : 2 * count].clone()
            reading = timed(functools.partial(target.copy_, source), self.load)
            if reading is not None:
                found.append({"bytes": 8 * count, "bytes_per_second": float(f"{8 * count / reading.seconds:.4g}")})
        return found

    def overheads(self) -> dict[str, float]:
        """Seconds that an operator and a view take on next to nothing, and what passes between two in a network."""
        torch = self.torch
        x = torch.rand(1, 8, 4, 4)
        relu = torch.ops.aten.relu.default
        view = torch.ops.aten.view.default
        bare = timed(lambda: relu(x), self.load, samples=9)
        viewed = timed(lambda: view(x, [1, 128]), self.load, samples=9)
        between = self.between()
        if bare is None or viewed is None or between is None:
            return {}
        return {"operator": round(bare.seconds, 9), "view": round(viewed.seconds, 9), "between": round(between, 9)}

    def between(self) -> float | None:
        """Seconds that pass between one operator and the next in a network: modules, and code that is not at hand."""
        torch = self.torch
        modules: list = []
        for _ in range(24):
            modules += [torch.nn.Conv2d(16, 16, 1), torch.nn.BatchNorm2d(16), torch.nn.ReLU()]
            modules += [torch.nn.Conv2d(16, 16, 3, padding=1, groups=16), torch.nn.Hardswish(), torch.nn.MaxPool2d(1)]
        network = torch.nn.Sequential(*modules).eval()
        x = torch.rand(1, 16, 8, 8)
        whole = timed(lambda: network(x), self.load, samples=9)
        w, d, b = modules[0].weight, modules[3].weight, modules[1].running_mean
        aten = torch.ops.aten
        alone = [
            timed(work, self.load, samples=9)
            for work in (
                lambda: aten.conv2d.default(x, w, b),
                lambda: aten.batch_norm.default(x, b, b, b, b, False, 0.1, 1e-5, True),
                lambda: aten.relu.default(x),
                lambda: aten.conv2d.default(x, d, b, [1, 1], [1, 1], [1, 1], 16),
                lambda: aten.hardswish.default(x),
                lambda: aten.max_pool2d.default(x, [1, 1], [1, 1]),
            )
        ]
        known = [each.seconds for each in alone if each is not None]
        if whole is None or len(known) < len(alone):
            return None
        return max(0.0, (whole.seconds - 24 * sum(known)) / len(modules))

    def cold_weights(self) -> float | None:
        """Seconds a byte that weights cost beyond those at hand, when all caches were used for others meanwhile."""
        torch, side = self.torch, 1024
        count = len(self.maker.weights) // side**2
        if count < 4:
            return None
        x = torch.rand(4, side)
        weights = [self.maker.weights[i * side**2 : (i + 1) * side**2].view(side, side) for i in range(count)]
        others = [self.maker.pool[i * side**2 : (i + 1) * side**2].view(side, side) for i in range(2 * count)]
        others = [other for other in others if other.numel() == side**2]

        def all_of(tensors: list) -> Callable[[], Any]:
            def work() -> None:
                for tensor in tensors:
                    torch.nn.functional.linear(x, tensor)

            return work

        cold, hot = timed(all_of(weights + others), self.load), timed(all_of(weights[:1]), self.load)
        if cold is None or hot is None:
            return None
        return float(f"{max(0.0, cold.seconds / (count + len(others)) - hot.seconds) / (4 * side**2):.4g}")

    def fresh_pages(self) -> float | None:
        """Seconds a byte that writing to fresh pages costs beyond writing to used ones; None where it can't be told.

        glibc gives a block of more than 32 MiB pages of its own each time, until it is told to keep what is freed.
        """
        if self.heap.libc is None:
            return None
        torch = self.torch
        count = 9 << 20

        def work() -> None:
            torch.empty(count).fill_(1.0)

        fresh = timed(work, self.load)
        self.heap.warm(torch, 16 * len(self.maker.pool))
        used = timed(work, self.load)
        if fresh is None or used is None:
            return None
        return float(f"{max(0.0, fresh.seconds - used.seconds) / (4 * count):.4g}")


def _pool_size() -> int:
    try:
        available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        available = 1 << 31
    return max(1 << 20, min(_POOL, available // 32))


def measure(
    seconds: float = SECONDS,
    threads: int | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> dict:
    """A profile of this machine, as a dictionary that JSON can hold.

    Args:
        seconds: time to spend; about a tenth more is needed for the rest.
        threads: that compute; PyTorch's own choice if left out.
        progress: called now and then with the share done (0 to 1) and what it is at.
    """
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    load = Load(threads=torch.get_num_threads())
    begun = time.perf_counter()
    with torch.inference_mode():
        run = _Run(torch, seconds, load, progress)
        fresh = run.fresh_pages()
        overheads = run.overheads()
        bandwidth = run.bandwidth()
        cold = run.cold_weights()
        run.cases()
    return {
        "format": FORMAT,
        "version": VERSION,
        "machine": _machine(torch),
        "threads": torch.get_num_threads(),
        "seconds": round(time.perf_counter() - begun, 1),
        "load": {
            "samples_discarded": load.discarded,
            "operators_repeated": run.under_load,
            "operators_given_up": run.given_up,
            "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        },
        "overheads": overheads,
        "bandwidth": bandwidth,
        "fresh_seconds_per_byte": fresh,
        "cold_seconds_per_byte": cold,
        "points": run.points,
    }


def _machine(torch: Any) -> dict:
    processor = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith(("model name", "Model")):
                    processor = line.partition(":")[2].strip()
                    break
    except OSError:
        pass
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "system": platform.system(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }


def main(arguments: list[str] | None = None) -> int:
    """The command line of this file when it is run alone."""
    parser = argparse.ArgumentParser(description="Measure this machine; write its profile.")
    parser.add_argument("--export", required=True, metavar="FILE.json", help="where to write the profile")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SECONDS} s instead of {SECONDS}: less exact")
    parser.add_argument("--seconds", type=float, help="time to spend, instead")
    parser.add_argument("--threads", type=int, help="threads that compute [PyTorch's choice]")
    parser.add_argument("--progress-lines", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    folder = os.path.dirname(os.path.abspath(chosen.export))
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        print(f"Error: {chosen.export} can't be written: no such folder, or no permission", file=sys.stderr)
        return 2
    seconds = chosen.seconds or (QUICK_SECONDS if chosen.quick else SECONDS)

    def show(share: float, text: str) -> None:
        end = "\n" if chosen.progress_lines else "\r"
        print(f"{100 * share:3.0f} % of {seconds:.0f} s, {text}", file=sys.stderr, end=end, flush=True)

    profile = measure(seconds, chosen.threads, show)
    beside = f"{chosen.export}.part"
    with open(beside, "w") as out:
        json.dump(profile, out)
    os.replace(beside, chosen.export)
    if not chosen.progress_lines:
        print(f"\n{len(profile['points'])} operators in {profile['seconds']} s: {chosen.export}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
