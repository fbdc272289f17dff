from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from narrows.rasters import open_scene
from narrows.rasters.dates import as_date, date_in_name


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("LC08_L2SP_218074_20190114_20200829_02_T1", "2019-01-14"),
        ("S2A_MSIL1C_20210908T042701_N0301_R133_T46RER_20210908T070248.SAFE", "2021-09-08"),
        ("HLS.L30.T37MEM.2019166T071234.v2.0", "2019-06-15"),
        ("LT52240631988227CUB02", "1988-08-14"),
        ("pond_2020-02-29_water", "2020-02-29"),
        ("pond_20190229_20190301", "2019-03-01"),
        ("pond_19710101", None),
        ("scene_123456789", None),
        ("pond", None),
    ],
)
def test_days_in_names(name: str, day: str | None) -> None:
    assert date_in_name(name) == (datetime.date.fromisoformat(day) if day else None)


def test_dates_and_times_of_metadata() -> None:
    assert as_date("2019-08-09T13:52:01.123Z") == datetime.date(2019, 8, 9)
    assert as_date("August") is None
    assert as_date(None) is None


def test_a_landsat_product_says_its_day(shared_data: Path) -> None:
    with open_scene(shared_data / "scenes" / "brumadinho_l8_before") as scene:
        assert scene.acquired == datetime.date(2019, 1, 14)
