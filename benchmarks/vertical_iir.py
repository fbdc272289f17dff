"""Time of the vertical recursive filter, forward and backward, against a loop over rows in PyTorch.

    python benchmarks/vertical_iir.py
    python benchmarks/vertical_iir.py --shapes 1x4x64x16 --repeats 3 --name trial

Four ways, in shuffled turns in one process: a loop over rows as one writes it (`unbind`, one fused step for each row,
`stack`), whose gradients autograd finds; the operator with its method chosen by shape; and the operator held to either
method. Backward is a forward and a backward together, with gradients of the image and of all coefficients.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from common import middle, save, spread, table
from torch import Tensor

from narrows.layers import scan
from narrows.layers.recursive import vertical_iir

FILTERS = {"order 1": (1, "linear"), "order 2": (2, "linear"), "order 1, ReLU in the loop": (1, "relu")}
FEEDBACK = {1: (0.8,), 2: (1.2, -0.5)}
METHODS = {"operator": None, "row by row": 0, "in blocks": 1 << 62}


def loop(x: Tensor, numerator: Tensor, feedback: Tensor, activation: str) -> Tensor:
    """The filter as a loop over rows."""
    values = x * numerator[:, :1, None]
    for back in range(1, numerator.shape[1]):
        delayed = torch.nn.functional.pad(x[:, :, :-back], (0, 0, back, 0))
        values = torch.addcmul(values, numerator[:, back, None, None], delayed)
    columns = feedback[..., None].unbind(1)
    made: list[Tensor] = []
    for row in values.unbind(2):
        for back, column in enumerate(columns[: len(made)], start=1):
            row = torch.addcmul(row, column, made[-back])
        made.append(torch.relu(row) if activation == "relu" else row)
    return torch.stack(made, 2)


def ways(x: Tensor, order: int, activation: str, backward: bool) -> dict[str, Callable[[], Tensor]]:
    channels = x.shape[1]
    feedback = torch.tensor(FEEDBACK[order]).repeat(channels, 1)
    numerator = torch.full((channels, order + 1), 0.1)
    given = [tensor.requires_grad_(backward) for tensor in (x.clone(), numerator, feedback)]
    upstream = torch.randn_like(x)

    def run(function: Callable[..., Tensor], narrow: int | None) -> Callable[[], Tensor]:
        def once() -> Tensor:
            usual = scan.NARROW
            scan.NARROW = usual if narrow is None else narrow
            try:
                with torch.set_grad_enabled(backward):
                    result = function(*given)
                    if backward:
                        torch.autograd.grad(result, given, upstream)
            finally:
                scan.NARROW = usual
            return result.detach()

        return once

    made = {"loop": run(lambda *args: loop(*args, activation), None)}
    for name, narrow in METHODS.items():
        made[name] = run(lambda *args: vertical_iir(*args, activation, False), narrow)
    return made


def measure(shape: tuple[int, ...], name: str, backward: bool, repeats: int) -> dict[str, Any]:
    torch.manual_seed(0)
    order, activation = FILTERS[name]
    functions = ways(torch.randn(shape), order, activation, backward)
    reference = functions["loop"]()
    for function in functions.values():
        torch.testing.assert_close(function(), reference, rtol=1e-4, atol=1e-4)
    seconds: dict[str, list[float]] = {way: [] for way in functions}
    turns = [way for way in functions for _ in range(repeats)]
    random.Random(0).shuffle(turns)
    for way in turns:
        begun = time.perf_counter()
        functions[way]()
        seconds[way].append(time.perf_counter() - begun)
    return {
        "shape": "x".join(map(str, shape)),
        "filter": name,
        "pass": "forward and backward" if backward else "forward",
        "method": "in blocks" if scan.in_blocks(torch.empty(shape)) else "row by row",
        **{f"{way.replace(' ', '_')}_ms": round(middle(values) * 1e3, 3) for way, values in seconds.items()},
        "speedup": round(middle(seconds["loop"]) / middle(seconds["operator"]), 2),
        "spread": {way: round(spread(values), 3) for way, values in seconds.items()},
        "largest_spread": round(max(spread(seconds[way]) for way in ("loop", "operator")), 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="8x16x256x256,8x16x256x32,1x32x256x1024", help="N x C x H x W")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--name", default="vertical_iir", help="of the result file")
    chosen = parser.parse_args()
    shapes = [tuple(int(size) for size in text.split("x")) for text in chosen.shapes.split(",")]
    rows = [
        measure(shape, name, backward, chosen.repeats)
        for shape in shapes
        for name in FILTERS
        for backward in (False, True)
    ]
    columns = ["shape", "filter", "pass", "method", "loop_ms", "operator_ms", "speedup", "largest_spread"]
    columns += ["row_by_row_ms", "in_blocks_ms"]
    table(f"Vertical filter, median of {chosen.repeats}", rows, columns)
    save(chosen.name, {"repeats": chosen.repeats, "threads": torch.get_num_threads()}, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
