"""Water maps of simulated hard cases, case by case: the network beside MNDWI and DSWE.

    python benchmarks/water_hard_cases.py
    python benchmarks/water_hard_cases.py --model water-small --only "burn scars,city" --pictures /tmp/cases

Chips of the simulator's test split: measured spectra, clouds' shapes and sensors that training never sees. Seeds are
fixed, the sensor, the sun, the air and the image's faults are drawn. A pixel is water where open water fills at least
0.6 of it and land up to 0.4; between them, under floating plants and under ice nothing is scored. What clouds and their
shadows take from a pixel decides what an answer of *hidden* is worth there: it is wrong where they take little, and not
scored where they take more. Under a cloud that hides the ground water is not scored, and land called water is a false
alarm. *Land called water* counts against all land, seen or not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import save, table
from numpy.typing import NDArray
from scipy import ndimage
from water_methods import add_options, network_of

from narrows.water.classes import hides
from narrows.water.evaluation.confusion import Confusion
from narrows.water.indices import dswe, mndwi
from narrows.water.simulation import Chip, Conditions, draw_conditions, simulate_chip
from narrows.water.simulation.clouds import SHAPES, CloudLayer
from narrows.water.simulation.landscape import COVERS
from narrows.water.simulation.sunlight import Sun

SIDE, CHIPS = 192, 20
FIRST_SEED = 7_000
WATER_FROM, LAND_TO = 0.6, 0.4
# What cloud or shadow takes of the light: above the larger the ground can't be told, below the smaller it can.
CLOUD_HIDES, CLOUD_SHOWS = 0.42, 0.2
SHADOW_HIDES, SHADOW_SHOWS = 0.62, 0.4

Bools = NDArray[np.bool_]
Draw = np.random.Generator


@dataclass(frozen=True)
class Case:
    """Chips of the kinds named, in turn, under the sky that `seen` makes of drawn conditions without clouds.

    `where` limits what is scored. `on` is what the case is about: beside all scores stands how much of that, being no
    water, is called water.
    """

    kinds: tuple[str, ...] = ()
    seen: Callable[[Conditions, Draw], Conditions] = lambda conditions, _: conditions
    where: Callable[[Chip], Bools] | None = None
    on: Callable[[Chip], Bools] | None = None


def clouds(conditions: Conditions, draw: Draw, **ranges: tuple[float, float]) -> Conditions:
    """One layer of drops, each of its numbers drawn between two."""
    drawn = {name: float(draw.uniform(*between)) for name, between in ranges.items()}
    size = int(2 ** np.round(np.log2(drawn.pop("metres") / conditions.pixel)))
    layer = CloudLayer(str(draw.choice(SHAPES["test"])), size=int(np.clip(size, 8, 256)), **drawn)
    return replace(conditions, clouds=(layer,))


def veil(conditions: Conditions, draw: Draw) -> Conditions:
    thin = clouds(
        conditions, draw, cover=(0.5, 1), depth=(0.2, 1.5), soft=(1.5, 4), metres=(2000, 6000), height=(7e3, 1e4)
    )
    return replace(thin, clouds=(replace(thin.clouds[0], ice=True, radius=3e-5),))


def small_clouds(conditions: Conditions, draw: Draw) -> Conditions:
    return clouds(
        conditions, draw, cover=(0.05, 0.25), depth=(5, 30), soft=(0.5, 1.5), metres=(500, 1500), height=(700, 2500)
    )


def overcast(conditions: Conditions, draw: Draw) -> Conditions:
    return clouds(
        conditions, draw, cover=(0.6, 0.85), depth=(10, 50), soft=(0.5, 1.5), metres=(2000, 5000), height=(1000, 4000)
    )


def shading(conditions: Conditions, draw: Draw) -> Conditions:
    return clouds(
        conditions, draw, cover=(0.2, 0.5), depth=(10, 50), soft=(0.4, 0.8), metres=(1500, 4000), height=(1500, 4000)
    )


def low_sun(conditions: Conditions, draw: Draw) -> Conditions:
    return replace(conditions, sun=Sun(float(draw.uniform(58, 70)), float(draw.uniform(120, 180))))


def covered_by(*names: str) -> Callable[[Chip], Bools]:
    numbers = [COVERS.index(name) for name in names]
    return lambda chip: np.isin(chip.cover, numbers)


def in_cloud_shadow(chip: Chip) -> Bools:
    return (chip.dimmed > 0.25) & (chip.veiled < CLOUD_SHOWS)


def land_in_cloud_shadow(chip: Chip) -> Bools:
    return in_cloud_shadow(chip) & (chip.water < 0.05)


def along_narrow_channels(chip: Chip) -> Bools:
    """Water into which no square of 2 x 2 pixels fits, at least 6 pixels long, and the land within 3 pixels of it."""
    water = chip.open_water >= 0.5
    narrow = water & ~ndimage.binary_opening(water, np.ones((2, 2)))
    labels, _ = ndimage.label(narrow, np.ones((3, 3)))
    narrow &= np.bincount(labels.ravel())[labels] >= 6
    near = ndimage.binary_dilation(narrow, np.ones((7, 7)))
    return near & (narrow | (chip.open_water < 0.5))


CASES = {
    "clear": Case(),
    "thin cloud": Case(seen=veil),
    "small clouds and their shadows": Case(seen=small_clouds),
    "broken overcast": Case(seen=overcast),
    "cloud shadow on land": Case(
        ("forest", "farmland", "savanna", "city", "wetland"), shading, where=land_in_cloud_shadow
    ),
    "cloud shadow by water": Case(("lakes", "coast", "delta", "flood"), shading, where=in_cloud_shadow),
    "burn scars": Case(("burnt",), on=covered_by("burnt")),
    "snow and ice": Case(("arctic", "mountains"), on=covered_by("snow")),
    "city": Case(("city",), on=covered_by("town")),
    "lava": Case(("volcanic",), on=covered_by("lava")),
    "terrain shadow": Case(("mountains",), low_sun, on=lambda chip: (chip.shade < 0.2) & (chip.water < 0.05)),
    "muddy river": Case(("delta",)),
    "flooded fields": Case(("flood",)),
    "channels one pixel wide": Case(("forest", "farmland", "savanna", "wetland"), where=along_narrow_channels),
    "floating plants": Case(("wetland",), on=covered_by("plants")),
}


def chip_of(name: str, number: int, side: int = SIDE) -> Chip:
    """Chip `number` of a case. Cases of any kind of ground show the same ground under their different skies."""
    case = CASES[name]
    seed = FIRST_SEED + number + (100 * list(CASES).index(name) if case.kinds else 0)
    draw = np.random.default_rng([seed, 31])
    conditions = case.seen(replace(draw_conditions(draw, "test"), clouds=()), draw)
    kind = case.kinds[number % len(case.kinds)] if case.kinds else None
    return simulate_chip(side, side, seed, split="test", kind=kind, conditions=conditions)


@dataclass
class Tally:
    """What a method got right and wrong on the chips of a case."""

    confusion: Confusion = field(default_factory=Confusion)
    land: int = 0
    land_water: int = 0
    clear: int = 0
    clear_hidden: int = 0
    on: int = 0
    on_water: int = 0

    def add(self, case: Case, chip: Chip, water: Bools, hidden: Bools) -> None:
        """Take a chip's answer, bool (h, w) each; where it is hidden it says nothing of water."""
        water = water & ~hidden
        wet, land = chip.open_water >= WATER_FROM, chip.open_water <= LAND_TO
        overgrown = (chip.water > 0.3) & (chip.open_water < 0.5) & (chip.water - chip.open_water > 0.15)
        wanted = chip.known if case.where is None else chip.known & case.where(chip)
        under, dark = chip.veiled > CLOUD_HIDES, chip.dimmed * (chip.shade > 0.2)
        free = (chip.veiled < CLOUD_SHOWS) & (dark < SHADOW_SHOWS)
        ground = wanted & (wet | (land & ~overgrown))
        scored = ground & ((~under & (free | ~hidden)) | (under & land & water))
        answer = np.where(hidden, ~wet, water)
        self.confusion += Confusion.of(answer, wet, scored)
        dry = wanted & land & ~overgrown
        self.land += int(dry.sum())
        self.land_water += int((dry & water).sum())
        clear = wanted & (chip.veiled < 0.02) & (dark < 0.05)
        self.clear += int(clear.sum())
        self.clear_hidden += int((clear & hidden).sum())
        if case.on is not None:
            on = wanted & case.on(chip) & ~under
            self.on += int(on.sum())
            self.on_water += int((on & water).sum())

    def row(self) -> dict[str, Any]:
        found = self.confusion
        return {
            "recall": found.recall,
            "land_called_water": self.land_water / self.land if self.land else None,
            "precision": found.precision if found.hits + found.misses else None,
            "f1": found.f1 if found.hits + found.misses else None,
            "clear_hidden_share": self.clear_hidden / self.clear if self.clear else None,
            "on_it_called_water": self.on_water / self.on if self.on else None,
            "water_pixels": found.hits + found.misses,
            "pixels": found.pixels,
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(CASES), help="cases, with commas between them")
    parser.add_argument("--chips", type=int, default=CHIPS, help="of each case")
    parser.add_argument("--pictures", type=Path, help="a folder for a picture of each case's first chips")
    parser.add_argument("--name", default="water_hard_cases", help="of the result file")
    add_options(parser, peers=False)
    chosen = parser.parse_args()
    network = network_of(chosen.model, hidden=True)
    module = network.module
    assert isinstance(module, torch.nn.Module)
    rows = []
    names = chosen.only.split(",")
    for name in names:
        case, tallies = CASES[name], {what: Tally() for what in (network.name, "MNDWI > 0", "DSWE")}
        shown = []
        for number in range(chosen.chips):
            chip = chip_of(name, number)
            with torch.inference_mode():
                water, hidden = module(torch.from_numpy(chip.reflectance)[None])[0].numpy()
            none = np.zeros(water.shape, bool)
            tallies[network.name].add(case, chip, water >= 0.5, hides(water, hidden))
            tallies["MNDWI > 0"].add(case, chip, mndwi(chip.reflectance) > 0, none)
            tallies["DSWE"].add(case, chip, dswe(chip.reflectance), none)
            if number < 8:
                shown.append((chip, water, hidden))
        rows += [{"case": name, "method": what, **tally.row()} for what, tally in tallies.items()]
        if chosen.pictures:
            picture(name, case, shown, chosen.pictures)
    table("Simulated hard cases", rows, list(rows[0]))
    if set(names) == set(CASES):
        settings = {"model": network.name, "side": SIDE, "chips": chosen.chips, "first_seed": FIRST_SEED}
        save(chosen.name, settings, rows)
    return 0


def picture(name: str, case: Case, shown: list[Any], folder: Path) -> None:
    """Of the first chips: false colour, truth, and the network's answer."""
    from PIL import Image

    lines = []
    for chip, water, hidden in shown:
        seen = np.clip(
            chip.reflectance[[4, 3, 2]] / max(float(np.percentile(chip.reflectance[[4, 3, 2]], 98)), 0.2), 0, 1
        )
        truth = np.stack([chip.veiled, np.maximum(chip.dimmed, chip.veiled), chip.open_water])
        if case.where is not None:
            truth = truth * (0.35 + 0.65 * case.where(chip))
        answer = np.stack([hidden, hidden * 0.7, water * ~hides(water, hidden)])
        lines.append(np.concatenate([seen**0.7, truth, answer], axis=1))
    image = (255 * np.clip(np.concatenate(lines, axis=2), 0, 1)).astype(np.uint8).transpose(1, 2, 0)
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(folder / f"{name.replace(' ', '_')}.png")


if __name__ == "__main__":
    sys.exit(main())
