from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from narrows.errors import InputError
from narrows.water.recipes.chips import draw_split, read_chips, read_split


def test_split_keeps_places_apart_and_tests_on_thirty_at_least() -> None:
    split = read_split()
    places = [place for part in split.values() for place in part]
    assert len(places) == len(set(places)) == 192
    assert len(split["test"]) >= 30
    assert draw_split(places) == split


def test_chips_are_read_as_the_data_says(shared_data: Path) -> None:
    found = read_chips(shared_data / "water306" / "hls306_6band.npz")
    assert found.reflectance.shape == (306, 6, 128, 128)
    assert 0.05 < np.median(found.reflectance[:, 3]) < 0.4
    assert found.label.mean() == pytest.approx(0.26, abs=0.01)
    assert ((found.label == 1) & (found.fmask_water == 0)).mean() == pytest.approx(0.08, abs=0.01)
    assert set(found.place.tolist()) == {place for part in read_split().values() for place in part}
    assert not (found.known & (found.label != found.fmask_water)).any()
    assert set(found.at_places([3, 5]).place.tolist()) == {3, 5}


def test_a_file_that_is_no_chips_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", img=np.zeros(3))
    for path in (tmp_path / "other.npz", tmp_path / "none.npz"):
        with pytest.raises(InputError, match="labelled chips"):
            read_chips(path)
