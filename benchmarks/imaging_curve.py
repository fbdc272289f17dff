"""Quality against lines kept and lines waited for: the imaging core and its twins, grey images, noise of sigma 25.

    python benchmarks/imaging_curve.py train --runs runs/curve     # each point once; interrupted, it goes on
    python benchmarks/imaging_curve.py train --only iir_d4_s4   # this point; may be repeated
    python benchmarks/imaging_curve.py collect --runs runs/curve   # results/imaging_curve.json and the figure

Points that `runs` lacks keep the results they have. Several `train` may share a folder: each takes the next point that
nobody has. All points are trained alike (`narrows.imaging.training.Settings`), on dead-leaves images, and scored on
real photographs. Bits of line buffer are those of `narrows.costing.lines` at 1920 columns and the width at which the
lines were rounded when scored.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, save, table
from fixed_lines import fixed_lines
from safetensors.torch import load_file

HEIGHT, COLUMNS = 64, 1920
FIGURE = Path(__file__).resolve().parents[1] / "docs" / "figures" / "imaging_curve.svg"
# With 12 and 24 states the recursive core keeps a quarter of its twin's bits, the lines of the image included.
FULL, HALF, QUARTER, DOUBLE, LESS = (16, 32), (8, 16), (4, 8), (32, 64), (12, 24)
EIGHTH, SIXTEENTH = (2, 4), (1, 2)
SEEDS = (4, 5)
BASE: dict[str, Any] = {"widths": (16, 32), "blocks": (1, 3), "stem": 32, "fold": 2}


def _point(vertical: str, look_ahead: int = 0, states: tuple[int, int] = FULL, **more: Any) -> dict[str, Any]:
    return {**BASE, "vertical": vertical, "look_ahead": look_ahead, "states": states, **more}


def points() -> dict[str, tuple[dict[str, Any], int]]:
    """Every point by name: the core's arguments, and the training's seed. The most telling first."""
    found: dict[str, tuple[dict[str, Any], int]] = {}

    def add(vertical: str, look_ahead: int, states: tuple[int, int] = FULL, seed: int = SEEDS[0], **more: Any) -> None:
        name = f"{vertical}_d{look_ahead}_s{states[0]}" + "".join(f"_{k}{v}" for k, v in more.items())
        name = name.replace("_gatedTrue", "_gated").replace("_poolingordinary", "_ordinary")
        name += f"_seed{seed}" if seed != SEEDS[0] else ""
        found[name] = (_point(vertical, look_ahead, states, **more), seed)

    for look_ahead in (4, 0):
        add("iir", look_ahead)
        add("iir", look_ahead, gated=True)
        add("causal", look_ahead, gated=True)
    add("symmetric", 0, gated=True)
    add("symmetric", 0)
    for look_ahead in (4, 0):
        add("causal", look_ahead)
        add("causal", look_ahead, QUARTER)
        add("iir", look_ahead, LESS)
        add("iir", look_ahead, DOUBLE)
    add("iir", 8)
    add("causal", 8)
    # How far apart two trainings of one point come out.
    for seed in SEEDS[1:]:
        for look_ahead in (4, 0):
            add("iir", look_ahead, seed=seed)
            add("causal", look_ahead, QUARTER, seed=seed)
    for look_ahead in (4, 0):
        add("iir", look_ahead, QUARTER)
    for seed in SEEDS[1:]:
        for look_ahead in (4, 0):
            add("causal", look_ahead, seed=seed)
            add("iir", look_ahead, LESS, seed=seed)
    add("iir", 4, order=2)
    add("iir", 0, order=2)
    for look_ahead in (2, 1):
        add("iir", look_ahead)
        add("causal", look_ahead)
        add("causal", look_ahead, QUARTER)
    add("causal", 8, QUARTER)
    for look_ahead in (4, 0, 8, 2, 1):
        add("causal", look_ahead, HALF)
        add("iir", look_ahead, HALF)
    for look_ahead in (8, 2, 1):
        add("iir", look_ahead, LESS)
        add("iir", look_ahead, DOUBLE)
    add("symmetric", 0, HALF)
    add("symmetric", 0, QUARTER)
    # Rows pooled in pairs: the core waits for one row by itself, and its skip line is stored coded.
    for look_ahead in (0, 4):
        add("iir", look_ahead, pooling="ordinary")
    # Few lines: recursive filters beside convolutions of 5 and of 3 rows that keep as many bits.
    for look_ahead in (4, 0, 2, 1, 8):
        for seed in SEEDS:
            for recursive, five, three in ((QUARTER, SIXTEENTH, EIGHTH), (HALF, EIGHTH, QUARTER)):
                add("iir", look_ahead, recursive, seed)
                add("causal", look_ahead, five, seed)
                add("causal", look_ahead, three, seed, kernel=3)
            add("iir", look_ahead, EIGHTH, seed)
            add("iir", look_ahead, SIXTEENTH, seed)
            add("causal", look_ahead, SIXTEENTH, seed, kernel=3)
            # A kernel of one row keeps nothing: what the vertical filters are worth at all.
            add("causal", look_ahead, SIXTEENTH, seed, kernel=1)
            add("iir", look_ahead, HALF, seed, order=2)
            add("iir", look_ahead, EIGHTH, seed, order=2)
            add("iir", look_ahead, QUARTER, seed, gated=True)
            add("iir", look_ahead, seed=seed)
            add("causal", look_ahead, QUARTER, seed)
    return found


def train(runs: Path, leaves: Path | None, only: list[str]) -> None:
    """Train the points of these names that have no result yet, one after the other."""
    runs.mkdir(parents=True, exist_ok=True)
    known = points()
    for name in only:
        core, seed = known[name]
        folder = runs / name
        folder.mkdir(exist_ok=True)
        with (folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if (folder / "result.json").exists():
                continue
            command = [sys.executable, "-m", "narrows.imaging.recipes.curve", "--out", str(folder)]
            command += ["--core", json.dumps(core), "--seed", str(seed)]
            command += ["--leaves", str(leaves)] if leaves is not None else []
            with (folder / "log").open("a") as log:
                subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=True, env={**os.environ})


def collect(runs: Path, bits: int) -> list[dict[str, Any]]:
    """Every finished point: scores with lines of `bits`, what is kept, waited for and computed."""
    from narrows.costing.lines import line_costs
    from narrows.imaging.dead_leaves import dead_leaves
    from narrows.imaging.evaluation import cases, score
    from narrows.imaging.recipes.curve import core_of, noisy
    from narrows.streaming.capturing import captured

    clean = dead_leaves(4, 192, 192, seed=99)
    images, _ = noisy(clean, torch.Generator().manual_seed(0))
    spoilt = [case for case in cases("denoise") if case.test == "sigma 25"]
    rows = []
    for name, (arguments, seed) in points().items():
        folder = runs / name
        if not (folder / "result.json").exists():
            continue
        found = json.loads((folder / "result.json").read_text())
        core = core_of(found["configuration"]).eval()
        core.load_state_dict(load_file(folder / "core.safetensors"))
        with fixed_lines(core, images, bits) as fixed, torch.no_grad():
            scores = [score(case, fixed(case.observed)) for case in spoilt]
        graph = captured(core, [(1, 1, HEIGHT, COLUMNS)], [torch.float32])
        lines = line_costs(graph, bits)
        assert not isinstance(lines, str)
        rows.append(
            {
                "name": name,
                "vertical": arguments["vertical"],
                "gated": arguments.get("gated", False),
                "order": arguments.get("order", 1),
                "pooling": arguments.get("pooling", "causal"),
                "states": list(arguments["states"]),
                "seed": seed,
                "filter": _filter(arguments),
                "look_ahead": arguments["look_ahead"],
                "delay": lines.delay - 1,
                "line_bits": lines.bytes * 8,
                "Mbit": round(lines.bytes * 8 / 1e6, 3),
                "psnr": _mean([s.psnr for s in scores]),
                "ssim": _mean([s.ssim for s in scores]),
                "psnr_float": _mean([s["psnr"] for s in found["scores"]]),
                "macs_a_pixel": round(sum(node.macs or 0 for node in graph.nodes) / HEIGHT / COLUMNS),
                "parameters": found["parameters"],
                "steps": found["training"]["steps"],
                "seconds": found["seconds"],
                "photographs": {s.photograph: [round(s.psnr, 3), round(s.ssim, 4)] for s in scores},
            }
        )
    return rows


def _filter(arguments: dict[str, Any]) -> str:
    kind = "gated" if arguments.get("gated") else "linear"
    if arguments["vertical"] == "iir":
        pooling = ", rows pooled in pairs" if arguments.get("pooling") == "ordinary" else ""
        return f"{kind}, order {arguments.get('order', 1)}{pooling}"
    kernel = arguments.get("kernel", 5)
    return f"{kind}, {kernel} row{'s' if kernel > 1 else ''}"


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 4)


def _bm3d() -> float | None:
    """Mean PSNR of BM3D on the same photographs, from what imaging_peers.py wrote."""
    file = RESULTS / "imaging_peers.json"
    found = json.loads(file.read_text())["rows"] if file.exists() else []
    wanted = {"task": "denoise", "test": "sigma 25", "peer": "BM3D"}
    return next((row["psnr"] for row in found if all(row.get(k) == v for k, v in wanted.items())), None)


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    """Quality against bits kept, a panel for each look-ahead; and against rows waited for. Lines join seeds' means."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    styles = {
        ("iir", "gated, order 1"): ("recursive, gated", "C0", "o"),
        ("iir", "linear, order 1"): ("recursive, linear", "C2", "^"),
        ("iir", "linear, order 2"): ("recursive, linear, order 2", "C8", "P"),
        ("iir", "linear, order 1, rows pooled in pairs"): ("recursive, linear, rows pooled in pairs", "C9", "*"),
        ("causal", "gated, 5 rows"): ("causal 5 rows, gated", "C1", "s"),
        ("causal", "linear, 5 rows"): ("causal 5 rows, linear", "C3", "v"),
        ("causal", "linear, 3 rows"): ("causal 3 rows, linear", "C6", "<"),
        ("causal", "linear, 1 row"): ("no vertical filter", "0.2", "x"),
        ("symmetric", "gated, 5 rows"): ("symmetric 5 rows, gated", "C4", "D"),
        ("symmetric", "linear, 5 rows"): ("symmetric 5 rows, linear", "C5", "D"),
    }
    ahead = [d for d in (0, 1, 2, 4, 8) if any(r["look_ahead"] == d for r in rows)]
    across = 3
    down = -(-(len(ahead) + 1) // across)
    figure, grid = plt.subplots(down, across, figsize=(3.6 * across, 3.1 * down + 0.6), sharey=True, squeeze=False)
    axes = grid.ravel()[: len(ahead) + 1]
    for axis in grid.ravel()[len(axes) :]:
        axis.set_axis_off()
    for axis, rows_ahead in zip(axes, [*ahead, None], strict=True):
        for (vertical, kind), (label, colour, marker) in styles.items():
            mine = [r for r in rows if (r["vertical"], r["filter"]) == (vertical, kind)]
            if rows_ahead is None:
                x, mine = "delay", [r for r in mine if r["states"] == list(FULL)]
            else:
                x, mine = "line_bits", [r for r in mine if r["delay"] == rows_ahead or vertical == "symmetric"]
            if mine:
                scale = 1e6 if x == "line_bits" else 1
                axis.plot(
                    [r[x] / scale for r in mine], [r["psnr"] for r in mine], marker, color=colour, ms=4, alpha=0.6
                )
                places = sorted({r[x] for r in mine})
                means = [_mean([r["psnr"] for r in mine if r[x] == place]) for place in places]
                axis.plot([place / scale for place in places], means, marker, ls="-", color=colour, ms=1, label=label)
        if rows_ahead is not None:
            axis.set_xscale("log")
            axis.set_xticks([0.1, 0.2, 0.5, 1, 2, 5], ["0.1", "0.2", "0.5", "1", "2", "5"])
            axis.minorticks_off()
        axis.set_title("by delay, 16 and 32 states" if rows_ahead is None else f"look-ahead {rows_ahead}", fontsize=9)
        axis.set_xlabel("rows waited for" if rows_ahead is None else "Mbit of lines, 1920 columns", fontsize=8)
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=7)
    for axis in axes if (peer := _bm3d()) is not None else ():
        axis.axhline(peer, color="0.4", lw=0.8, ls="--", label="BM3D, whole image")
    for axis in grid[:, 0]:
        axis.set_ylabel("PSNR, dB (sigma 25)", fontsize=8)
    handles = {h.get_label(): h for axis in axes for h in axis.get_lines() if h.get_label()[0] != "_"}
    figure.legend(handles.values(), handles.keys(), ncols=4, fontsize=8, loc="lower center")
    figure.tight_layout(rect=(0, 0.1, 1, 1))
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "collect", "list"))
    parser.add_argument("--runs", type=Path, default=Path("runs/curve"))
    parser.add_argument("--leaves", type=Path, help="file in which training images are kept")
    parser.add_argument("--bits", type=int, default=8, help="of a value in a line")
    parser.add_argument("--only", action="append", choices=list(points()), metavar="POINT", help="may be repeated")
    given = parser.parse_args()
    if given.what == "list":
        print("\n".join(points()))
    elif given.what == "train":
        train(given.runs, given.leaves, given.only or list(points()))
    else:
        torch.set_num_threads(1)
        rows = collect(given.runs, given.bits)
        file = RESULTS / "imaging_curve.json"
        made = {row["name"]: row for row in (json.loads(file.read_text())["rows"] if file.exists() else [])}
        made |= {row["name"]: row for row in rows}
        rows = [made[name] for name in points() if name in made]
        settings = {"bits": given.bits, "columns": COLUMNS, "sigma": 25, "kernel": 5, "core": BASE}
        save("imaging_curve", settings, rows)
        draw(rows, FIGURE)
        table("imaging curve", rows, ("name", "delay", "line_bits", "psnr", "psnr_float", "ssim", "macs_a_pixel"))


if __name__ == "__main__":
    main()
