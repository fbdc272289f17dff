"""Sentinel-2 SAFE products, with JP2 files written by GDAL's OpenJPEG driver."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

__all__ = ["COARSE", "CORNER", "FINE", "SIDE", "make_safe", "metadata", "write_jp2"]

SIDE = 120
CORNER = (499980.0, 3100020.0)
FINE = ("B02", "B03", "B04", "B08")
COARSE = ("B11", "B12")


def metadata(level: str, offset: int | None, quantification: int = 10000, text: str = "T46RER_20210908T042701") -> str:
    """The parts of MTD_MSIL1C.xml or MTD_MSIL2A.xml that count, laid out as ESA does."""
    number = level.removeprefix("L")
    prefix = "BOA" if level == "L2A" else "RADIO"
    list_tag = "BOA_ADD_OFFSET_VALUES_LIST" if level == "L2A" else "Radiometric_Offset_List"
    bands = ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12"]
    # Offsets differ from band to band here, so that a mix-up shows.
    offsets = "".join(
        f'<{prefix}_ADD_OFFSET band_id="{at}">{(offset or 0) - at}</{prefix}_ADD_OFFSET>' for at in range(13)
    )
    value = (
        f'<QUANTIFICATION_VALUES_LIST><BOA_QUANTIFICATION_VALUE unit="none">{quantification}</BOA_QUANTIFICATION_VALUE>'
        "<AOT_QUANTIFICATION_VALUE unit='none'>1000.0</AOT_QUANTIFICATION_VALUE></QUANTIFICATION_VALUES_LIST>"
        if level == "L2A"
        else f'<QUANTIFICATION_VALUE unit="none">{quantification}</QUANTIFICATION_VALUE>'
    )
    spectral = "".join(f'<Spectral_Information bandId="{at}" physicalBand="{band}"/>' for at, band in enumerate(bands))
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-{number}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{number}.xsd">
 <n1:General_Info><Product_Info><PROCESSING_BASELINE>{"05.00" if offset else "03.01"}</PROCESSING_BASELINE>
  <Datatake><SPACECRAFT_NAME>Sentinel-2A</SPACECRAFT_NAME></Datatake></Product_Info>
  <Product_Image_Characteristics>
   <Special_Values><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX></Special_Values>
   <Special_Values><SPECIAL_VALUE_TEXT>SATURATED</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>65535</SPECIAL_VALUE_INDEX>
   </Special_Values>
   {value}{f"<{list_tag}>{offsets}</{list_tag}>" if offset is not None else ""}
   <Spectral_Information_List>{spectral}</Spectral_Information_List>
  </Product_Image_Characteristics></n1:General_Info></n1:Level-{number}_User_Product>"""


def write_jp2(path: Path, band: NDArray[np.uint16] | NDArray[np.uint8], size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {
        "driver": "JP2OpenJPEG",
        "crs": CRS.from_epsg(32646),
        "transform": Affine(size, 0, CORNER[0], 0, -size, CORNER[1]),
    }
    with rasterio.open(
        path, "w", count=1, height=band.shape[0], width=band.shape[1], dtype=band.dtype, QUALITY=100, REVERSIBLE="YES",
        BLOCKXSIZE=64, BLOCKYSIZE=64, **profile,
    ) as dataset:  # fmt: skip
        dataset.write(band, 1)


def make_safe(
    root: Path, level: str, offset: int | None, pixels: dict[str, NDArray[np.uint16]], classes: bool = False
) -> Path:
    safe = root / f"S2A_MSI{level}_20210908T042701_N0500_R133_T46RER_20210908T070248.SAFE"
    granule = safe / "GRANULE" / f"{level}_T46RER_A032448_20210908T043714"
    granule.mkdir(parents=True)
    (safe / f"MTD_MSI{level}.xml").write_text(metadata(level, offset))
    (granule / "MTD_TL.xml").write_text("<tile/>")
    for band, values in pixels.items():
        size = 10 if values.shape[0] == SIDE else 20
        at = "IMG_DATA" if level == "L1C" else f"IMG_DATA/R{size}m"
        ending = "" if level == "L1C" else f"_{size}m"
        write_jp2(granule / at / f"T46RER_20210908T042701_{band}{ending}.jp2", values, size)
    if classes:
        values = np.arange(12, dtype=np.uint8).repeat(SIDE // 24)[:, None].repeat(SIDE // 2, axis=1)
        write_jp2(granule / "IMG_DATA/R20m/T46RER_20210908T042701_SCL_20m.jp2", values, 20)
    return safe
