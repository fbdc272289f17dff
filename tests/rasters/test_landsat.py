"""Landsat products."""

from __future__ import annotations

import datetime
import json
import math
import tarfile
from pathlib import Path

import numpy as np
import pytest
import rasterio

from narrows.errors import InputError
from narrows.rasters import BANDS, SENSORS, open_scene
from narrows.rasters.irradiance import earth_sun_distance
from narrows.rasters.landsat import landsat_scaling
from narrows.rasters.mtl import parse_mtl

ELEVATION = 40.0
NAMES = {
    "landsat-oli": "LC08_L2SP_227074_20190809_20200827_02_T1",
    "landsat-etm": "LE07_L2SP_021030_20100109_20200911_02_T1",
}
NAMES["landsat-tm"] = "LT05_L2SP_058014_20110312_20200823_02_T1"
IDS = {"landsat-oli": ("LANDSAT_8", "OLI_TIRS"), "landsat-etm": ("LANDSAT_7", "ETM"), "landsat-tm": ("LANDSAT_5", "TM")}


def groups(sensor: str, level: str) -> dict[str, dict[str, str]]:
    """The groups of an MTL file as the archive writes them: level-1 multipliers stand in level-2 files too."""
    spacecraft, instrument = IDS[sensor]
    codes = [code.removeprefix("B") for code in SENSORS[sensor].bands.values()]
    name = product_name(sensor, level)
    surface = "SR_" if level.startswith("L2") else ""
    found = {
        "PRODUCT_CONTENTS": {
            "PROCESSING_LEVEL": level,
            **{f"FILE_NAME_BAND_{code}": f"{name}_{surface}B{code}.TIF" for code in codes},
        },
        "IMAGE_ATTRIBUTES": {
            "SPACECRAFT_ID": spacecraft,
            "SENSOR_ID": instrument,
            "SUN_ELEVATION": str(ELEVATION),
        },
        "PROJECTION_ATTRIBUTES": {"GRID_CELL_SIZE_REFLECTIVE": "30.00"},
        "LEVEL1_RADIOMETRIC_RESCALING": {
            **{f"REFLECTANCE_MULT_BAND_{code}": f"{int(code)}.0E-05" for code in codes},
            **{f"REFLECTANCE_ADD_BAND_{code}": "-0.100000" for code in codes},
        },
    }
    if surface:
        found["LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"] = {
            **{f"REFLECTANCE_MULT_BAND_{code}": "2.75e-05" for code in codes},
            **{f"REFLECTANCE_ADD_BAND_{code}": "-0.2" for code in codes},
        }
    return found


def product_name(sensor: str, level: str) -> str:
    return NAMES[sensor].replace("L2SP", level)


def as_text(content: dict[str, dict[str, str]]) -> str:
    lines = ["GROUP = LANDSAT_METADATA_FILE"]
    for group, items in content.items():
        lines.append(f"  GROUP = {group}")
        lines += [
            f'    {key} = "{value}"' if not value[0].isdigit() else f"    {key} = {value}"
            for key, value in items.items()
        ]
        lines.append(f"  END_GROUP = {group}")
    return "\n".join([*lines, "END_GROUP = LANDSAT_METADATA_FILE", "END", "\0" * 64])


def as_xml(content: dict[str, dict[str, str]]) -> str:
    inner = "".join(
        f"<{group}>{''.join(f'<{key}>{value}</{key}>' for key, value in items.items())}</{group}>"
        for group, items in content.items()
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8" standalone="no" ?><LANDSAT_METADATA_FILE>{inner}</LANDSAT_METADATA_FILE>'
    )


def as_json(content: dict[str, dict[str, str]]) -> str:
    return json.dumps({"LANDSAT_METADATA_FILE": content})


FORMATS = {".txt": as_text, ".xml": as_xml, ".json": as_json}


def make_product(
    folder: Path, write, numbers, sensor: str = "landsat-oli", level: str = "L2SP", ending: str = ".txt"
) -> Path:
    content = groups(sensor, level)
    name = product_name(sensor, level)
    for at, code in enumerate(SENSORS[sensor].bands.values()):
        write(folder / content["PRODUCT_CONTENTS"][f"FILE_NAME_BAND_{code[1:]}"], numbers[at], nodata=0)
    (folder / f"{name}_MTL{ending}").write_text(FORMATS[ending](content))
    return folder


@pytest.mark.parametrize("ending", [".txt", ".xml", ".json"])
@pytest.mark.parametrize("sensor", ["landsat-tm", "landsat-etm", "landsat-oli"])
def test_level_2_takes_the_surface_group(tmp_path: Path, write, numbers, sensor: str, ending: str) -> None:
    with open_scene(make_product(tmp_path / "p", write, numbers, sensor, "L2SP", ending)) as scene:
        rows = scene.read(0, 61)
        assert scene.sensor.name == sensor
        assert scene.applied["scale"] == "2.75e-05"
        assert scene.applied["offset"] == "-0.2"
        assert "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS" in scene.applied["scaling_from"]
    np.testing.assert_allclose(rows.reflectance, numbers * 2.75e-5 - 0.2, atol=1e-6)


