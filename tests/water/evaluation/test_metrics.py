"""Scores against figures by hand and against scikit-learn and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.calibration import calibration_curve
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score

from narrows.water.evaluation.body_sizes import BodyRecall
from narrows.water.evaluation.boundary import Boundary, shore
from narrows.water.evaluation.calibration import Reliability
from narrows.water.evaluation.confusion import Confusion, judge
from narrows.water.evaluation.methods import Answer
from narrows.water.evaluation.scoring import Scores, score


def blobs(seed: int, size: int = 60) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(np.random.default_rng(seed).standard_normal((size, size)), 3)
    return field > np.quantile(field, 0.7)


def test_confusion_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    water, truth, scored = (rng.random((50, 70)) < share for share in (0.4, 0.3, 0.8))
    found = Confusion.of(water, truth, scored)
    a, b = truth[scored], water[scored]
    assert found.precision == pytest.approx(precision_score(a, b))
    assert found.recall == pytest.approx(recall_score(a, b))
    assert found.f1 == pytest.approx(f1_score(a, b))
    assert found.iou == pytest.approx(jaccard_score(a, b))
    assert found.pixels == scored.sum()
    halves = Confusion.of(water[:20], truth[:20], scored[:20]) + Confusion.of(water[20:], truth[20:], scored[20:])
    assert halves == found


def test_what_cannot_be_divided_is_none() -> None:
    dry = np.zeros((3, 3), bool)
    assert Confusion.of(dry, dry, ~dry).f1 is None
    assert Boundary.of(dry, dry, ~dry).f1 is None
    assert Reliability().error() is None


def test_unobserved_answers_by_hand() -> None:
    #                  land water unsure cloud shadow fill
    truth = np.array([[0, 1, 2, 3, 4, 255]] * 3, np.uint8)
    answer = np.array([[254] * 6, [1] * 6, [0] * 6], np.uint8)
    seen = judge(answer, truth, np.ones(truth.shape, bool))
    assert seen.scored.tolist() == [[True, True, False, True, True, False]] * 3
    # Hidden: wrong on land (false alarm) and on water (missed), right on cloud and shadow.
    assert Confusion.of(seen.water[:1], seen.wet[:1], seen.scored[:1]) == Confusion(0, 1, 1, 2)
    # Water: right on water alone.
    assert Confusion.of(seen.water[1:2], seen.wet[1:2], seen.scored[1:2]) == Confusion(1, 3, 0, 0)
    # Land: wrong on water alone.
    assert Confusion.of(seen.water[2:], seen.wet[2:], seen.scored[2:]) == Confusion(0, 0, 1, 3)
    assert seen.unobserved.sum() == 4


def test_scores_of_one_answer_by_hand() -> None:
    truth = np.array([[0, 0, 1, 1, 3, 4, 2, 255]], np.uint8)
    answer = np.array([[254, 0, 1, 254, 1, 254, 1, 1]], np.uint8)
    observed = np.array([[True] * 7 + [False]])
    probability = np.where(answer <= 1, answer * 0.9 + 0.05, np.nan).astype(np.float32)
    found = score(Answer(answer, probability), truth, observed)
    assert found.confusion == Confusion(hits=1, false_alarms=2, misses=1, rejections=2)
    assert found.clear == Confusion(1, 1, 1, 1)
    assert found.as_land == Confusion(hits=1, false_alarms=1, misses=1, rejections=3)
    assert found.unobserved_share == 2 / 4
    assert (found.covered_pixels, found.covered_water) == (2, 1)
    assert found.reliability is not None and found.reliability.pixels == 2
    twice = found + found
    assert twice.confusion.pixels == 2 * found.confusion.pixels
    assert twice.confusion.f1 == found.confusion.f1
    assert (Scores() + found).as_dict() == found.as_dict()


def test_a_scene_without_data_is_not_scored() -> None:
    truth = np.array([[0, 1]], np.uint8)
    found = score(Answer(np.array([[255, 1]], np.uint8)), truth, np.array([[False, True]]))
    assert found.confusion == Confusion(1, 0, 0, 0)
    assert found.unobserved_share == 0


def test_shores_by_hand() -> None:
    water = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 0]], bool)
    everywhere = np.ones((3, 3), bool)
    # The image's edge is no shore; a corner touches nothing by a side.
    assert shore(water, everywhere).tolist() == [[False, True, False], [True, True, False], [False] * 3]
    unscored = everywhere.copy()
    unscored[2] = False
    assert shore(water, unscored).tolist() == [[False, True, False], [False, True, False], [False] * 3]


def test_boundary_agrees_with_all_distances() -> None:
    one, other = blobs(1), np.roll(blobs(1), 2, axis=1) ^ (blobs(5) & blobs(6))
    scored = ~blobs(9)
    found = Boundary.of(one, other, scored)
    a, b = (np.argwhere(shore(mask, scored)) for mask in (one, other))
    distance = cdist(a, b)
    assert found == Boundary(
        len(a), int((distance.min(axis=1) <= 2).sum()), len(b), int((distance.min(axis=0) <= 2).sum())
    )
    precision, recall = found.found_near / found.found, found.true_near / found.true
    assert 0 < found.f1 < 1  # type: ignore[operator]
    assert found.f1 == pytest.approx(2 * precision * recall / (precision + recall))


def test_a_shift_of_two_pixels_is_within_the_tolerance_and_three_is_not() -> None:
    truth = np.zeros((20, 20), bool)
    truth[:, :10] = True
    everywhere = np.ones_like(truth)
    assert Boundary.of(np.roll(truth, 2, 1) | truth, truth, everywhere).f1 == 1
    moved = np.zeros_like(truth)
    moved[:, :13] = True
    assert Boundary.of(moved, truth, everywhere).f1 == 0
    assert Boundary.of(np.zeros_like(truth), truth, everywhere).f1 == 0


def test_recall_by_size_by_hand() -> None:
    truth = np.zeros((40, 40), bool)
    truth[0, 0] = True  # 1 pixel, missed
    truth[5, 5], truth[6, 6], truth[7, 7] = True, True, True  # 3 pixels by corners, 2 found
    truth[20:28, 20:28] = True  # 64 pixels, 16 found
    water = np.zeros_like(truth)
    water[5, 5], water[6, 6], water[20:24, 20:24] = True, True, True
    water[35:, :] = True
    found = BodyRecall.of(water, truth)
    assert found.bodies == (2, 0, 0, 1, 0, 0)
    assert found.bodies_found == (1, 0, 0, 0, 0, 0)
    assert found.recall(0) == pytest.approx(2 / 4)
    assert found.recall(3) == pytest.approx(16 / 64)
    assert found.recall(1) is None
    assert BodyRecall.names()[3] == "64 to 255 px"


@pytest.mark.parametrize("bins", [5, 15])
def test_bins_agree_with_scikit_learn(bins: int) -> None:
    rng = np.random.default_rng(3)
    # Multiples of a cell, so that both see the same ties; many of them at one value.
    p = np.concatenate([rng.integers(0, 2**16, 4001) / 2**16, np.full(900, 0.25)])
    wet = rng.random(p.size) < p**1.5
    found = Reliability()
    found.add(p[:1000], wet[:1000])
    found.add(p[1000:], wet[1000:])
    share, mean = calibration_curve(wet, p, n_bins=bins, strategy="quantile")
    got = found.bins(bins)
    np.testing.assert_allclose([b.water for b in got], share)
    np.testing.assert_allclose([b.probability for b in got], mean)
    weights = np.array([b.pixels for b in got]) / p.size
    assert found.error(bins) == pytest.approx(float((weights * np.abs(share - mean)).sum()))
    inside = (p >= 0.02) & (p < 0.98)
    share, mean = calibration_curve(wet[inside], p[inside], n_bins=bins, strategy="quantile")
    np.testing.assert_allclose([b.water for b in found.bins(bins, (0.02, 0.98))], share, atol=2e-3)


def test_calibration_error_by_hand() -> None:
    found = Reliability()
    found.add(np.repeat([0.25, 0.75], 4), np.array([1, 0, 0, 0, 1, 1, 0, 0], bool))
    assert [(b.water, b.pixels) for b in found.bins(2)] == [(0.25, 4), (0.5, 4)]
    assert found.error(2) == pytest.approx(0.125)
    both = found + found
    assert both.error(2) == pytest.approx(0.125)
    assert both.pixels == 16


def test_risk_by_coverage_by_hand() -> None:
    found = Reliability()
    # Sure and right twice, less sure and wrong once, nearly unsure and right once.
    found.add(np.array([0.01, 0.99, 0.9, 0.45]), np.array([False, True, False, False]))
    np.testing.assert_allclose(found.risk_by_coverage(4), [(0.25, 0), (0.5, 0), (0.75, 1 / 3), (1.0, 0.25)])
