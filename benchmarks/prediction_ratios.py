"""How well a profile tells what changing one place of a network does to its time: predicted ratio against measured.

    narrows calibrate --threads 1 --export profile.json
    python benchmarks/prediction_ratios.py measure     # on a quiet machine; what is measured already is kept
    python benchmarks/prediction_ratios.py predict --profile profile.json
    python benchmarks/prediction_ratios.py judge

The pairs are those that `narrows check` tries: networks with one planted fault and networks of the catalogue, each with
a copy in which a guideline changed one place. Both run here, interleaved and shuffled, as `narrows check` runs them. A
pair in which two copies of the same network differ by more than 10 % is discarded and counted.

Beside them stand pairs of networks that share nothing, from what benchmarks/prediction.py measured and predicted: any
two whose operations differ by at most 2 times.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from itertools import combinations
from math import exp, log
from pathlib import Path
from typing import Any

from common import RESULTS, machine, save, table

ROOT = Path(__file__).resolve().parents[1]
MEASURED = RESULTS / "prediction_ratios_measured.json"
PREDICTED = RESULTS / "prediction_ratios_predicted.json"
SECONDS = 1.2
RESTLESS = 0.1
TRIED = 2
# Name: (module:function, channels, side).
CATALOGUE: dict[str, tuple[str, int, int]] = {
    "ShuffleNet V2": ("narrows.networks.shufflenet:shufflenet_v2", 3, 224),
    "MobileNetV2": ("narrows.networks.mobilenet_v2:mobilenet_v2", 3, 192),
    "MobileNetV3": ("narrows.networks.mobilenet_v3:mobilenet_v3_large", 3, 224),
    "SqueezeNet": ("narrows.networks.squeezenet:squeezenet", 3, 160),
    "NASNet-A": ("narrows.networks.nasnet:nasnet_a_mobile", 3, 128),
    "ResNet-50": ("narrows.networks.resnet:resnet50", 3, 96),
    "SE-ResNet-50": ("narrows.networks.resnet:se_resnet50", 3, 96),
    "U-Net": ("narrows.networks.unet:unet", 6, 128),
    "dilated": ("narrows.networks.dilated:dilated", 6, 128),
    "rowwise water": ("narrows.networks.rowwise_water:rowwise_water", 6, 384),
    "ConvNeXt": ("narrows.networks.convnext:convnext_dense", 6, 128),
    "pyramid": ("narrows.networks.pyramid:two_output_pyramid", 6, 192),
    **{f"random {seed}": (f"random_networks:random_network?{seed}", 3, 128) for seed in range(1, 11)},
}
FAULT_SIDE = 256
FAULTS = [
    *("unequal", "grouped", "fragmented", "passes", "changing", "narrow_relu", "separable_first", "split"),
    *("without_attention", "gated", "long_skip", "barred", "odd_widths"),
]


def networks() -> Iterator[tuple[str, Callable[[], Any], int, int]]:
    """Name, factory, channels and side of every network."""
    from importlib import import_module

    sys.path.insert(0, str(ROOT))
    for name in FAULTS:
        yield f"planted: {name}", getattr(import_module("tests.guidelines.faults"), name), 3, FAULT_SIDE
    for name, (place, channels, side) in CATALOGUE.items():
        module, _, rest = place.partition(":")
        function, _, seed = rest.partition("?")
        factory = getattr(import_module(module), function)
        yield name, (lambda f=factory, s=seed: f(int(s)) if s else f()), channels, side


def pairs(name: str, factory: Callable[[], Any], channels: int, side: int) -> Iterator[tuple[str, Any, Any]]:
    """A label, the subject, and the experiment, for each change judged by time."""
    import torch

    from narrows.guidelines.catalogue import GUIDELINES
    from narrows.guidelines.core.subject import Subject

    torch.manual_seed(0)
    subject = Subject(factory().eval(), [(1, channels, side, side)], torch.float32)
    for guideline in GUIDELINES:
        found = sorted(guideline.find(subject), key=lambda seen: -seen.weight)
        tried = [s.experiment for s in found if s.experiment is not None and s.experiment.size is None]
        for place, experiment in enumerate(tried[:TRIED]):
            yield f"{name}, {guideline.key}{f' ({place + 1})' if place else ''}", subject, experiment


def measure(wait: bool) -> None:
    import torch

    from narrows.guidelines.core.copies import call, copied, images
    from narrows.guidelines.core.guideline import NotTriable
    from narrows.guidelines.core.measuring import ThisMachine, kept_lively
    from narrows.guidelines.core.noise import compared
    from narrows.guidelines.core.surgery import changed

    warnings.simplefilter("ignore")
    held = json.loads(MEASURED.read_text()) if MEASURED.exists() else {"machine": machine(), "pairs": {}}
    ready = [pair for network in networks() for pair in pairs(*network) if pair[0] not in held["pairs"]]
    print(f"{len(ready)} pairs to measure", flush=True)
    if wait:
        sys.stdin.readline()
    for label, subject, experiment in ready:
        try:
            runs = {"network": copied(subject), "twin": copied(subject)}
            runs["changed"] = changed(subject.model, experiment.change)
        except NotTriable as error:
            print(f"left out: {label} ({error})", file=sys.stderr)
            continue
        inputs = images(subject, (subject.height, subject.width))
        with torch.inference_mode():
            try:
                for model in runs.values():
                    kept_lively(model, lambda m, x=inputs: call(m, x))
            except Exception as error:
                print(f"left out: {label} ({error})", file=sys.stderr)
                continue
            works = {key: (lambda m=model, x=inputs: call(m, x)) for key, model in runs.items()}
            taken = ThisMachine().seconds(works, SECONDS)
        ratio = compared(taken["network"], taken["twin"], taken["changed"])
        found = {"change": experiment.title, "ms": 1e3 * sorted(taken["network"])[len(taken["network"]) // 2]}
        found |= {"ratio": ratio.middle, "low": ratio.low, "high": ratio.high, "noise": ratio.noise}
        held["pairs"][label] = found
        MEASURED.write_text(json.dumps(held, indent=1) + "\n")
        print(f"{label:32s} {found['ms']:8.1f} ms  {ratio.middle:6.3f}  noise {ratio.noise:.3f}", flush=True)


def predict(profile: str) -> None:
    """The ratio of each pair, and the share of time in which its networks differ, kept beside what is measured."""
    from narrows.costing.machine import read_profile
    from narrows.guidelines.core.guideline import NotTriable
    from narrows.guidelines.core.ratios import Forecast
    from narrows.guidelines.core.surgery import changed

    warnings.simplefilter("ignore")
    machine_profile = read_profile(profile)
    held: dict[str, Any] = {"machine": dict(machine_profile.machine), "threads": machine_profile.threads, "pairs": {}}
    for network in networks():
        forecast = None
        for label, subject, experiment in pairs(*network):
            forecast = forecast or Forecast(subject, machine_profile)
            try:
                told = forecast.of(changed(subject.model, experiment.change))
            except NotTriable as error:
                print(f"left out: {label} ({error})", file=sys.stderr)
                continue
            held["pairs"][label] = {"predicted": round(told.ratio, 4), "differing": round(told.differing, 4)}
            held["pairs"][label]["unmeasured"] = list(told.unmeasured)
            PREDICTED.write_text(json.dumps(held, indent=1) + "\n")
            print(f"{label:32s} {told.ratio:6.3f} {told.differing:6.3f}", flush=True)


def joined() -> list[dict[str, Any]]:
    """Each pair that was measured and predicted."""
    measured = json.loads(MEASURED.read_text())["pairs"]
    predicted = json.loads(PREDICTED.read_text())["pairs"]
    rows = []
    for label, held in measured.items():
        if label in predicted:
            row = {"pair": label, "measured": held["ratio"], "measured_low": held["low"], "measured_high": held["high"]}
            row = {name: round(value, 4) if name != "pair" else value for name, value in row.items()}
            rows.append(row | {"noise": round(held["noise"], 4), **predicted[label], "change": held["change"]})
    return rows


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How far the ratios lie apart, and how often the interval that a finding shows holds what was measured."""
    import numpy as np

    from narrows.guidelines.core.noise import LEAST_EFFECT
    from narrows.guidelines.core.ratios import CALL_ERROR

    kept = [row for row in rows if not row["unmeasured"] and row["noise"] <= RESTLESS]
    errors = np.array([abs(log(row["predicted"] / row["measured"])) for row in kept])
    by_share = np.array([e / row["differing"] for e, row in zip(errors, kept, strict=True) if row["differing"] > 0.05])
    inside, wrong, told = [], [], 0
    for row in kept:
        factor = max(exp(CALL_ERROR * row["differing"]), 1 + LEAST_EFFECT)
        low, high = row["predicted"] / factor, row["predicted"] * factor
        row |= {"low": round(low, 4), "high": round(high, 4)}
        inside.append(row["measured_low"] <= high and row["measured_high"] >= low)
        faster, slower = low > 1 + LEAST_EFFECT, high < 1 / (1 + LEAST_EFFECT)
        told += faster or slower
        if (faster and row["measured_high"] < 1) or (slower and row["measured_low"] > 1):
            wrong.append(row["pair"])
    return {
        "pairs": len(kept),
        "with_unmeasured_operators": sum(bool(row["unmeasured"]) for row in rows),
        "discarded_under_load": sum(row["noise"] > RESTLESS for row in rows),
        "median_error_percent": round(100 * (exp(float(np.median(errors))) - 1), 1),
        "p90_error_percent": round(100 * (exp(float(np.quantile(errors, 0.9))) - 1), 1),
        "call_error_p50": round(float(np.quantile(by_share, 0.5)), 3),
        "call_error_p90": round(float(np.quantile(by_share, 0.9)), 3),
        "call_error_used": CALL_ERROR,
        "inside_percent": round(100 * sum(inside) / len(inside), 1),
        "told_apart": int(told),
        "told_wrong": len(wrong),
        "which_wrong": wrong,
    }


