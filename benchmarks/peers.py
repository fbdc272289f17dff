"""Other ways to run a network on an image that is too large: time, memory, distance from the full frame.

    pip install --constraint constraints.txt --requirement benchmarks/requirements.txt
    python benchmarks/peers.py
    python benchmarks/peers.py --networks dilated --sizes 256x300 --tile 128 --repeats 1

Every way runs the same network on the same image in a process of its own, `--repeats` times in turns. The largest
difference from the full frame is relative to the largest value of the full frame. A way that fails, or returns
another shape, is listed with what it said. ``added_MB`` is the peak above the network and the image alone: importing
the package that runs them counts. The differences are also drawn, for the first network and size.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import NETWORKS, child, megabytes, middle, parse_sizes, peak_bytes, save, table

FULL = "full frame"
PICTURES = Path(__file__).resolve().parents[1] / "docs" / "images"
MIN_SHOWN, MAX_SHOWN = 1e-7, 1.0


def full_frame(model: Any, image: Any, chosen: dict[str, Any]) -> Callable[[], Any]:
    return lambda: model(image)


def full_frame_channels_last(model: Any, image: Any, chosen: dict[str, Any]) -> Callable[[], Any]:
    """The full frame by PyTorch's other kernels: what rounding alone changes in this network."""
    import torch

    model, image = (each.to(memory_format=torch.channels_last) for each in (model, image))
    return lambda: model(image)


def narrows_stream(model: Any, image: Any, chosen: dict[str, Any]) -> Callable[[], Any]:
    import narrows

    return lambda: narrows.stream(model, image, memory=chosen["memory"])


