"""The table of the air, against 6S itself: cases between its nodes that the making command ran and kept."""

from __future__ import annotations

import numpy as np
import pytest

from narrows.errors import InputError
from narrows.water.simulation import atmosphere
from narrows.water.simulation.atmosphere import air
from narrows.water.simulation.library import SENSORS
from narrows.water.simulation.making.atmosphere import CHECKS


@pytest.mark.parametrize("number", range(len(CHECKS)))
def test_reflectance_is_what_6s_gives(number: int) -> None:
    sensor, aerosol, depth, zenith, ground = CHECKS[number]
    expected = atmosphere._table()["checks"][number]
    found = air(sensor, zenith, depth, {1: "continental", 2: "maritime"}[aerosol]).seen(
        np.full((6, 1), ground, np.float32)
    )
    assert found[:, 0] == pytest.approx(expected, abs=0.003, rel=0.015)


def test_the_correction_undoes_the_air() -> None:
    ground = np.linspace(0, 0.9, 60, dtype=np.float32).reshape(6, 2, 5)
    sky = air("sentinel-2a", 50, 0.4, "maritime", "tropical")
    assert sky.ground(sky.seen(ground)) == pytest.approx(ground, abs=1e-5)


@pytest.mark.parametrize("sensor", [s for group in SENSORS.values() for s in group])
def test_air_is_blue_and_haze_brightens(sensor: str) -> None:
    clear, hazy = (air(sensor, 40, depth) for depth in (0.05, 0.8))
    assert (np.diff(clear.path) < 0).all()
    assert (hazy.path > clear.path).all()
    assert (np.diff(clear.diffuse) < 0).all()
    low = air(sensor, 68, 0.05)
    assert (low.diffuse > clear.diffuse).all()
    assert (clear.gas > 0.6).all() and (clear.gas <= 1).all()


def test_water_vapour_dims_the_infrared() -> None:
    dry, wet = (air("landsat-5", 40, 0.1, profile=p) for p in ("subarctic winter", "tropical"))
    assert wet.gas[5] < dry.gas[5]


def test_what_the_table_lacks_is_refused() -> None:
    with pytest.raises(InputError, match="no simulated air"):
        air("landsat-8", 40, 0.1, aerosol="dust")
