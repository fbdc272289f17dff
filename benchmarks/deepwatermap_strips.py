"""What streaming costs in time: DeepWaterMapV2 full frame against streamed inside a memory budget.

    python benchmarks/deepwatermap_strips.py
    python benchmarks/deepwatermap_strips.py --network rowwise --sizes 512x512 --repeats 2

Each way has a process of its own, set up and run once before the clock starts; then they take turns, `--repeats` times.
The full frame is run as a caller would (``model(image)``) and once more in channels-last memory; the ratio is taken
against the faster of the two.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from common import NETWORKS, Worker, megabytes, middle, parse_sizes, save, spread, table

FULL, FULL_LAST, STREAMED = "full frame", "full frame, channels-last", "streamed"


def full_frame(name: str, height: int, width: int, channels_last: bool) -> Callable[[], Any]:
    import torch

    model = NETWORKS[name].build()
    image = torch.rand(1, NETWORKS[name].channels, height, width)
    if channels_last:
        model, image = model.to(memory_format=torch.channels_last), image.to(memory_format=torch.channels_last)

    def work() -> None:
        with torch.inference_mode():
            model(image)

    work()
    return work


def streamed(name: str, height: int, width: int, budget: str) -> Callable[[], Any]:
    import torch

    import narrows

    model = NETWORKS[name].build()
    image = torch.rand(1, NETWORKS[name].channels, height, width)

    def work() -> None:
        narrows.stream(model, image, memory=budget)

    work()
    return work


def compare(name: str, height: int, width: int, budget: str, repeats: int) -> list[dict[str, Any]]:
    workers = {
        FULL: Worker(full_frame, name, height, width, False),
        FULL_LAST: Worker(full_frame, name, height, width, True),
        STREAMED: Worker(streamed, name, height, width, budget),
    }
    seconds: dict[str, list[float]] = {way: [] for way in workers}
    peaks = dict.fromkeys(workers, 0)
    for _ in range(repeats):
        for way, worker in workers.items():
            took, _, peaks[way] = worker.run()
            seconds[way].append(took)
    for worker in workers.values():
        worker.close()
    fastest = min(middle(seconds[FULL]), middle(seconds[FULL_LAST]))
    return [
        {
            "network": name,
            "size": f"{height}x{width}",
            "way": way,
            "seconds_median": round(middle(took), 3),
            "seconds": [round(value, 3) for value in took],
            "spread": round(spread(took), 3),
            "ratio": round(middle(took) / fastest, 3),
            "peak_MB": megabytes(peaks[way]),
        }
        for way, took in seconds.items()
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="deepwatermap", choices=NETWORKS)
    parser.add_argument("--sizes", default="1024x1024,1536x2048,2048x2048", help="HxW,HxW,...")
    parser.add_argument("--memory", default="900MB")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--name", default="deepwatermap_strips", help="of the result file")
    chosen = parser.parse_args()
    rows = []
    for height, width in parse_sizes(chosen.sizes):
        rows += compare(chosen.network, height, width, chosen.memory, chosen.repeats)
    table(
        f"Full frame against streamed at {chosen.memory}, median of {chosen.repeats}, interleaved",
        rows,
        ["network", "size", "way", "seconds_median", "spread", "ratio", "peak_MB"],
    )
    save(chosen.name, {"memory": chosen.memory, "repeats": chosen.repeats}, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
