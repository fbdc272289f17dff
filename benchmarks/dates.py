"""Dates compared on real scenes: a dam break, burnt savanna, and 21 dates of a tidal creek.

    python benchmarks/dates.py
    python benchmarks/dates.py --data ../shared/data --out /tmp/pictures

Maps the two dates of Brumadinho and of Corumbá and runs `narrows water compare` on the maps, and `narrows water series`
on the 21 dates of an archive, by default below ``../shared/data`` beside the clone. The bands of the first two have no
georeference; the maps get that of the MTL files, by which Brumadinho's crops lie 30 pixels apart. The archive's days
become GeoTIFFs first; its numbers are reflectance x 1,000 and 0 where clouds were removed. Small JPEG pictures go to
docs/images/dates, what was counted to benchmarks/results/dates.json and dates_series.json.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import save, table
from scenes import days, keep_picture

ROOT = Path(__file__).resolve().parents[1]
PIXEL = 30.0
ARCHIVE = "scenes/other/s2_T37MEM_21dates_6band.npz"
PAIRS = {
    "brumadinho": ("scenes/brumadinho_l8_before", "scenes/brumadinho_l8_after"),
    "corumba": ("scenes/corumba_l8_toa", "scenes/corumba_l8_toa_later"),
}


def run(*arguments: str) -> dict[str, Any]:
    """What `narrows water ARGUMENTS --json` says."""
    beside = shutil.which("narrows", path=str(Path(sys.executable).parent)) or "narrows"
    command = [beside, "water", *arguments, "--memory", "1GB", "--quiet", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)}: {done.stderr.strip().splitlines()[-1]}")
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def placed(scene: Path, folder: Path) -> Path:
    """The scene's map with the place that its MTL file gives: the crops' bands have none.

    The file's corners are centres of pixels.
    """
    import rasterio
    from affine import Affine
    from rasterio.crs import CRS

    (metadata,) = scene.glob("*_MTL.txt")
    found = dict(re.findall(r"(CORNER_UL_PROJECTION_[XY]_PRODUCT|UTM_ZONE) = (\S+)", metadata.read_text()))
    corner = [float(found[f"CORNER_UL_PROJECTION_{axis}_PRODUCT"]) for axis in "XY"]
    made = folder / "made.tif"
    run(str(scene), "-o", str(made), "--overwrite")
    path = folder / f"{scene.name}.tif"
    with rasterio.open(made) as opened:
        profile = {**opened.profile, "driver": "GTiff", "crs": CRS.from_epsg(32600 + int(found["UTM_ZONE"]))}
        profile["transform"] = Affine(PIXEL, 0, corner[0] - PIXEL / 2, 0, -PIXEL, corner[1] + PIXEL / 2)
        with rasterio.open(path, "w", **profile) as out:
            out.write(opened.read())
            out.update_tags(**opened.tags())
    return path


def compared(name: str, data: Path, out: Path) -> dict[str, Any]:
    pair = PAIRS[name]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        change, picture = folder / "change.tif", folder / "change.png"
        maps = [str(placed(data / scene, folder)) for scene in pair]
        said = run("compare", *maps, "-o", str(change), "--quicklook", str(picture), "--align")
        keep_picture(picture, out / f"{name}.jpg")
    found = {f"{key.replace(' ', '_')}_km2": value["km2"] for key, value in said["classes"].items()}
    pixels = {f"{key.replace(' ', '_')}_pixels": value["pixels"] for key, value in said["classes"].items()}
    share = said["not_comparable_share"]
    return {"what": name, "aligned": said["aligned"], **found, **pixels, "not_comparable_share": share}


def added_up(data: Path, out: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "series"
        folder.mkdir()
        scenes = [str(path) for path in days(data / ARCHIVE, Path(temporary))]
        said = run("series", *scenes, "-o", str(folder), "--scale", "0.001", "--nodata", "0", "--by-pixel")
        for picture in ("area", "occurrence"):
            keep_picture(folder / f"{picture}.png", out / f"t37mem_{picture}.jpg")
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "dates", help="for the pictures")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    data = chosen.data.resolve()
    rows = [compared(name, data, chosen.out) for name in PAIRS]
    columns = ["what", "water_in_both_km2", "gain_km2", "loss_km2", "not_comparable_share"]
    table("Change between two dates", rows, columns)
    save("dates", {"memory": "1GB"}, rows)
    series = added_up(data, chosen.out)
    more = {key: value for key, value in series.items() if key != "dates"}
    table("21 dates", series["dates"], ["date", "water_pixels", "not_observed_share"])
    save("dates_series", {"memory": "1GB", **more}, series["dates"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
