from __future__ import annotations

import numpy as np

from narrows.water.recipes.chips import Chips
from narrows.water.recipes.skies import Skies, under_another_sky
from narrows.water.simulation import simulate_scene


def chips() -> Chips:
    pairs = [simulate_scene(64, 64, seed, kind="lakes") for seed in (0, 1)]
    label = np.stack([w for _, w in pairs])
    fmask, unclear = label.copy(), np.zeros(label.shape, bool)
    fmask[0, :8] ^= 1
    unclear[1, :, :8] = True
    return Chips(np.stack([x for x, _ in pairs]), label, fmask, unclear, np.arange(2), np.array(["A", "B"]))


def test_one_number_is_one_sky_over_the_same_ground() -> None:
    given = chips()
    one, again, other = (under_another_sky(given.reflectance[0], given.label[0] * 1.0, k) for k in (4, 4, 5))
    assert np.array_equal(one.reflectance, again.reflectance)
    assert not np.array_equal(one.reflectance, other.reflectance)
    assert np.array_equal(one.water, given.label[0])


def test_what_was_unknown_stays_unknown() -> None:
    make = Skies(chips())
    for number in (0, 2, 4):
        assert (make(number)[1][1, :8] == 0).all()
    for number in (1, 3, 5):
        labels = make(number)[1]
        assert (labels[1, :, :8] == 0).all()
        assert (labels[3, :, :8] == 0).all()


def test_some_skies_are_cloudy_and_the_ground_shows_through_others() -> None:
    make, given = Skies(chips()), chips()
    made = [make(number) for number in range(0, 40, 2)]
    hidden = [float((labels[2] > 0).mean()) for _, labels in made]
    assert min(hidden) == 0
    assert max(hidden) > 0.3
    clear = [x for (x, _), share in zip(made, hidden, strict=True) if share == 0]
    alike = [np.corrcoef(x[3].ravel(), given.reflectance[0, 3].ravel())[0, 1] for x in clear]
    assert np.median(alike) > 0.9
