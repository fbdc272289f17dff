"""What replacing vertical kernels by recursive filters costs: the default water network, by order and delay.

    python benchmarks/fir_to_iir.py
    python benchmarks/fir_to_iir.py --steps 8 --size 32 --name trial
    python benchmarks/fir_to_iir.py --kernels

The network's convolutions of 3 rows are converted by `narrows.fir_to_iir`, with and without fine-tuning towards the
outputs of the network itself. A row waited for at a coarse scale is several rows of the image, so the delay is allowed
from the finest scale on: at none, at full resolution, down to a half, a quarter, an eighth. Where it is allowed, each
layer takes the delay of the smaller kernel error.

Each conversion is judged on images that the fine-tuning didn't see, against the given network: the relative error of
its logits, and the intersection over union of the water in both maps (water on both over water on either, all images
together). The images are the labelled chips beside the clone, fine-tuned on places of the training split and judged on
those of the test split; where they are absent, simulated scenes. Kept values are those that all kernels together keep
of earlier rows, for each column of the image: channels times lines, where a line of a coarser scale is shorter; skip
connections come on top. With `--kernels`, instead, the error of single well-known kernels.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import save, table
from torch import Tensor, nn

import narrows
from narrows.layers.conversion import fine_tune
from narrows.layers.vertical_iir import VerticalIIR
from narrows.water import weights
from narrows.water.recipes.chips import read_chips, read_split
from narrows.water.simulation.scene import simulate_scene

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
KERNELS = {
    "mean of 3": (1, 1, 1),
    "binomial 3": (1, 2, 1),
    "difference 3": (1, 0, -1),
    "mean of 5": (1, 1, 1, 1, 1),
    "binomial 5": (1, 4, 6, 4, 1),
    "second difference 5": (-1, 0, 2, 0, -1),
    "binomial 7": (1, 6, 15, 20, 15, 6, 1),
    "mean of 7": (1,) * 7,
}


class Logits(nn.Module):
    """The network as one tensor, so that it can be compared and fine-tuned."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, reflectance: Tensor) -> Tensor:
        logits: Tensor = self.network.logits(reflectance)  # type: ignore[operator]
        return logits


def pictures(size: int, seed: int, data: Path) -> tuple[str, list[Tensor], list[Tensor]]:
    """What they are; batches of (N, 6, size, size) for fine-tuning; others for judging."""
    path = data / "water306" / "hls306_6band.npz"
    if not path.exists():
        return (
            "simulated scenes",
            [scene(size, seed + 1 + place) for place in range(4)],
            [scene(2 * size, seed + 100 + place) for place in range(4)],
        )
    chips, split = read_chips(path), read_split()
    train, test = chips.at_places(split["train"]), chips.at_places(split["test"])
    order = np.random.default_rng(seed).permutation(len(train.place))[:32]
    drawn = torch.from_numpy(train.reflectance[np.sort(order)])[:, :, :size, :size].contiguous()
    judged = torch.from_numpy(test.reflectance)
    return f"{len(judged)} labelled chips of 128 x 128", list(drawn.split(8)), list(judged.split(16))


def scene(size: int, seed: int) -> Tensor:
    reflectance, _ = simulate_scene(size, size, seed)
    return torch.from_numpy(reflectance)[None].float()


def scales(network: nn.Module, size: int) -> dict[str, int]:
    """For each convolution of several rows, by its path: rows of the image for one row of its input."""
    found: dict[str, int] = {}
    hooks = []
    for path, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size[0] > 1:

            def note(_: nn.Module, given: tuple[Tensor, ...], __: Tensor, path: str = path) -> None:
                found[path] = size // given[0].shape[2]

            hooks.append(module.register_forward_hook(note))
    with torch.no_grad():
        network(torch.zeros(1, 6, size, size))
    for hook in hooks:
        hook.remove()
    return found


def kept(network: nn.Module, order: int | None, size: int) -> float:
    """Values kept between rows for each column of the image: by convolutions where `order` is None, else by filters."""
    total = 0.0

    def count(module: nn.Module, given: tuple[Tensor, ...], _: Tensor) -> None:
        nonlocal total
        x = given[0]
        rows = module.kernel_size[0] - 1 if isinstance(module, nn.Conv2d) else module.order
        total += rows * x.shape[1] * x.shape[3] / size

    kinds = (nn.Conv2d,) if order is None else (VerticalIIR,)
    hooks = [module.register_forward_hook(count) for module in network.modules() if isinstance(module, kinds)]
    with torch.no_grad():
        network(torch.zeros(1, 6, size, size))
    for hook in hooks:
        hook.remove()
    return total


