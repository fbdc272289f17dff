"""Other people's water maps, by their own packages (``pip install 'narrows[peers]'``), used as they are meant to be."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import io
import logging
import os
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

from narrows.water.classes import HIDDEN, NO_DATA, WATER
from narrows.water.evaluation.methods import Answer, Method
from narrows.water.evaluation.view import View

__all__ = ["CsMask", "Missing", "WaterDetect", "find_peers"]

logger = logging.getLogger(__name__)

# By the names that its documentation gives, swir16 and swir22, this version silently takes its network of four bands.
_BANDS = ["blue", "green", "red", "nir", "swir1", "swir2"]
# Of its five classes: shadow, water, snow, land, cloud.
_SHADOW, _WATER_CLASS, _CLOUD = 0, 1, 4
_SEED = 0


@dataclass(frozen=True)
class Missing:
    """A peer or other method that can't be asked, of some scenes at least, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class CsMask:
    """ukis-csmask: a network over tiles of 256 x 256, of five classes. Cloud and shadow are unobserved.

    The package itself gives clouds and shadows alone; its classes are taken from the probabilities on their way there.
    It asks for top-of-atmosphere reflectance, and gets what the scene has. The package has a second network for scenes
    without shortwave infrared.
    """

    version: str
    quick: bool = False
    needs_swir: bool = False

    @property
    def name(self) -> str:
        return f"ukis-csmask {self.version}, six bands, class water"

    def map(self, view: View) -> Answer:
        from ukis_csmask import mask

        kept: list[Any] = []

        def untile(*arguments: Any, **more: Any) -> Any:
            kept.append(original(*arguments, **more))
            return kept[-1]

        original = mask.untile_array
        image = np.ascontiguousarray(np.moveaxis(view.reflectance[: view.bands], 0, -1))
        with warnings.catch_warnings(), mock.patch.object(mask, "untile_array", untile):
            warnings.simplefilter("ignore", UserWarning)  # that a scene is smaller than a tile
            mask.CSmask(image, _BANDS[: view.bands], intra_op_num_threads=int(os.environ.get("OMP_NUM_THREADS") or 0))
        probability = kept[0]
        found = np.argmax(probability, axis=2)
        classes = np.where(found == _WATER_CLASS, np.uint8(WATER), np.uint8(0))
        classes[np.isin(found, (_SHADOW, _CLOUD))] = HIDDEN
        classes[~view.observed] = NO_DATA
        # Weights of overlapping tiles don't sum to one everywhere.
        share = probability[..., _WATER_CLASS] / np.maximum(probability.sum(axis=2), 1e-6)
        share = np.where(classes <= WATER, np.clip(share, 0, 1), np.nan)
        return Answer(classes, share.astype(np.float32))


@dataclass(frozen=True)
class WaterDetect:
    """WaterDetect: clusters each scene anew, with the package's own settings and one seed. A scene that it fails on is
    unobserved throughout."""

    version: str
    settings: Path
    quick: bool = False
    needs_swir: bool = True

    @property
    def name(self) -> str:
        return f"WaterDetect {self.version}"

    def map(self, view: View) -> Answer:
        with _silent(), _trees_kept():
            from waterdetect import DWConfig, DWImageClustering

            config = DWConfig(config_file=str(self.settings))
            keys = ("Blue", "Green", "Red", "Nir", "Mir", "Mir2")
            bands = {key: band.astype(np.float64) for key, band in zip(keys, view.reflectance, strict=True)}
            state = np.random.get_state()
            np.random.seed(_SEED)
            try:
                found = DWImageClustering(bands, config.clustering_bands[0], ~view.observed, config)
                found.run_detect_water()
                water = np.asarray(found.water_mask) == 1
            except Exception as error:
                logger.warning("%s: %s fails: %s", view.name, self.name, " ".join(str(error).split())[:200])
                return Answer(np.where(view.observed, np.uint8(HIDDEN), np.uint8(NO_DATA)))
            finally:
                np.random.set_state(state)
        return Answer(np.where(view.observed, water * np.uint8(WATER), np.uint8(NO_DATA)))


def find_peers() -> tuple[list[Method], list[Missing]]:
    """The peers that are installed, and those that aren't."""
    found: list[Method] = []
    missing: list[Missing] = []
    for package, module in (("ukis-csmask", "ukis_csmask.mask"), ("waterdetect", "waterdetect")):
        try:
            with _silent():
                __import__(module)
            version = importlib.metadata.version(package)
        except (ImportError, importlib.metadata.PackageNotFoundError) as error:
            missing.append(
                Missing(package, f"not installed ({str(error).splitlines()[0]}); pip install narrows[peers]")
            )
            continue
        if package == "ukis-csmask":
            found.append(CsMask(version))
            continue
        settings = next(
            (Path(str(f.locate())) for f in importlib.metadata.files(package) or [] if f.suffix == ".ini"), None
        )
        if settings is None or not settings.exists():
            missing.append(Missing(package, "its settings (WaterDetect.ini) aren't beside it"))
        else:
            found.append(WaterDetect(version, settings))
    return found, missing


@contextlib.contextmanager
def _trees_kept() -> Any:
    """WaterDetect clusters one sample seven times over, and each time grows the same tree, which is nearly all of its
    time. Here it is grown once; the labels are the same."""
    from joblib import Memory
    from sklearn import cluster
    from waterdetect import Image

    with tempfile.TemporaryDirectory() as folder:
        keeping = functools.partial(cluster.AgglomerativeClustering, memory=Memory(folder, verbose=0))
        namesake = SimpleNamespace(AgglomerativeClustering=keeping, KMeans=cluster.KMeans)
        with mock.patch.object(Image, "cluster", namesake):
            yield


@contextlib.contextmanager
def _silent() -> Any:
    """Without what the peers print."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
