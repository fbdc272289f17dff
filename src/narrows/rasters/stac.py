"""STAC items, from a file or over http, of any version that names its bands."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from narrows.errors import InputError
from narrows.rasters.absent import with_shortwave
from narrows.rasters.dates import as_date
from narrows.rasters.geotiff import settle_scaling
from narrows.rasters.images import Files
from narrows.rasters.naming import common_band, may_be_shortwave, order_from_names, require_bands
from narrows.rasters.product import CloudKind, CloudLayer, Layer, Product
from narrows.rasters.scaling import Overrides, Scaling, describe
from narrows.rasters.sensors import BANDS, FIRST_FOUR, SENSORS, SHORTWAVE, UNKNOWN_SENSOR, Sensor, find_sensor

__all__ = ["is_item_address", "read_item"]

_TIMEOUT_SECONDS = 30
_CLOUD_ASSETS: Mapping[str, CloudKind] = {"qa_pixel": "qa_pixel", "scl": "scl", "fmask": "fmask"}
_INSTRUMENTS = {
    "oli": "landsat-oli",
    "etm+": "landsat-etm",
    "etm": "landsat-etm",
    "tm": "landsat-tm",
    "msi": "sentinel-2",
}


def is_item_address(text: str) -> bool:
    """Whether `text` names a STAC item: a JSON file, or a URL that is no raster's."""
    path = urllib.parse.urlparse(text).path.lower() if "://" in text else text.lower()
    if path.endswith((".json", ".geojson")):
        return True
    return text.startswith(("http://", "https://")) and not path.endswith((".tif", ".tiff", ".jp2", ".vrt"))


def read_item(address: str, files: Files, sensor: Sensor | None, overrides: Overrides) -> Product:
    """The item at `address`: bands by common name (or asset name), scaling from `raster:bands` (or the files).

    One asset may hold all bands, if it describes them. Where an item says that the Sentinel-2 offset has been applied
    to the pixels already (`earthsearch:boa_offset_applied`), an offset that it states all the same is not applied
    again.

    Raises:
        InputError: the item can't be read, lacks a band, or doesn't say how its numbers become reflectance.
    """
    item = _load(address)
    if item.get("type") != "Feature" or not isinstance(item.get("assets"), dict):
        raise InputError(f"{address}: is no STAC item (a GeoJSON feature with assets)")
    name = str(item.get("id", address))
    assets: dict[str, dict[str, Any]] = item["assets"]
    properties: dict[str, Any] = item.get("properties") or {}
    sensor = sensor or _sensor(properties)
    places, named = _band_assets(name, assets, sensor)
    sensor = sensor or named or UNKNOWN_SENSOR
    picked = []
    for band, (key, number) in places.items():
        image = files.open(_location(assets[key]["href"], address), f"{name}/{key}")
        if image.count < number or (image.count > 1 and not _is_stack(assets[key])):
            raise InputError(
                f"{image.name}: has {image.count} band{'s' * (image.count != 1)}, where "
                f"{f'band {number}' if _is_stack(assets[key]) else 'one'} is wanted for {band}"
            )
        picked.append((image, number))
    stated = [_stated_scaling(assets[key], number) for key, number in places.values()]
    fills = tuple(
        (value,) if value is not None and value == value else ()
        for value in (
            _first(entry.get("nodata"), image.nodata[number - 1])
            for entry, (image, number) in zip(stated, picked, strict=True)
        )
    )
    own = [(image.scales[number - 1], image.offsets[number - 1]) for image, number in picked]
    applied_already = any(
        properties.get(key) is True for key in ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
    )
    from_item: Scaling | None = None
    if all("scale" in entry for entry in stated):
        offsets = tuple(0.0 if applied_already else float(entry.get("offset", 0.0)) for entry in stated)
        where = "raster:bands of the item"
        if applied_already and any(entry.get("offset") for entry in stated):
            where += ", whose offset its pixels have applied already"
        from_item = Scaling(tuple(float(entry["scale"]) for entry in stated), offsets, fills, where)
    elif any(pair != (1.0, 0.0) for pair in own):
        from_item = Scaling(
            tuple(scale for scale, _ in own),
            tuple(offset for _, offset in own),
            fills,
            "the files' own scale and offset",
        )
    scaling = settle_scaling(name, picked, from_item, fills, sensor, overrides)
    layers = tuple(
        Layer(image, number, scale, offset, fill)
        for (image, number), scale, offset, fill in zip(
            picked, scaling.scale, scaling.offset, scaling.fills, strict=True
        )
    )
    listing = (f"{band} {key}" + f" band {number}" * _is_stack(assets[key]) for band, (key, number) in places.items())
    applied = {"sensor": sensor.title, "bands": ", ".join(listing), **describe(scaling)}
    return Product(
        name,
        sensor,
        with_shortwave(layers),
        applied,
        _clouds(assets, address, files),
        fill_gaps=sensor.name == "landsat-etm",
        acquired=as_date(properties.get("datetime")),
    )


def _load(address: str) -> dict[str, Any]:
    try:
        if "://" in address:
            with urllib.request.urlopen(address, timeout=_TIMEOUT_SECONDS) as response:
                content = json.loads(response.read())
        else:
            content = json.loads(Path(address).read_text(encoding="utf-8"))
    except (OSError, urllib.error.URLError, ValueError) as error:
        raise InputError(f"{address}: can't be read as a STAC item: {' '.join(str(error).split())}") from error
    return content if isinstance(content, dict) else {}


