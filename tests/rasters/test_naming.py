"""Which band is which, by name, number and sensor."""

from __future__ import annotations

import pytest

from narrows.errors import InputError
from narrows.rasters.naming import order_from_names, order_from_option
from narrows.rasters.sensors import BANDS, SENSORS, find_sensor


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["blue", "green", "red", "nir", "swir1", "swir2"], [1, 2, 3, 4, 5, 6]),
        (["coastal", "red", "green", "blue", "nir08", "swir16", "swir22"], [4, 3, 2, 5, 6, 7]),
        (["B02", "B03", "B04", "B08", "B11", "B12"], [1, 2, 3, 4, 5, 6]),
        (["B2", "B3", "B4", "B8", "B8A", "B11", "B12"], [1, 2, 3, 4, 6, 7]),
        (["B02", "B03", "B04", "B8A", "B11", "B12"], [1, 2, 3, 4, 5, 6]),
        (["SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B6", "SR_B7"], [1, 2, 3, 4, 5, 6]),
        (["SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B7"], [1, 2, 3, 4, 5, 6]),
        (["SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B6", "SR_B7"], [2, 3, 4, 5, 6, 7]),
        (["B7", "B6", "B5", "B4", "B3", "B2"], [6, 5, 4, 3, 2, 1]),
        ([None, "swir2", "swir1", "nir", "red", "green", "blue"], [7, 6, 5, 4, 3, 2]),
    ],
)
def test_names_give_the_order(names: list[str | None], numbers: list[int]) -> None:
    order = order_from_names(names, None, "file.tif")
    assert order is not None
    assert [order.indexes[band] for band in BANDS] == numbers


def test_codes_that_fit_two_sensors_are_refused_unless_the_sensor_is_named() -> None:
    names = [f"B{number}" for number in range(1, 8)]
    with pytest.raises(InputError, match=r"landsat-tm.*--sensor"):
        order_from_names(names, None, "file.tif")
    tm = order_from_names(names, SENSORS["landsat-tm"], "file.tif")
    oli = order_from_names(names, SENSORS["landsat-oli"], "file.tif")
    assert tm is not None
    assert oli is not None
    assert tm.indexes["blue"] == 1
    assert oli.indexes["blue"] == 2


def test_a_missing_band_is_named() -> None:
    with pytest.raises(InputError, match=r"no band for nir and swir2"):
        order_from_names(["blue", "green", "red", "swir1"], None, "file.tif")


def test_names_that_are_no_bands_say_nothing() -> None:
    assert order_from_names(["Band_x", None, "elevation", "slope", "a", "b"], None, "file.tif") is None


def test_the_option_takes_names_numbers_and_mappings() -> None:
    named = order_from_option(["-", "blue", "green", "red", "nir", "swir16", "swir22"], 7, "f")
    numbered = order_from_option(["2", "3", "4", "5", "6", "7"], 7, "f")
    mapped = order_from_option({"swir2": 7, "swir1": 6, "nir": 5, "red": 4, "green": 3, "blue": 2}, 7, "f")
    assert dict(named.indexes) == dict(numbered.indexes) == dict(mapped.indexes)


@pytest.mark.parametrize(
    ("bands", "words"),
    [
        (["1", "2", "3"], "six numbers"),
        (["1", "2", "3", "4", "5", "9"], "swir2 is band 9, but f has 6 bands"),
        (["blue", "blue", "red", "nir", "swir1", "swir2"], "names blue twice"),
        (["blue", "green", "red", "nir", "swir1"], "no band for swir2"),
        (["blue", "green", "red", "nir", "swir1", "swir2", "x"], "names 7 bands, f has 6"),
    ],
)
def test_wrong_options_are_refused(bands: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        order_from_option(bands, 6, "f")


def test_sensors_have_other_names() -> None:
    assert find_sensor("Landsat 8") is SENSORS["landsat-oli"]
    assert find_sensor("ETM+") is SENSORS["landsat-etm"]
    assert find_sensor("S2") is SENSORS["sentinel-2"]
    with pytest.raises(InputError, match=r"--sensor MODIS: unknown; the known ones are landsat-tm"):
        find_sensor("MODIS")
