"""Scores and calibration on the places held out of training, beside MNDWI and DSWE on the same pixels.

    python benchmarks/water_held_out.py
    python benchmarks/water_held_out.py --model water-small --picture /tmp/calibration.png

The places are those under "test" in src/narrows/water/recipes/split.json. *Consensus* pixels are those where label and
Fmask agree under a clear sky. Calibration is of the probability of water on consensus pixels: the expected calibration
error in bins of equally many pixels, over all of them and over 0.02 to 0.98 alone, with a picture of both and of the
risk by coverage; *low* and *high* are its 5th and 95th percentile where places are drawn again with replacement. A
pixel that the network hides is wrong in *hides clouds itself*.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from common import save, table
from numpy.typing import NDArray
from water_methods import DATA, ROOT, add_options, network_of

from narrows.water.classes import hides
from narrows.water.evaluation.calibration import MIDDLE, Reliability
from narrows.water.evaluation.confusion import Confusion
from narrows.water.indices import dswe, mndwi
from narrows.water.recipes.chips import Chips, read_chips, read_split
from narrows.water.recipes.scoring import at_top_of_atmosphere, predict

PICTURE = ROOT / "docs" / "images" / "water_calibration.png"
BINS = 15
AGAIN = 200
CALIBRATION = ["pixels", "n", "ece", "n_middle", "ece_middle", "low", "high"]


def kinds_of(chips: Chips) -> dict[str, Any]:
    """Which pixels are scored, bool (n, h, w), by what they are called."""
    kinds = {"consensus": chips.known, "raw labels": np.ones(chips.label.shape, bool)}
    for tier in sorted(set(chips.tier.tolist())):
        kinds[f"consensus, tier {tier}"] = chips.known & (chips.tier == tier)[:, None, None]
    return kinds


def calibrated(what: str, chips: Chips, water: NDArray[np.float32]) -> dict[str, Any]:
    """Of the consensus pixels, from the probability of water, (n, h, w)."""

    def reliability_of(numbers: Any) -> Reliability:
        found = Reliability()
        found.add(water[numbers][chips.known[numbers]], chips.label[numbers][chips.known[numbers]] > 0)
        return found

    draw = np.random.default_rng(0)
    at = [np.flatnonzero(chips.place == place) for place in np.unique(chips.place)]
    again = [
        reliability_of(np.concatenate([at[k] for k in draw.integers(len(at), size=len(at))])).error(BINS, MIDDLE)
        for _ in range(AGAIN)
    ]
    reliability = reliability_of(slice(None))
    inside = reliability.bins(BINS, MIDDLE)
    return {
        "pixels": what,
        "n": reliability.pixels,
        "ece": reliability.error(BINS),
        "n_middle": sum(each.pixels for each in inside),
        "ece_middle": reliability.error(BINS, MIDDLE),
        **dict(zip(("low", "high"), np.percentile(again, (5, 95)).tolist(), strict=True)),
        "bins": [vars(each) for each in reliability.bins(BINS)],
        "bins_middle": [vars(each) for each in inside],
        "risk_by_coverage": reliability.risk_by_coverage(50),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chips", type=Path, default=DATA / "water306" / "hls306_6band.npz")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    parser.add_argument("--name", default="water_held_out", help="of the result files")
    add_options(parser, peers=False)
    chosen = parser.parse_args()
    network = network_of(chosen.model, hidden=True)
    both: Any = network.module
    chips = read_chips(chosen.chips).at_places(read_split()["test"])
    truth = chips.label > 0
    rows, calibration = [], []
    lights = {"": chips.reflectance, ", path light added": at_top_of_atmosphere(chips.reflectance)}
    for light, reflectance in lights.items():
        said = predict(both.network, reflectance)
        water, hidden = said[:, 0] >= 0.5, hides(said[:, 0], said[:, 1])
        maps = {network.name: water, f"{network.name}, hides clouds itself": np.where(hidden, ~truth, water)}
        maps |= {"MNDWI > 0": mndwi(reflectance) > 0, "DSWE": dswe(reflectance)}
        for kind, scored in kinds_of(chips).items():
            if light and kind != "consensus":
                continue
            for method, found in maps.items():
                rows.append({"pixels": kind + light, "method": method, **_row(Confusion.of(found, truth, scored))})
        calibration.append(calibrated("consensus" + light, chips, said[:, 0]))
        if not light:
            clear_hidden = float((hidden & chips.known).sum() / chips.known.sum())
    table("Held-out places", rows, list(rows[0]))
    table("Calibration", calibration, CALIBRATION)
    print(f"consensus pixels called hidden: {clear_hidden:.3%}")
    draw(network.name, calibration[0], chosen.picture)
    settings = {"model": network.name, "places": len(set(chips.place.tolist())), "chips": len(chips.place)}
    save(chosen.name, {**settings, "clear_hidden_share": clear_hidden}, rows)
    save(f"{chosen.name}_calibration", {**settings, "bins": BINS, "middle": MIDDLE}, calibration)
    return 0


def _row(found: Confusion) -> dict[str, Any]:
    row: dict[str, Any] = found.as_dict()
    return {"n": row.pop("pixels"), **row}


def draw(name: str, found: dict[str, Any], path: Path) -> None:
    """Reliability over all pixels and over the unsure ones, and risk by coverage."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.7), layout="constrained")
    FigureCanvasAgg(figure)
    reliable, unsure, risky = figure.subplots(1, 3)
    for axis, bins, title in (
        (reliable, found["bins"], f"All pixels: error {found['ece']:.4f}"),
        (unsure, found["bins_middle"], f"{MIDDLE[0]:g} to {MIDDLE[1]:g} alone: error {found['ece_middle']:.4f}"),
    ):
        axis.plot([0, 1], [0, 1], color="0.75", linewidth=1)
        axis.plot([b["probability"] for b in bins], [b["water"] for b in bins], "o-", color="#125cad", markersize=4)
        axis.set_title(title, fontsize=9.5, loc="left")
        axis.set_xlabel("probability said, mean of a bin", fontsize=9)
        axis.set_aspect("equal")
    reliable.set_ylabel("share that is water", fontsize=9)
    points = found["risk_by_coverage"]
    risky.plot([100 * x for x, _ in points], [100 * y for _, y in points], color="#125cad")
    risky.set_title("Risk by coverage", fontsize=9.5, loc="left")
    risky.set_xlabel("% of pixels kept, the surest first", fontsize=9)
    risky.set_ylabel("% of them wrong", fontsize=9)
    risky.set_ylim(bottom=0)
    for axis in (reliable, unsure, risky):
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{name}: held-out places, {found['n']:,} consensus pixels", fontsize=10, x=0.01, ha="left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
