"""What the benchmarks share: networks by name, synthetic rows, child processes, peak memory, results on disk.

Nothing here imports torch at the top: a parent process must stay small, because Linux hands its peak down to the
children that it starts.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Network:
    """A network of the benchmarks: `factory` is ``module:function``, called with `arguments`."""

    factory: str
    channels: int
    arguments: tuple[tuple[str, Any], ...] = ()

    def build(self) -> Any:
        """The network in eval mode, with random weights drawn from a fixed seed and plausible batch-norm statistics."""
        import torch

        torch.manual_seed(0)
        module, name = self.factory.split(":")
        model = getattr(importlib.import_module(module), name)(**dict(self.arguments)).eval()
        with torch.no_grad():
            for part in model.modules():
                if isinstance(part, torch.nn.BatchNorm2d):
                    part.running_mean.normal_(0.0, 0.1)
                    part.running_var.uniform_(0.5, 1.5)
        return model


NETWORKS = {
    "deepwatermap": Network("narrows.networks.deepwatermap:deepwatermap_v2", 6),
    "rowwise": Network("narrows.networks.rowwise_water:rowwise_water", 6),
    "unet": Network("narrows.networks.unet:unet", 6),
    "convnext": Network("narrows.networks.convnext:convnext_dense", 6),
    "pyramid": Network("narrows.networks.pyramid:two_output_pyramid", 6),
    "dilated": Network("narrows.networks.dilated:dilated", 6),
    "encoder": Network("encoder:encoder", 3),
    # Somebody else's package. Its default, instance normalisation, needs every row: batch normalisation doesn't.
    "monai": Network(
        "monai.networks.nets:BasicUNet",
        3,
        (("spatial_dims", 2), ("in_channels", 3), ("out_channels", 2), ("norm", "batch")),
    ),
}


class Rows:
    """A row source that makes its rows when they are asked for, and holds none. Values lie between 0 and 1."""

    def __init__(self, channels: int, height: int, width: int):
        import numpy as np

        self.shape = (channels, height, width)
        self.dtype = np.dtype(np.float32)
        self._pattern = np.random.default_rng(0).random((channels, 64, width), dtype=np.float32)

    def read(self, start: int, stop: int) -> Any:
        import numpy as np

        return self._pattern[:, np.arange(start, stop) % 64]


class Discard:
    """A row sink that counts rows and keeps none."""

    def __init__(self) -> None:
        self.rows = 0

    def write(self, start: int, rows: Any) -> None:
        self.rows = start + rows.shape[-2]


def outputs_of(model: Any, channels: int) -> int:
    """How many tensors a network returns."""
    import torch
    from torch.utils import _pytree

    with torch.inference_mode():
        return len(_pytree.tree_leaves(model(torch.rand(1, channels, 64, 64))))


def peak_bytes() -> int:
    """Peak resident bytes of this process since it began."""
    if sys.platform.startswith("linux"):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def child(script: str | Path, request: dict[str, Any]) -> dict[str, Any]:
    """Run `script --child REQUEST` in a fresh process; the last line that it prints is its answer as JSON."""
    done = subprocess.run(
        [sys.executable, str(script), "--child", json.dumps(request)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
        return {"failed": lines[-1] if lines else f"exit code {done.returncode}"}
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


@dataclass(frozen=True)
class Finished:
    """A command that ran: wall seconds, peak resident bytes, exit code, what it printed."""

    seconds: float
    peak: int
    code: int
    text: str


def timed_command(command: Sequence[str]) -> Finished:
    """Run a command and measure it: wall time and the peak resident size of its process."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    scale = 1 if sys.platform == "darwin" else 1024
    return Finished(seconds, usage.ru_maxrss * scale, process.returncode, text)


class Worker:
    """A process of its own that makes something ready once and then repeats a piece of work on request.

    `prepare(*arguments)` runs there and returns the function to repeat. Workers that take turns are measured under the
    same conditions, and none pays for what another left in memory.
    """

    def __init__(self, prepare: Callable[..., Callable[[], Any]], *arguments: Any):
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, prepare, arguments), daemon=True)
        self._process.start()
        theirs.close()
        self._answer()

    def run(self) -> tuple[float, Any, int]:
        """Seconds, result, and peak resident bytes of the worker so far."""
        self._pipe.send("run")
        seconds, result, peak = self._answer()
        return seconds, result, peak

    def close(self) -> None:
        self._pipe.send("end")
        self._process.join()

    def _answer(self) -> Any:
        kind, payload = self._pipe.recv()
        if kind == "failed":
            raise SystemExit(payload)
        return payload


def _serve(pipe: Connection, prepare: Callable[..., Callable[[], Any]], arguments: tuple[Any, ...]) -> None:
    try:
        work = prepare(*arguments)
        pipe.send(("ready", None))
        while pipe.recv() == "run":
            begun = time.perf_counter()
            result = work()
            pipe.send(("done", (time.perf_counter() - begun, result, peak_bytes())))
    except EOFError:
        return
    except Exception as error:
        pipe.send(("failed", f"{type(error).__name__}: {error}"))


def middle(values: Iterable[float]) -> float:
    return float(median(values))


def spread(values: Sequence[float]) -> float:
    """(largest - smallest) / median."""
    return (max(values) - min(values)) / middle(values)


def parse_sizes(text: str) -> list[tuple[int, int]]:
    """``"1024x1024,777x1001"`` as (height, width) pairs."""
    return [(int(h), int(w)) for h, _, w in (item.partition("x") for item in text.split(","))]


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2] for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].strip() if names else model
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": importlib.metadata.version("torch"),
        "date": time.strftime("%Y-%m-%d"),
    }


def save(name: str, settings: dict[str, Any], rows: list[dict[str, Any]], folder: Path = RESULTS) -> Path:
    """Write a benchmark's result as JSON, and say where."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), "settings": settings, "rows": rows}, indent=1) + "\n")
    print(f"written: {path}")
    return path


def table(title: str, rows: list[dict[str, Any]], columns: Sequence[str]) -> None:
    """Print `columns` of `rows` as a table, units as they stand in the columns' names."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(title=title)
    for column in columns:
        shown.add_column(column, justify="right" if any(_is_number(row.get(column)) for row in rows) else "left")
    for row in rows:
        shown.add_row(*(_text(row.get(column)) for column in columns))
    Console(width=max(120, 16 * len(columns))).print(shown)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.2e}" if 0 < abs(value) < 1e-3 else f"{value:,.3f}".rstrip("0").rstrip(".")
    return f"{value:,}" if _is_number(value) else str(value)


def megabytes(count: float) -> float:
    return round(count / 1e6, 1)
