"""Scenes on disk as row sources and sinks: sensors, bands, scaling, no-data, Cloud Optimized GeoTIFF."""

from narrows.rasters.cog import CogSink
from narrows.rasters.gdal import raster_environment
from narrows.rasters.opening import open_scene
from narrows.rasters.scene import Rows, Scene
from narrows.rasters.sensors import BANDS, SENSORS, Sensor, find_sensor
from narrows.rasters.sources import RasterSink, RasterSource, scaled_transform

__all__ = [
    "BANDS",
    "SENSORS",
    "CogSink",
    "RasterSink",
    "RasterSource",
    "Rows",
    "Scene",
    "Sensor",
    "find_sensor",
    "open_scene",
    "raster_environment",
    "scaled_transform",
]
