"""How fast `narrows stream-camera` takes the lines of a camera, how late each line leaves, and how evenly.

    python benchmarks/camera.py
    python benchmarks/camera.py --width 512 --lines 500 --name trial

Lines of random uint16 are piped into the command and those that it gives are read from another pipe, by a driver and a
viewer in one process beside it. First they come as fast as they are taken; then at 60 % of the rate that was reached,
which a camera would keep. The networks are alike but for their vertical filters: a 1x1 convolution to 8 channels, two
residual blocks of two separable layers, a 1x1 convolution back. One thread computes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from typing import Any

from common import save, table

VERTICAL = ("IIR, order 1", "IIR, order 1, delay 2", "FIR 5x1", "FIR 5x1, causal")
CHANNELS, SHARE, WARM = 8, 0.6, 12


def network(vertical: str) -> Any:
    """The network whose vertical filters are called `vertical`."""
    import torch
    from torch import nn

    from narrows.layers.fir_iir import ResidualSeparable

    torch.manual_seed(0)
    blocks = {
        "IIR, order 1": lambda: ResidualSeparable.fir_iir(CHANNELS),
        "IIR, order 1, delay 2": lambda: ResidualSeparable.fir_iir(CHANNELS, delay=2),
        "FIR 5x1": lambda: ResidualSeparable.fir(CHANNELS, vertical=5),
        "FIR 5x1, causal": lambda: ResidualSeparable.fir(CHANNELS, vertical=5, causal=True),
    }
    block = blocks[vertical]
    return nn.Sequential(nn.Conv2d(1, CHANNELS, 1), block(), block(), nn.Conv2d(CHANNELS, 1, 1))


def stream(vertical: str, width: int, lines: int, rate: float | None) -> dict[str, Any]:
    """The command's own summary of `lines` lines that come at `rate` a second, or as fast as they are taken."""
    command = [
        *(sys.executable, "-m", "narrows", "stream-camera", f"{__file__}:network", "--arg", f"vertical={vertical}"),
        *("-", "--width", str(width), "--dtype", "uint16", "--unit", "--as", "uint16", "-o", "-", "--json"),
    ]
    import numpy as np

    line = np.random.default_rng(0).integers(0, 1 << 16, width, dtype=np.uint16).tobytes()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        given, made = process.stdin, process.stdout

        def drive() -> None:
            given.write(line * WARM)
            given.flush()
            ready.wait()
            begun = time.perf_counter()
            for sent in range(lines):
                if rate is not None and (early := begun + sent / rate - time.perf_counter()) > 0:
                    time.sleep(early)
                given.write(line)
                given.flush()
            given.close()

        ready = threading.Event()
        driver = threading.Thread(target=drive)
        driver.start()
        made.read(width * 2)
        ready.set()
        while made.read(width * 2 * 16):
            pass
        driver.join()
        said = process.stderr.read().decode()
        if process.wait():
            raise SystemExit(said)
    found: dict[str, Any] = json.loads(said)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--lines", type=int, default=4000)
    parser.add_argument("--name", default="camera", help="of the result file")
    chosen = parser.parse_args()
    rows = []
    for vertical in VERTICAL:
        rate = None
        for feed in ("as fast as taken", f"{SHARE:.0%} of that"):
            found = stream(vertical, chosen.width, chosen.lines, rate)
            rate = SHARE * found["lines_per_second"]
            rows.append(
                {
                    "vertical": vertical,
                    "lines_come": feed,
                    "lines_per_second": found["lines_per_second"],
                    "leaves_at_line": found["delay_lines"],
                    "delay_ms_p50": found["delay_ms"]["p50"],
                    "delay_ms_p99": found["delay_ms"]["p99"],
                    "work_ms_p50": found["work_ms"]["p50"],
                    "between_ms_p50": found["between_lines_ms"]["p50"],
                    "between_ms_p99": found["between_lines_ms"]["p99"],
                    "most_waiting": found["most_waiting"],
                }
            )
            print(rows[-1], flush=True)
    table("Lines of a camera", rows, list(rows[0]))
    save(chosen.name, {"width": chosen.width, "lines": chosen.lines, "channels": CHANNELS}, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