def apart(network: nn.Module, images: list[Tensor], wanted: list[Tensor]) -> tuple[float, float]:
    """Relative error of the logits, and intersection over union of the water in both maps."""
    missed = energy = both = either = 0.0
    with torch.no_grad():
        for image, logits in zip(images, wanted, strict=True):
            made = network(image)
            missed += float((made - logits).double().square().sum())
            energy += float(logits.double().square().sum())
            here, there = made[:, 0] > 0, logits[:, 0] > 0
            both += float((here & there).sum())
            either += float((here | there).sum())
    return (missed / energy) ** 0.5, both / max(either, 1.0)


def measure(
    original: nn.Module, size: int, steps: int, seed: int, data: Path
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    kind, tuning, judged = pictures(size, seed, data)
    with torch.no_grad():
        wanted = [original(image) for image in judged]
    coarse = scales(original, size)
    rows: list[dict[str, Any]] = [
        {
            "vertical": "convolution",
            "kept_values": round(kept(original, None, size)),
            "delay": narrows.plan(original, 256, 64, strip=1, channels=6).delay,
        }
    ]
    cases = [(1, 0), (1, 8), (1, 2), (2, 0), (1, 1), (1, 4)]
    for order, down_to in cases:
        allowed = {path: int(scale <= down_to) for path, scale in coarse.items()}
        torch.manual_seed(seed)
        found = narrows.fir_to_iir(original, delay=allowed, order=order)
        raw = apart(found.module, judged, wanted)
        fine_tune(found.module, original, tuning, steps)
        tuned = apart(found.module, judged, wanted)
        energy = sum(layer.error**2 for layer in found.layers) / len(found.layers)
        rows.append(
            {
                "vertical": f"order {order}",
                "waits_at": {0: "no scale", 1: "full size", 8: "all scales"}.get(down_to, f"1 to 1/{down_to}"),
                "kept_values": round(kept(found.module, order, size)),
                "delay": narrows.plan(found.module, 256, 64, strip=1, channels=6).delay,
                "kernel_error": round(energy**0.5, 3),
                "output_error": round(raw[0], 4),
                "IoU": round(raw[1], 4),
                "tuned_error": round(tuned[0], 4),
                "tuned_IoU": round(tuned[1], 4),
            }
        )
        print(rows[-1], flush=True)
        yield kind, rows


def errors_of_kernels() -> list[dict[str, Any]]:
    """The relative error of each kernel, by order and delay; a delay of more than half the kernel is not tried."""
    rows = []
    for name, taps in KERNELS.items():
        convolution = nn.Conv2d(1, 1, (len(taps), 1), padding=(len(taps) // 2, 0), bias=False, dtype=torch.float64)
        with torch.no_grad():
            convolution.weight.copy_(torch.tensor(taps, dtype=torch.float64).view(1, 1, -1, 1))
        for order in (1, 2):
            (layer,) = narrows.fir_to_iir(convolution, order=order).layers
            errors = {f"delay_{delay}": round(error, 3) for delay, error in enumerate(layer.by_delay)}
            rows.append({"kernel": name, "order": order, "lines": f"{len(taps) - 1} > {order}", **errors})
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64, help="side of the images for fine-tuning")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of real imagery")
    parser.add_argument("--name", default="fir_to_iir", help="of the result file")
    parser.add_argument("--kernels", action="store_true", help="single kernels instead of a network")
    chosen = parser.parse_args()
    if chosen.kernels:
        rows = errors_of_kernels()
        table("Kernels", rows, ["kernel", "order", "lines", "delay_0", "delay_1", "delay_2", "delay_3"])
        save("fir_to_iir_kernels", {}, rows)
        return 0
    columns = ["vertical", "waits_at", "kept_values", "delay", "kernel_error", "output_error", "IoU"]
    network = Logits(weights.load()).eval()
    for kind, rows in measure(network, chosen.size, chosen.steps, chosen.seed, chosen.data):
        settings = {"images": kind, "size": chosen.size, "steps": chosen.steps, "seed": chosen.seed}
        save(chosen.name, settings, sorted(rows, key=lambda row: (row["vertical"], row["delay"])))
    table(f"Default water network, on {kind}", rows, [*columns, "tuned_error", "tuned_IoU"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
