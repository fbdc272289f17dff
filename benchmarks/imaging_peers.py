"""What people use for each of the imaging tasks, on the test photographs: PSNR and SSIM.

    python benchmarks/imaging_peers.py
    python benchmarks/imaging_peers.py --task demosaic --photograph chelsea --name trial

Crops, noise and scores are those of `narrows.imaging.evaluation`. Every peer is told the fault exactly (sigma, gain,
the blur's kernel). Wiener's balance and Richardson-Lucy's iterations are those, of a few, with the best mean PSNR on
these very photographs, which favours the peers. A peer's results are written as soon as they are there; others that
were run before keep theirs.

Needs `benchmarks/requirements.txt`. The licence of `bm3d` allows nonprofit and noncommercial use only.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from typing import Any

import bm3d
import colour_demosaicing
import cv2
import numpy as np
import torch
from common import RESULTS, save, table
from numpy.typing import NDArray
from skimage import restoration
from torch import Tensor

from narrows.imaging.evaluation import BORDER, Case, Score, evaluate
from narrows.imaging.photographs import PHOTOGRAPHS
from narrows.imaging.tasks import BLUR_NOISE, TASKS, task_called

# BM3D of coloured noise calls it by the name that NumPy has dropped.
np.trapz = np.trapezoid  # type: ignore[attr-defined]

Pixels = NDArray[np.float64]
Peer = Callable[[Case], Tensor]
PAD = 32
PACKAGES = ("scikit-image", "bm3d", "opencv-python-headless", "colour-demosaicing")


def pixels(image: Tensor) -> Pixels:
    """(1, C, H, W) as (H, W, C), and (1, 1, H, W) as (H, W)."""
    array = image[0].permute(1, 2, 0).double().numpy()
    return array[..., 0] if array.shape[2] == 1 else array


def tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.atleast_3d(array).transpose(2, 0, 1).astype(np.float32))[None]


def as_given(case: Case) -> Tensor:
    return case.observed.expand_as(case.target)


def non_local_means(image: Pixels, sigma: float) -> Pixels:
    axis = 2 if image.ndim == 3 else None
    return restoration.denoise_nl_means(
        image, patch_size=5, patch_distance=6, h=0.8 * sigma, sigma=sigma, fast_mode=True, channel_axis=axis
    )


def wavelets(image: Pixels, sigma: float) -> Pixels:
    colour = image.ndim == 3
    return restoration.denoise_wavelet(
        image, sigma=sigma, method="BayesShrink", mode="soft", convert2ycbcr=colour, channel_axis=2 if colour else None
    )


def block_matching(image: Pixels, sigma: float) -> Pixels:
    return (bm3d.bm3d_rgb if image.ndim == 3 else bm3d.bm3d)(image, sigma)


DENOISERS = {"non-local means": non_local_means, "wavelets": wavelets, "BM3D": block_matching}


def denoised(denoiser: Callable[[Pixels, float], Pixels], case: Case) -> Tensor:
    return tensor(denoiser(pixels(case.observed), case.condition["sigma"] / 255))


def stabilised(denoiser: Callable[[Pixels, float], Pixels], case: Case) -> Tensor:
    """Denoise under the generalised Anscombe transform, after which the noise has one spread.

    The inverse is the algebraic one, unbiased for many photons.
    """
    gain, read = case.condition["gain"], case.condition["read"] / 255
    seen = pixels(case.observed)
    stable = 2 / gain * np.sqrt(np.maximum(gain * seen + 3 / 8 * gain**2 + read**2, 0))
    # To about 0..1, in which the denoisers' own constants are meant; the spread is 1 before.
    scale = stable.max()
    made = denoiser(stable / scale, 1 / scale) * scale
    return tensor(gain * ((made / 2) ** 2 - 1 / 8) - read**2 / gain)


def deconvolved(method: Callable[[Pixels, Pixels], Pixels], case: Case) -> Tensor:
    """Each channel for itself, with a border of mirrored pixels, for these methods take the image to be periodic."""
    task = task_called(case.task)
    kernel = task.kernels(case.condition, case.observed)[0].double().numpy()  # type: ignore[attr-defined]
    made = []
    for channel in case.observed[0].double().numpy():
        padded = np.pad(channel, PAD, mode="symmetric")
        made.append(method(padded, kernel)[PAD:-PAD, PAD:-PAD])
    return tensor(np.stack(made, 2))


def wiener(balance: float) -> Peer:
    return partial(deconvolved, lambda image, kernel: restoration.wiener(image, kernel, balance, clip=False))


def richardson_lucy(iterations: int) -> Peer:
    def method(image: Pixels, kernel: Pixels) -> Pixels:
        return restoration.richardson_lucy(np.maximum(image, 1e-4), kernel, iterations, clip=False)

    return partial(deconvolved, method)


def bm3d_deblurring() -> Peer:
    def method(image: Pixels, kernel: Pixels) -> Pixels:
        # A third axis, for of an image with two it takes one spread for a list of spectra.
        made: Pixels = np.squeeze(bm3d.bm3d_deblurring(image[..., None], BLUR_NOISE, kernel))
        return made

    return partial(deconvolved, method)


def opencv(name: str, case: Case) -> Tensor:
    mosaic = np.rint(pixels(case.observed).clip(0, 1) * 255).astype(np.uint8)
    return tensor(cv2.cvtColor(mosaic, getattr(cv2, name)) / 255)


def demosaicing(function: Callable[..., Any], case: Case) -> Tensor:
    return tensor(function(pixels(case.observed), "RGGB"))


DEBLURRERS: dict[str, list[Peer]] = {
    "Wiener": [wiener(balance) for balance in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)],
    "Richardson-Lucy": [richardson_lucy(iterations) for iterations in (3, 6, 10, 20, 40)],
    "BM3D deblurring": [bm3d_deblurring()],
}
GIVEN: dict[str, list[Peer]] = {"as given": [as_given]}
PEERS: Mapping[str, Mapping[str, list[Peer]]] = {
    "denoise": GIVEN | {name: [partial(denoised, way)] for name, way in DENOISERS.items()},
    "denoise-colour": GIVEN | {name: [partial(denoised, way)] for name, way in DENOISERS.items()},
    "denoise-sensor": GIVEN | {f"Anscombe, {name}": [partial(stabilised, way)] for name, way in DENOISERS.items()},
    "deblur-gaussian": GIVEN | DEBLURRERS,
    "deblur-motion": GIVEN | DEBLURRERS,
    "colourise": GIVEN,
    "demosaic": {
        "OpenCV bilinear": [partial(opencv, "COLOR_BayerRGGB2RGB")],
        "OpenCV edge-aware": [partial(opencv, "COLOR_BayerRGGB2RGB_EA")],
        "OpenCV VNG": [partial(opencv, "COLOR_BayerRGGB2RGB_VNG")],
        "Malvar 2004": [partial(demosaicing, colour_demosaicing.demosaicing_CFA_Bayer_Malvar2004)],
        "Menon 2007": [partial(demosaicing, colour_demosaicing.demosaicing_CFA_Bayer_Menon2007)],
    },
}
"""For each task its peers, each in one or several settings."""


def best(ways: list[list[Score]]) -> list[Score]:
    """For each test, the scores of the setting with the best mean PSNR."""
    tests = dict.fromkeys(score.test for score in ways[0])
    chosen = {test: max(ways, key=lambda scores, test=test: mean(scores, test, "psnr")) for test in tests}
    return [score for test in tests for score in chosen[test] if score.test == test]


def mean(scores: list[Score], test: str, name: str) -> float:
    return float(np.mean([getattr(score, name) for score in scores if score.test == test]))


def rows(peer: str, scores: list[Score]) -> list[dict[str, Any]]:
    """A row for each test: means over the photographs, and PSNR and SSIM on each."""
    return [
        {
            "task": scores[0].task,
            "test": test,
            "peer": peer,
            "psnr": round(mean(scores, test, "psnr"), 3),
            "ssim": round(mean(scores, test, "ssim"), 4),
            "each": {s.photograph: [round(s.psnr, 3), round(s.ssim, 4)] for s in scores if s.test == test},
        }
        for test in dict.fromkeys(score.test for score in scores)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", action="append", choices=list(TASKS), help="may be repeated; all if left out")
    parser.add_argument("--peer", action="append", help="may be repeated; all of the task if left out")
    parser.add_argument("--photograph", action="append", choices=list(PHOTOGRAPHS), help="may be repeated")
    parser.add_argument("--name", default="imaging_peers", help="of the results' file")
    given = parser.parse_args()
    photographs = given.photograph or list(PHOTOGRAPHS)
    for task in given.task or TASKS:
        for peer, settings in PEERS[task].items():
            if given.peer is None or peer in given.peer:
                keep(given.name, photographs, rows(peer, best([evaluate(task, way, photographs) for way in settings])))


def keep(name: str, photographs: list[str], made: list[dict[str, Any]]) -> None:
    """Put the rows of one peer and task into the results in the place of earlier ones, and print them."""
    file = RESULTS / f"{name}.json"
    before = json.loads(file.read_text())["rows"] if file.exists() else []
    kept = [row for row in before if (row["task"], row["peer"]) != (made[0]["task"], made[0]["peer"])]
    tests = {(task, test): place for place, (task, test) in enumerate((t, u) for t in TASKS for u in TASKS[t].tests)}
    order = {(task, peer): place for task in TASKS for place, peer in enumerate(PEERS[task])}
    ordered = sorted(kept + made, key=lambda row: (tests[row["task"], row["test"]], order[row["task"], row["peer"]]))
    settings = {"photographs": photographs, "border": BORDER, "versions": {n: version(n) for n in PACKAGES}}
    save(name, settings, ordered)
    table(made[0]["task"], made, ("test", "peer", "psnr", "ssim"))


if __name__ == "__main__":
    main()
