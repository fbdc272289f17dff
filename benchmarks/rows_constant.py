"""Cost per row as the image grows: from 1,000 to 50,000 rows of one width.

    python benchmarks/rows_constant.py
    python benchmarks/rows_constant.py --heights 200,400 --width 64 --repeats 1

Synthetic rows are streamed into a sink that keeps nothing, heights in shuffled order, in one process after a warm-up.
Capturing and planning a network takes the same time at any height and is given apart. Also measured: peak memory of a
fresh process at each height.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from typing import Any

from common import NETWORKS, Discard, Rows, child, megabytes, middle, outputs_of, peak_bytes, save, spread, table


def run_case(request: dict[str, Any]) -> dict[str, Any]:
    """In the child: one height, for its peak memory."""
    import narrows

    network = NETWORKS[request["network"]]
    model = network.build()
    sinks = [Discard() for _ in range(outputs_of(model, network.channels))]
    source = Rows(network.channels, request["height"], request["width"])
    narrows.stream(model, source, sinks, memory=request["memory"], strip=request["strip"])
    return {"peak": peak_bytes()}


def measure(name: str, heights: list[int], width: int, memory: str, strip: int, repeats: int) -> list[dict[str, Any]]:
    import narrows

    network = NETWORKS[name]
    model = network.build()
    outputs = outputs_of(model, network.channels)
    seconds: dict[int, list[float]] = {height: [] for height in heights}
    planning: dict[int, list[float]] = {height: [] for height in heights}
    order = [height for height in heights for _ in range(repeats)]
    random.Random(0).shuffle(order)
    for height in [heights[0], *order]:
        begun = time.perf_counter()
        narrows.plan(model, height, width, memory=memory, strip=strip, channels=network.channels)
        planned = time.perf_counter()
        sinks = [Discard() for _ in range(outputs)]
        narrows.stream(model, Rows(network.channels, height, width), sinks, memory=memory, strip=strip)
        seconds[height].append(time.perf_counter() - planned)
        planning[height].append(planned - begun)
    seconds[heights[0]].pop(0)
    planning[heights[0]].pop(0)
    rows = []
    for height in heights:
        request = {"network": name, "height": height, "width": width, "memory": memory, "strip": strip}
        rows.append(
            {
                "network": name,
                "rows": height,
                "width": width,
                "us_per_row": round(middle(seconds[height]) / height * 1e6, 2),
                "spread": round(spread(seconds[height]), 3),
                "planning_s": round(middle(planning[height]), 3),
                "seconds": [round(value, 3) for value in seconds[height]],
                "peak_MB": megabytes(child(__file__, request)["peak"]),
            }
        )
    reference = middle(row["us_per_row"] for row in rows)
    for row in rows:
        row["against_median"] = round(row["us_per_row"] / reference, 3)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="rowwise", choices=NETWORKS)
    parser.add_argument("--heights", default="1000,2000,5000,10000,20000,50000")
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--strip", type=int, default=64, help="the same at every height")
    parser.add_argument("--memory", default="1GB")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--name", default="rows_constant", help="of the result file")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    # As the commands set it: threads that read and write take turns with those that compute, and must not spin.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if chosen.child:
        print(json.dumps(run_case(json.loads(chosen.child))))
        return 0
    heights = [int(height) for height in chosen.heights.split(",")]
    rows = measure(chosen.network, heights, chosen.width, chosen.memory, chosen.strip, chosen.repeats)
    columns = ["network", "rows", "width", "us_per_row", "against_median", "spread", "planning_s", "peak_MB"]
    table(f"Cost per row, median of {chosen.repeats}", rows, columns)
    save(chosen.name, {"memory": chosen.memory, "strip": chosen.strip, "repeats": chosen.repeats}, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