def plain_tiles(model: Any, image: Any, chosen: dict[str, Any]) -> Callable[[], Any]:
    """Tiles side by side, each run as if it were an image; the last are moved inwards so that all have one size."""
    tile = chosen["tile"]
    height, width = image.shape[-2:]

    def starts(extent: int) -> list[int]:
        return sorted({min(start, max(extent - tile, 0)) for start in range(0, extent, tile)})

    def work() -> Any:
        result = None
        for top in starts(height):
            for left in starts(width):
                part = model(image[..., top : top + tile, left : left + tile])
                down, across = part.shape[-2:]
                if result is None:
                    result = part.new_empty(*part.shape[:2], height * down // tile, width * across // tile)
                y, x = top * down // tile, left * across // tile
                result[..., y : y + down, x : x + across] = part
        return result

    return work


def monai_windows(model: Any, image: Any, chosen: dict[str, Any]) -> Callable[[], Any]:
    """MONAI's windows as its users set them: a quarter of overlap, Gaussian weights."""
    from monai.inferers import sliding_window_inference

    tile = chosen["tile"]
    return lambda: sliding_window_inference(image, (tile, tile), 1, model, overlap=0.25, mode="gaussian")


def lightstream_tiles(model: Any, image: Any, chosen: dict[str, Any]) -> Callable[[], Any]:
    """lightstream's forward pass; its constructor takes three channels only, so the tile's shape is given here."""
    from lightstream.core.constructor import StreamingConstructor
    from lightstream.core.scnn.scnn import StreamingCNN
    from torch import nn

    tile = chosen["tile"]
    if min(image.shape[-2:]) < tile:
        raise ValueError(f"the image is smaller than a tile of {tile}")

    class Constructor(StreamingConstructor):
        def create_streaming_model(self) -> Any:
            return StreamingCNN(self.model, (1, image.shape[1], tile, tile), statistics_on_cpu=False, copy_to_gpu=False)

    # The constructor moves the network to CUDA unless it is told to take its statistics on the CPU.
    resizing = [nn.ConvTranspose2d, nn.PixelShuffle, nn.Upsample]
    plain = Constructor(
        model, tile, verbose=False, statistics_on_cpu=True, add_keep_modules=resizing
    ).prepare_streaming_model()
    plain.eval()
    return lambda: plain(image)


WAYS: dict[str, Callable[[Any, Any, dict[str, Any]], Callable[[], Any]]] = {
    FULL: full_frame,
    "full frame, channels-last": full_frame_channels_last,
    "narrows.stream": narrows_stream,
    "MONAI sliding_window_inference": monai_windows,
    "lightstream": lightstream_tiles,
    "plain tiles": plain_tiles,
}


def picture(channels: int, height: int, width: int) -> Any:
    """A smooth image with edges, values 0 to 1, the same in every process."""
    import torch
    import torch.nn.functional as F

    torch.manual_seed(1)
    coarse = torch.rand(1, channels, max(height // 32, 2), max(width // 32, 2))
    smooth = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False).clamp(0, 1)
    bright = F.interpolate((coarse[:, :1] > 0.6).float(), (height, width), mode="nearest")
    return (smooth * (0.5 + 0.5 * bright)).contiguous()


def run_case(request: dict[str, Any]) -> dict[str, Any]:
    """In the child: run once to warm up, once under the clock, and leave the result on disk."""
    import contextlib

    import numpy as np
    import psutil
    import torch
    from torch.utils import _pytree

    network = NETWORKS[request["network"]]
    model = network.build()
    image = picture(network.channels, request["height"], request["width"])
    with torch.inference_mode(request["way"] != "lightstream"), contextlib.redirect_stdout(sys.stderr):
        before = psutil.Process().memory_info().rss
        work = WAYS[request["way"]](model, image, request)
        work()
        begun = time.perf_counter()
        result = _pytree.tree_leaves(work())[0]
        seconds = time.perf_counter() - begun
    np.save(request["output"], result.detach().numpy())
    return {"seconds": seconds, "before": before, "peak": peak_bytes(), "shape": list(result.shape)}


def compare(name: str, height: int, width: int, chosen: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    import numpy as np

    answers: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(chosen.repeats):
        for place, way in enumerate(WAYS):
            request = {
                "network": name,
                "height": height,
                "width": width,
                "way": way,
                "tile": chosen.tile,
                "memory": chosen.memory,
                "output": str(folder / f"{place}.npy"),
            }
            answers[way].append(child(__file__, request))
    rows = []
    reference = np.load(folder / "0.npy")
    for place, (way, given) in enumerate(answers.items()):
        row: dict[str, Any] = {"network": name, "size": f"{height}x{width}", "way": way}
        if failed := next((answer["failed"] for answer in given if "failed" in answer), None):
            row["said"] = failed
        else:
            row["seconds"] = round(middle(answer["seconds"] for answer in given), 3)
            row["peak_MB"] = megabytes(max(answer["peak"] for answer in given))
            row["added_MB"] = megabytes(max(answer["peak"] - answer["before"] for answer in given))
            result = np.load(folder / f"{place}.npy")
            if result.shape != reference.shape:
                row["said"] = f"shape {result.shape} instead of {reference.shape}"
            else:
                row["largest_difference"] = float(np.abs(result - reference).max() / np.abs(reference).max())
        rows.append(row)
    return rows


def draw(title: str, folder: Path, path: Path) -> None:
    """How far each way's result is from the full frame's, pixel by pixel."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np
    from matplotlib.colors import LogNorm

    reference = np.load(folder / "0.npy")
    shown = []
    for place, way in enumerate(WAYS):
        if way == FULL or not (folder / f"{place}.npy").exists():
            continue
        result = np.load(folder / f"{place}.npy")
        if result.shape == reference.shape:
            shown.append((way, np.abs(result - reference)[0].max(axis=0) / np.abs(reference).max()))
    figure, axes = plt.subplots(1, len(shown), figsize=(3.4 * len(shown), 3.9), squeeze=False, layout="constrained")
    for axis, (way, difference) in zip(axes[0], shown, strict=True):
        drawn = axis.imshow(
            np.maximum(difference, MIN_SHOWN), norm=LogNorm(MIN_SHOWN, MAX_SHOWN), cmap="magma", interpolation="none"
        )
        axis.set_title(f"{way}\nlargest {difference.max():.1e}", fontsize=10)
        axis.set_xticks([])
        axis.set_yticks([])
    figure.colorbar(drawn, ax=axes, shrink=0.8, label="difference from the full frame, relative")
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    print(f"written: {path}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="deepwatermap,unet,dilated,encoder")
    parser.add_argument("--sizes", default="1024x1024,1001x1203", help="HxW,HxW,...")
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--memory", default="1GB", help="the budget of narrows.stream")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--name", default="peers", help="of the result file and picture")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        print(json.dumps(run_case(json.loads(chosen.child))))
        return 0
    rows: list[dict[str, Any]] = []
    for name in chosen.networks.split(","):
        for height, width in parse_sizes(chosen.sizes):
            with tempfile.TemporaryDirectory() as folder:
                first = not rows
                rows += compare(name, height, width, chosen, Path(folder))
                if first:
                    title = f"{name}, {height} x {width}, tiles of {chosen.tile}"
                    draw(title, Path(folder), PICTURES / f"{chosen.name}_seams.png")
    columns = ["network", "size", "way", "seconds", "peak_MB", "added_MB", "largest_difference", "said"]
    table(f"The same network run in other ways, median of {chosen.repeats}", rows, columns)
    save(chosen.name, {"tile": chosen.tile, "memory": chosen.memory, "repeats": chosen.repeats}, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
