"""What the readers of product formats find out, and the scene reads by."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from narrows.rasters.images import Image
from narrows.rasters.sensors import Sensor

__all__ = ["CloudLayer", "Layer", "Product"]

CloudKind = Literal["qa_pixel", "scl", "fmask"]


@dataclass(frozen=True)
class Layer:
    """One of the six bands: where its numbers are, and reflectance = number x `scale` + `offset`.

    A pixel with one of the `fills`, or a number that isn't finite, is not observed.
    """

    image: Image
    index: int
    scale: float
    offset: float
    fills: tuple[float, ...] = ()


@dataclass(frozen=True)
class CloudLayer:
    """A product's own cloud mask."""

    image: Image
    kind: CloudKind


@dataclass(frozen=True)
class Product:
    """Six layers in the order of `BANDS`, and what was found out on the way.

    `applied` says in words what is applied to the numbers and where that was read. `pixel_size` (metres) is for files
    without a CRS whose metadata know the size of a pixel. `fill_gaps` asks for ETM+'s gaps to be filled. `acquired` is
    the day of the image as the metadata say it.
    """

    name: str
    sensor: Sensor
    layers: tuple[Layer, ...]
    applied: Mapping[str, str] = field(default_factory=dict)
    clouds: CloudLayer | None = None
    pixel_size: float | None = None
    fill_gaps: bool = False
    acquired: datetime.date | None = None
