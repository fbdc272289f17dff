from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from narrows.errors import InputError
from narrows.water.evaluation.pairs import Pair
from narrows.water.training.division import check_enough, divide
from narrows.water.training.labelled import Labelled


def scene(name: str, water: int, *, cells: tuple[int, int] = (4, 4), image: str | None = None) -> Labelled:
    """With `water` pixels in its first cells, 100 in each at most, and 500 of land in every cell."""
    counts = np.zeros((3, *cells), np.int64)
    counts[0] = 500
    flat = counts[1].reshape(-1)
    for number in range(-(-water // 100)):
        flat[number] = min(100, water - 100 * number)
    window = None if image is None else (0, 0, 32 * cells[0], 32 * cells[1])
    return Labelled(
        Pair(image or f"{name}.tif", Path(f"{name}_mask.tif"), window), 32 * cells[0], 32 * cells[1], counts
    )


def names(parts: object) -> list[str]:
    return [part.scene.pair.mask.name[0] for part in parts]  # type: ignore[attr-defined]


def test_scenes_are_told_apart_and_both_sides_have_water() -> None:
    scenes = [scene("a", 200), scene("b", 0), scene("c", 0), scene("d", 300), scene("e", 0)]
    for seed in range(20):
        division = divide(scenes, 0.4, seed)
        assert sorted(names(division.training) + names(division.validation)) == list("abcde")
        assert len(division.validation) == 2
        assert {"a", "d"} & set(names(division.training)) and {"a", "d"} & set(names(division.validation))
        assert division.by == "2 of 5 scenes"
        check_enough(division)
    assert len({tuple(names(divide(scenes, 0.4, seed).validation)) for seed in range(20)}) > 1
    assert names(divide(scenes, 0.4, 3).validation) == names(divide(scenes, 0.4, 3).validation)


def test_windows_of_one_scene_stay_together() -> None:
    scenes = [scene(name, 200, image=image) for name, image in zip("abcdefgh", "11223344", strict=True)]
    for seed in range(10):
        division = divide(scenes, 0.25, seed)
        assert "".join(names(division.validation)) in ("ab", "cd", "ef", "gh")
        assert division.by == "1 of 4 scenes"


def test_few_scenes_are_divided_by_blocks() -> None:
    scenes = [scene("a", 900, cells=(16, 16)), scene("b", 0, cells=(16, 16))]
    division = divide(scenes, 0.2, 0)
    assert "26 of 128 blocks of 64 x 64 pixels" in division.by
    taught, kept = division.training, division.validation
    for part in kept:
        other = next(each for each in taught if each.scene is part.scene)
        np.testing.assert_array_equal(other.cells, ~part.cells)
    assert sum(part.pixels["water"] for part in kept) > 0
    assert sum(part.cells.sum() for part in kept) == 26 * 4
    check_enough(division)
    # Where water lies in many places the blocks are larger.
    wide = scene("c", 100 * 24 * 24, cells=(24, 24))
    division = divide([wide], 0.2, 0)
    assert "2 of 9 blocks of 256 x 256" in division.by
    rows, columns = np.nonzero(division.validation[0].cells)
    assert len(rows) == 2 * 64
    assert len({(int(row) // 8, int(column) // 8) for row, column in zip(rows, columns, strict=True)}) == 2


def test_given_scenes_validate_alone_and_none_when_not_wanted() -> None:
    scenes = [scene("a", 200), scene("b", 200), scene("c", 200)]
    division = divide(scenes, 0.2, 0, given=1)
    assert (names(division.training), names(division.validation)) == (["a", "b"], ["c"])
    assert [part.number for part in division.validation] == [2]
    division = divide(scenes, 0, 0)
    assert (names(division.training), division.validation) == (["a", "b", "c"], ())


def test_what_cannot_teach_is_refused() -> None:
    dry = [scene(name, 0) for name in "abcde"]
    with pytest.raises(InputError, match="no pixel of the 5 scenes to train on is labelled water"):
        check_enough(divide(dry, 0, 0))
    flooded = scene("a", 1600)
    flooded.counts[0] = 0
    with pytest.raises(InputError, match=r"no pixel of a to train on is labelled land"):
        check_enough(divide([flooded], 0, 0))
    with pytest.raises(InputError, match=r"too few pixels to train on: 8,020 .* 20 of them water"):
        check_enough(divide([scene("a", 20)], 0, 0))
    with pytest.raises(InputError, match="no pixel to validate on is labelled water"):
        check_enough(divide([scene("a", 200), scene("b", 0)], 0.2, 0, given=1))
    with pytest.raises(InputError, match="within one block"):
        divide([scene("a", 60)], 0.2, 0)
    with pytest.raises(InputError, match="within one block"):
        divide(dry, 0.2, 0)
