"""Run a PyTorch network over an image on disk that is larger than the memory allowed, from memory map to memory map."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

import narrows

CHANNELS, HEIGHT, WIDTH = 3, 2000, 1500


class MapSink:
    """A row sink: `write` is called with each block of rows, from the top to the bottom."""

    def __init__(self, path: Path, shape: tuple[int, int, int]):
        self.array = np.memmap(path, np.float32, "w+", shape=shape)

    def write(self, start: int, rows: np.ndarray) -> None:
        self.array[:, start : start + rows.shape[1]] = rows


def main() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(CHANNELS, 16, 5, padding=2),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=4, dilation=4),
        nn.ReLU(),
        nn.Conv2d(16, 1, 1),
    ).eval()
    with tempfile.TemporaryDirectory() as folder:
        image = np.memmap(Path(folder) / "image.bin", np.float32, "w+", shape=(CHANNELS, HEIGHT, WIDTH))
        image[:] = np.random.default_rng(0).random(image.shape, dtype=np.float32)
        sink = MapSink(Path(folder) / "result.bin", (1, HEIGHT, WIDTH))

        narrows.stream(network, image, sink, memory="1GB")

        top = torch.from_numpy(np.array(image[None, :, :200]))
        with torch.inference_mode():
            expected = network(top)[0, 0, :150].numpy()
        difference = float(np.abs(sink.array[0, :150] - expected).max())
        print(f"{HEIGHT} x {WIDTH} pixels streamed; largest difference from PyTorch's own first rows: {difference:.1e}")
        assert difference < 1e-5


if __name__ == "__main__":
    main()
