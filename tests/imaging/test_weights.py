"""The weights that come with narrows repair what they say they repair."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from narrows.imaging import weights
from narrows.imaging.evaluation import cases, score
from narrows.imaging.tasks import INPUT_PLANES, TASKS

CARDS = Path(__file__).parents[2] / "docs" / "models"
# By how many dB a repair is better than the image as given; a mosaic as given has one colour at each pixel.
BETTER = {"denoise": 4, "denoise-colour": 4, "denoise-sensor": 2, "demosaic": 5, "colourise": 0, "deblur-gaussian": 1,
          "deblur-motion": 0.2}  # fmt: skip


@pytest.mark.parametrize("task", weights.available())
def test_shipped_weights_repair_a_photograph(task: str) -> None:
    core = weights.load(task)
    assert not core.training
    for case in cases(task, ["chelsea"]):
        observed = case.observed.expand_as(case.target)
        with torch.no_grad():
            made = core(case.inputs)
        assert made.shape == case.target.shape
        assert score(case, made).psnr > score(case, observed).psnr + BETTER[task], case.test


@pytest.mark.parametrize("task", weights.available())
def test_one_topology_and_a_card_for_each(task: str) -> None:
    shapes = [{k: v.shape for k, v in weights.load(name).state_dict().items()} for name in (task, "denoise")]
    # Only the planes of the result differ.
    ends = ("head.weight", "head.bias", "direct.weight", "direct.bias")
    assert {k: v for k, v in shapes[0].items() if k not in ends} == {
        k: v for k, v in shapes[1].items() if k not in ends
    }
    assert weights.load(task)(torch.zeros(1, INPUT_PLANES, 9, 7)).shape == (1, TASKS[task].gives, 9, 7)
    assert any(f'load("{task}")' in card.read_text() for card in CARDS.glob("*.md"))
