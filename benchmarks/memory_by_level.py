"""What each level of an encoder holds at a full Landsat scene: channels doubled at each halving, or quadrupled.

    python benchmarks/memory_by_level.py [--size 7741x7591]

Both are U-Nets of this project with 1,024 channels at a sixteenth of the sides: with doubled channels they begin with
64, with quadrupled ones, as DeepWaterMapV2, with 4. Bytes of what each level gives, float32, from its shape; nothing is
computed and no memory taken.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from common import megabytes, parse_sizes, save, table
from report import COLUMNS

from narrows.networks.unet import unet

PLOT = Path(__file__).resolve().parents[1] / "docs" / "images" / "claims_memory.png"


def levels(width: int, multiplier: int, height: int, columns: int) -> list[torch.Size]:
    """Shapes of what the encoder's blocks give."""
    model, shapes = unet(width=width, multiplier=multiplier).eval().to("meta"), []
    for block in model.encoder:
        block.register_forward_hook(lambda *call: shapes.append(call[-1].shape))
    with torch.no_grad():
        model(torch.empty(1, 6, height, columns, device="meta"))
    return shapes


def counted(height: int, width: int) -> list[dict[str, Any]]:
    rows, sums = [], [0, 0]
    pairs = zip(levels(64, 2, height, width), levels(4, 4, height, width), strict=True)
    for level, (doubled, constant) in enumerate(pairs):
        held = [4 * doubled.numel(), 4 * constant.numel()]
        sums = [total + part for total, part in zip(sums, held, strict=True)]
        rows.append(_row(f"1/{1 << level}", f"{doubled[2]} x {doubled[3]}", doubled[1], constant[1], *held))
    rows.append(_row("all", "", None, None, *sums))
    return rows


def _row(level: str, sides: str, doubled: int | None, constant: int | None, first: int, second: int) -> dict[str, Any]:
    return {
        "level": level,
        "sides": sides,
        "doubled_channels": doubled,
        "doubled_MB": megabytes(first),
        "constant_channels": constant,
        "constant_MB": megabytes(second),
        "ratio": round(first / second, 2),
    }


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = rows[:-1]
    places = range(len(shown))
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    axis.bar(
        [p - 0.2 for p in places], [row["doubled_MB"] / 1e3 for row in shown], 0.4, label="doubled", color="#f0a04b"
    )
    axis.bar(
        [p + 0.2 for p in places], [row["constant_MB"] / 1e3 for row in shown], 0.4, label="quadrupled", color="#33638d"
    )
    labels = [f"{row['level']}\n{row['doubled_channels']} | {row['constant_channels']}" for row in shown]
    axis.set_xticks(list(places), labels)
    axis.set_xlabel("scale; channels doubled | quadrupled")
    axis.set_ylabel("GB that the level gives")
    axis.legend(title="channels at each halving")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="7741x7591")
    chosen = parser.parse_args()
    ((height, width),) = parse_sizes(chosen.size)
    rows = counted(height, width)
    table(f"What each level gives at {height} x {width}", rows, COLUMNS["memory_by_level"])
    save("memory_by_level", {"height": height, "width": width}, rows)
    draw(rows, PLOT)


if __name__ == "__main__":
    main()
