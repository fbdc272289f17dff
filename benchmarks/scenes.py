"""The water map of every real scene at hand, in figures; `water_gallery.py` makes the pictures to judge it by.

    python benchmarks/scenes.py
    python benchmarks/scenes.py --data ../shared/data --only manaus_l9,liverpool_l8

Runs `narrows water SCENE -o … --probability … --quicklook … --stats … --memory 1GB` on each scene of `SCENES`, with
the options that it needs, below a folder laid out as `SCENES` says (by default ``../shared/data`` beside the clone).
Of each it keeps what the command counted. The verdicts are people's, who looked at the pictures: docs/scenes.md says
what they saw. Run on all scenes, it also writes that page's commands, figures and table again, between
``<!-- scene NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import save, table

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "scenes.md"
BANDS = ("blue", "green", "red", "nir", "swir1", "swir2")
WIDEST, MOST_BYTES = 1200, 120_000
MARK = re.compile(r"(<!-- scene (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

SHOW, CAVEAT, NOT = "would show", "would show with a caveat", "would not show"


def landsat7_scaling() -> str:
    """A scale and an offset for each band of Landsat 7's digital numbers, as options.

    Radiance ranges and solar irradiance of Chander, Markham and Helder (2009), low gain in the near infrared. The file
    names neither its day nor the sun's height: 50 degrees and 1.014 astronomical units are assumed, as in August there.
    """
    gain = (0.7757, 0.7957, 0.6192, 0.9655, 0.1257, 0.0437)
    bias = (-6.2, -6.4, -5.0, -5.1, -1.0, -0.35)
    irradiance = (1970, 1842, 1547, 1044, 225.7, 82.07)
    to_reflectance = [math.pi * 1.014**2 / (each * math.sin(math.radians(50))) for each in irradiance]
    scale, offset = (
        ",".join(f"{factor * each:.5f}" for factor, each in zip(to_reflectance, numbers, strict=True))
        for numbers in (gain, bias)
    )
    return f"--scale {scale} --offset {offset}"


def one_day(source: Path, folder: Path) -> Path:
    """15 June 2019 of an archive of several days, as a GeoTIFF without a place on Earth."""
    return days(source, folder, only="20190615")[0]


def days(source: Path, folder: Path, only: str | None = None) -> list[Path]:
    """Each day of an archive, or `only` one, as a GeoTIFF without a place on Earth, its day in its name."""
    import numpy as np

    with np.load(source) as archive:
        images = archive["img"]
        return [
            write_bands(images[number], folder / f"t37mem_{day}.tif")
            for number, day in enumerate(archive["dates"].tolist())
            if only in (None, day)
        ]


def cloudy_chip(source: Path, folder: Path) -> Path:
    """The chip's bands as a GeoTIFF without a place on Earth."""
    import numpy as np

    with np.load(source) as archive:
        return write_bands(np.moveaxis(archive["img"], 2, 0), folder / "cloudy.tif")


def write_bands(bands: Any, path: Path) -> Path:
    """Six bands as a GeoTIFF without a place on Earth."""
    import rasterio

    count, height, width = bands.shape
    grid = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": bands.dtype}
    with rasterio.open(path, "w", **grid) as written:
        written.write(bands)
        written.descriptions = BANDS
    return path


@dataclass(frozen=True)
class Scene:
    """A scene below the data folder, the options it needs, and what a person who looked at its map would do.

    `prepare` makes a file that the command reads of one that it doesn't. `also` are options that it is run with
    for comparison, without a picture.
    """

    path: str
    verdict: str
    options: str = ""
    prepare: Callable[[Path, Path], Path] | None = None
    also: tuple[str, ...] = ()


ORDER = "--bands 1,2,3,4,5,6"
PARTS = "--scale 1.5259e-05"  # of 65535
SCENES = {
    "manaus_l9": Scene("scenes/manaus_l9", SHOW),
    "liverpool_l8": Scene("scenes/liverpool_l8", SHOW),
    "lc08_232066": Scene("scenes/other/LC08_232066_20190727.tif", SHOW, f"{ORDER} --scale 0.0001"),
    "s2_aquileia": Scene("scenes/other/s2_aquileia_20190416_6band.tif", SHOW, f"{PARTS} --nodata 0", also=(PARTS,)),
    "s2_australia": Scene(
        "scenes/other/s2_australia_fire_20181201_6band.tif", SHOW, f"{PARTS} --nodata 0", also=(PARTS,)
    ),
    "s2_t37mem": Scene(
        "scenes/other/s2_T37MEM_21dates_6band.npz",
        CAVEAT,
        "--scale 0.001 --nodata 0",
        one_day,
        ("--scale 0.0001 --nodata 0",),
    ),
    "lt5_reservoir_dn": Scene("scenes/lt5_reservoir_dn", CAVEAT),
    "l7_coast": Scene(
        "scenes/other/L7_ETMs.tif",
        CAVEAT,
        f"{ORDER} {landsat7_scaling()}",
        also=(f"{ORDER} --scale 0.002 --offset 0",),
    ),
    "corumba_l8_toa": Scene("scenes/corumba_l8_toa", CAVEAT),
    "corumba_l8_toa_later": Scene("scenes/corumba_l8_toa_later", CAVEAT),
    "brumadinho_l8_before": Scene("scenes/brumadinho_l8_before", CAVEAT, also=("--no-mask-clouds",)),
    "brumadinho_l8_after": Scene("scenes/brumadinho_l8_after", NOT, also=("--no-mask-clouds",)),
    "l8_madagascar": Scene(
        "scenes/other/l8_madagascar_20200127_6band.tif", CAVEAT, f"{PARTS} --nodata 0", also=(PARTS,)
    ),
    "lc08_003069": Scene(
        "scenes/other/LC08_003069_20180906_clip.tif",
        CAVEAT,
        f"{ORDER} --scale 0.0001",
        also=(f"{ORDER} --scale 0.0001 --no-mask-clouds",),
    ),
    "l8_taylorsville": Scene(
        "scenes/other/L8_Taylorsville.tif",
        NOT,
        "--bands 2,3,4,5,6,7 --scale 0.0001",
        also=("--bands 2,3,4,5,6,7 --scale 0.0001 --nodata -9999",),
    ),
    "cloudy": Scene("cloudy/sentinel2_l1c.npz", NOT, "", cloudy_chip),
}


