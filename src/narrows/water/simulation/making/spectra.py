"""Make tables/spectra.npz: measured land covers and spectral responses, at the bands of every simulated sensor.

    python -m narrows.water.simulation.making.spectra --earthlib FOLDER --pyrsr FOLDER

The folders are the unpacked packages `earthlib` 1.1.0 (MIT) and `pyrsr` 0.8.0 (Apache-2.0), without what they depend
on.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from narrows.water.simulation.making.responses import BANDS, read_response

__all__ = ["CLASSES", "GRID", "band_weights", "group_of", "in_test"]

Array = NDArray[np.float64]

GRID = np.arange(400, 2451, 10, dtype=np.float64)
"""Wavelengths in nm at which water, snow and cloud are computed."""
SUN_KELVIN = 5778
CLASSES = {
    "soil": ("bare/soil", "bare/dirt"),
    "sand": ("bare/sand",),
    "gravel": ("bare/gravel", "built/gravel"),
    "char": ("burned/char",),
    "litter": ("npv/litter", "npv/npv"),
    "wood": ("npv/bark", "npv/wood"),
    "canopy": ("vegetation/canopy",),
    "asphalt": ("built/asphalt", "built/road", "built/parking_lot"),
    "concrete": ("built/sidewalk", "built/driveway", "built/bridge", "built/concrete_tile"),
    "roof": ("built/comp_shingle", "built/tile", "built/wood_shingle", "built/metal", "built/paint", "built/other"),
}
MOST = {"soil": 500, "canopy": 400, "asphalt": 160, "concrete": 100, "roof": 260}


def group_of(row: dict[str, str]) -> str:
    """Spectra measured at one place, or of one material, which must not stand on both sides of the split."""
    if row["SOURCE"].startswith("icraf"):
        return f"{row['LAT']} {row['LON']}"
    if row["LEVEL_3"] == "canopy":
        return row["NAME"]
    return row["NAME"].partition(".")[0]


def in_test(group: str) -> bool:
    """A fixed quarter of the groups, by their hash."""
    return hashlib.sha256(group.encode()).digest()[0] < 64


def band_weights(data: Path, sensor: str) -> Array:
    """(6, len(GRID)) weights that turn a spectrum on `GRID` into band reflectance: response times sunlight.

    Sunlight is a black body of 5,778 K, which inside a band differs little from the real spectrum.
    """
    rows = []
    for band in range(6):
        wavelength, response = read_response(data, sensor, band)
        fine = np.arange(395, 2456, 1.0)
        sun = 1 / (fine**5 * np.expm1(1.4388e7 / (fine * SUN_KELVIN)))
        weight = np.interp(fine, wavelength, response, left=0, right=0) * sun
        hats = np.clip(1 - np.abs(fine[None] - GRID[:, None]) / 10, 0, None) @ weight
        rows.append(hats / hats.sum())
    return np.array(rows)


def read_library(folder: Path) -> tuple[list[dict[str, str]], Array]:
    """The library's rows and its spectra on `GRID`."""
    data = folder / "earthlib" / "data"
    with (data / "spectra.csv").open() as file:
        rows = list(csv.DictReader(file))
    header = (data / "spectra.sli.hdr").read_text()
    wavelength = 1000 * np.array([float(v) for v in header.split("wavelength = {")[1].split("}")[0].split(",")])
    spectra = np.fromfile(data / "spectra.sli", "<f4").reshape(len(rows), len(wavelength))
    return rows, np.stack([np.interp(GRID, wavelength, s) for s in spectra])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--earthlib", type=Path, required=True, help="the unpacked package earthlib 1.1.0")
    parser.add_argument("--pyrsr", type=Path, required=True, help="the unpacked package pyrsr 0.8.0")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "tables" / "spectra.npz")
    options = parser.parse_args()
    rows, spectra = read_library(options.earthlib)
    draw = np.random.default_rng(0)
    chosen, label = [], []
    for number, (name, kinds) in enumerate(CLASSES.items()):
        members = [k for k, r in enumerate(rows) if f"{r['LEVEL_2']}/{r['LEVEL_3']}" in kinds]
        members = [k for k in members if rows[k]["SOURCE"] != "asd" or rows[k]["LEVEL_3"] != "sand" or k % 4 == 0]
        most = MOST.get(name, len(members))
        members = sorted(draw.permutation(members)[:most].tolist())
        chosen += members
        label += [number] * len(members)
    weights = np.stack([band_weights(options.pyrsr / "pyrsr" / "data", sensor) for sensor in BANDS])
    reflectance = np.einsum("sbw,nw->nsb", weights, spectra[chosen])
    np.savez_compressed(
        options.out,
        reflectance=np.round(reflectance * 10_000).astype(np.uint16),
        cover=np.array(label, np.uint8),
        test=np.array([in_test(group_of(rows[k])) for k in chosen]),
        name=np.array([rows[k]["NAME"].encode() for k in chosen]),
        covers=np.array(list(CLASSES)),
        sensors=np.array(list(BANDS)),
        weights=weights.astype(np.float32),
        wavelength=GRID,
    )
    print(f"{options.out}: {len(chosen)} spectra, {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
