"""Tables of measured results as Markdown; keeps those in README.md equal to the files in benchmarks/results.

    python benchmarks/report.py           # write README's tables again
    python benchmarks/report.py --check   # exit 1 if they differ

In README a table stands between ``<!-- benchmark NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"
CHOICES = (
    *("pixels", "network", "against", "seeds", "mean_IoU", "deviation", "difference", "standard_error", "as_trained"),
)
# An empty list stands for all that the rows have.
COLUMNS: dict[str, list[str]] = {
    "prediction": [
        "what",
        "median_error_percent",
        "p90_error_percent",
        "rank_0.1_G",
        "rank_0.5_G",
        "rank_2_G",
        "rank_6_G",
    ],
    "prediction_ratios": [
        *("what", "pairs", "median_error_percent", "p90_error_percent", "inside_percent", "told_apart", "told_wrong"),
    ],
    "memory": ["network", "size", "budget", "strip", "predicted_MB", "measured_max_MB", "verdict"],
    "memory_maps": ["network", "size", "budget", "strip", "predicted_MB", "measured_max_MB", "verdict"],
    "deepwatermap_strips": ["size", "way", "seconds_median", "spread", "ratio", "peak_MB"],
    "full_scene": ["what", "budget", "seconds", "against_rasterio", "peak_MB"],
    "water_full_scene": ["what", "budget", "seconds", "spread", "against_rasterio", "peak_MB"],
    "rows_constant": ["rows", "width", "us_per_row", "against_median", "spread", "peak_MB"],
    "guideline_tables": [
        *("table", "paper's", "case", "channels", "M_access", "ms"),
        *("here x1", "paper x1", "here x2", "paper x2", "here x4", "paper x4"),
    ],
    "mobile_networks": [
        "group",
        "network",
        "M_macs",
        "more_macs",
        "ms",
        "spread",
        "ratio",
        "ratio_low",
        "ratio_high",
        "papers",
        "rounds",
        "disturbed",
    ],
    "memory_by_level": [
        "level",
        "sides",
        "doubled_channels",
        "doubled_MB",
        "constant_channels",
        "constant_MB",
        "ratio",
    ],
    "counters": [
        *("network", "by_hand", "narrows", "torch", "fvcore", "torchinfo", "thop"),
        *("ptflops, pytorch", "ptflops, aten"),
    ],
    "dead_units": ["width", "end", "seeds", "collapsed", "dead_units", "loss_median"],
    "camera": [
        "vertical",
        "lines_come",
        "lines_per_second",
        "leaves_at_line",
        "delay_ms_p50",
        "delay_ms_p99",
        "work_ms_p50",
        "between_ms_p50",
        "between_ms_p99",
        "most_waiting",
    ],
    "vertical_iir": ["shape", "filter", "pass", "method", "loop_ms", "operator_ms", "speedup", "largest_spread"],
    "fir_to_iir": [
        "vertical",
        "waits_at",
        "kept_values",
        "delay",
        "kernel_error",
        "output_error",
        "IoU",
        "tuned_error",
        "tuned_IoU",
    ],
    "fir_to_iir_kernels": ["kernel", "order", "lines", "delay_0", "delay_1", "delay_2", "delay_3"],
    "dates": ["what", "water_in_both_km2", "gain_km2", "loss_km2", "not_comparable_share"],
    "dates_series": ["date", "water_pixels", "hidden_pixels", "no_data_pixels", "not_observed_share"],
    "series_memory": ["maps", "size", "budget", "peak_MB"],
    "water_truth": [
        *("split", "method", "iou", "f1", "precision", "recall", "f1_unobserved_as_land", "boundary_f1"),
        *("ece", "ece_middle", "clear_unobserved_share"),
    ],
    "water_truth_scenes": [],
    "water_hard_cases": [
        *(
            "case",
            "method",
            "recall",
            "land_called_water",
            "precision",
            "f1",
            "clear_hidden_share",
            "on_it_called_water",
        ),
        "water_pixels",
    ],
    "water_failures": [],
    "water_burn_scars": ["method", "burnt_pixels", "called_water", "called_water_percent", "unobserved_percent"],
    "water_anchoring": [
        *("scene", "method", "changed_percent", "changed_away_percent", "largest_change_away", "changed_away_not_near"),
    ],
    "water_choices": [*CHOICES],
    "water_choices_hidden": [*CHOICES],
    "water_choices_longer": [*CHOICES],
    "water_choices_longer_hidden": [*CHOICES],
    "water_choices_costs": [],
    "water_seeds": [],
    "water_held_out": ["pixels", "method", "n", "iou", "f1", "precision", "recall"],
    "water_held_out_calibration": ["pixels", "n", "ece", "n_middle", "ece_middle", "low", "high"],
    "water_small_held_out": ["pixels", "method", "n", "iou", "f1", "precision", "recall"],
    "water_small_held_out_calibration": ["pixels", "n", "ece", "n_middle", "ece_middle", "low", "high"],
    "water_small_truth": ["split", "method", "iou", "f1", "precision", "recall", "boundary_f1", "ece", "ece_middle"],
    "water_small_truth_scenes": [],
    "enhance_memory": ["file", "budget", "measured_max_MB", "said"],
    "imaging_curve": [
        *("vertical", "filter", "states", "seed", "look_ahead", "delay", "Mbit", "psnr", "psnr_float", "ssim"),
        *("macs_a_pixel", "parameters"),
    ],
    "imaging_motion": ["test", "trained_for", "look_ahead", "steps", "psnr", "ssim"],
    "imaging_peers": ["task", "test", "peer", "psnr", "ssim"],
    "imaging_tasks": ["task", "test", "psnr", "ssim", "psnr_rounded", "ssim_rounded"],
    "imaging_twins": [
        *("task", "test", "network", "psnr", "ssim", "delay", "Mbit", "macs_a_pixel", "parameters", "steps"),
    ],
    "peers": ["network", "size", "way", "seconds", "peak_MB", "added_MB", "largest_difference", "said"],
}
SCRIPTS = {
    "water_full_scene": "full_scene.py --repeats 5 --only-water --name water_full_scene",
    "dates_series": "dates.py",
    "water_truth_scenes": "water_truth.py",
    "water_choices": "water_choices.py collect",
    "water_choices_hidden": "water_choices.py collect",
    "water_choices_longer": "water_choices.py collect --name water_choices_longer",
    "water_choices_longer_hidden": "water_choices.py collect --name water_choices_longer",
    "water_choices_costs": "water_choices.py cost",
    "water_held_out_calibration": "water_held_out.py",
    "water_small_held_out": "water_held_out.py --model water-small",
    "water_small_held_out_calibration": "water_held_out.py --model water-small",
    "water_small_truth": "water_truth.py --model water-small",
    "water_small_truth_scenes": "water_truth.py --model water-small",
    "fir_to_iir_kernels": "fir_to_iir.py --kernels",
    "prediction": "prediction.py judge --profile profile.json",
    "prediction_ratios": "prediction_ratios.py judge",
    "memory_maps": "memory.py --maps --networks dilated --name memory_maps",
}
DIGITS = {"psnr": 2, "psnr_rounded": 2, "psnr_float": 2, "ssim": 3, "ssim_rounded": 3}
DIGITS |= dict.fromkeys(("mean_IoU", "deviation", "difference", "standard_error", "as_trained"), 4)
MARK = re.compile(r"(<!-- benchmark (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def as_markdown(name: str, results: Path = RESULTS) -> str:
    """The table of one benchmark, with the machine it was measured on; or how to measure it."""
    script = f"benchmarks/{SCRIPTS.get(name, f'{name}.py')}"
    path = results / f"{name}.json"
    if not path.exists():
        return f"*Not measured yet: run `python {script}`.*\n"
    found = json.loads(path.read_text())
    columns = [column for column in COLUMNS[name] or found["rows"][0] if any(column in row for row in found["rows"])]
    lines = [
        "| " + " | ".join(_heading(column) for column in columns) + " |",
        "|" + "|".join("---" for _ in columns) + "|",
        *("| " + " | ".join(_cell(row.get(column), column) for column in columns) + " |" for row in found["rows"]),
    ]
    machine = found["machine"]
    lines += [
        "",
        f"`python {script}` on {machine['cores']} cores ({machine['processor']}), "
        f"PyTorch {machine['torch'].partition('+')[0]}, {machine['date']}.",
    ]
    return "\n".join(lines) + "\n"


def _heading(column: str) -> str:
    words = {"us_per_row": "µs per row", "seconds_median": "seconds", "measured_max_MB": "measured MB", "said": ""}
    words |= {"psnr": "PSNR (dB)", "ssim": "SSIM"}
    return words.get(column, column.replace("_", " "))


def _cell(value: Any, column: str) -> str:
    if value is None:
        return ""
    if column in DIGITS:
        return f"{value:.{DIGITS[column]}f}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value).replace("|", "\\|")
    if isinstance(value, int):
        return f"{value:,}"
    if value and abs(value) < 1e-2:
        return f"{value:.1e}"
    return f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"


def filled(text: str) -> str:
    """`text` with every marked table written from the results."""
    return MARK.sub(lambda found: f"{found[1]}{as_markdown(found[2])}{found[3]}", text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    chosen = parser.parse_args()
    before = README.read_text()
    after = filled(before)
    if chosen.check:
        return int(before != after)
    README.write_text(after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
