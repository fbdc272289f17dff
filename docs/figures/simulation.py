"""Draw docs/images/simulation.jpg, the simulator's range, and simulation_real.jpg, simulated windows beside real ones.

    python docs/figures/simulation.py [--out FOLDER] [--scenes FOLDER]

False colour: shortwave infrared 1, near infrared, red. The real windows are of CC0 Landsat
scenes, by default in ../shared/data/scenes; where those are absent the second picture is left as it is, and the script
says so.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray

from narrows.rasters import open_scene
from narrows.water.simulation import Conditions, simulate_chip
from narrows.water.simulation.clouds import SHAPES, CloudLayer
from narrows.water.simulation.sensor import Faults
from narrows.water.simulation.style import KINDS
from narrows.water.simulation.sunlight import Sun

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import ListedColormap

ROOT = Path(__file__).resolve().parents[2]
# Seeds that show much of a kind in one chip.
SHOWN = {"forest": 23, "mountains": 12, "flood": 4, "wetland": 9, "lakes": 145}
COLOURS = ListedColormap(
    ["#e2e0d9", "#125cad", "#bfe3ee", "#7fa8c9", "#6b4a3a", "#9b8f9b", "#444444", "#4a9b58"]
)  # as landscape.COVERS
# Scene, row, column, and the simulated kind beside it with its seed.
BESIDE = (
    ("manaus_l9", 350, 250, "forest", 23), ("manaus_l9", 60, 520, "wetland", 9),
    ("corumba_l8_toa", 300, 300, "savanna", 12), ("brumadinho_l8_after", 60, 60, "farmland", 22),
    ("brumadinho_l8_after", 200, 200, "mine", 15), ("liverpool_l8", 100, 330, "coast", 22),
)  # fmt: skip


def false_colour(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """(h, w, 3) for looking at, stretched to the image's own range."""
    shown = image[[4, 3, 2]]
    return np.clip(shown / max(float(np.percentile(shown, 98)), 0.3), 0, 1).transpose(1, 2, 0) ** 0.7


def draw(panels: Sequence[tuple[str, NDArray[np.float32]]], columns: int, path: Path) -> None:
    """Panels in a grid, each with its title."""
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(1.75 * columns, 1.95 * rows))
    for axis in axes.ravel():
        axis.axis("off")
    for axis, (title, image) in zip(axes.ravel(), panels, strict=False):
        axis.imshow(image, interpolation="nearest")
        axis.set_title(title, fontsize=7, pad=2)
    figure.tight_layout(pad=0.4, h_pad=0.6, w_pad=0.3)
    figure.savefig(path, dpi=90, pil_kwargs={"quality": 82, "optimize": True})
    plt.close(figure)


def simulated_range() -> list[tuple[str, NDArray[np.float32]]]:
    """Every kind of scene with its labels, every shape of cloud, and the faults of sensors."""
    clear = Conditions(level="surface", sun=Sun(45, 140))
    panels = []
    for number, kind in enumerate(KINDS):
        chip = simulate_chip(128, 128, SHOWN.get(kind, 440 + number), kind=kind, conditions=clear)
        panels += [(kind, false_colour(chip.reflectance)), ("its labels", COLOURS(chip.cover)[..., :3])]
    for shape in SHAPES["train"] + SHAPES["test"]:
        veil = shape == "veil"
        layer = CloudLayer(
            shape, 0.5 if shape != "lone" else 0.06, depth=1.5 if veil else 25, soft=1, size=64, height=1500, ice=veil
        )
        chip = simulate_chip(128, 128, 51, kind="farmland", conditions=Conditions(clouds=(layer,)))
        panels.append((f"clouds: {shape}", false_colour(chip.reflectance)))
    for title, sensor, faults in (
        ("ETM+ without corrector", "landsat-7", Faults(gaps=True)),
        ("TM, 8 bits, saturated", "landsat-5", Faults(noise=2, quantised=180, saturates=0.35, banding=0.004)),
        ("compressed", "landsat-8", Faults(compression=0.03)),
    ):
        chip = simulate_chip(128, 128, 51, kind="farmland", conditions=Conditions(sensor=sensor, faults=faults))
        panels.append((title, false_colour(chip.reflectance)))
    for pixel in (10.0, 60.0):
        seen = Conditions(sensor="sentinel-2a", pixel=pixel)
        chip = simulate_chip(128, 128, 51, kind="farmland", conditions=seen)
        panels.append((f"pixels of {pixel:.0f} m", false_colour(chip.reflectance)))
    return panels


def beside_real(scenes: Path) -> list[tuple[str, NDArray[np.float32]]]:
    """Real windows, each followed by a simulated one of like kind, sensor and level."""
    panels = []
    for name, top, left, kind, seed in BESIDE:
        with open_scene(scenes / name) as scene:
            top, left = min(top, scene.shape[1] - 128), min(left, scene.shape[2] - 128)
            image = scene.read(top, top + 128).reflectance[:, :, left : left + 128]
        level = "top of atmosphere" if "toa" in name else "surface"
        chip = simulate_chip(128, 128, seed, kind=kind, conditions=Conditions(level=level, haze=0.1, sun=Sun(40, 60)))
        panels += [
            (f"real: {name}", false_colour(np.nan_to_num(image))),
            (f"simulated: {kind}", false_colour(chip.reflectance)),
        ]
    return panels


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--scenes", type=Path, default=ROOT.parent / "shared" / "data" / "scenes")
    options = parser.parse_args()
    draw(simulated_range(), 14, options.out / "simulation.jpg")
    if options.scenes.is_dir():
        draw(beside_real(options.scenes), 6, options.out / "simulation_real.jpg")
    else:
        print("the real scenes are not beside this clone: simulation_real.jpg stays as it is")


if __name__ == "__main__":
    main()
