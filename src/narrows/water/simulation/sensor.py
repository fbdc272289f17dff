"""What a sensor and its processing do to an image: blur, resampling, noise, stripes, saturation, compression, gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

__all__ = ["Faults", "add_faults", "draw_faults", "scan_gaps"]

Array = NDArray[np.float32]

# Signal-to-noise ratio at typical radiance, blue to shortwave infrared 2. TM and ETM+: Markham et al. (2004), IEEE TGRS
# 42(12), 2691, round figures; OLI: Morfitt et al. (2015), Remote Sensing 7(2), 2208; MSI: ESA's specification.
_SIGNAL_TO_NOISE = {
    "landsat-4": (55, 60, 50, 55, 40, 35), "landsat-5": (55, 60, 50, 55, 40, 35), "landsat-7": (60, 65, 55, 60, 45, 40),
    "landsat-8": (365, 300, 230, 205, 265, 340), "landsat-9": (380, 320, 240, 215, 275, 350),
    "sentinel-2a": (154, 168, 142, 172, 100, 100), "sentinel-2b": (154, 168, 142, 172, 100, 100),
    "modis": (240, 230, 130, 200, 275, 110),
}  # fmt: skip
_TYPICAL = np.array([0.08, 0.08, 0.08, 0.2, 0.15, 0.1], np.float32)
_EIGHT_BITS = ("landsat-4", "landsat-5", "landsat-7")


@dataclass(frozen=True)
class Faults:
    """What is wrong with an image.

    Attributes:
        blur: spread of the point spread function in pixels. noise: times the sensor's own.
        coarse: factor by which the shortwave infrared was sampled more coarsely, 1 or 2.
        shift: misregistration between bands, in pixels. enlarged: 1, or 2 where the whole image was enlarged twofold.
        stripes: spread of gains between detectors. banding: amplitude of bands of 16 lines.
        quantised: digital numbers per unit of reflectance, 0 for none. saturates: reflectance that is the largest.
        compression: step of the coefficients' rounding in reflectance, 0 for none.
        gaps: Landsat 7 without its scan line corrector.
    """

    blur: float = 0.45
    noise: float = 1.0
    coarse: int = 1
    shift: float = 0.0
    enlarged: int = 1
    stripes: float = 0.0
    banding: float = 0.0
    quantised: float = 0.0
    saturates: float = 1.6
    compression: float = 0.0
    gaps: bool = False


def draw_faults(draw: np.random.Generator, sensor: str) -> Faults:
    """Draw what is wrong with an image of a sensor."""

    def sometimes(share: float, low: float, high: float, otherwise: float = 0.0) -> float:
        value = float(draw.uniform(low, high))
        return value if draw.uniform() < share else otherwise

    old = sensor in _EIGHT_BITS
    return Faults(
        blur=float(draw.uniform(0.3, 0.7)),
        noise=float(np.exp(draw.uniform(np.log(0.5), np.log(3)))),
        coarse=2 if sensor.startswith("sentinel") and draw.uniform() < 0.7 else 1,
        shift=sometimes(0.3, 0.05, 0.5),
        enlarged=2 if draw.uniform() < 0.1 else 1,
        stripes=sometimes(0.2, 0.001, 0.01),
        banding=sometimes(0.4, 0.0005, 0.004) if old else 0.0,
        quantised=float(draw.uniform(180, 420)) if old and draw.uniform() < 0.8 else 0.0,
        saturates=float(draw.uniform(0.5, 1.1)) if old else float(draw.uniform(1.1, 1.7)),
        compression=sometimes(0.08, 0.004, 0.03),
        gaps=sensor == "landsat-7" and draw.uniform() < 0.5,
    )


def scan_gaps(height: int, width: int, draw: np.random.Generator) -> NDArray[np.bool_]:
    """Lines that Landsat 7 lacks since 2003: bool (height, width).

    Two scans of 16 lines leave a wedge that widens from nothing at the middle of the scene to about 14 lines at its
    sides, every 33 lines or so (Storey, Scaramuzza and Schmidt 2005).
    """
    side, tilt = draw.uniform(0.1, 1.0), np.tan(np.radians(draw.uniform(6, 12)))
    down, across = np.mgrid[0:height, 0:width].astype(np.float64)
    breadth = 14 * np.clip(side + (across / width - 0.5) * 0.04 * width / 128, 0, 1)
    return (down + across * tilt + draw.uniform(0, 33)) % 33 < breadth


def add_faults(image: Array, faults: Faults, sensor: str, draw: np.random.Generator) -> tuple[Array, NDArray[np.bool_]]:
    """Return the image (6, h, w) as the sensor would deliver it, and which pixels hold data. Gaps hold 0."""
    height, width = image.shape[1:]
    out = np.empty_like(image)
    for band in range(6):
        x = ndimage.gaussian_filter(image[band], faults.blur, mode="nearest", truncate=2.5)
        factor = faults.enlarged * (faults.coarse if band >= 4 else 1)
        if factor > 1:
            x = _coarser(x, factor, smooth=faults.enlarged > 1 or draw.uniform() < 0.5)
        if faults.shift:
            x = ndimage.shift(x, draw.normal(0, faults.shift / 2, 2), order=1, mode="nearest")
        out[band] = x
    ratio = np.array(_SIGNAL_TO_NOISE[sensor], np.float32)
    # Noise of the detector and of the light itself, equal at the typical signal.
    floor = _TYPICAL / ratio * faults.noise
    signal = np.sqrt(0.5 + 0.5 * np.clip(out, 0, None) / _TYPICAL[:, None, None])
    out += draw.standard_normal(out.shape, np.float32) * floor[:, None, None] * signal
    if faults.stripes:
        out *= 1 + np.float32(faults.stripes) * draw.standard_normal((6, 1, width)).astype(np.float32)
    if faults.banding:
        lines = (np.arange(height) + draw.integers(16)) // 16 % 2 * 2 - 1
        out += np.float32(faults.banding) * lines[None, :, None].astype(np.float32)
    if faults.compression:
        out = _compressed(out, faults.compression)
    if faults.quantised:
        out = np.rint(out * np.float32(faults.quantised)) / np.float32(faults.quantised)
    np.minimum(out, np.float32(faults.saturates), out=out)
    known = np.ones((height, width), bool)
    if faults.gaps:
        known = ~scan_gaps(height, width, draw)
        out *= known
    return out, known


def _coarser(x: Array, factor: int, *, smooth: bool) -> Array:
    """Average squares of `factor` pixels and enlarge them again."""
    height, width = x.shape
    padded = np.pad(x, ((0, -height % factor), (0, -width % factor)), mode="edge")
    means = padded.reshape(padded.shape[0] // factor, factor, -1, factor).mean((1, 3))
    if smooth:
        means = ndimage.zoom(means, factor, order=1, mode="nearest", grid_mode=True)
    else:
        means = means.repeat(factor, 0).repeat(factor, 1)
    return means[:height, :width]


def _compressed(x: Array, step: float) -> Array:
    """Round the cosine coefficients of blocks of 8 by 8 pixels, the finer ones more, as JPEG does."""
    height, width = x.shape[1:]
    padded = np.pad(x, ((0, 0), (0, -height % 8), (0, -width % 8)), mode="edge")
    blocks = padded.reshape(6, padded.shape[1] // 8, 8, -1, 8)
    waves = fft.dctn(blocks, axes=(2, 4), norm="ortho")
    order = np.arange(8)
    steps = (step * (1 + 0.5 * (order[:, None] + order))).astype(np.float32)[:, None, :]
    blocks = fft.idctn(np.rint(waves / steps) * steps, axes=(2, 4), norm="ortho")
    return blocks.reshape(padded.shape)[:, :height, :width].astype(np.float32)