def _sensor(properties: Mapping[str, Any]) -> Sensor | None:
    instruments = {str(name).lower() for name in properties.get("instruments") or []}
    for name in (*instruments, str(properties.get("platform", "")).lower()):
        if name in _INSTRUMENTS:
            return SENSORS[_INSTRUMENTS[name]]
        try:
            return find_sensor(name)
        except InputError:
            continue
    return None


def _band_assets(
    name: str, assets: Mapping[str, dict[str, Any]], sensor: Sensor | None
) -> tuple[dict[str, tuple[str, int]], Sensor | None]:
    """The key of each band's asset and the band's number in it, in the order of `BANDS`, six or four; and the sensor if
    their names tell it."""
    found: dict[str, str] = {}
    for key, asset in assets.items():
        described = _described(asset)
        # An asset of several bands is a picture for the eye, as a rule.
        if not _is_raster(asset) or len(described) > 1:
            continue
        band = next((band for band in map(_common_name, described) if band), None)
        # A 10 m file and its coarser twins may share a common name; so may nir and nir08. The plain key wins.
        if band and (band not in found or key.lower() == band):
            found[band] = key
    keys = [key for key, asset in assets.items() if _is_raster(asset)]
    others = [key for key in keys if key not in found.values()]
    if len(found) == len(BANDS) or (set(found) == set(FIRST_FOUR) and len(may_be_shortwave(others)) < len(SHORTWAVE)):
        return {band: (found[band], 1) for band in BANDS if band in found}, None
    if not found and (stack := _stack(name, assets)):
        return stack, None
    order = order_from_names(keys, sensor, name)
    if order is None:
        missing = [band for band in BANDS if band not in found]
        raise InputError(
            f"{name}: the item has no asset for {' and '.join(missing)}; it has {', '.join(keys) or 'none'}"
        )
    return {band: (keys[order.indexes[band] - 1], 1) for band in order.bands}, order.sensor


def _stack(name: str, assets: Mapping[str, dict[str, Any]]) -> dict[str, tuple[str, int]] | None:
    """The bands of an asset that describes all six in one file, or else the first four; None if none does.

    Raises:
        InputError: it describes one of shortwave infrared.
    """
    found = []
    for key, asset in assets.items():
        names = [_common_name(each) for each in _described(asset)]
        if _is_raster(asset) and set(FIRST_FOUR) <= set(names):
            found.append({band: (key, names.index(band) + 1) for band in BANDS if band in names})
    best = max(found, key=len, default=None)
    if best is not None:
        key = best["blue"][0]
        names = [_common_name(each) or each.get("name") for each in _described(assets[key])]
        require_bands({band: number for band, (_, number) in best.items()}, f"{name}/{key}", names)
    return best


def _described(asset: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the asset says of each of its bands, in the words of STAC 1.0 or of 1.1."""
    listed = asset.get("eo:bands") or asset.get("bands") or []
    return [each for each in listed if isinstance(each, dict)]


def _is_stack(asset: Mapping[str, Any]) -> bool:
    return len(_described(asset)) > 1


def _common_name(band: Mapping[str, Any]) -> str | None:
    return common_band(str(band.get("common_name") or band.get("eo:common_name") or ""))


def _is_raster(asset: Mapping[str, Any]) -> bool:
    kind = str(asset.get("type", ""))
    href = urllib.parse.urlparse(str(asset.get("href", ""))).path.lower()
    roles = set(asset.get("roles") or [])
    if roles & {"thumbnail", "overview", "metadata", "visual"}:
        return False
    return "tiff" in kind or "jp2" in kind or href.endswith((".tif", ".tiff", ".jp2"))


def _stated_scaling(asset: Mapping[str, Any], number: int) -> dict[str, Any]:
    listed = asset.get("raster:bands") or asset.get("bands") or [{}]
    said = listed[min(number, len(listed)) - 1]
    entry = {**asset, **(said if isinstance(said, dict) else {})}
    names = {"scale": ("scale", "raster:scale"), "offset": ("offset", "raster:offset"), "nodata": ("nodata",)}
    found: dict[str, Any] = {}
    for name, keys in names.items():
        value = next((entry[key] for key in keys if entry.get(key) is not None), None)
        if value is not None:
            found[name] = float("nan") if value == "nan" else float(value)
    return found


def _clouds(assets: Mapping[str, dict[str, Any]], address: str, files: Files) -> CloudLayer | None:
    for key, asset in assets.items():
        kind = _CLOUD_ASSETS.get(key.lower())
        if kind and _is_raster(asset):
            return CloudLayer(files.open(_location(asset["href"], address), key), kind)
    return None


def _location(href: str, address: str) -> str:
    """What GDAL opens for `href`, which may be relative to the item."""
    if "://" not in href and not href.startswith("/") and "://" in address:
        href = urllib.parse.urljoin(address, href)
    if href.startswith(("http://", "https://")):
        return f"/vsicurl/{href}"
    if href.startswith("s3://"):
        return f"/vsis3/{href.removeprefix('s3://')}"
    if href.startswith("file://"):
        return urllib.request.url2pathname(urllib.parse.urlparse(href).path)
    if "://" in address:
        return f"/vsicurl/{urllib.parse.urljoin(address, href)}"
    return str(Path(address).parent / href)


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)
