"""The hand-drawn masks of benchmarks/truth: table, drawings and pictures agree."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TRUTH = Path(__file__).resolve().parents[2] / "benchmarks" / "truth"
sys.path.insert(0, str(TRUTH))

from compare_passes import agreement, alone, compared, lines_of, report, total  # noqa: E402
from drawings import (  # noqa: E402
    CLASSES,
    DRAWINGS,
    MASKS,
    Drawing,
    burn_scars,
    load_drawing,
    rasterise,
    read_mask,
    touched_by_wands,
)
from make_masks import END, README, START, table  # noqa: E402
from windows import BANDS, SIZE, Scene, Window, load_windows, read_window, seen_once  # noqa: E402

WINDOWS = load_windows()
SECOND = TRUTH / "second"
PASSES = {"first": (DRAWINGS, MASKS), "second": (SECOND / "drawings", SECOND / "masks")}
LAND, WATER, UNSURE, FILL = (CLASSES[name] for name in ("land", "water", "unsure", "fill"))


def window(columns: int = 1000, rows: int = 1000) -> Window:
    scene = Scene("none.tif", "nowhere", "none", None, "none", "none", (columns, rows), "choose", {})
    return Window("made", "none", 0, 0, "nothing", scene)


def drawn(*shapes: dict, bands: np.ndarray | None = None, of: Window | None = None) -> np.ndarray:
    return rasterise(Drawing("made", "high", "", list(shapes)), of or window(), bands)


@pytest.mark.parametrize(("drawings", "masks"), PASSES.values(), ids=PASSES)
def test_every_window_is_drawn_and_rasterised(drawings: Path, masks: Path) -> None:
    assert len(WINDOWS) >= 20
    assert {path.stem for path in drawings.glob("*.json")} == set(WINDOWS)
    assert {path.stem for path in masks.glob("*.png")} == set(WINDOWS)
    for name in WINDOWS:
        assert load_drawing(drawings / f"{name}.json").window == name


def test_the_second_pass_is_no_copy_of_the_first() -> None:
    for name in WINDOWS:
        first, second = (load_drawing(drawings / f"{name}.json") for drawings, _ in PASSES.values())
        assert first.notes != second.notes
        assert first.shapes != second.shapes


def test_places_are_in_one_split() -> None:
    splits: dict[str, set[str]] = {}
    for each in WINDOWS.values():
        splits.setdefault(each.source.place, set()).add(each.source.split)
    assert all(len(found) == 1 for found in splits.values())
    assert set.union(*splits.values()) == {"choose", "report"}
    for split in ("choose", "report"):
        assert sum(found == {split} for found in splits.values()) >= 4


def test_windows_are_within_their_scenes() -> None:
    for each in WINDOWS.values():
        columns, rows = each.source.size
        assert set(each.source.bands) == set(BANDS)
        assert 0 <= each.column < columns
        assert 0 <= each.row < rows


@pytest.mark.parametrize("masks", [masks for _, masks in PASSES.values()], ids=PASSES)
@pytest.mark.parametrize("name", WINDOWS)
def test_mask_is_an_indexed_picture_of_known_classes(name: str, masks: Path) -> None:
    with Image.open(masks / f"{name}.png") as picture:
        assert picture.mode == "P"
    mask = read_mask(masks / f"{name}.png")
    assert mask.shape == (SIZE, SIZE)
    assert set(np.unique(mask)) <= set(CLASSES.values())
    beyond = np.ones(mask.shape, bool)
    beyond[WINDOWS[name].inside()] = False
    assert (mask[beyond] == FILL).all()


@pytest.mark.parametrize(("drawings", "masks"), PASSES.values(), ids=PASSES)
@pytest.mark.parametrize("name", WINDOWS)
def test_mask_is_its_drawing_where_no_wand_is(name: str, drawings: Path, masks: Path) -> None:
    drawing = load_drawing(drawings / f"{name}.json")
    mask = read_mask(masks / f"{name}.png")
    no_data = any("wand" in shape and shape["class"] == "fill" for shape in drawing.shapes)
    elsewhere = ~touched_by_wands(drawing) & ~((mask == FILL) & no_data)
    if not elsewhere.any():
        # Two windows of intricate shores are outlined as a whole by the second drawer: the imagery is needed.
        assert (drawings, name) in {(SECOND / "drawings", each) for each in ("lt5_reservoir", "manaus_lakes")}
    without = rasterise(drawing, WINDOWS[name], np.full((len(BANDS), SIZE, SIZE), 1e9, np.float32))
    assert np.array_equal(mask[elsewhere], without[elsewhere])


@pytest.mark.parametrize("name", WINDOWS)
def test_mask_is_its_drawing(name: str, shared_data: Path) -> None:
    bands = read_window(WINDOWS[name], shared_data)
    for drawings, masks in PASSES.values():
        again = rasterise(load_drawing(drawings / f"{name}.json"), WINDOWS[name], bands)
        assert np.array_equal(read_mask(masks / f"{name}.png"), again)


def test_readme_lists_what_the_masks_hold() -> None:
    assert table(WINDOWS, DRAWINGS, MASKS) == README.read_text().split(START)[1].split(END)[0]


def test_windows_that_overlap_agree() -> None:
    scenes: dict[str, np.ndarray] = {}
    differing = 0
    for name, each in WINDOWS.items():
        columns, rows = each.source.size
        seen = scenes.setdefault(each.scene, np.full((rows, columns), -1))
        inside = each.inside()
        there = seen[each.row : each.row + SIZE, each.column : each.column + SIZE]
        mask = read_mask(MASKS / f"{name}.png")[inside]
        before = there != -1
        assert np.array_equal(before, ~seen_once(each, WINDOWS)[inside])
        assert not ((there == WATER) & (mask == LAND)).sum() > 20
        differing += int((there != mask)[before].sum())
        there[...] = mask
    assert f"; {differing} pixels of cloud, shadow and shore still differ" in " ".join(README.read_text().split())


def test_burn_scars_hold_no_water() -> None:
    burnt = {name: burn_scars(name) for name in WINDOWS}
    assert sum(int(each.sum()) for each in burnt.values()) > 30_000
    assert {WINDOWS[name].source.place for name, each in burnt.items() if each.any()} == {"Corumbá"}
    for name, each in burnt.items():
        assert (read_mask(MASKS / f"{name}.png")[each] == LAND).all()


def test_a_polygon_takes_the_pixels_whose_centre_is_inside() -> None:
    mask = drawn({"class": "water", "polygon": [[2, 3], [5, 3], [5, 5], [2, 5]]})
    assert (mask == WATER).sum() == 6
    assert (mask[3:5, 2:5] == WATER).all()


def test_a_line_of_one_pixel_does_not_break() -> None:
    mask = drawn({"class": "water", "line": [[10, 10.5], [40, 22.5]], "width": 1.0})
    assert (mask[:, 11:39] == WATER).any(0).all()


def test_later_shapes_cover_only_what_they_may() -> None:
    square = [[0, 0], [4, 0], [4, 4], [0, 4]]
    wide = [[0, 0], [8, 0], [8, 4], [0, 4]]
    mask = drawn({"class": "water", "polygon": square}, {"class": "unsure", "polygon": wide, "over": ["land"]})
    assert (mask[:4, :4] == WATER).all()
    assert (mask[:4, 4:8] == UNSURE).all()


def test_a_wand_stays_inside_its_outline_and_drops_small_groups() -> None:
    bands = np.full((len(BANDS), SIZE, SIZE), 100, np.float32)
    bands[BANDS.index("nir"), 10:14, 10:14] = 5
    bands[BANDS.index("nir"), 20, 20] = 5
    bands[BANDS.index("nir"), 100:110, 100:110] = 5
    wand = {"band": "nir", "below": 50, "polygon": [[0, 0], [50, 0], [50, 50], [0, 50]], "smallest": 2}
    mask = drawn({"class": "water", "wand": wand}, bands=bands)
    assert (mask == WATER).sum() == 16
    assert (mask[10:14, 10:14] == WATER).all()


def test_what_is_beyond_the_scene_is_fill() -> None:
    mask = drawn({"class": "water", "polygon": [[0, 0], [256, 0], [256, 256], [0, 256]]}, of=window(100, 50))
    assert (mask[:50, :100] == WATER).all()
    assert (mask == FILL).sum() == SIZE * SIZE - 5000


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ({"class": "sea", "polygon": []}, "no class sea"),
        ({"class": "water"}, "has to be one of polygon, line, wand"),
        ({"class": "water", "polygon": [], "confidence": "some"}, "confidence 'some'"),
    ],
)
def test_a_drawing_that_cannot_be_read_says_where(tmp_path: Path, shape: dict, said: str) -> None:
    path = tmp_path / "made.json"
    path.write_text(json.dumps({"window": "made", "confidence": "high", "notes": "", "shapes": [shape]}))
    with pytest.raises(ValueError, match=f"made.json: shape 0: {said}"):
        load_drawing(path)


def test_agreement_of_two_passes() -> None:
    first = np.zeros((SIZE, SIZE), np.uint8)
    first[100:140, 100:140] = WATER
    second = np.zeros_like(first)
    second[100:140, 101:141] = WATER
    second[0, :10] = UNSURE
    same, moved = agreement(first, first), agreement(first, second)
    assert same["water"]["iou"] == same["clear"]["iou"] == same["clear"]["agree"] == 1
    assert moved["water"]["iou"] == pytest.approx(39 / 41)
    assert moved["away"]["iou"] == 1
    assert moved["clear"]["pixels"] == SIZE * SIZE - 10
    assert moved["confusion"][0][1] == moved["confusion"][1][0] == 40
    assert total([same, moved])["water"]["iou"] == pytest.approx((1600 + 1560) / (1600 + 1640))


def test_sums_of_agreement_count_a_pixel_once() -> None:
    first = np.full((SIZE, SIZE), WATER, np.uint8)
    second = np.full_like(first, LAND)
    overlapping = dict.fromkeys(("l7_hills", "l7_coast"), (first, second))
    found = compared(overlapping)
    rows, columns = SIZE - 96, SIZE - 93
    assert alone(found["l7_coast"]) == (0, SIZE * SIZE, 0)
    assert alone(found["all windows"]) == (0, 2 * SIZE * SIZE - rows * columns, 0)
    assert alone(compared({"l7_coast": (first, second)})["all windows"]) == (0, SIZE * SIZE, 0)


def test_agreement_is_that_of_the_committed_masks() -> None:
    pairs = {}
    for name in WINDOWS:
        first, second = (read_mask(masks / f"{name}.png") for _, masks in PASSES.values())
        pairs[name] = (first, second)
    found = compared(pairs)
    assert (TRUTH / "agreement.json").read_text() == lines_of(found)
    page = (TRUTH / "AGREEMENT.md").read_text()
    assert page.split("<!-- tables -->\n")[1].split(END)[0] == report(found)
    everything = found["all windows"]
    for text in (page, README.read_text()):
        for one in (everything["water"], everything["away"], found["all with little water"]["water"]):
            assert f"{one['iou']:.3f}" in text
