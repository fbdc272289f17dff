"""Resizing of images: nearest, linear and cubic, with and without antialiasing.

Which rows an output row mixes, and in which shares, is asked of PyTorch itself, once for the whole height: its own
kernel resizes a narrow image of zeros and ones. A strip is then made in one of three ways.

*Aligned*: where the scale is a short binary fraction (1/2, 1/4, 3, ...), coordinates are exact, and PyTorch's kernel
does the same on a strip as on the full frame. Bitwise equal.

*Row by row*: for other scales of linear and cubic resizing each row is a call of PyTorch's kernel with just the rows
it mixes and a scale chosen to give its share: a coordinate x >= 1 in float32 has a fraction f that is a multiple of
2^-23, so that 2 f + 1 (for two rows) or 2 f + 3 (for four) is exact as well. Bitwise equal in float32.

*Weighted*: with `align_corners`, and antialiased at other scales, columns are resized by PyTorch and rows are added up
with the shares asked for. Equal to rounding: 1e-5 relative in float32, 1e-10 in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import floor, prod

import numpy as np
import torch
from numpy.typing import NDArray

from narrows.rowgraph.cutting import overload
from narrows.rowgraph.graph import Strip
from narrows.rowgraph.registry import Call, Operator, Refusal, Value, operator
from narrows.rowgraph.rows import Axis, Table

__all__: list[str] = []

# PyTorch's linear kernel for images of up to 3 channels is another one where output height and width are small.
_SMALL_IMAGE = 128


@dataclass(frozen=True)
class _Resize:
    """One resize: `scales` as given by the user for rows and columns, or None."""

    value: Value
    shape: tuple[int, ...]
    target: str
    align: bool
    scales: tuple[float | None, float | None]

    @property
    def height(self) -> int:
        return self.value.axis.count

    @property
    def made(self) -> int:
        return self.shape[-2]

    @property
    def scale(self) -> float:
        """Input rows for each output row, in PyTorch's precision."""
        kind = np.float64 if self.value.dtype is torch.float64 else np.float32
        if self.height == self.made and self.target == "aten.upsample_bilinear2d":
            return 1.0
        if self.align:
            return float(kind(self.height - 1) / kind(self.made - 1)) if self.made > 1 else 0.0
        if self.scales[0] is not None and self.scales[0] > 0:
            return float(kind(1.0 / self.scales[0]))
        return float(kind(self.height) / kind(self.made))

    def call(self, rows: torch.Tensor, size: list[int], row_scale: float | None) -> torch.Tensor:
        """PyTorch's kernel on some rows; `row_scale` is its scale factor for rows."""
        function = overload(f"{self.target}.default")
        made: torch.Tensor = function(rows, size, self.align, row_scale, self.scales[1])
        return made

    def first_rows(self, rows: torch.Tensor, count: int, row_scale: float) -> torch.Tensor:
        """The first `count` rows, or more, by the kernel that makes the full frame.

        Where as many rows come out as go in, PyTorch's linear kernel copies them, whatever the scale: so one row more.
        """
        count = self.at_least(count)
        if count == rows.shape[2]:
            count += 1
        rows = rows.contiguous(memory_format=torch.channels_last)
        return self.call(rows, [count, self.shape[3]], 1.0 / row_scale if row_scale else None)

    def at_least(self, count: int) -> int:
        """Rows to make for `count`: for images of up to 3 channels PyTorch's kernel is another one where output height
        and width are small."""
        channels, width = self.shape[1], self.shape[3]
        large = channels <= 3 and self.made + width > _SMALL_IMAGE
        return max(count, _SMALL_IMAGE + 1 - width) if large else count


def _axis_of_image(value: Value) -> Axis:
    if len(value.shape) != 4 or value.axis.dim != 2 or value.axis.outer != 1:
        raise Refusal("it resizes a value whose rows are not the last dimension but one")
    return value.axis


def _scales(call: Call, count: int) -> list[float | None]:
    given = call.get("scale_factors")
    return [float(factor) for factor in given] if given else [None] * count


def _columns(call: Call) -> Axis:
    return Axis(len(call.shape) - 1, call.shape[-1])


