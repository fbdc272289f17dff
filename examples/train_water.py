"""Train the default water network a little further on labelled scenes, here simulated ones.

    python examples/train_water.py --steps 20

A few steps teach next to nothing: the example shows the way, not the gain. Your own scenes go into a folder in the
same manner: NAME.tif with NAME_mask.tif beside it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from narrows.water.evaluation.pairs import find_pairs
from narrows.water.simulation import write_scene
from narrows.water.training import TrainSettings, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4)
    steps = parser.parse_args().steps
    with tempfile.TemporaryDirectory() as folder:
        scenes = Path(folder) / "labelled"
        scenes.mkdir()
        for seed in range(5):
            write_scene(scenes / f"scene_{seed}.tif", 256, 256, seed, truth=scenes / f"scene_{seed}_mask.tif")
        trained = train(
            find_pairs(str(scenes), None, {}),
            Path(folder) / "mine.safetensors",
            TrainSettings(steps=steps, batch=2, crop=64),
            tell=print,
        )
        for name, scores in trained.totals().items():
            f1 = "none" if scores.f1 is None else f"{scores.f1:.3f}"
            print(f"{name}: F1 {f1} on {trained.validation}")


if __name__ == "__main__":
    main()
