"""Peak memory of `narrows water series` against its budget, by the number of maps.

    python benchmarks/series_memory.py --size 7741x7591 --maps 3,12 --budgets 300MB,500MB

The maps are simulated: blocks of land, water, cloud and no data, another draw for each date.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import megabytes, parse_sizes, save, table, timed_command


def draw(path: Path, height: int, width: int, seed: int) -> None:
    import numpy as np
    from affine import Affine

    from narrows.rasters.cog import CogSink

    rng = np.random.default_rng(seed)
    with CogSink(
        path, width=width, height=height, nodata=255, crs="EPSG:32630", transform=Affine(30, 0, 3e5, 0, -30, 6e6)
    ) as sink:
        for start in range(0, height, 512):
            stop = min(start + 512, height)
            coarse = rng.choice([0, 0, 0, 1, 1, 254, 255], (-(-(stop - start) // 8), -(-width // 8))).astype(np.uint8)
            rows = coarse.repeat(8, 0).repeat(8, 1)[: stop - start, :width]
            sink.write(start, rows[None])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="7741x7591")
    parser.add_argument("--maps", default="3,12")
    parser.add_argument("--budgets", default="300MB,500MB")
    chosen = parser.parse_args()
    ((height, width),) = parse_sizes(chosen.size)
    counts = [int(part) for part in chosen.maps.split(",")]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        days = [folder / f"made_{2000 + number}0601.tif" for number in range(max(counts))]
        for number, path in enumerate(days):
            draw(path, height, width, number)
        for count in counts:
            for budget in chosen.budgets.split(","):
                out = folder / f"{count}_{budget}"
                out.mkdir()
                command = [sys.executable, "-m", "narrows", "water", "series", *map(str, days[:count])]
                done = timed_command([*command, "-o", str(out), "--memory", budget, "-q"])
                if done.code:
                    raise SystemExit(done.text.strip().splitlines()[-1])
                rows.append({"maps": count, "size": chosen.size, "budget": budget, "peak_MB": megabytes(done.peak)})
    table("Adding maps up", rows, ["maps", "size", "budget", "peak_MB"])
    save("series_memory", {}, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