def unrelated() -> dict[str, Any]:
    """The same of any two networks of one group of benchmarks/prediction.py: they differ in all their time."""
    import numpy as np

    from narrows.guidelines.core.ratios import CALL_ERROR

    held = json.loads((RESULTS / "prediction.json").read_text())["settings"]["networks_each"]
    off = [(row["group"], log(row["predicted_ms"] / row["measured_ms"])) for row in held]
    errors = np.array([abs(a - b) for (one, a), (other, b) in combinations(off, 2) if one == other])
    return {
        "what": "any two networks of like operations",
        "pairs": len(errors),
        "median_error_percent": round(100 * (exp(float(np.median(errors))) - 1), 1),
        "p90_error_percent": round(100 * (exp(float(np.quantile(errors, 0.9))) - 1), 1),
        "inside_percent": round(100 * float(np.mean(errors <= CALL_ERROR * 2**0.5)), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("list", "measure", "predict", "judge"))
    parser.add_argument("--wait", action="store_true", help="once all is ready to be timed, wait for a line")
    parser.add_argument("--profile")
    chosen = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if chosen.what == "list":
        warnings.simplefilter("ignore")
        for network in networks():
            for label, _, experiment in pairs(*network):
                print(label, "-", experiment.title)
    elif chosen.what == "measure":
        measure(chosen.wait)
    elif chosen.what == "predict":
        if chosen.profile is None:
            parser.error("predict needs --profile")
        predict(chosen.profile)
    else:
        rows = joined()
        about = {"what": "a network and its changed copy", **summary(rows)}
        table("Pairs", rows, ("pair", "measured", "measured_low", "measured_high", "predicted", "differing", "noise"))
        print(json.dumps(about, indent=1))
        save("prediction_ratios", {**about, "pairs_each": rows}, [about, unrelated()])


if __name__ == "__main__":
    main()
