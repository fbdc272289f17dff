"""Multiply-accumulates of small networks, as several counters give them, beside the count by hand.

    pip install fvcore torchinfo thop ptflops
    python benchmarks/counters.py

A counter that isn't installed, or fails on a network, is left out with what it said.
"""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import save, table

HEIGHT, WIDTH, CHANNELS = 12, 16, 8


def _torch(model: Any, image: Any) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        model(image)
    return counter.get_total_flops() // 2


def _fvcore(model: Any, image: Any) -> int:
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(model, image).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return int(analysis.total())


def _torchinfo(model: Any, image: Any) -> int:
    from torchinfo import summary

    return int(summary(model, input_data=image, verbose=0).total_mult_adds)


def _thop(model: Any, image: Any) -> int:
    from thop import profile

    return int(profile(model, inputs=(image,), verbose=False)[0])


def _ptflops(model: Any, image: Any, backend: str) -> int:
    from ptflops import get_model_complexity_info

    found = get_model_complexity_info(
        model, tuple(image.shape[1:]), as_strings=False, print_per_layer_stat=False, verbose=False, backend=backend
    )
    if found[0] is None:
        raise RuntimeError("gives nothing")
    return int(found[0])


def _narrows(model: Any, image: Any) -> int:
    import narrows

    return int(narrows.cost(model, HEIGHT, WIDTH, channels=CHANNELS).totals["macs"])


COUNTERS: dict[str, Callable[[Any, Any], int]] = {
    "narrows": _narrows,
    "torch": _torch,
    "fvcore": _fvcore,
    "torchinfo": _torchinfo,
    "thop": _thop,
    "ptflops, pytorch": lambda model, image: _ptflops(model, image, "pytorch"),
    "ptflops, aten": lambda model, image: _ptflops(model, image, "aten"),
}


def main() -> None:
    import torch
    from tests.costing.networks import COUNTED

    rows = []
    for name, kind in COUNTED.items():
        row: dict[str, Any] = {"network": name, "by_hand": kind.macs(HEIGHT, WIDTH)}
        for counter, count in COUNTERS.items():
            torch.manual_seed(0)
            silence = io.StringIO()
            with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(silence):
                warnings.simplefilter("ignore")
                try:
                    row[counter] = count(kind().eval(), torch.rand(1, CHANNELS, HEIGHT, WIDTH))
                except ImportError:
                    row[counter] = "not installed"
                except Exception as error:
                    row[counter] = f"fails ({type(error).__name__})"
        rows.append(row)
    table("multiply-accumulates", rows, ["network", "by_hand", *COUNTERS])
    save("counters", {"image": f"{CHANNELS}x{HEIGHT}x{WIDTH}"}, rows)


if __name__ == "__main__":
    main()
