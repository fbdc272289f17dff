"""The imaging core's own weights on the test photographs: PSNR and SSIM, lines of 8 bits beside floating point.

    python benchmarks/imaging_tasks.py --task denoise

Crops, noise and scores are those of `narrows.imaging.evaluation`, as for `imaging_peers.py`.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch
from common import RESULTS, save, table
from fixed_lines import fixed_lines

from narrows.costing.lines import line_costs
from narrows.imaging.dead_leaves import dead_leaves
from narrows.imaging.evaluation import Score, cases, score
from narrows.imaging.tasks import TASKS, task_called
from narrows.imaging.weights import available, load
from narrows.streaming.capturing import captured

HEIGHT, COLUMNS = 64, 1920


def measure(name: str, bits: int) -> list[dict[str, Any]]:
    """A row for each test of the task, means over the photographs."""
    core, task = load(name), task_called(name)
    images, _ = task.degrade(dead_leaves(6, 192, 192, seed=99), torch.Generator().manual_seed(0))
    spoilt = list(cases(name))
    with torch.no_grad():
        whole = [score(case, core(case.inputs)) for case in spoilt]
        with fixed_lines(core, images, bits) as fixed:  # type: ignore[arg-type]
            rounded = [score(case, fixed(case.inputs)) for case in spoilt]
    graph = captured(core, [(1, 6, HEIGHT, COLUMNS)], [torch.float32])
    lines = line_costs(graph, bits)
    assert not isinstance(lines, str)
    rows = []
    for test in dict.fromkeys(case.test for case in spoilt):
        rows.append(
            {
                "task": name,
                "test": test,
                "psnr": _mean(whole, test, "psnr"),
                "ssim": _mean(whole, test, "ssim"),
                "psnr_rounded": _mean(rounded, test, "psnr"),
                "ssim_rounded": _mean(rounded, test, "ssim"),
                "delay": lines.delay - 1,
                "Mbit": round(lines.bytes * 8 / 1e6, 3),
                "macs_a_pixel": round(sum(node.macs or 0 for node in graph.nodes) / HEIGHT / COLUMNS),
                "parameters": sum(parameter.numel() for parameter in core.parameters()),
                "each": {s.photograph: [round(s.psnr, 3), round(s.ssim, 4)] for s in whole if s.test == test},
            }
        )
    return rows


def _mean(scores: list[Score], test: str, what: str) -> float:
    own = [getattr(s, what) for s in scores if s.test == test]
    return round(sum(own) / len(own), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", action="append", choices=available(), help="may be repeated; all if left out")
    parser.add_argument("--bits", type=int, default=8, help="of a value in a line")
    given = parser.parse_args()
    torch.set_num_threads(1)
    file = RESULTS / "imaging_tasks.json"
    chosen = given.task or available()
    before = json.loads(file.read_text())["rows"] if file.exists() else []
    rows = [row for row in before if row["task"] not in chosen]
    for name in chosen:
        rows += measure(name, given.bits)
    rows.sort(key=lambda row: list(TASKS).index(row["task"]))
    save("imaging_tasks", {"bits": given.bits, "columns": COLUMNS}, rows)
    table("imaging tasks", rows, ("task", "test", "psnr", "ssim", "psnr_rounded", "delay", "Mbit", "macs_a_pixel"))


if __name__ == "__main__":
    main()
