"""Process memory: budget, prediction and measured peak, in a fresh process for every run.

    python benchmarks/memory.py
    python benchmarks/memory.py --networks rowwise --sizes 500x600 --budgets smallest --repeats 1

For each network, size and budget, a new process builds the network, plans, streams synthetic rows into a sink that
keeps nothing, and reports the peak resident size of the whole process (VmHWM: imports and weights included). With
``--maps`` it streams from one memory map into another, and the resident pages of these two files are left out, sampled
while the run goes on. The budget "smallest" is the smallest that the plan accepts.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from common import NETWORKS, Discard, Rows, child, megabytes, outputs_of, parse_sizes, peak_bytes, save, table

ALLOWED_OVER = 32e6
ALLOWED_SHARE = 0.10


class MapWatch:
    """Samples the resident size of this process, memory maps of `folder` left out."""

    def __init__(self, folder: Path):
        self.folder, self.peak, self._stop = str(folder), 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MapWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            total, mine = 0, False
            for line in Path("/proc/self/smaps").read_text().splitlines():
                if "-" in line.split(" ", 1)[0]:
                    mine = self.folder in line
                elif line.startswith("Rss:") and not mine:
                    total += int(line.split()[1]) * 1024
            self.peak = max(self.peak, total)


def run_case(request: dict[str, Any]) -> dict[str, Any]:
    """In the child: plan, stream, and say what was predicted and what was held."""
    import narrows
    from narrows.errors import BudgetError

    network = NETWORKS[request["network"]]
    height, width = request["height"], request["width"]
    model = network.build()
    outputs = outputs_of(model, network.channels)
    source = Rows(network.channels, height, width)
    budget: int | str = request["budget"]
    if budget == "smallest":
        try:
            narrows.plan(model, height, width, memory=1, channels=network.channels)
        except BudgetError as error:
            budget = error.smallest
    try:
        plan = narrows.plan(model, height, width, memory=budget, channels=network.channels)
    except BudgetError as error:
        return {"refused": str(error), "smallest": error.smallest}
    begun = time.perf_counter()
    if request["maps"]:
        with tempfile.TemporaryDirectory() as folder:
            mapped = _map_rows(Path(folder) / "in.bin", source)
            with MapWatch(Path(folder)) as watch:
                narrows.stream(model, mapped, MapSink(Path(folder) / "out.bin", height, width), memory=budget)
            measured = watch.peak
    else:
        narrows.stream(model, source, [Discard() for _ in range(outputs)], memory=budget)
        measured = peak_bytes()
    seconds = time.perf_counter() - begun
    held = {"budget": plan.memory, "predicted": plan.peak, "measured": measured}
    return {**held, "strip": plan.strip, "seconds": seconds}


def _map_rows(path: Path, rows: Rows) -> Any:
    """The rows on disk, and mapped: written through a file, so that no page of the map is resident yet."""
    import numpy as np

    channels, height, width = rows.shape
    with path.open("wb") as file:
        file.truncate(channels * height * width * rows.dtype.itemsize)
        for start in range(0, height, 64):
            block = rows.read(start, min(start + 64, height))
            for channel in range(channels):
                file.seek((channel * height + start) * width * rows.dtype.itemsize)
                file.write(block[channel].tobytes())
    return np.memmap(path, rows.dtype, "r", shape=rows.shape)


class MapSink:
    """A row sink into a memory map, made when the first rows tell how many channels there are."""

    def __init__(self, path: Path, height: int, width: int):
        self.path, self.height, self.width, self.map = path, height, width, None

    def write(self, start: int, rows: Any) -> None:
        import numpy as np

        if self.map is None:
            shape = (rows.shape[0], self.height, rows.shape[2])
            self.map = np.memmap(self.path, rows.dtype, "w+", shape=shape)
        self.map[:, start : start + rows.shape[1]] = rows


def verdict(row: dict[str, Any]) -> str:
    if "failed" in row:
        return f"failed: {row['failed']}"
    if "refused" in row:
        return f"refused; smallest {megabytes(row['smallest']):.0f} MB"
    over = row["predicted_MB"] - row["measured_max_MB"]
    allowed = max(ALLOWED_OVER / 1e6, ALLOWED_SHARE * row["measured_max_MB"])
    faults = []
    if row["measured_max_MB"] > row["budget_MB"]:
        faults.append("over the budget")
    if over < 0:
        faults.append("above the prediction")
    if over > allowed:
        faults.append("predicted too much")
    return ", ".join(faults) or "holds"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(name for name in NETWORKS if name != "encoder"))
    parser.add_argument("--sizes", default="1001x777,2048x2048,1500x7591", help="HxW,HxW,...")
    parser.add_argument("--budgets", default="smallest,900MB,2GB")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--maps", action="store_true", help="from one memory map into another (single-output networks)")
    parser.add_argument("--name", default="memory", help="of the result file")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        print(json.dumps(run_case(json.loads(chosen.child))))
        return 0
    rows = []
    for name in chosen.networks.split(","):
        for height, width in parse_sizes(chosen.sizes):
            for budget in chosen.budgets.split(","):
                request = {"network": name, "height": height, "width": width, "budget": budget, "maps": chosen.maps}
                rows.append(_repeat(request, chosen.repeats))
                print(f"{name} {height}x{width} {budget}: {rows[-1]['verdict']}", flush=True)
    columns = ["network", "size", "budget", "strip", "predicted_MB", "measured_max_MB", "measured_min_MB", "verdict"]
    table("Peak resident size of a fresh process", rows, columns)
    settings = {"repeats": chosen.repeats, "sizes": chosen.sizes, "budgets": chosen.budgets, "maps": chosen.maps}
    save(chosen.name, settings, rows)
    return int(any(row["verdict"] not in ("holds",) and "refused" not in row for row in rows))


def _repeat(request: dict[str, Any], repeats: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "network": request["network"],
        "size": f"{request['height']}x{request['width']}",
        "budget": request["budget"],
    }
    answers = []
    for _ in range(repeats):
        answer = child(__file__, request)
        if "measured" not in answer:
            row.update(answer)
            break
        answers.append(answer)
    if answers:
        worst = max(answers, key=lambda answer: answer["measured"] - answer["predicted"])
        row.update(
            budget_MB=megabytes(worst["budget"]),
            strip=worst["strip"],
            predicted_MB=megabytes(worst["predicted"]),
            measured_max_MB=megabytes(worst["measured"]),
            measured_min_MB=megabytes(min(answer["measured"] for answer in answers)),
            seconds=[round(answer["seconds"], 3) for answer in answers],
        )
    row["verdict"] = verdict(row)
    return row


if __name__ == "__main__":
    sys.exit(main())
