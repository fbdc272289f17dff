"""How many pixels change class when a crop begins elsewhere: with the sampling grid anchored, without, and ukis-csmask.

    python benchmarks/water_anchoring.py
    python benchmarks/water_anchoring.py --model water-small --shift 5,2

Each scene is mapped from its corner and from a corner moved by `--shift` rows and columns; the two maps are compared
where they overlap, once everywhere and once away from the crop's border by more than the network sees. Water against
everything else.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import save, table
from scenes import SCENES
from water_methods import DATA, Kept, add_options, network_of, view_of

from narrows.water.classes import WATER
from narrows.water.evaluation.methods import Answer, Method, NetworkMethod
from narrows.water.evaluation.peers import CsMask, find_peers
from narrows.water.evaluation.view import View

ON_SCENES = ("manaus_l9", "corumba_l8_toa", "s2_aquileia")


def moved(view: View, shift: tuple[int, int], *, anchored: bool) -> View:
    """The part of a view that begins `shift` further down and right; not `anchored`, it forgets where it lies."""
    rows, columns = (slice(start, None) for start in shift)
    origin = view.grid_origin[0] + shift[0], view.grid_origin[1] + shift[1]
    return View(
        view.name,
        np.ascontiguousarray(view.reflectance[:, rows, columns]),
        view.observed[rows, columns],
        view.filled[rows, columns],
        grid_origin=origin if anchored else (0, 0),
    )


def compared(
    whole: Answer, part: Answer, observed: Any, shift: tuple[int, int], border: tuple[int, int]
) -> dict[str, Any]:
    """Shares of pixels whose answer changed: water or not; and the largest change of probability."""
    here = whole.classes[shift[0] :, shift[1] :] == WATER
    there = part.classes == WATER
    inner = np.zeros(here.shape, bool)
    inner[border[0] : -border[0], border[1] : -border[1]] = True
    changed = (here != there) & observed
    found = {
        "changed_percent": 100 * float(changed.sum() / observed.sum()),
        "changed_away_percent": 100 * float(changed[inner].sum() / (observed & inner).sum()),
        "pixels_away": int((observed & inner).sum()),
    }
    if whole.probability is not None and part.probability is not None:
        before = whole.probability[shift[0] :, shift[1] :]
        apart = np.abs(before - part.probability)
        near = np.abs(before - 0.5) <= 1e-5
        found["largest_change_away"] = float(np.nanmax(np.where(inner, apart, 0)))
        found["changed_away_not_near"] = int((changed & inner & ~near).sum())
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--shift", default="13,29", help="rows,columns")
    parser.add_argument("--only", default=",".join(ON_SCENES))
    parser.add_argument("--name", default="water_anchoring", help="of the result file")
    add_options(parser)
    chosen = parser.parse_args()
    down, across = (int(number) for number in chosen.shift.split(","))
    shift = down, across
    network = network_of(chosen.model)
    border = network.reach()
    ours = NetworkMethod(network)
    peers = [] if chosen.no_peers else [Kept(each, chosen.kept) for each in find_peers()[0] if isinstance(each, CsMask)]
    rows = []
    for name in chosen.only.split(","):
        scene = SCENES[name]
        view = view_of((chosen.data / scene.path).resolve(), scene.options)
        ways: list[tuple[str, Method, bool]] = [
            (f"{network.name}, grid anchored", ours, True),
            (f"{network.name}, grid from the corner", ours, False),
            *((peer.name, peer, True) for peer in peers),
        ]
        for what, method, anchored in ways:
            start = view if anchored else replace(view, grid_origin=(0, 0))
            part = moved(view, shift, anchored=anchored)
            found = compared(method.map(start), method.map(part), part.observed, shift, border)
            rows.append({"scene": name, "method": what, **found})
    table(f"Pixels that change when a crop begins {down} rows and {across} columns further", rows, list(rows[0]))
    settings = {"model": network.name, "shift": shift, "border": border, "stride": network.stride}
    save(chosen.name, settings, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
