"""How far recursive filters in float32 drift from float64, against the bound that `VerticalIIR.rounding_bound` states.

    python benchmarks/iir_rounding.py

Linear filters of order 1 and 2 with 1 to 3 taps, their parameters drawn from all that floats allow, run over 3,000
rows of noise, of a constant and of an alternating image.
"""

from __future__ import annotations

import argparse
import random
import sys

import torch
from common import save, table

ROWS, CHANNELS = 3_000, 8


def measure(order: int, taps: int, layers: int, draw: random.Random) -> dict[str, float | int]:
    from narrows.layers.vertical_iir import VerticalIIR

    steps = torch.arange(ROWS)
    images = [torch.ones(ROWS), torch.where(steps % 2 == 0, 1.0, -1.0), torch.rand(ROWS) * 2 - 1]
    x = torch.stack(images, 1).expand(1, CHANNELS, ROWS, len(images))
    share = relative = 0.0
    for _ in range(layers):
        layer = VerticalIIR(CHANNELS, order, taps=taps).eval()
        with torch.no_grad():
            raw = [draw.choice((draw.uniform(-3, 3), draw.uniform(-50, 50))) for _ in range(CHANNELS * order)]
            layer.poles_raw.copy_(torch.tensor(raw).view(CHANNELS, order))
            layer.numerator.uniform_(-1, 1)
            narrow = layer(x).double()
            bound = layer.rounding_bound()
            wide = layer.double()(x.double())
        drift = (narrow - wide).abs().amax((0, 2, 3))
        share = max(share, float((drift / bound).max()))
        relative = max(relative, float((drift / wide.abs().amax((0, 2, 3))).max()))
    return {
        "order": order,
        "taps": taps,
        "filters": layers * CHANNELS,
        "worst_share_of_bound": round(share, 3),
        "worst_drift_of_largest": float(f"{relative:.2g}"),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=60, help="of each order and number of taps")
    chosen = parser.parse_args()
    torch.manual_seed(0)
    draw = random.Random(0)
    rows = [measure(order, taps, chosen.layers, draw) for order in (1, 2) for taps in range(1, order + 2)]
    table("Rounding of recursive filters", rows, list(rows[0]))
    save("iir_rounding", {"rows": ROWS, "layers": chosen.layers}, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
