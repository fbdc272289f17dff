"""Real photographs to test on, out of packages that ship them. None is ever trained on.

Each is cut to its middle 256 rows and 384 columns (less where it is narrower), starting at even rows and columns, at
the resolution in which its package ships it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows.errors import InputError

__all__ = ["PHOTOGRAPHS", "Photograph", "photograph"]

_ROWS, _COLUMNS = 256, 384


@dataclass(frozen=True)
class Photograph:
    """Where a photograph comes from.

    Attributes:
        package: the PyPI package whose wheel holds it.
        file: where, under the package's import name.
        credit: who made it.
        licence: under which it is passed on.
        compressed: whether it is a JPEG, so that its own losses limit what a repair can reach.
    """

    package: str
    file: str
    credit: str
    licence: str
    compressed: bool = False


PHOTOGRAPHS = {
    "astronaut": Photograph("scikit-image", "skimage/data/astronaut.png", "NASA", "public domain"),
    "chelsea": Photograph("scikit-image", "skimage/data/chelsea.png", "Stefan van der Walt", "CC0"),
    "coffee": Photograph("scikit-image", "skimage/data/coffee.png", "Rachel Michetti, Pikolo Espresso Bar", "CC0"),
    "motorcycle": Photograph(
        "scikit-image", "skimage/data/motorcycle_left.png", "Scharstein et al., Middlebury stereo 2014", "not stated"
    ),
    "rocket": Photograph("scikit-image", "skimage/data/rocket.jpg", "SpaceX", "public domain", True),
    "china": Photograph("scikit-learn", "sklearn/datasets/images/china.jpg", "danielbuechele", "CC BY 2.0", True),
    "flower": Photograph("scikit-learn", "sklearn/datasets/images/flower.jpg", "vultilion", "CC BY 2.0", True),
    "hopper": Photograph(
        "matplotlib", "matplotlib/mpl-data/sample_data/grace_hopper.jpg", "US Navy", "public domain", True
    ),
}
"""Every test photograph by its name."""


def photograph(name: str) -> Tensor:
    """A test photograph's middle: float32 (1, 3, H, W), display values 0 to 1, H and W even.

    Raises:
        InputError: there is none of this name, or its package isn't installed.
    """
    if name not in PHOTOGRAPHS:
        raise InputError(f"there is no test photograph called {name}; there are {', '.join(PHOTOGRAPHS)}")
    pixels = _read(PHOTOGRAPHS[name])
    _, height, width = pixels.shape
    rows, columns = min(_ROWS, height) // 2 * 2, min(_COLUMNS, width) // 2 * 2
    top, left = (height - rows) // 4 * 2, (width - columns) // 4 * 2
    middle = pixels[:, top : top + rows, left : left + columns]
    return torch.from_numpy(middle.astype(np.float32) / 255)[None]


def _read(which: Photograph) -> NDArray[np.uint8]:
    from importlib.util import find_spec

    from narrows.rasters import RasterSource

    package, _, inside = which.file.partition("/")
    found = find_spec(package)
    if found is None or found.origin is None:
        raise InputError(f"the test photographs need the package {which.package}: pip install {which.package}")
    with RasterSource(Path(found.origin).parent / inside, bands=[1, 2, 3]) as source:
        return source.read(0, source.shape[1])
