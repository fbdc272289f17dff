"""Whether a GeoTIFF that was just written is whole."""

from __future__ import annotations

import math
from pathlib import Path

from narrows.errors import InputError, OutputError
from narrows.rasters.gdal import GDAL_ERRORS, open_raster
from narrows.rasters.tiles import write_failure

__all__ = ["check_whole"]


def check_whole(path: Path, name: str) -> None:
    """See that every tile of every band and overview of the file at `path` lies inside the file.

    GDAL writes the end of a file as it closes it, and what fails then (a disk that fills up) it tells nobody.

    Raises:
        OutputError: a tile is missing or cut off, or the file can't be opened.
    """
    size = path.stat().st_size
    try:
        with open_raster(str(path)) as dataset:
            by_pixel = dataset.interleaving is not None and dataset.interleaving.name == "pixel"
            bands = [1] if by_pixel else list(range(1, dataset.count + 1))
            block_height, block_width = dataset.block_shapes[0]
            for band in bands:
                for level, factor in enumerate([1, *dataset.overviews(1)], start=-1):
                    across = math.ceil(math.ceil(dataset.width / factor) / block_width)
                    down = math.ceil(math.ceil(dataset.height / factor) / block_height)
                    overview = {} if level < 0 else {"ovr": level}
                    for place in (f"{x}_{y}" for y in range(down) for x in range(across)):
                        offset = dataset.get_tag_item(f"BLOCK_OFFSET_{place}", "TIFF", band, **overview)
                        count = dataset.get_tag_item(f"BLOCK_SIZE_{place}", "TIFF", band, **overview)
                        if offset is None or count is None or int(offset) + int(count) > size:
                            raise OutputError(f"{name}: can't be written; is the disk full? Its last tiles are missing")
    except (InputError, *GDAL_ERRORS) as error:
        raise write_failure(name, error) from error
