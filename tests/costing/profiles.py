"""A machine that never was: times by a law that is known exactly."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from narrows.costing.calibration import FORMAT, VERSION

A_CALL, A_MAC, A_BYTE = 1e-5, 2e-11, 1e-10


def conv_seconds(cin: int, cout: int, side: int, kernel: int) -> float:
    """What the machine takes for a convolution that keeps the size of a square image."""
    moved = 4 * (side * side * (cin + cout) + cin * cout * kernel**2)
    return A_CALL + A_MAC * side * side * cin * cout * kernel**2 + A_BYTE * moved


def relu_seconds(count: int) -> float:
    return A_CALL + 8 * A_BYTE * count


def profile(**changed: Any) -> dict[str, Any]:
    """A profile of dense convolutions and ReLU, as JSON has it."""
    r = random.Random(0)
    points = []
    for _ in range(120):
        cin, cout, side = r.choice((8, 16, 32, 64)), r.choice((8, 16, 32, 64)), r.choice((64, 96, 128, 192, 256))
        k = r.choice((3, 5))
        args = [
            {"shape": [1, cin, side, side]},
            {"shape": [cout, cin, k, k]},
            None,
            [1, 1],
            [k // 2, k // 2],
            [1, 1],
            1,
        ]
        points.append(_point("aten.conv2d.default", args, [1, cout, side, side], conv_seconds(cin, cout, side, k)))
    for _ in range(40):
        cin, cout, side = r.choice((8, 16, 32, 64)), r.choice((1, 8, 16, 32)), r.choice((64, 96, 128, 192, 256))
        args = [{"shape": [1, cin, side, side]}, {"shape": [cout, cin, 1, 1]}, None, [1, 1], [0, 0], [1, 1], 1]
        points.append(_point("aten.conv2d.default", args, [1, cout, side, side], conv_seconds(cin, cout, side, 1)))
    for power in range(8, 25):
        points.append(_point("aten.relu.default", [{"shape": [1 << power]}], [1 << power], relu_seconds(1 << power)))
    held = {
        "format": FORMAT,
        "version": VERSION,
        "machine": {"processor": "none", "cores": 1, "torch": "2.13.0", "capability": "NONE", "date": "2026-01-01"},
        "threads": 1,
        "seconds": 1.0,
        "load": {"samples_discarded": 0, "operators_repeated": 0, "operators_given_up": 0, "load_average": 0.0},
        "overheads": {"operator": A_CALL, "view": 1e-6, "between": 0.0},
        "bandwidth": [{"bytes": 1 << p, "bytes_per_second": 1e10} for p in range(12, 28)],
        "fresh_seconds_per_byte": None,
        "cold_seconds_per_byte": None,
        "points": points,
    }
    return held | changed


def _point(target: str, args: list[Any], output: list[int], seconds: float) -> dict[str, Any]:
    return {"target": target, "args": args, "output": [{"shape": output}], "seconds": seconds, "spread": 0.01}


def write(path: Path, **changed: Any) -> Path:
    path.write_text(json.dumps(profile(**changed)))
    return path
