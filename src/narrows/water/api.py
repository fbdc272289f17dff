"""The Python call: a scene in, its water map out, in the form the scene came in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InputError
from narrows.water.classes import NO_DATA
from narrows.water.mapping import MapOptions, MapWindow, MinimumArea, Progress, find_window, run_map
from narrows.water.model_files import is_model_file, tells_hidden
from narrows.water.network import (
    Gives,
    WaterNetwork,
    deepwatermap,
    default_network,
    own_network,
    trained_network,
)
from narrows.water.products import MapFiles, MapResult, map_to_files

if TYPE_CHECKING:
    import torch
    import xarray

    from narrows.rasters import Scene

__all__ = ["choose_clouds", "choose_network", "map_water"]


class _ArrayWriter:
    """Rows of a map into an array."""

    def __init__(self, height: int, width: int):
        self.array: NDArray[np.uint8] = np.full((height, width), NO_DATA, dtype=np.uint8)

    def write(self, start: int, rows: NDArray[Any]) -> None:
        self.array[start : start + rows.shape[1]] = rows[0]


def map_water(
    scene: str | os.PathLike[str] | Scene | xarray.DataArray | xarray.Dataset,
    output: str | os.PathLike[str] | None = None,
    *,
    model: torch.nn.Module | WaterNetwork | str | None = None,
    gives: Gives = "probability",
    without_swir: bool = False,
    threshold: float = 0.5,
    min_area: str | float | None = None,
    mask_clouds: bool | None = None,
    aoi: str | None = None,
    memory: int | str | None = None,
    probability: str | os.PathLike[str] | bool | None = None,
    polygons: str | os.PathLike[str] | None = None,
    quicklook: str | os.PathLike[str] | None = None,
    stats: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **scene_options: Any,
) -> MapResult | xarray.DataArray | xarray.Dataset:
    """Map the surface water of a scene: 0 land, 1 water, 254 hidden by cloud or shadow, 255 no data.

    Args:
        scene: a path, an open `Scene`, or an xarray DataArray or Dataset with the six bands, or with the first four if
            the network can do without shortwave infrared; the map is less sure then, as its tags or attributes say.
        output: where the mask goes, as a cloud-optimised GeoTIFF. Without it the map is returned as xarray.
        model: a network of six bands (blue, green, red, nir, swir1, swir2; reflectance) to one channel of the same
            size; or ``"water-small"``, a file that ``narrows water train`` wrote, or
            ``"deepwatermap:weights.safetensors"``; ``"water"`` by default.
        gives: whether such a network's output is a ``"probability"`` or ``"logits"``.
        without_swir: such a network was taught to do without shortwave infrared, given as 1 in both bands.
        threshold: a pixel is water from this probability on.
        min_area: smaller water bodies become land: ``"5000m2"``, ``"2ha"``, ``"12px"``; a plain number is square
            metres.
        mask_clouds: hide clouds and their shadows by the product's own mask, or where the product has none by the
            network's opinion; False to hide nothing. By default the network's opinion decides, if it has one: those
            that come with narrows and those that ``narrows water train`` wrote do.
        aoi: a vector file, ``"west,south,east,north"`` in the scene's coordinates, or ``lonlat:`` before such a box.
        memory: budget for the peak of the whole process, as ``"1GB"``.
        probability: where the probability in percent goes; True to have it returned in a Dataset beside the mask.
        polygons: where the water bodies go, with `output`.
        quicklook: where the picture goes, with `output`.
        stats: where the figures go, with `output`.
        overwrite: replace outputs that exist.
        progress: called after each step with (rows done, rows in all, bytes held by the run).
        **scene_options: what `open_scene` takes (bands, sensor, scale, offset, nodata).

    Returns:
        With `output`, a `MapResult`. Otherwise a DataArray named ``water``, or a Dataset of ``water`` and
        ``probability``, on the scene's coordinates and CRS.

    Raises:
        NarrowsError: one line in the user's terms.
    """
    from narrows.rasters import Scene, open_scene

    options = MapOptions(
        threshold=threshold,
        min_area=None if min_area is None else MinimumArea.parse(min_area),
        aoi=aoi,
        memory=memory,
    )
    opened = scene if isinstance(scene, Scene) else open_scene(scene, **scene_options)
    try:
        clouds = choose_clouds(opened, mask_clouds, may_ask_network=tells_hidden(model))
        options = MapOptions(threshold, options.min_area, clouds, aoi, memory)
        network = choose_network(model, gives, hidden=clouds == "network", without_swir=without_swir)
        if output is None:
            if polygons or quicklook or stats:
                raise InputError("polygons, quicklook and stats are files: they need an output beside them")
            window = find_window(opened, network, aoi)
            return _as_xarray(scene, window, network, options, bool(probability), progress)
        if probability is True:
            raise InputError("with an output, name the file for the probability")
        paths = (output, probability or None, polygons, quicklook, stats)
        files = MapFiles(*(None if path is None else Path(path) for path in paths))  # type: ignore[arg-type]
        return map_to_files(opened, network, options, files, name=opened.name, overwrite=overwrite, progress=progress)
    finally:
        if opened is not scene:
            opened.close()


def choose_clouds(scene: Scene, asked: bool | None, *, may_ask_network: bool) -> Any:
    """Where the knowledge of clouds comes from: the product if asked and it has some, else the network where it may be
    asked; with None the network alone, with False nowhere.

    Raises:
        InputError: asked for, and there is neither.
    """
    if asked is None:
        return "network" if may_ask_network else "none"
    if not asked:
        return "none"
    if scene.has_clouds:
        return "product"
    if may_ask_network:
        return "network"
    raise InputError(f"{scene.name}: --mask-clouds: the product has no QA_PIXEL, SCL or Fmask layer")


def choose_network(
    model: torch.nn.Module | WaterNetwork | str | None,
    gives: Gives,
    *,
    hidden: bool = False,
    without_swir: bool = False,
) -> WaterNetwork:
    """The network that `model` stands for: see `map_water`.

    Raises:
        InputError: a text that is neither a file of weights nor ``deepwatermap:`` and such a file.
    """
    if model is None:
        return default_network(hidden=hidden)
    if isinstance(model, WaterNetwork):
        return model
    if is_model_file(model):
        return trained_network(str(model), hidden=hidden)
    if isinstance(model, str) and tells_hidden(model):
        return default_network(model, hidden=hidden)
    if isinstance(model, str):
        kind, _, weights = model.partition(":")
        if kind != "deepwatermap" or not weights:
            raise InputError(
                f"'{model}' is no water network; write water, water-small, the name of a file that narrows water train "
                "wrote, deepwatermap:weights.safetensors, or a module of your own (file.py:factory)"
            )
        return deepwatermap(weights)
    return own_network(model.eval(), type(model).__name__, gives, without_swir=without_swir)


def _as_xarray(
    given: Any,
    window: MapWindow,
    network: WaterNetwork,
    options: MapOptions,
    with_probability: bool,
    progress: Progress | None,
) -> xarray.DataArray | xarray.Dataset:
    height, width = window.inner.height, window.inner.width
    mask = _ArrayWriter(height, width)
    percent = _ArrayWriter(height, width) if with_probability else None
    statistics, _ = run_map(window, network, options, mask, probability=percent, progress=progress)
    attributes: dict[str, Any] = {f"applied_{key}": str(value) for key, value in dict(window.scene.applied).items()}
    attributes |= {"model": f"{network.name} {network.digest}", "threshold": options.threshold}
    water = _on_grid(mask.array, "water", given, window)
    water.attrs |= {**attributes, "values": "0 land, 1 water, 254 hidden by cloud or shadow, 255 no data"}
    water.attrs |= {key: value for key, value in statistics.as_dict().items() if value is not None}
    if percent is None:
        return water
    chance = _on_grid(percent.array, "probability", given, window)
    chance.attrs |= {**attributes, "units": "percent", "values": "254 hidden by cloud or shadow, 255 no data"}
    return water.to_dataset().assign(probability=chance)


def _on_grid(values: NDArray[np.uint8], name: str, given: Any, window: MapWindow) -> xarray.DataArray:
    """`values` with the scene's coordinates, those of the caller where it came with some, and its CRS."""
    import rioxarray  # noqa: F401  (registers the .rio accessor)
    import xarray

    down, across = "y", "x"
    coordinates: dict[str, Any] = {}
    if isinstance(given, (xarray.DataArray, xarray.Dataset)):
        down, across = given.rio.y_dim, given.rio.x_dim
    place = window.transform
    area = window.area
    first = (area.rows[0], area.columns[0]) if area is not None else (0, 0)
    for axis, (dimension, count) in enumerate(((down, values.shape[0]), (across, values.shape[1]))):
        if isinstance(given, (xarray.DataArray, xarray.Dataset)) and dimension in given.coords:
            coordinates[dimension] = given.coords[dimension][first[axis] : first[axis] + count]
        elif place is not None and not place.b and not place.d:
            step, start = (place.e, place.f) if axis == 0 else (place.a, place.c)
            coordinates[dimension] = start + step * (np.arange(count) + 0.5)
    array = xarray.DataArray(values, dims=(down, across), coords=coordinates, name=name)
    if window.scene.crs is not None:
        array = array.rio.write_crs(window.scene.crs)
    if place is not None:
        array = array.rio.write_transform(place)
    array = array.rio.write_nodata(NO_DATA)
    return array
