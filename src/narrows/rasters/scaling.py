"""From a file's numbers to reflectance: what is applied, who says so, and what the user may override."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from narrows.errors import InputError
from narrows.rasters.images import Image
from narrows.rasters.sensors import BANDS, FIRST_FOUR

__all__ = ["LIMITS", "Overrides", "PerBand", "Scaling", "looks_like_reflectance", "unknown_scaling"]

# A Landsat Collection 2 surface reflectance product holds -0.2 to 1.6, and no product holds a meaningful value beyond.
LIMITS = (-0.2, 1.6)

PerBand = float | Sequence[float]

_SAMPLES = 5
_SAMPLE_SIDE = 64


@dataclass(frozen=True)
class Scaling:
    """Reflectance = number x `scale` + `offset`, one for each band; `fills` are numbers of pixels not observed.

    The bands are `BANDS`, or the first four of them.
    """

    scale: tuple[float, ...]
    offset: tuple[float, ...]
    fills: tuple[tuple[float, ...], ...]
    where: str

    @classmethod
    def uniform(
        cls, scale: float, offset: float, fills: Sequence[float], where: str, count: int = len(BANDS)
    ) -> Scaling:
        """The same for all bands."""
        return cls((scale,) * count, (offset,) * count, (tuple(fills),) * count, where)

    def with_fills(self, fills: tuple[tuple[float, ...], ...]) -> Scaling:
        """The same with other fills."""
        return dataclasses.replace(self, fills=fills)


@dataclass(frozen=True)
class Overrides:
    """What the user said on the command line or in the call, each None where nothing.

    `scale` and `offset` hold one number for all bands, or one for each of six, or of the first four.
    """

    scale: tuple[float, ...] | None = None
    offset: tuple[float, ...] | None = None
    nodata: float | None = None

    @classmethod
    def of(cls, scale: PerBand | None, offset: PerBand | None, nodata: float | None) -> Overrides:
        """What was said, checked.

        Raises:
            InputError: neither one number nor six nor four, a number that isn't finite, or a scale of 0.
        """
        scales = _numbers("scale", scale)
        if scales is not None and 0 in scales:
            raise InputError("--scale 0: every pixel would be the same; give the factor from numbers to reflectance")
        return cls(scales, _numbers("offset", offset), nodata)

    @property
    def settles_scale(self) -> bool:
        """Whether the user's word alone gives the scaling."""
        return self.scale is not None

    def apply(self, scaling: Scaling) -> Scaling:
        """`scaling` with the user's word in place of the file's.

        Raises:
            InputError: the user gave numbers for four bands, and there are six.
        """
        notes = [scaling.where] if scaling.where else []
        scale, offset, fills = scaling.scale, scaling.offset, scaling.fills
        count = len(scale)
        if self.scale is not None:
            scale = _for_each_band("scale", self.scale, count)
            notes.append(f"scale {_join([f'{each:g}' for each in scale])} given by the user")
        if self.offset is not None:
            offset = _for_each_band("offset", self.offset, count)
            notes.append(f"offset {_join([f'{each:g}' for each in offset])} given by the user")
        if self.nodata is not None:
            fills = ((self.nodata,),) * count
            notes.append(f"no-data {self.nodata:g} given by the user")
        return Scaling(scale, offset, fills, "; ".join(notes))

    def alone(self, fills: Sequence[tuple[float, ...]]) -> Scaling:
        """The scaling where only the user gives one; the offset is 0 unless they say."""
        scaling = Scaling((1.0,) * len(fills), (0.0,) * len(fills), tuple(fills), "")
        return self.apply(scaling)


def describe(scaling: Scaling) -> Mapping[str, str]:
    """The scaling in words, for the log and the output's tags."""
    fills = ["/".join(f"{fill:g}" for fill in each) or "none" for each in scaling.fills]
    return {
        "scale": _join([f"{value:.9g}" for value in scaling.scale]),
        "offset": _join([f"{value:.9g}" for value in scaling.offset]),
        "fill": _join(fills),
        "scaling_from": scaling.where,
    }


def _numbers(option: str, given: PerBand | None) -> tuple[float, ...] | None:
    if given is None:
        return None
    numbers = tuple(np.atleast_1d(np.asarray(given, dtype=float)).tolist())
    if len(numbers) not in (1, len(FIRST_FOUR), len(BANDS)):
        raise InputError(
            f"--{option}: {len(numbers)} numbers; give one, or one for each of {', '.join(BANDS)} (the first four "
            "where there is no shortwave infrared)"
        )
    for number in numbers:
        if not math.isfinite(number):
            raise InputError(f"--{option} {number}: give a finite number")
    return numbers


def _for_each_band(option: str, numbers: tuple[float, ...], count: int) -> tuple[float, ...]:
    if len(numbers) == 1:
        return numbers * count
    if len(numbers) < count:
        raise InputError(
            f"--{option}: {len(numbers)} numbers, but the scene has six bands; give one, or one for each of "
            f"{', '.join(BANDS)}"
        )
    return numbers[:count]


def _join(texts: Sequence[str]) -> str:
    if len(set(texts)) == 1:
        return texts[0]
    return ", ".join(f"{band} {text}" for band, text in zip(BANDS, texts, strict=False))


def unknown_scaling(name: str, what: str) -> InputError:
    """The refusal of numbers that could mean anything."""
    return InputError(
        f"{name}: {what}, and nothing says how they become reflectance; give --scale and --offset "
        "(Landsat Collection 2 level 2: --scale 0.0000275 --offset -0.2; reflectance x 10000: --scale 0.0001; "
        "Sentinel-2 since baseline 04.00: --scale 0.0001 --offset -0.1; already reflectance: --scale 1)"
    )


def looks_like_reflectance(layers: Sequence[tuple[Image, int]], fills: Sequence[tuple[float, ...]]) -> str | None:
    """The range that a few windows hold, in words, if floating-point numbers can be reflectance; None if they can't."""
    low, high = np.inf, -np.inf
    for (image, index), fill in zip(layers, fills, strict=True):
        for at in range(_SAMPLES):
            row = (image.height - 1) * at // max(_SAMPLES - 1, 1)
            column = (image.width - 1) * at // max(_SAMPLES - 1, 1)
            top = max(0, min(row - _SAMPLE_SIDE // 2, image.height - _SAMPLE_SIDE))
            left = max(0, min(column - _SAMPLE_SIDE // 2, image.width - _SAMPLE_SIDE))
            rows = (top, min(image.height, top + _SAMPLE_SIDE))
            columns = (left, min(image.width, left + _SAMPLE_SIDE))
            values = image.read([index], rows, columns)
            values = values[np.isfinite(values) & ~np.isin(values, fill)]
            if values.size:
                low, high = min(low, float(values.min())), max(high, float(values.max()))
    if not (LIMITS[0] <= low and 0.01 < high <= 2.0):
        return None
    return f"read as reflectance: floating point, {low:.3g} to {high:.3g} in sampled windows"