@operator(
    "aten.upsample_nearest1d.vec",
    "aten.upsample_nearest2d.vec",
    "aten.upsample_nearest3d.vec",
    "aten._upsample_nearest_exact1d.vec",
    "aten._upsample_nearest_exact2d.vec",
    "aten._upsample_nearest_exact3d.vec",
)
def nearest(call: Call) -> Operator:
    """Each row is a copy of one row."""
    value = call["input"]
    count = len(call.shape) - 2
    base = call.target.removesuffix(".vec")
    scales = _scales(call, count)
    place = value.axis.dim - 2
    if place < 0:
        return _every_row_alone(call)
    if value.axis.outer > 1:
        raise Refusal("it resizes a dimension in which batch and rows lie together")
    axis, made = value.axis, call.shape[value.axis.dim]
    sources = [_nearest(base, value.shape, call.shape, dim, scales[dim - 2]) for dim in range(2, len(call.shape))]
    source = sources[place]
    factors = [wide // size for size, wide in zip(value.shape[2:], call.shape[2:], strict=True)]
    factor = factors[place]
    repeats = all(
        list(table) == [row // times for row in range(size * times)]
        for table, times, size in zip(sources, factors, value.shape[2:], strict=True)
        if times
    ) and all(factors)
    others = [
        (dim, torch.tensor(table))
        for dim, table in enumerate(sources, start=2)
        if dim != axis.dim and table != list(range(value.shape[dim]))
    ]
    function = overload(f"{base}.default")

    def compute(strip: Strip) -> torch.Tensor:
        rows, first = strip.inputs[0], strip.starts[0]
        held = rows.shape[axis.dim]
        if repeats:
            size = [held * factor if dim == axis.dim else call.shape[dim] for dim in range(2, len(call.shape))]
            result: torch.Tensor = function(rows, size)
            return result.narrow(axis.dim, strip.start - first * factor, strip.stop - strip.start)
        picked = [row - first for row in source[strip.start : strip.stop]]
        if picked != list(range(held)):
            rows = rows.index_select(axis.dim, torch.tensor(picked, device=rows.device))
        for dim, table in others:
            rows = rows.index_select(dim, table.to(rows.device))
        return rows

    made_row = prod(call.shape) // made * call.dtype.itemsize
    picked_row = prod(value.shape) // max(axis.count, 1) * value.dtype.itemsize
    return Operator(
        "nearest",
        (value,),
        compute,
        Axis(axis.dim, made),
        needs=(Table(axis.count, source, source),),
        columns=_columns(call),
        workspace=lambda rows: 2 * factor * made_row if repeats else rows * max(made_row, picked_row),
    )


def _nearest(base: str, shape: tuple[int, ...], made: tuple[int, ...], dim: int, scale: float | None) -> list[int]:
    """The places that the places of one dimension are copies of, by PyTorch's own kernel for this image.

    In two dimensions there are two kernels, which differ where a size stays or doubles and a scale is given that says
    otherwise: one for small images and for more than 3 channels, and one for others.
    """
    size, wide = shape[dim], made[dim]
    if len(shape) == 4:
        channels = min(shape[1], 4)
        ramp = torch.arange(size, dtype=torch.float32).view(1, 1, -1, 1).expand(1, channels, size, 1)
        large = channels <= 3 and made[2] + made[3] > _SMALL_IMAGE
        across = max(1, _SMALL_IMAGE + 1 - wide) if large else 1
        kernel = overload(f"{base}.default")
        copies = kernel(ramp.contiguous(memory_format=torch.channels_last), [wide, across], scale, None)[0, 0, :, 0]
    else:
        if scale is not None and wide in (size, 2 * size) and scale * size != wide:
            raise Refusal(
                f"PyTorch's kernels disagree on resizing {size} to {wide} at a scale of {scale}; give the size"
            )
        kernel = overload(f"{base[:-2]}1d.default")
        copies = kernel(torch.arange(size, dtype=torch.float32).view(1, 1, -1), [wide], scale)[0, 0]
    places: list[int] = copies.to(torch.int64).tolist()
    return places


def _every_row_alone(call: Call) -> Operator:
    """Resizing of dimensions that hold no rows."""
    function = overload(call.target)
    rest = list(call.arguments.values())[1:]
    value: Value = call["input"]
    return Operator("resize", (value,), lambda strip: function(strip.inputs[0], *rest), value.rows)


@operator("aten.upsample_linear1d.vec", "aten.upsample_trilinear3d.vec")
def linear(call: Call) -> Operator:
    """Linear along one or three dimensions that hold no rows."""
    if call["input"].axis.dim >= 2:
        raise Refusal("linear resizing of rows in one or three dimensions; resize in two")
    return _every_row_alone(call)


@operator(
    "aten.upsample_bilinear2d.vec",
    "aten.upsample_bicubic2d.vec",
    "aten._upsample_bilinear2d_aa.vec",
    "aten._upsample_bicubic2d_aa.vec",
)
def mixed(call: Call) -> Operator:
    """Each row is a mixture of neighbouring rows."""
    value = call["input"]
    if value.axis.dim < 2:
        return _every_row_alone(call)
    axis = _axis_of_image(value)
    if not value.dtype.is_floating_point:
        raise Refusal("it resizes integers, which PyTorch rounds in its own way; convert them to float32 before")
    rows, columns = _scales(call, 2)
    resize = _Resize(
        value, call.shape, call.target.removesuffix(".vec"), bool(call.get("align_corners", False)), (rows, columns)
    )
    antialias, taps = call.target.endswith("_aa.vec"), 4 if "bicubic" in call.target else 2
    if antialias and call.shape[-1] == 1:
        raise Refusal("PyTorch's antialiased resize to one column gives other values than for several; resize without")
    aligned = _aligned(resize)
    if aligned is not None:
        compute, need = _aligned_strips(resize, aligned, antialias, taps)
    elif antialias or resize.align:
        compute, need = _weighted_strips(resize, antialias, taps)
    else:
        compute, need = _strips_row_by_row(resize, taps)
    made_row = prod(call.shape) // resize.made * call.dtype.itemsize
    kept_row = made_row // max(call.shape[-1], 1) * max(call.shape[-1], value.shape[-1])
    spread = max(resize.scale, 1.0)
    return Operator(
        "resize",
        (value,),
        compute,
        Axis(axis.dim, resize.made),
        needs=(need,),
        columns=_columns(call),
        # Columns are resized before rows or after them, in a copy; a strip has some rows too many at its ends.
        workspace=lambda count: (
            int((count + 2) * spread + 2 * taps * spread) * kept_row
            + 2 * resize.at_least(count + 1 + aligned_extra(aligned)) * made_row
        ),
        macs=prod(call.shape) * taps * taps,
        bitwise=value.dtype is torch.float32 and not (aligned is None and (antialias or resize.align)),
    )


def aligned_extra(aligned: tuple[int, int] | None) -> int:
    """Output rows that an aligned strip makes too many."""
    return 2 * aligned[0] if aligned else 0


Compute = Callable[[Strip], torch.Tensor]


def _aligned(resize: _Resize) -> tuple[int, int] | None:
    """The smallest (p, q) such that p output rows are q input rows, where coordinates are exact; else None."""
    scale = resize.scale
    if resize.align or scale <= 0 or (scale * 4096) % 1 or resize.made * scale * 8192 >= 1 << 24:
        return None
    made = next(p for p in range(1, 4097) if (p * scale) % 1 == 0)
    return made, int(made * scale)


def _reach(resize: _Resize, antialias: bool, taps: int) -> tuple[list[int], list[int]]:
    """Bounds of the input rows that each output row mixes."""
    support = taps / 2 * max(resize.scale, 1.0) if antialias else taps / 2
    offset = 0.0 if resize.align and not antialias else 0.5
    lowest, highest = [], []
    for row in range(resize.made):
        middle = resize.scale * (row + offset) - offset
        lowest.append(min(max(floor(middle - support), 0), resize.height - 1))
        highest.append(min(max(floor(middle + support) + 1, 0), resize.height - 1))
    return lowest, highest


def _aligned_strips(resize: _Resize, aligned: tuple[int, int], antialias: bool, taps: int) -> tuple[Compute, Table]:
    made, given = aligned
    lowest, highest = _reach(resize, antialias, taps)
    lowest = [row // given * given for row in lowest]

    def compute(strip: Strip) -> torch.Tensor:
        first = strip.starts[0] // given * made
        count = strip.stop - first
        result = resize.first_rows(strip.inputs[0], count, resize.scale)
        return result.narrow(2, strip.start - first, strip.stop - strip.start)

    return compute, Table(resize.height, lowest, highest)


def _fractions(resize: _Resize) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each output row the input row above it, and how far below that row it lies, by PyTorch's linear kernel.

    The kernel resizes a column in which even rows are 0 and odd rows are 1; what comes out is the fraction or, below
    an odd row, one minus it. Rows go on below the image, where the kernel would otherwise hold on to the last one.
    """
    dtype = torch.float64 if resize.value.dtype is torch.float64 else torch.float32
    rows = torch.zeros(1, 4, resize.height + 4, 1, dtype=dtype).contiguous(memory_format=torch.channels_last)
    rows[:, :, 1::2] = 1
    linear_kernel = torch.ops.aten.upsample_bilinear2d.default
    # One row more where height would stay: there the kernel copies.
    size = [resize.made + (resize.made == rows.shape[2]), 1]
    mixed_rows = linear_kernel(rows, size, False, 1.0 / resize.scale, None)[0, 0, : resize.made, 0].double().numpy()
    about = np.maximum(resize.scale * (np.arange(resize.made) + 0.5) - 0.5, 0.0)
    nearby = np.floor(about)[None] + np.arange(-1, 2)[:, None]
    fraction = np.where(nearby % 2 == 0, mixed_rows, 1.0 - mixed_rows)
    # Whole rows appear twice, as fraction 0 and as fraction 1 of the row before.
    nearby, fraction = nearby + (fraction == 1.0), np.where(fraction == 1.0, 0.0, fraction)
    best = np.abs(nearby + fraction - about).argmin(axis=0)
    picked = (best, np.arange(resize.made))
    return nearby[picked].astype(np.int64), fraction[picked]


def _strips_row_by_row(resize: _Resize, taps: int) -> tuple[Compute, Table]:
    above, fraction = _fractions(resize)
    before = taps // 2 - 1
    # Rows so near the top that their fractions are finer than the trick can tell are made with those above them.
    direct = int(np.searchsorted(above, taps // 2))
    last = resize.height - 1
    lowest = np.where(np.arange(resize.made) < direct, 0, np.clip(above - before, 0, last))
    highest = np.clip(above + taps // 2, 0, last)

    def one(rows: torch.Tensor, first: int, row: int) -> torch.Tensor:
        wanted = [int(min(max(above[row] + tap, 0), last)) - first for tap in range(-before, taps // 2 + 1)]
        if wanted[-1] - wanted[0] == taps - 1:
            mixed_rows = rows[:, :, wanted[0] : wanted[-1] + 1]
        else:
            mixed_rows = rows[:, :, wanted]
        made = resize.first_rows(mixed_rows, 1, 2.0 * (fraction[row] + before) + 1.0)[:, :, :1]
        return made.clone(memory_format=torch.channels_last)  # lets go of the rows that were too many

    def compute(strip: Strip) -> torch.Tensor:
        rows, parts = strip.inputs[0], []
        if strip.start < direct:
            stop = min(strip.stop, direct)
            made = resize.first_rows(rows, stop, resize.scale)
            parts.append(made[:, :, strip.start : stop])
        parts += [one(rows, strip.starts[0], row) for row in range(max(strip.start, direct), strip.stop)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 2)

    return compute, Table(resize.height, lowest.tolist(), highest.tolist())


def _weighted_strips(resize: _Resize, antialias: bool, taps: int) -> tuple[Compute, Table]:
    lowest, highest = _reach(resize, antialias, taps)
    shares = _shares(resize, lowest, highest)
    used = shares.shape[1]
    base = torch.tensor(lowest)

    def compute(strip: Strip) -> torch.Tensor:
        rows = strip.inputs[0]
        held = rows.shape[2]
        rows = resize.call(rows.contiguous(memory_format=torch.channels_last), [held, resize.shape[3]], 1.0)
        start = (base[strip.start : strip.stop] - strip.starts[0]).to(rows.device)
        share = shares[strip.start : strip.stop].to(rows.device, rows.dtype)
        result = None
        for tap in range(used):
            picked = rows.index_select(2, (start + tap).clamp_(max=held - 1))
            weight = share[:, tap, None]
            result = picked.mul_(weight) if result is None else result.addcmul_(picked, weight)
        assert result is not None
        return result

    return compute, Table(resize.height, lowest, highest)


def _shares(resize: _Resize, lowest: list[int], highest: list[int]) -> torch.Tensor:
    """The share of input row ``lowest[r] + k`` in output row r, by PyTorch's own kernel: shape (rows, k).

    The kernel resizes columns that are 1 in every n-th row, n being more than any row mixes.
    """
    dtype = torch.float64 if resize.value.dtype is torch.float64 else torch.float32
    window = max(high - low for low, high in zip(lowest, highest, strict=True)) + 1
    result = torch.zeros(resize.made, window, dtype=dtype)
    start = torch.tensor(lowest)
    stop = torch.tensor(highest) + 1
    probe = _Resize(resize.value, resize.shape, resize.target, resize.align, (resize.scales[0], None))
    for rest in range(window):
        # Two pixels wide: of one, PyTorch's antialiasing makes nothing.
        column = torch.zeros(1, 1, resize.height, 2, dtype=dtype)
        column[:, :, rest::window] = 1
        made = probe.call(column, [resize.made, 2], resize.scales[0])[0, 0, :, 0]
        tap = (rest - start) % window
        inside = start + tap < stop
        result[torch.arange(resize.made)[inside], tap[inside]] = made[inside]
    return result