def command_of(name: str, source: str, options: str) -> list[str]:
    """The command, its outputs named after the scene."""
    outputs = f"-o {name}.tif --probability {name}_percent.tif --quicklook {name}.png --stats {name}.json"
    return ["narrows", "water", source, *shlex.split(options), *shlex.split(outputs), "--memory", "1GB"]


def map_scene(name: str, source: Path, options: str, folder: Path) -> dict[str, Any]:
    """What `narrows water` counted; its outputs are left in `folder`."""
    beside = shutil.which("narrows", path=str(Path(sys.executable).parent)) or "narrows"
    command = [beside, *command_of(name, str(source), options)[1:], "--quiet", "--overwrite"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode:
        raise SystemExit(f"{source.name}: {done.stderr.strip().splitlines()[-1]}")
    counted: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return counted


def keep_picture(png: Path, jpeg: Path) -> None:
    """A JPEG of at most `WIDEST` columns and `MOST_BYTES` bytes."""
    from PIL import Image

    with Image.open(png) as opened:
        picture = opened.convert("RGB")
    if picture.width > WIDEST:
        picture = picture.resize((WIDEST, round(picture.height * WIDEST / picture.width)), Image.Resampling.LANCZOS)
    for quality in range(85, 25, -5):
        picture.save(jpeg, quality=quality, optimize=True)
        if jpeg.stat().st_size <= MOST_BYTES:
            return


def row(name: str, options: str, counted: dict[str, Any], verdict: str | None) -> dict[str, Any]:
    return {
        "scene": name,
        "options": options,
        "water_km2": counted["water_km2"],
        "water_pixels": counted["water_pixels"],
        "hidden_share": counted["hidden_share"],
        "no_data_share": counted["no_data_share"],
        "verdict": verdict,
    }


def figures(found: dict[str, Any]) -> tuple[str, str]:
    """Water, and the share not observed, in words."""
    area = f"{found['water_pixels']:,} pixels" if found["water_km2"] is None else f"{found['water_km2']:.2f} km²"
    shares = [
        f"{'under 0.1' if share < 0.001 else f'{100 * share:.1f}'} % {what}"
        for share, what in ((found["hidden_share"], "hidden"), (found["no_data_share"], "no data"))
        if share
    ]
    return area, ", ".join(shares) or "none"


def filled(page: str, rows: list[dict[str, Any]]) -> str:
    """`page` with its table, and every scene's command, picture and figures, written from `rows`."""

    def block(found: re.Match[str]) -> str:
        return found[1] + (_summary(rows) if found[2] == "table" else _scene(found[2], rows)) + found[3]

    return MARK.sub(block, page)


def _summary(rows: list[dict[str, Any]]) -> str:
    lines = ["| scene | water | not observed | verdict |", "|---|---|---|---|"]
    for found in rows:
        if found["verdict"]:
            area, share = figures(found)
            lines.append(f"| [{found['scene']}](#{found['scene']}) | {area} | {share} | {found['verdict']} |")
    return "\n".join(lines) + "\n\nBy `python benchmarks/scenes.py`; the verdicts are ours.\n"


def _scene(name: str, rows: list[dict[str, Any]]) -> str:
    scene = SCENES[name]
    source = f"{name}.tif" if scene.prepare else Path(scene.path).name
    command = shlex.join(command_of(name, source, scene.options)).replace(" -o ", " \\\n    -o ")
    first, *others = [found for found in rows if found["scene"] == name]
    area, share = figures(first)
    lines = ["```sh", command, "```", "", f"![{name}: the scene beside three maps of it](images/scenes/{name}.jpg)", ""]
    lines += [f"**{scene.verdict.capitalize()}.** Water {area}; not observed: {share}."]
    for other in others:
        area, share = figures(other)
        lines[-1] += f" With `{other['options']}` instead: water {area}; not observed: {share}."
    return "\n".join([*lines, f"(`benchmarks/scenes.py --only {name}`)", ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--only", default=",".join(SCENES))
    parser.add_argument("--name", default="scenes", help="of the result file")
    chosen = parser.parse_args()
    names = chosen.only.split(",")
    rows = []
    for name in names:
        scene = SCENES[name]
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            original = (chosen.data / scene.path).resolve()
            source = scene.prepare(original, folder) if scene.prepare else original
            rows.append(row(name, scene.options, map_scene(name, source, scene.options, folder), scene.verdict))
            for options in scene.also:
                rows.append(row(name, options, map_scene(name, source, options, folder), None))
    table(
        "Water on real scenes", rows, ["scene", "options", "water_km2", "water_pixels", "hidden_share", "no_data_share"]
    )
    if set(names) == set(SCENES):
        save(chosen.name, {"memory": "1GB"}, rows)
        PAGE.write_text(filled(PAGE.read_text(), rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
