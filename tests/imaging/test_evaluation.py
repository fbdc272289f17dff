from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from narrows.errors import InputError
from narrows.imaging.evaluation import BORDER, cases, evaluate, psnr, score, ssim
from narrows.imaging.photographs import PHOTOGRAPHS, photograph
from narrows.imaging.tasks import TASKS


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_are_there_and_even(name: str) -> None:
    image = photograph(name)
    assert image.dtype == torch.float32
    assert image.shape[:2] == (1, 3)
    height, width = image.shape[2:]
    assert 200 <= height <= 256 and 300 <= width <= 384
    assert height % 2 == width % 2 == 0
    assert 0.05 < float(image.std()) < 0.5


def test_a_photograph_is_the_middle_of_what_its_package_gives() -> None:
    from skimage import data

    whole = data.astronaut()
    middle = whole[128:384, 64:448].transpose(2, 0, 1)
    np.testing.assert_array_equal((photograph("astronaut")[0] * 255).round().numpy(), middle)


def test_scores_are_skimages() -> None:
    clean = photograph("chelsea")
    spoilt = (clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    a, b = (x[0].permute(1, 2, 0).double().numpy() for x in (spoilt, clean))
    assert psnr(spoilt.double(), clean.double()) == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1))
    expected = structural_similarity(
        a, b, data_range=1, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(spoilt.double(), clean.double()) == pytest.approx(expected, abs=1e-6)


def test_cases_are_always_the_same_and_every_test_is_among_them() -> None:
    first = list(cases("denoise", ["chelsea", "china"]))
    again = list(cases("denoise", ["china"]))
    assert {case.test for case in first} == set(TASKS["denoise"].tests)
    assert len(first) == 6
    for a, b in zip(first[3:], again, strict=True):
        assert torch.equal(a.inputs, b.inputs)
    assert not torch.allclose(first[0].observed - first[0].target, first[1].observed - first[1].target)


def test_the_border_is_left_out_and_the_rest_clipped() -> None:
    case = next(cases("denoise-colour", ["chelsea"]))
    repaired = case.target.clone()
    repaired[..., :BORDER] = 0
    repaired[..., 40, 40] += 0.1
    worse = case.target + (case.target >= 1) * 5.0
    worse[..., 40, 40] += 0.1
    assert score(case, repaired).psnr == score(case, worse).psnr
    assert 40 < score(case, repaired).psnr < 80


def test_evaluate_gives_a_score_a_case() -> None:
    scores = evaluate("denoise", lambda case: case.observed, ["chelsea"])
    assert [round(s.psnr) for s in scores] == [25, 20, 14]


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match="no test photograph called lena"):
        photograph("lena")
    case = next(cases("colourise", ["chelsea"]))
    with pytest.raises(InputError, match="the target"):
        score(case, case.observed)