@pytest.mark.parametrize("sensor", ["landsat-tm", "landsat-etm", "landsat-oli"])
def test_level_1_divides_by_the_sine_of_the_suns_elevation(tmp_path: Path, write, numbers, sensor: str) -> None:
    with open_scene(make_product(tmp_path / "p", write, numbers, sensor, "L1TP")) as scene:
        rows = scene.read(0, 61)
    codes = np.array([int(code[1:]) for code in SENSORS[sensor].bands.values()])[:, None, None]
    expected = (numbers * codes * 1e-5 - 0.1) / math.sin(math.radians(ELEVATION))
    np.testing.assert_allclose(rows.reflectance, np.clip(expected, -0.2, 1.6), atol=1e-5)


def test_a_pixel_is_not_observed_if_any_band_is_fill(tmp_path: Path, write, numbers) -> None:
    for at in range(6):
        numbers[at, 10 + at, 20] = 0
    with open_scene(make_product(tmp_path / "p", write, numbers)) as scene:
        rows = scene.read(0, 61)
    assert list(zip(*np.nonzero(~rows.observed), strict=True)) == [(10 + at, 20) for at in range(6)]


@pytest.mark.parametrize("inside", ["", "./", "LC08_L2SP/"])
def test_a_tar_reads_as_its_folder(tmp_path: Path, write, numbers, inside: str) -> None:
    folder = make_product(tmp_path / "p", write, numbers)
    with tarfile.open(tmp_path / "p.tar", "w") as tar:
        for each in sorted(folder.iterdir()):
            tar.add(each, arcname=f"{inside}{each.name}")
    with open_scene(folder) as one, open_scene(tmp_path / "p.tar") as other:
        np.testing.assert_array_equal(one.read(5, 50).reflectance, other.read(5, 50).reflectance)


def test_a_compressed_tar_is_refused(tmp_path: Path, write, numbers) -> None:
    folder = make_product(tmp_path / "p", write, numbers)
    with tarfile.open(tmp_path / "p.tar.gz", "w:gz") as tar:
        tar.add(folder, arcname="p")
    with pytest.raises(InputError, match="unpack it"):
        open_scene(tmp_path / "p.tar.gz")


@pytest.mark.parametrize("ending", [".txt", ".xml", ".json"])
def test_the_mtl_file_itself_names_the_product(tmp_path: Path, write, numbers, ending: str) -> None:
    folder = make_product(tmp_path / "p", write, numbers, ending=ending)
    with open_scene(next(folder.glob("*_MTL.*"))) as scene:
        assert scene.shape == (6, 61, 47)


def test_options_that_contradict_the_product_are_refused(tmp_path: Path, write, numbers) -> None:
    folder = make_product(tmp_path / "p", write, numbers)
    with pytest.raises(InputError, match="--sensor landsat-tm, but it is of landsat-oli"):
        open_scene(folder, sensor="tm")
    with pytest.raises(InputError, match="--bands is for raster files"):
        open_scene(folder, bands="1,2,3,4,5,6")


def test_quality_bits_are_clouds_and_shadows(tmp_path: Path, write, numbers) -> None:
    folder = make_product(tmp_path / "p", write, numbers)
    quality = np.zeros((61, 47), dtype=np.uint16)
    for bit in range(8):
        quality[bit, :] = 1 << bit
    quality[20] = 0b1001  # fill that claims to be cloud
    quality[21] = 0b10000010  # water beside a cloud
    with open_scene(folder) as scene:
        assert scene.read_clouds(0, 61) is None
        assert not scene.has_clouds
    write(folder / f"{NAMES['landsat-oli']}_QA_PIXEL.TIF", quality)
    with open_scene(folder) as scene:
        clouds = scene.read_clouds(0, 61)
    assert clouds is not None
    assert clouds.dtype == np.uint8
    assert sorted(set(np.nonzero(clouds)[0])) == [1, 2, 3, 4, 21]


def test_overrides_replace_the_mtl(tmp_path: Path, write, numbers) -> None:
    with open_scene(make_product(tmp_path / "p", write, numbers, level="L1TP"), scale=1e-5, offset=0) as scene:
        np.testing.assert_allclose(scene.read(0, 61).reflectance, numbers * 1e-5, atol=1e-6)
        assert "scale 1e-05 given by the user" in scene.applied["scaling_from"]


