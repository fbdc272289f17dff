"""How long a simulated chip takes, and how its reflectance compares with real chips'.

    python benchmarks/simulation.py [--chips hls306_6band.npz]

Times single chips of 128 x 128 on one thread, then writes percentiles of reflectance and of the difference between a
pixel and its four neighbours, over land and over water, simulated and (where the chips are given) real. The real ones
are the pixels whose label and Fmask agree, under a clear sky.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import save
from numpy.typing import NDArray

from narrows.rasters import BANDS
from narrows.water.recipes.chips import read_chips
from narrows.water.simulation import Conditions, simulate_chip

SIZE, CHIPS, COMPARED = 128, 60, 60
PERCENTILES = (5, 25, 50, 75, 95)


def times() -> dict[str, Any]:
    """Milliseconds a chip: median, 5th and 95th percentile, over as many seeds."""
    simulate_chip(SIZE, SIZE, 10_000)
    taken = []
    for seed in range(CHIPS):
        begun = time.perf_counter()
        simulate_chip(SIZE, SIZE, seed)
        taken.append(1e3 * (time.perf_counter() - begun))
    low, middle, high = np.percentile(taken, (5, 50, 95)).round(1).tolist()
    return {"what": "milliseconds a chip", "median": middle, "low": low, "high": high}


def describe(
    source: str, image: NDArray[np.float32], water: NDArray[np.bool_], land: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Percentiles by band over land and water: of reflectance, and of the contrast with the four neighbours."""
    near = (image[..., :-2, 1:-1] + image[..., 2:, 1:-1] + image[..., 1:-1, :-2] + image[..., 1:-1, 2:]) / 4
    contrast = np.abs(image[..., 1:-1, 1:-1] - near)
    rows = []
    for ground, mask in (("land", land), ("water", water)):
        inner = mask[:, 1:-1, 1:-1]
        for number, band in enumerate(BANDS):
            for what, values in (("reflectance", image[:, number][mask]), ("contrast", contrast[:, number][inner])):
                found = np.percentile(values, PERCENTILES).round(4).tolist()
                rows.append({"what": what, "source": source, "ground": ground, "band": band, "percentiles": found})
    return rows


def quartiles(rows: list[dict[str, Any]]) -> str:
    """The quartiles as the table of docs/simulation.md."""
    lines = ["| | | | " + " | ".join(BANDS) + " |", "|---" * (3 + len(BANDS)) + "|"]
    for what in ("reflectance", "contrast"):
        for ground in ("land", "water"):
            for source in ("simulated", "real"):
                chosen = [r for r in rows if (r["what"], r.get("ground"), r.get("source")) == (what, ground, source)]
                digits = 3 if what == "reflectance" else 4
                cells = [" ".join(f"{v:.{digits}f}" for v in r["percentiles"][1:4]) for r in chosen]
                if cells:
                    lines.append(f"| {what} | {ground} | {source} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--chips", type=Path, help="hls306_6band.npz")
    options = parser.parse_args()
    rows = [times()]
    seen = Conditions(level="surface", haze=0.12, haze_error=1.1)
    chips = [simulate_chip(SIZE, SIZE, seed, conditions=seen) for seed in range(COMPARED)]
    open_water = np.stack([chip.open_water for chip in chips])
    image = np.stack([chip.reflectance for chip in chips])
    rows += describe("simulated", image, open_water > 0.97, open_water < 0.03)
    if options.chips:
        real = read_chips(options.chips)
        rows += describe("real", real.reflectance, real.known & (real.label > 0), real.known & (real.label == 0))
    settings = {"size": SIZE, "timed": CHIPS, "compared": COMPARED, "percentiles": PERCENTILES, "threads": 1}
    save("simulation", settings, rows)
    print(rows[0])
    print(quartiles(rows))


if __name__ == "__main__":
    main()
