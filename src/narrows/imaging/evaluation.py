"""One protocol for everything that repairs images: the same crops, the same noise, the same scores.

    for case in cases("denoise"):
        print(case.photograph, case.test, score(case, network(case.inputs)))

The noise's seed is made of the task, the test and the photograph, so each case is always the same. Repairs are clipped
to 0..1, and a border of 8 pixels is left out of both scores, for there deblurring and demosaicing hang on what is
assumed beyond the image.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from narrows.errors import InputError
from narrows.imaging.photographs import PHOTOGRAPHS, photograph
from narrows.imaging.tasks import task_called

__all__ = ["BORDER", "Case", "Score", "cases", "evaluate", "psnr", "score", "ssim"]

BORDER = 8


@dataclass(frozen=True)
class Case:
    """One spoilt photograph.

    Attributes:
        task, test, photograph: the names of each; `test` is one of the task's `tests`.
        condition: of that test.
        observed: (1, takes, H, W), what the fault left, not clipped.
        inputs: (1, 6, H, W), the planes of the imaging core for it.
        target: (1, gives, H, W), 0 to 1.
    """

    task: str
    test: str
    photograph: str
    condition: Mapping[str, float]
    observed: Tensor
    inputs: Tensor
    target: Tensor


@dataclass(frozen=True)
class Score:
    """How good one repair is: PSNR in dB and mean SSIM, both over all channels, white being 1."""

    task: str
    test: str
    photograph: str
    psnr: float
    ssim: float


def cases(task: str, photographs: Iterable[str] = tuple(PHOTOGRAPHS)) -> Iterator[Case]:
    """Every test of `task` on every photograph.

    Raises:
        InputError: for a task or photograph that there isn't.
    """
    fault = task_called(task)
    for name in photographs:
        clean = photograph(name)
        for test, condition in fault.tests.items():
            seed = zlib.crc32(f"{task}/{test}/{name}".encode())
            observed = fault.observe(clean, condition, torch.Generator().manual_seed(seed))
            yield Case(task, test, name, condition, observed, fault.planes(observed, condition), fault.target(clean))


def score(case: Case, repaired: Tensor) -> Score:
    """Score a repair (1, gives, H, W) of `case`.

    Raises:
        InputError: it has another shape than the target.
    """
    if repaired.shape != case.target.shape:
        raise InputError(f"the repair is {tuple(repaired.shape)}, the target {tuple(case.target.shape)}")
    inner = (..., slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    given, wanted = repaired.clamp(0, 1)[inner].double(), case.target[inner].double()
    return Score(case.task, case.test, case.photograph, psnr(given, wanted), ssim(given, wanted))


def evaluate(
    task: str, repair: Callable[[Case], Tensor], photographs: Iterable[str] = tuple(PHOTOGRAPHS)
) -> list[Score]:
    """The scores of `repair`, a function from a case to (1, gives, H, W), without gradients.

    Raises:
        InputError: as `cases` and `score`.
    """
    with torch.no_grad():
        return [score(case, repair(case)) for case in cases(task, photographs)]


def psnr(given: Tensor, wanted: Tensor) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 1: -10 log10 of the mean squared error."""
    return float(-10 * torch.log10(F.mse_loss(given, wanted)))


def ssim(given: Tensor, wanted: Tensor) -> float:
    """Mean structural similarity of (N, C, H, W) for a range of 1, H and W at least 11.

    Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 2004: gaussian window of sigma 1.5 and 11 pixels, K1 = 0.01, K2 = 0.03,
    each channel for itself, windows that reach beyond the image left out.
    """
    steps = torch.arange(-5, 6, dtype=given.dtype)
    line = torch.exp(-0.5 * (steps / 1.5) ** 2)
    line /= line.sum()

    def mean(image: Tensor) -> Tensor:
        flat = image.reshape(-1, 1, *image.shape[2:])
        return F.conv2d(F.conv2d(flat, line.reshape(1, 1, -1, 1)), line.reshape(1, 1, 1, -1))

    a, b = mean(given), mean(wanted)
    aa, bb, ab = mean(given**2) - a**2, mean(wanted**2) - b**2, mean(given * wanted) - a * b
    c1, c2 = 0.01**2, 0.03**2
    return float(((2 * a * b + c1) * (2 * ab + c2) / ((a**2 + b**2 + c1) * (aa + bb + c2))).mean())