def test_what_is_missing_is_named(tmp_path: Path, write, numbers) -> None:
    folder = make_product(tmp_path / "p", write, numbers)
    next(folder.glob("*B5.TIF")).unlink()
    with pytest.raises(InputError, match=r"the nir band is missing: there is no …_SR_B5\.TIF"):
        open_scene(folder)
    next(folder.glob("*MTL.txt")).unlink()
    with pytest.raises(InputError, match="no MTL file"):
        open_scene(folder)
    (folder / "LC08_MTL.txt").write_text("\x00\x01 nonsense")
    with pytest.raises(InputError, match="no Landsat metadata"):
        open_scene(folder)
    text = as_text(groups("landsat-oli", "L2SP"))
    (folder / "LC08_MTL.txt").write_text(text[: len(text) // 2])
    with pytest.raises(InputError, match="cut short"):
        open_scene(folder)


def test_two_products_in_one_folder_are_refused(tmp_path: Path, write, numbers) -> None:
    folder = make_product(tmp_path / "p", write, numbers)
    make_product(tmp_path / "p", write, numbers, "landsat-tm")
    with pytest.raises(InputError, match="several products"):
        open_scene(folder)


def test_a_sun_below_the_horizon_and_a_sensor_without_the_bands_are_refused() -> None:
    content = groups("landsat-oli", "L1TP")
    content["IMAGE_ATTRIBUTES"]["SUN_ELEVATION"] = "-3.2"
    with pytest.raises(InputError, match=r"SUN_ELEVATION of -3\.2"):
        landsat_scaling(parse_mtl(as_json(content), "MTL"))
    content["IMAGE_ATTRIBUTES"]["SENSOR_ID"] = "MSS"
    with pytest.raises(InputError, match="MSS"):
        landsat_scaling(parse_mtl(as_json(content), "MTL"))


def test_the_suns_distance() -> None:
    """Values of the table 6 of Chander et al. 2009."""
    for day, distance in ((1, 0.98331), (91, 0.99926), (186, 1.01668), (300, 0.99359)):
        date = datetime.date(2001, 1, 1) + datetime.timedelta(day - 1)
        assert earth_sun_distance(date) == pytest.approx(distance, abs=5e-4)


@pytest.mark.parametrize("ending", ["_MTL.txt", "_MTL.xml", "_MTL.json"])
def test_every_real_mtl_leads_to_surface_reflectance(shared_data: Path, ending: str) -> None:
    found = sorted((shared_data / "products" / "landsat").glob(f"*/*{ending}"))
    assert found
    for path in found:
        said = landsat_scaling(parse_mtl(path.read_text(), path.name))
        assert said.level in ("L2SP", "L2SR")
        assert said.scaling.scale == (2.75e-5,) * 6
        assert said.scaling.offset == (-0.2,) * 6
        instrument = {"LC": "landsat-oli", "LE": "landsat-etm", "LT": "landsat-tm"}[path.name[:2]]
        assert said.sensor.name == instrument
        assert said.spacecraft == f"LANDSAT_{int(path.name[2:4])}"


def test_real_folders(shared_data: Path) -> None:
    for folder in sorted((shared_data / "products" / "landsat").glob("LC08*")):
        with open_scene(folder) as scene:
            rows = scene.read(100, 300)
            clouds = scene.read_clouds(100, 300)
            with rasterio.open(next(folder.glob("*SR_B5.TIF"))) as dataset:
                raw = dataset.read(1)[100:300]
        seen = rows.observed
        assert not seen[raw == 0].any()
        np.testing.assert_allclose(rows.reflectance[3][seen], np.clip(raw[seen] * 2.75e-5 - 0.2, -0.2, 1.6), atol=1e-6)
        assert clouds is not None
        assert 0 < clouds.mean() < 1


def test_radiance_alone_gives_top_of_atmosphere_reflectance(shared_data: Path) -> None:
    """Landsat 5 of 1988 in its old format, by hand from its MTL file: 14 August, sun at 49.75588889 degrees."""
    folder = shared_data / "scenes" / "lt5_reservoir_dn"
    with open_scene(folder) as scene:
        rows = scene.read(0, 50)
        assert scene.applied["level"].startswith("L1T:")
        assert "Chander" in scene.applied["scaling_from"]
    with rasterio.open(folder / "LT52240631988227CUB02_B4.TIF") as dataset:
        raw = dataset.read(1)[:50].astype(float)
    radiance = (221.0 + 1.51) / 254 * (raw - 1) - 1.51
    expected = math.pi * radiance * 1.01281**2 / (1031 * math.sin(math.radians(49.75588889)))
    np.testing.assert_allclose(rows.reflectance[3], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["manaus_l9", "corumba_l8_toa", "liverpool_l8", "brumadinho_l8_after"])
def test_real_scenes_have_the_look_of_water_and_land(shared_data: Path, name: str) -> None:
    with open_scene(shared_data / "scenes" / name) as scene:
        rows = scene.read(0, scene.height)
        areas = scene.pixel_areas(0, 2)
    assert scene.bands == BANDS
    assert areas is not None
    assert areas.tolist() == [900.0, 900.0]
    green, nir, swir = rows.reflectance[[1, 3, 4]]
    water = (green - swir) / (green + swir + 1e-6) > 0.3
    assert 0.0 < np.median(green) < 0.2
    assert nir[~water].mean() > 0.15
    if water.any():
        assert nir[water].mean() < 0.12
