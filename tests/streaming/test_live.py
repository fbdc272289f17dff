"""Image after image, line by line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from narrows.errors import BudgetError, InputError, NotStreamableError
from narrows.layers.fir_iir import ResidualSeparable
from narrows.streaming.live import LiveStream


def lines(image):
    return np.split(image, image.shape[1], 1)


@pytest.mark.parametrize("strip", [1, 2, 7, 50])
def test_each_image_begins_from_rest(strip):
    torch.manual_seed(0)
    model = nn.Sequential(ResidualSeparable.fir_iir(2, order=2, delay=1), nn.Conv2d(2, 3, 3, padding=1)).double().eval()
    live = LiveStream(model, 2, 9, 20, strip=strip)
    assert live.shape == (3, 20, 9) and live.dtype == np.float64
    for _ in range(3):
        image = torch.randn(2, 20, 9, dtype=torch.float64)
        with torch.no_grad():
            wanted = model(image[None])[0].numpy()
        made = np.concatenate([rows for _, rows in live.frame(lines(image.numpy()))], 1)
        np.testing.assert_allclose(made, wanted, rtol=0, atol=1e-10)


def test_an_image_given_up_leaves_nothing_for_the_next():
    torch.manual_seed(0)
    model = ResidualSeparable.fir_iir(2, delay=1).double().eval()
    live = LiveStream(model, 2, 9, 20)
    image = torch.randn(2, 20, 9, dtype=torch.float64)
    begun = live.frame(lines(image.numpy()))
    for _ in range(5):
        next(begun)
    begun.close()
    with torch.no_grad():
        wanted = model(image[None])[0].numpy()
    made = np.concatenate([rows for _, rows in live.frame(lines(image.numpy()))], 1)
    np.testing.assert_allclose(made, wanted, rtol=0, atol=1e-10)


def test_a_line_leaves_when_the_plan_says():
    live = LiveStream(ResidualSeparable.fir_iir(2, delay=2).eval(), 2, 9, 30)
    came = 0

    def coming():
        nonlocal came
        for line in np.zeros((30, 2, 1, 9), np.float32):
            came += 1
            yield line

    left = {start: came for start, _ in live.frame(coming())}
    assert live.plan.delay == 5
    assert [left[row] for row in range(25)] == list(range(5, 30))


def test_where_a_line_of_the_output_lies():
    halved = LiveStream(nn.Conv2d(1, 1, 2, stride=2).eval(), 1, 8, 20)
    assert [halved.lies_at(row) for row in range(3)] == [1, 3, 5]
    doubled = LiveStream(nn.Sequential(nn.Conv2d(1, 1, 1), nn.Upsample(scale_factor=2)).eval(), 1, 8, 20)
    assert [doubled.lies_at(row) for row in range(4)] == [0, 0, 1, 1]


class Two(nn.Module):
    def forward(self, x):
        return x + 1, x + 2


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(3)


def test_what_is_refused():
    plain = nn.Conv2d(1, 1, 3, padding=1).eval()
    with pytest.raises(InputError, match="at least one"):
        LiveStream(plain, 1, 0, 5)
    with pytest.raises(InputError, match="at least one"):
        LiveStream(plain, 1, 5, 0)
    with pytest.raises(InputError, match="gives 2"):
        LiveStream(Two().eval(), 1, 5, 5)
    with pytest.raises(InputError, match="no image"):
        LiveStream(Mean().eval(), 1, 5, 5)
    with pytest.raises(BudgetError, match="smallest"):
        LiveStream(plain, 1, 5, 5, memory="1MB")
    with pytest.raises(NotStreamableError, match="every row"):
        LiveStream(nn.InstanceNorm2d(1).eval(), 1, 5, 5)
    live = LiveStream(plain, 1, 5, 5)
    with pytest.raises(InputError, match="ends after 3 rows; 5 were announced"):
        list(live.frame(np.zeros((3, 1, 1, 5), np.float32)))
    with pytest.raises(InputError, match="shape"):
        list(live.frame(np.zeros((5, 1, 1, 4), np.float32)))
