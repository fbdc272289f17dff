"""How well a profile tells what changing one place of a network does to its time: predicted ratio against measured.

    narrows calibrate --threads 1 --export profile.json
    python benchmarks/prediction_ratios.py measure     # on a quiet machine; what is measured already is kept
    python benchmarks/prediction_ratios.py judge --profile profile.json

The pairs are those that `narrows check` tries: networks with one planted fault and networks of the catalogue, each with
a copy in which a guideline changed one place. Both run here, interleaved and shuffled, as `narrows check` runs them. A
pair in which two copies of the same network differ by more than 5 % is discarded and counted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from math import exp, log
from pathlib import Path
from typing import Any

from common import RESULTS, machine, save, table

ROOT = Path(__file__).resolve().parents[1]
MEASURED = RESULTS / "prediction_ratios_measured.json"
SECONDS = 1.2
RESTLESS = 0.05
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


def judge(profile: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    import numpy as np

    from narrows.costing.machine import read_profile
    from narrows.guidelines.core.ratios import CALL_ERROR, Forecast
    from narrows.guidelines.core.surgery import changed

    warnings.simplefilter("ignore")
    machine_profile = read_profile(profile)
    held = json.loads(MEASURED.read_text())["pairs"]
    rows = []
    restless = 0
    for network in networks():
        forecast = None
        for label, subject, experiment in pairs(*network):
            if label not in held:
                continue
            measured = held[label]
            if measured["noise"] > RESTLESS:
                restless += 1
                continue
            forecast = forecast or Forecast(subject, machine_profile)
            told = forecast.of(changed(subject.model, experiment.change))
            low, high = told.interval
            error = log(told.ratio / measured["ratio"])
            rows.append(
                {
                    "pair": label,
                    "measured": round(measured["ratio"], 3),
                    "measured_low": round(measured["low"], 3),
                    "measured_high": round(measured["high"], 3),
                    "predicted": round(told.ratio, 3),
                    "low": round(low, 3),
                    "high": round(high, 3),
                    "differing": round(told.differing, 3),
                    "error": round(exp(abs(error)) - 1, 3),
                    "for_each_share": round(abs(error) / max(told.differing, 1e-3), 3),
                    "unmeasured": list(told.unmeasured),
                }
            )
    table("Pairs", rows, list(rows[0]))
    kept = [row for row in rows if not row["unmeasured"]]
    errors = np.array([row["error"] for row in kept])
    scaled = np.array([row["for_each_share"] for row in kept if row["differing"] > 0.05])
    inside = [row["measured_low"] <= row["high"] and row["measured_high"] >= row["low"] for row in kept]
    verdicts = [(row, row["low"] > 1.02, row["high"] < 1 / 1.02) for row in kept]
    wrong = [row["pair"] for row, faster, slower in verdicts
             if (faster and row["measured_high"] < 1) or (slower and row["measured_low"] > 1)]  # fmt: skip
    told = sum(faster or slower for _, faster, slower in verdicts)
    about = {
        "pairs": len(kept),
        "with_unmeasured_operators": len(rows) - len(kept),
        "discarded_under_load": restless,
        "median_error_percent": round(100 * float(np.median(errors)), 1),
        "p90_error_percent": round(100 * float(np.quantile(errors, 0.9)), 1),
        "call_error_p50": round(float(np.quantile(scaled, 0.5)), 3),
        "call_error_p90": round(float(np.quantile(scaled, 0.9)), 3),
        "call_error_used": CALL_ERROR,
        "inside_percent": round(100 * sum(inside) / len(inside), 1),
        "told_apart": told,
        "told_wrong": wrong,
        "profile_seconds": machine_profile.seconds,
        "threads": machine_profile.threads,
    }
    print(json.dumps(about, indent=1))
    return about, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("list", "measure", "judge"))
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
    else:
        if chosen.profile is None:
            parser.error("judge needs --profile")
        about, rows = judge(chosen.profile)
        save("prediction_ratios", {**about, "pairs_each": rows}, [about | {"told_wrong": len(about["told_wrong"])}])


if __name__ == "__main__":
    main()
