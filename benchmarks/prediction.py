"""How well a network's time is predicted before it runs, on networks that were not used in fitting.

    narrows calibrate --export profile.json
    python benchmarks/prediction.py measure --part 1/4     # each part on a quiet machine; results are kept
    python benchmarks/prediction.py judge --profile profile.json

Each network is run at sizes that bring it into groups whose multiply-accumulates differ by at most 2 times. Within a
group, times are ranked; a fit on multiply-accumulates alone and one on bytes alone, both fitted to the very times that
they are judged on, are ranked and judged beside the prediction.

A run that something else disturbed (less processor time than wall time) is discarded and counted. Each network is
measured in two rounds, far apart and each in a process of its own; their difference is the noise.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
import warnings
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from common import RESULTS, machine, middle, save, table

MEASURED = RESULTS / "prediction_measured.json"
# Multiply-accumulates of a group: from the number to its double.
GROUPS = {"0.1 G": 1.0e8, "0.5 G": 5.0e8, "2 G": 2.0e9, "6 G": 6.0e9}
ROUNDS, WARM, REPEATS = 2, 2, 7


def _unet(**more: Any) -> Callable[[], Any]:
    def build() -> Any:
        from narrows.networks.unet import unet

        return unet(3, 2, **more)

    return build


def _named(place: str, **more: Any) -> Callable[[], Any]:
    def build() -> Any:
        from importlib import import_module

        module, name = place.split(":")
        return getattr(import_module(module), name)(**more)

    return build


_MONAI = {"spatial_dims": 2, "in_channels": 3, "out_channels": 2}
# Name: (factory, channels, a multiple that sides must have).
FAMILIES: dict[str, tuple[Callable[[], Any], int, int]] = {
    "unet 16": (_unet(width=16), 3, 16),
    "unet 12 bilinear": (_unet(width=12, transposed=False), 3, 16),
    "pyramid": (_named("narrows.networks.pyramid:two_output_pyramid", in_channels=3), 3, 16),
    "dilated 24": (_named("narrows.networks.dilated:dilated", in_channels=3, width=24), 3, 16),
    "rowwise water": (_named("narrows.networks.rowwise_water:rowwise_water"), 6, 16),
    "convnext": (_named("narrows.networks.convnext:convnext_dense", in_channels=3), 3, 16),
    "DeepWaterMapV2": (_named("narrows.networks.deepwatermap:deepwatermap_v2"), 6, 32),
    "MobileNetV2": (_named("narrows.networks.mobilenet_v2:mobilenet_v2"), 3, 32),
    "MobileNetV3": (_named("narrows.networks.mobilenet_v3:mobilenet_v3_large"), 3, 32),
    "ShuffleNet V2": (_named("narrows.networks.shufflenet:shufflenet_v2"), 3, 32),
    "SqueezeNet": (_named("narrows.networks.squeezenet:squeezenet"), 3, 32),
    "ResNet-50": (_named("narrows.networks.resnet:resnet50"), 3, 32),
    "NASNet-A": (_named("narrows.networks.nasnet:nasnet_a_mobile"), 3, 32),
    "MONAI BasicUNet": (_named("monai.networks.nets:BasicUNet", norm="batch", **_MONAI), 3, 16),
    "MONAI AttentionUnet": (
        _named("monai.networks.nets:AttentionUnet", channels=(16, 32, 64, 128), strides=(2, 2, 2), **_MONAI), 3, 16,
    ),
    "MONAI SegResNet": (_named("monai.networks.nets:SegResNet", init_filters=16, **_MONAI), 3, 16),
    "MONAI DenseNet121": (_named("monai.networks.nets:DenseNet121", **_MONAI), 3, 32),
    "transformer": (_named("random_networks:vision_transformer"), 3, 16),
    "window transformer": (_named("random_networks:window_transformer"), 3, 32),
    **{f"random {seed}": (_named("random_networks:random_network", seed=seed), 3, 16) for seed in range(1, 11)},
}  # fmt: skip


def build(family: str) -> Any:
    import torch

    torch.manual_seed(0)
    return FAMILIES[family][0]().eval()


def export(family: str, side: int) -> Any:
    import torch

    from narrows.rowgraph.capture import export_at

    example = torch.zeros(1, 1, 1, 1).expand(1, FAMILIES[family][1], side, side)
    return export_at(build(family), [example], {})


def cost(family: str, side: int) -> tuple[int, int]:
    """Multiply-accumulates, and bytes read and written."""
    from narrows.costing.kinds import describe
    from narrows.costing.layouts import placed_calls

    macs = moved = 0
    for each in placed_calls(export(family, side)):
        described = None if each.view else describe(each.call)
        if described is not None and described.kind.startswith(("conv", "linear", "matmul", "attention")):
            macs += int(described.work[0])
        if not each.view:
            moved += sum(t.count * t.itemsize for t in (*each.call.tensors, *each.call.outputs))
    return macs, moved


def entries() -> list[dict[str, Any]]:
    """Every network at the size that brings it into each group, where one does."""
    path = RESULTS.parent / ".prediction_entries.json"
    if path.exists():
        held: list[dict[str, Any]] = json.loads(path.read_text())
        return held
    found = []
    for family, (_, _, step) in FAMILIES.items():
        side = 4 * step
        try:
            macs, _ = cost(family, side)
        except ModuleNotFoundError as error:
            print(f"left out: {family} ({error})", file=sys.stderr)
            continue
        for group, low in GROUPS.items():
            fitting = max(step, round(side * (1.4 * low / macs) ** 0.5 / step) * step)
            here, moved = cost(family, fitting)
            if low <= here < 2 * low and fitting >= 32:
                found.append({"family": family, "side": fitting, "group": group, "macs": here, "bytes": moved})
    path.write_text(json.dumps(found))
    return found


def _run(family: str, side: int, threads: int, pipe: Any) -> None:
    import torch

    torch.set_num_threads(threads)
    model = build(family)
    image = torch.rand(1, FAMILIES[family][1], side, side)
    taken: list[float] = []
    discarded = 0
    with torch.inference_mode():
        for _ in range(WARM):
            model(image)
        while len(taken) < REPEATS and discarded < 3 * REPEATS:
            wall, cpu = time.perf_counter(), time.process_time()
            model(image)
            passed, used = time.perf_counter() - wall, time.process_time() - cpu
            if used < 0.93 * passed - 2e-5:
                discarded += 1
            else:
                taken.append(passed)
    pipe.send((taken, discarded))


def measure(part: int, parts: int, threads: int) -> None:
    import torch  # noqa: F401  (imported once; each network's process is forked from here)

    warnings.simplefilter("ignore")
    held = (
        json.loads(MEASURED.read_text())
        if MEASURED.exists()
        else {"machine": machine(), "threads": threads, "runs": []}
    )
    wanted = [(r, entry) for r in range(ROUNDS) for entry in entries()]
    # Rounds are apart, and the order in each is drawn.
    order = random.Random(0)
    rounds = [[entry for r, entry in wanted if r == number] for number in range(ROUNDS)]
    for each in rounds:
        order.shuffle(each)
    queue = [(number, entry) for number, each in enumerate(rounds) for entry in each]
    queue = queue[len(queue) * (part - 1) // parts : len(queue) * part // parts]
    context = get_context("fork")
    for number, entry in queue:
        if any(
            r["family"] == entry["family"] and r["side"] == entry["side"] and r["round"] == number for r in held["runs"]
        ):
            continue
        ours, theirs = context.Pipe()
        process = context.Process(target=_run, args=(entry["family"], entry["side"], threads, theirs))
        process.start()
        taken, discarded = ours.recv() if ours.poll(120) else ([], 0)
        process.join()
        held["runs"].append({**entry, "round": number, "seconds": taken, "discarded": discarded})
        MEASURED.write_text(json.dumps(held) + "\n")
        if taken:
            print(
                f"{entry['family']:24s} {entry['side']:5d} {entry['group']:6s} {middle(taken) * 1e3:9.2f} ms",
                flush=True,
            )


def judge(profile_path: str, show_operators: str | None) -> dict[str, Any]:
    import numpy as np
    from scipy.stats import spearmanr

    from narrows.costing.machine import read_profile
    from narrows.costing.prediction import Predictor

    warnings.simplefilter("ignore")
    predictor = Predictor(read_profile(profile_path))
    held = json.loads(MEASURED.read_text())
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    discarded = lost = 0
    for run in held["runs"]:
        discarded += run["discarded"]
        if len(run["seconds"]) < 3:
            lost += 1
            continue
        row = rows.setdefault(
            (run["family"], run["side"]),
            {k: run[k] for k in ("family", "side", "group", "macs", "bytes")} | {"rounds": [], "spreads": []},
        )
        row["rounds"].append(middle(run["seconds"]))
        low, high = np.quantile(run["seconds"], (0.25, 0.75))
        row["spreads"].append(float(high - low) / middle(run["seconds"]))
    found = []
    for (family, side), row in rows.items():
        prediction = predictor.predict(export(family, side))
        measured = middle(row["rounds"])
        if show_operators is not None and show_operators in family:
            for operator in prediction.operators:
                print(f"{operator.target:45s} {operator.kind!s:32s} {1e6 * operator.seconds:9.1f}")
        found.append(
            row
            | {
                "network": f"{family}, {side} x {side}",
                "measured_ms": measured * 1e3,
                "predicted_ms": prediction.seconds * 1e3,
                "fresh_ms": sum(o.fresh_seconds for o in prediction.operators) * 1e3,
                "error": prediction.seconds / measured - 1,
                "noise": abs(row["rounds"][0] - row["rounds"][-1]) / measured,
                "unmeasured": list(prediction.unmeasured),
            }
        )
    found.sort(key=lambda row: (row["macs"] >= 0, list(GROUPS).index(row["group"]), row["measured_ms"]))
    times = np.array([row["measured_ms"] for row in found])
    fits = {"predicted": np.array([row["predicted_ms"] for row in found])}
    for what in ("macs", "bytes"):
        amount = np.log(np.array([row[what] for row in found], dtype=float))
        slope, start = np.polyfit(amount, np.log(times), 1)
        fits[f"fit on {what}"] = np.exp(start + slope * amount)
    summary = []
    for name, told in fits.items():
        error = np.abs(told / times - 1)
        line: dict[str, Any] = {"what": name, "median_error_percent": round(100 * float(np.median(error)), 1),
                                "p90_error_percent": round(100 * float(np.quantile(error, 0.9)), 1)}  # fmt: skip
        for group in GROUPS:
            here = [place for place, row in enumerate(found) if row["group"] == group]
            if len(here) > 4:
                line[f"rank_{group.replace(' ', '_')}"] = round(float(spearmanr(told[here], times[here]).statistic), 3)
        summary.append(line)
    noise = np.array([row["noise"] for row in found])
    about = {
        "networks": len(found),
        "families": len({row["family"] for row in found}),
        "runs_discarded_under_load": discarded,
        "networks_lost_to_load": lost,
        "noise_median_percent": round(100 * float(np.median(noise)), 1),
        "noise_p90_percent": round(100 * float(np.quantile(noise, 0.9)), 1),
        "threads": predictor.profile.threads,
        "calibration_seconds": predictor.profile.seconds,
    }
    shown = [
        {k: (round(v, 3) if isinstance(v, float) else v) for k, v in row.items() if k not in ("rounds", "spreads")}
        for row in found
    ]
    table("Each network", shown, ("network", "group", "measured_ms", "predicted_ms", "fresh_ms", "error", "noise"))
    table("Altogether", summary, list(summary[0]))
    print(about)
    return {"about": about, "summary": summary, "rows": shown}


def plot(found: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 6))
    rows = found["rows"]
    low = 0.7 * min(min(r["measured_ms"], r["predicted_ms"]) for r in rows)
    high = 1.4 * max(max(r["measured_ms"], r["predicted_ms"]) for r in rows)
    axes.fill_between([low, high], [low / 1.15, high / 1.15], [low * 1.15, high * 1.15], color="#dddddd", label="15 %")
    axes.plot([low, high], [low, high], color="#888888", linewidth=1)
    for colour, group in zip(("#4477aa", "#228833", "#ee6677", "#aa3377"), GROUPS, strict=True):
        here = [r for r in rows if r["group"] == group]
        axes.scatter([r["measured_ms"] for r in here], [r["predicted_ms"] for r in here], s=22, color=colour,
                     label=f"{group} to twice that")  # fmt: skip
    axes.set(
        xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), xlabel="measured, ms", ylabel="predicted, ms"
    )
    axes.legend(title="multiply-accumulates", frameon=False)
    axes.set_aspect("equal")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"written: {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("list", "measure", "judge"))
    parser.add_argument("--part", default="1/1", help="as 2/4")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--profile")
    parser.add_argument("--operators", metavar="FAMILY", help="print a family's operators as well")
    chosen = parser.parse_args()
    if chosen.what == "list":
        table("Networks", entries(), ("family", "side", "group", "macs", "bytes"))
    elif chosen.what == "measure":
        os.environ["OMP_NUM_THREADS"] = str(chosen.threads)
        part, _, parts = chosen.part.partition("/")
        measure(int(part), int(parts), chosen.threads)
    else:
        if chosen.profile is None:
            parser.error("judge needs --profile")
        found = judge(chosen.profile, chosen.operators)
        save("prediction", {**found["about"], "networks_each": found["rows"]}, found["summary"])
        plot(found, RESULTS.parents[1] / "docs" / "images" / "prediction.png")


if __name__ == "__main__":
    main()
