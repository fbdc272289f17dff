"""Whether `narrows enhance` stays under its budget, by format: 1,000 x 6,000 pixels, colour.

    python benchmarks/enhance_memory.py
    python benchmarks/enhance_memory.py --size 500x700 --name trial

Weights are random; the core is the default one. A refused budget is run again with the smallest that the refusal names.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import child, parse_sizes, save, table, timed_command

TASK = "deblur-gaussian"
CASES = (
    ("in.png", "out.png"),
    ("alpha.png", "out.png"),
    ("deep.tif", "out.tif"),
    ("in.jpg", "out.jpg"),
    ("progressive.jpg", "out.tif"),
)
BUDGETS = ("300MB", "600MB")


def make(folder: Path, height: int, width: int) -> None:
    """Write the images and the weights: in a process of its own, so that this one stays small."""
    import warnings

    import numpy as np
    import rasterio
    import torch
    from PIL import Image

    from narrows.imaging import weights
    from narrows.networks.imaging_core import imaging_core

    warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
    random = np.random.default_rng(0)
    cells = random.integers(0, 255, (-(-height // 16), -(-width // 16), 4), np.uint8)
    pixels = np.kron(cells, np.ones((16, 16, 1), np.uint8))[:height, :width]
    pixels += random.integers(0, 8, pixels.shape, np.uint8)
    Image.fromarray(pixels[..., :3]).save(folder / "in.png", compress_level=1)
    Image.fromarray(pixels).save(folder / "alpha.png", compress_level=1)
    Image.fromarray(pixels[..., :3]).save(folder / "in.jpg")
    Image.fromarray(pixels[..., :3]).save(folder / "progressive.jpg", progressive=True)
    deep = pixels[..., :3].transpose(2, 0, 1).astype(np.uint16) * 257
    with rasterio.open(
        folder / "deep.tif", "w", width=width, height=height, count=3, dtype="uint16", photometric="RGB",
        interleave="pixel", compress="deflate",
    ) as file:  # fmt: skip
        file.write(deep)
    torch.manual_seed(0)
    arguments: dict[str, Any] = {"out_channels": 3}
    weights.save(imaging_core(**arguments), folder / "weights.safetensors", TASK, arguments)


def measured(folder: Path, source: str, output: str, budget: str) -> dict[str, Any]:
    command = [
        *(sys.executable, "-m", "narrows", "enhance", str(folder / source), "-o", str(folder / output)),
        *("--task", TASK, "--sigma", "1", "--weights", str(folder / "weights.safetensors")),
        *("--memory", budget, "--overwrite", "--quiet"),
    ]
    run = timed_command(command)
    row: dict[str, Any] = {"file": f"{source} to {output}", "budget": budget}
    if run.code == 2 and (smallest := re.search(r"smallest[^0-9]*([0-9.,]+ ?[kMG]B)", run.text)):
        return row | {"said": f"refused; the smallest is {smallest[1]}", "smallest": smallest[1].replace(",", "")}
    if run.code:
        raise SystemExit(run.text)
    return row | {"measured_max_MB": round(run.peak / 1e6), "seconds": round(run.seconds, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="1000x6000")
    parser.add_argument("--name", default="enhance_memory")
    parser.add_argument("--child")
    given = parser.parse_args()
    if given.child:
        request = json.loads(given.child)
        make(Path(request["folder"]), *request["size"])
        print("{}")
        return
    ((height, width),) = parse_sizes(given.size)
    rows = []
    with tempfile.TemporaryDirectory() as place:
        failed = child(__file__, {"folder": place, "size": [height, width]}).get("failed")
        if failed:
            raise SystemExit(failed)
        for source, output in CASES:
            for budget in BUDGETS:
                row = measured(Path(place), source, output, budget)
                rows.append(row)
                if "smallest" in row:
                    rows.append(measured(Path(place), source, output, row.pop("smallest")))
                print(rows[-1], file=sys.stderr, flush=True)
    save(given.name, {"size": given.size, "task": TASK}, rows)
    table(given.name, rows, ("file", "budget", "measured_max_MB", "said"))


if __name__ == "__main__":
    main()
