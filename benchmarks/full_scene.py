"""A whole Landsat scene, simulated: `narrows water` within a budget, against what reading and writing alone takes.

    python benchmarks/full_scene.py
    python benchmarks/full_scene.py --full-frame            # also DeepWaterMapV2 in one piece (takes 10 GB)
    python benchmarks/full_scene.py --size 600x500 --repeats 1

The scene has 6 bands of uint16, compressed, in one GeoTIFF (examples/simulate_scene.py). In turns, each in a process of
its own: rasterio reads the scene by blocks and writes a compressed mask; the networks water and water-small map it;
DeepWaterMapV2 (random weights) maps it. Times are of whole processes, from start to exit, overviews and COG copy
included. The peak is the largest resident size of the process.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import Finished, megabytes, middle, save, spread, table, timed_command

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

READ_AND_WRITE = """
import sys
import rasterio
from rasterio.windows import Window

with rasterio.Env(GDAL_CACHEMAX=64), rasterio.open(sys.argv[1]) as scene:
    grid = {"driver": "GTiff", "count": 1, "dtype": "uint8", "crs": scene.crs, "transform": scene.transform}
    grid |= {"height": scene.height, "width": scene.width, "compress": "deflate", "tiled": True}
    with rasterio.open(sys.argv[2], "w", blockxsize=256, blockysize=256, **grid) as mask:
        for top in range(0, scene.height, 256):
            window = Window(0, top, scene.width, min(256, scene.height - top))
            bands = scene.read(window=window)
            mask.write((bands[1] > bands[4]).astype("uint8"), 1, window=window)
"""

RANDOM_WEIGHTS = """
import sys
sys.path.insert(0, sys.argv[1])
from common import NETWORKS
from safetensors.torch import save_file
save_file(NETWORKS["deepwatermap"].build().state_dict(), sys.argv[2])
"""

FULL_FRAME = """
import sys
sys.path.insert(0, sys.argv[1])
import rasterio, torch
from common import NETWORKS
model = NETWORKS["deepwatermap"].build()
with rasterio.open(sys.argv[2]) as scene, torch.inference_mode():
    image = torch.from_numpy(scene.read(out_dtype="float32"))[None].mul_(2.75e-5).sub_(0.2)
    probability = model(image)
    grid = {"driver": "GTiff", "count": 1, "dtype": "uint8", "compress": "deflate"}
    with rasterio.open(sys.argv[3], "w", height=scene.height, width=scene.width, **grid) as mask:
        mask.write((probability[0, 0] >= 0.5).byte().numpy(), 1)
"""


def commands(scene: Path, folder: Path, chosen: argparse.Namespace) -> dict[str, tuple[str, list[str]]]:
    """What is measured: its name, its budget, its command."""
    python = sys.executable
    narrows = shutil.which("narrows", path=str(Path(python).parent)) or "narrows"
    here = str(Path(__file__).parent)
    water = [narrows, "water", str(scene), "--overwrite", "--quiet"]
    listed = {
        "rasterio alone": ("", [python, "-c", READ_AND_WRITE, str(scene), str(folder / "bare.tif")]),
    }
    for name in ("water", "water-small"):
        command = [*water, "-o", str(folder / f"{name}.tif"), "--memory", chosen.memory, "--model", name]
        listed[name] = (chosen.memory, command)
    if not chosen.only_water:
        weights = folder / "deepwatermap.safetensors"
        made = timed_command([python, "-c", RANDOM_WEIGHTS, here, str(weights)])
        _check(made)
        listed["DeepWaterMapV2"] = (
            chosen.deepwatermap_memory,
            [
                *(*water, "-o", str(folder / "deepwatermap.tif"), "--memory", chosen.deepwatermap_memory),
                *("--model", f"deepwatermap:{weights}"),
            ],
        )
    if chosen.full_frame:
        command = [python, "-c", FULL_FRAME, here, str(scene), str(folder / "full.tif")]
        listed["DeepWaterMapV2 in one piece"] = ("", command)
    return listed


def _check(done: Finished) -> None:
    if done.code:
        raise SystemExit(f"a command failed with exit code {done.code}:\n{done.text}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="7741x7591", metavar="HxW")
    parser.add_argument("--memory", default="600MB", help="budget of water and water-small")
    parser.add_argument("--deepwatermap-memory", default="900MB")
    parser.add_argument("--only-water", action="store_true", help="leave DeepWaterMapV2 out")
    parser.add_argument("--full-frame", action="store_true", help="also DeepWaterMapV2 in one piece, once")
    parser.add_argument("--repeats", type=int, default=3, help="DeepWaterMapV2 is run once all the same")
    parser.add_argument("--scene", type=Path, help="a scene to use instead of simulating one")
    parser.add_argument("--name", default="full_scene", help="of the result file")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene = chosen.scene or folder / "scene.tif"
        if chosen.scene is None:
            _check(
                timed_command([sys.executable, str(EXAMPLES / "simulate_scene.py"), str(scene), "--size", chosen.size])
            )
        rows = measure(commands(scene, folder, chosen), chosen.repeats)
    title = f"A scene of {chosen.size}, six bands of uint16"
    table(title, rows, ["what", "budget", "seconds", "spread", "against_rasterio", "peak_MB"])
    save(chosen.name, {"size": chosen.size, "repeats": chosen.repeats}, rows)
    return 0


def measure(listed: dict[str, tuple[str, list[str]]], repeats: int) -> list[dict[str, Any]]:
    seconds: dict[str, list[float]] = {what: [] for what in listed}
    peaks = dict.fromkeys(listed, 0)
    for turn in range(repeats):
        for what, (_, command) in listed.items():
            if turn and what.startswith("DeepWaterMapV2"):
                continue
            done = timed_command(command)
            _check(done)
            seconds[what].append(done.seconds)
            peaks[what] = max(peaks[what], done.peak)
            print(f"{what}: {done.seconds:.1f} s, {megabytes(done.peak):,.0f} MB", flush=True)
    bare = middle(seconds["rasterio alone"])
    return [
        {
            "what": what,
            "budget": budget,
            "seconds": round(middle(seconds[what]), 2),
            "spread": round(spread(seconds[what]), 3),
            "against_rasterio": round(middle(seconds[what]) / bare, 2),
            "peak_MB": megabytes(peaks[what]),
        }
        for what, (budget, _) in listed.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
