"""Train one point of the curve of quality against lines kept and lines waited for: grey images, noise of sigma 25.

    python -m narrows.imaging.recipes.curve --out runs/iir_d4 --core '{"look_ahead": 4}'

writes checkpoints while it runs (a second start continues), then `core.safetensors` and `result.json` with the scores
on the test photographs. The core has one plane in and one out. A default training takes about two minutes of one core
of a server.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from narrows.imaging.evaluation import evaluate
from narrows.imaging.tasks import grey
from narrows.imaging.training import Settings, leaf_pool, train
from narrows.imaging.weights import save
from narrows.networks.imaging_core import ImagingCore, imaging_core

__all__ = ["SIGMA", "core_of", "noisy", "train_point"]

SIGMA = 25 / 255


def core_of(configuration: Mapping[str, Any]) -> ImagingCore:
    """The core with these arguments, lists (as JSON has them) for tuples; one plane in and one out unless told."""
    given: dict[str, Any] = {"in_channels": 1, "out_channels": 1}
    for name, value in configuration.items():
        given[name] = tuple(value) if isinstance(value, list) else value
    return imaging_core(**given)


def noisy(clean: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Grey crops with noise of sigma 25, and without."""
    target = grey(clean)
    return target + SIGMA * torch.randn(target.shape, generator=generator), target


def train_point(configuration: Mapping[str, Any], out: Path, settings: Settings, leaves: Path | None) -> dict[str, Any]:
    """Train, score, and write `core.safetensors` and `result.json` into `out`; what stands in the latter."""
    torch.manual_seed(settings.seed)
    core = core_of(configuration)
    seconds = train(core, leaf_pool(leaves), noisy, out, settings)
    scores = evaluate("denoise", lambda case: core(case.observed))
    result = {
        "name": out.name,
        "configuration": dict(configuration),
        "training": asdict(settings),
        "parameters": sum(parameter.numel() for parameter in core.parameters()),
        "seconds": round(seconds),
        "scores": [
            {"photograph": score.photograph, "psnr": round(score.psnr, 3), "ssim": round(score.ssim, 4)}
            for score in scores
            if score.test == "sigma 25"
        ],
    }
    made_with = {"in_channels": 1, "out_channels": 1, **configuration}
    save(core, out / "core.safetensors", "denoise-grey-25", made_with)
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train one point of the curve.")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and the result")
    parser.add_argument("--core", type=json.loads, default={}, help="arguments of imaging_core, as JSON")
    parser.add_argument("--leaves", type=Path, help="file in which training images are kept for the next training")
    parser.add_argument("--threads", type=int, default=1)
    for name, value in asdict(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = vars(parser.parse_args(arguments))
    torch.set_num_threads(options.pop("threads"))
    out, core, leaves = options.pop("out"), options.pop("core"), options.pop("leaves")
    if (out / "result.json").exists():
        print(f"{out} is finished already")
        return
    result = train_point(core, out, Settings(**options), leaves)
    print(f"{result['name']}: {sum(s['psnr'] for s in result['scores']) / len(result['scores']):.3f} dB")


if __name__ == "__main__":
    main()
