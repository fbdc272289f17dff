from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from labelled_scenes import classes_of, write_pair, write_pairs

from narrows.errors import InputError
from narrows.water.evaluation.pairs import Pair
from narrows.water.evaluation.truth import FILL
from narrows.water.training import labelled
from narrows.water.training.labelled import CELL, open_library


def test_labels_are_counted_where_the_scene_has_data(tmp_path: Path) -> None:
    classes = classes_of(70, 100)
    classes[:10, :20], classes[40:50, 60:70], classes[60:, :5] = 2, 3, 4
    missing = np.zeros(classes.shape, bool)
    missing[:, 90:] = True
    pair = write_pair(tmp_path, "a", classes, missing=missing)
    with open_library([pair]) as library:
        scene = library.scenes[0]
    seen = ~missing
    assert scene.pixels == {
        "land": int(((classes == 0) & seen).sum()),
        "water": int(((classes == 1) & seen).sum()),
        "covered": int((np.isin(classes, (3, 4)) & seen).sum()),
    }
    assert scene.counts.shape == (3, 3, 4)
    assert scene.counts[1, 1, 2] == (classes[CELL : 2 * CELL, 2 * CELL : 3 * CELL] == 1).sum()
    assert not scene.counts[:, :, 3].sum() > 0 or scene.counts.sum((0,))[0, 3] <= CELL * CELL


def test_windows_are_the_same_from_memory_and_from_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = np.zeros((96, 128), bool)
    missing[:20, :30] = True
    pairs = [write_pair(tmp_path, "holes", classes_of(), missing=missing), *write_pairs(tmp_path, 3)[1:]]
    # The mask of a part of a scene is read from the part's corner.
    part = write_pair(tmp_path, "part", classes_of()[16:80, 32:112], corner=(16, 32))
    pairs.append(Pair(pairs[1].scene, part.mask, (16, 32, 64, 80)))
    places = [(0, (0, 64), (0, 64)), (2, (30, 96), (50, 128)), (3, (8, 40), (16, 80)), (0, (10, 21), (5, 7))]
    with open_library(pairs) as library:
        held = [library.read(*place) for place in places]
    monkeypatch.setattr(labelled, "_SHARE", 0)
    monkeypatch.setattr(labelled, "_MOST_OPEN", 1)
    with open_library(pairs) as library:
        read = [library.read(*place) for place in places]
    for one, other in zip(held, read, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
    reflectance, classes = held[0]
    assert np.isnan(reflectance[:, :20, :30]).all()
    assert (classes[:20, :30] == FILL).all()
    assert np.isfinite(reflectance[:, 20:, 30:]).all()
    np.testing.assert_array_equal(held[2][1], classes_of()[24:56, 48:112])


def test_two_scenes_of_one_name_are_refused(tmp_path: Path) -> None:
    pair = write_pairs(tmp_path, 1)[0]
    with pytest.raises(InputError, match="two scenes are called a"), open_library([pair, pair]):
        pass
