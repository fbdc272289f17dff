"""Rows in, rows out: filter the lines of a scanner as they arrive, long before the image is complete."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

import narrows

LINES, WIDTH = 400, 256


def scanner() -> Iterator[np.ndarray]:
    """A camera that delivers eight lines at a time: arrays of (channels, rows, columns)."""
    random = np.random.default_rng(0)
    for _ in range(0, LINES, 8):
        yield random.random((1, 8, WIDTH), dtype=np.float32)


def main() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 5, padding=2)).eval()
    delay = narrows.plan(network, LINES, WIDTH, strip=1).delay
    print(f"the first line comes out when {delay} have gone in")
    lines = 0
    for block in narrows.stream_rows(network, scanner(), LINES):
        lines += block.shape[-2]
    print(f"{lines} lines filtered")
    assert lines == LINES


if __name__ == "__main__":
    main()
