"""What replacing vertical kernels by recursive filters costs: the default water network, by order and delay.

    python benchmarks/fir_to_iir.py
    python benchmarks/fir_to_iir.py --steps 20 --size 64 --name trial
    python benchmarks/fir_to_iir.py --kernels

The network's convolutions of 3 rows are converted by `narrows.fir_to_iir` and fine-tuned on simulated scenes towards
the outputs of the network itself; error and agreement are measured on another scene. Kept values are those that all
kernels together keep of earlier rows, for each column of the image: channels times lines, where a line of a coarser
scale is shorter; skip connections come on top. With `--kernels`, instead, the error of single well-known kernels.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import torch
from common import save, table
from torch import Tensor, nn

import narrows
from narrows.layers.vertical_iir import VerticalIIR
from narrows.water import weights
from narrows.water.simulation.scene import simulate_scene

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


def scene(size: int, seed: int) -> Tensor:
    reflectance, _ = simulate_scene(size, size, seed)
    return torch.from_numpy(reflectance)[None].float()


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


def measure(original: nn.Module, size: int, steps: int, seed: int) -> list[dict[str, Any]]:
    images = [scene(size, seed + 1 + place) for place in range(4)]
    unseen = scene(2 * size, seed)
    with torch.no_grad():
        wanted = original(unseen)
    plan = narrows.plan(original, 512, 512, strip=1, channels=6)
    rows = [
        {"vertical": "convolution", "allowed_delay": "", "kept_values": kept(original, None, size), "delay": plan.delay}
    ]
    for order in (1, 2):
        for delay in (0, 1):
            for tune in (0, steps):
                torch.manual_seed(seed)
                found = narrows.fir_to_iir(original, delay=delay, order=order, images=images, steps=tune)
                with torch.no_grad():
                    made = found.module(unseen)
                energy = sum(layer.error**2 for layer in found.layers) / len(found.layers)
                rows.append(
                    {
                        "vertical": f"order {order}",
                        "allowed_delay": delay,
                        "fine_tuned": f"{tune} steps" if tune else "no",
                        "kept_values": kept(found.module, order, size),
                        "delay": narrows.plan(found.module, 512, 512, strip=1, channels=6).delay,
                        "kernel_error": round(energy**0.5, 3),
                        "output_error": round(float((made - wanted).norm() / wanted.norm()), 4),
                        "same_water": round(float(((made > 0) == (wanted > 0))[:, 0].float().mean()), 4),
                    }
                )
                print(rows[-1], flush=True)
    return rows


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
    parser.add_argument("--size", type=int, default=128, help="side of the scenes for fine-tuning")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="fir_to_iir", help="of the result file")
    parser.add_argument("--kernels", action="store_true", help="single kernels instead of a network")
    chosen = parser.parse_args()
    if chosen.kernels:
        rows = errors_of_kernels()
        table("Kernels", rows, ["kernel", "order", "lines", "delay_0", "delay_1", "delay_2", "delay_3"])
        save("fir_to_iir_kernels", {}, rows)
        return 0
    rows = measure(Logits(weights.load()).eval(), chosen.size, chosen.steps, chosen.seed)
    columns = ["vertical", "allowed_delay", "fine_tuned", "kept_values", "delay", "kernel_error", "output_error"]
    table("Default water network", rows, [*columns, "same_water"])
    save(chosen.name, {"size": chosen.size, "steps": chosen.steps, "seed": chosen.seed}, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
