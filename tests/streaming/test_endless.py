"""Images without an end: equal to the full frame of whatever height came, in memory that doesn't depend on it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from narrows.errors import InputError, NotStreamableError
from narrows.layers.fir_iir import ResidualSeparable, SeparableFIRIIR
from narrows.layers.line_coding import ChannelCompressor, Quantiser
from narrows.streaming.live import LiveStream


class Skip(nn.Module):
    """Two scales and a skip, as an encoder and decoder have them."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(4, 3, 2, stride=2)

    def forward(self, x):
        return x + self.up(torch.relu(self.down(x)))


class CodedSkip(nn.Module):
    """A skip whose code waits for the rows that the branch waits for."""

    def __init__(self):
        super().__init__()
        self.branch = nn.Conv2d(3, 3, (9, 1), padding=(4, 0))
        self.skip = ChannelCompressor(3, Quantiser(2, 5))

    def forward(self, x):
        return self.skip(torch.tanh(x)) + self.branch(x)


NETWORKS = {
    "convolutions": nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 5, padding=2)),
    "strided": nn.Sequential(nn.Conv2d(3, 4, 3, stride=3), nn.MaxPool2d(2)),
    "enlarging": nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.Upsample(scale_factor=2, mode="bilinear")),
    "reflecting": nn.Sequential(nn.ReflectionPad2d(2), nn.Conv2d(3, 2, 5)),
    "recursive": nn.Sequential(
        ResidualSeparable.fir_iir(3, order=2, delay=2), ResidualSeparable.fir_iir(3, activation="relu")
    ),
    "skip": Skip(),
    "coded": CodedSkip(),
}


def streamed(live, image):
    starts, parts = zip(*((start, rows) for start, rows in live.frame(np.split(image, image.shape[1], 1))), strict=True)
    assert list(starts) == list(np.cumsum([0, *(part.shape[1] for part in parts[:-1])]))
    return np.concatenate(parts, 1)


@pytest.mark.parametrize(("name", "strip"), [*((name, 1) for name in NETWORKS), ("recursive", 3), ("skip", 5)])
def test_any_number_of_rows_equals_the_full_frame(name, strip):
    torch.manual_seed(0)
    model = NETWORKS[name].double().eval()
    live = LiveStream(model, 3, 10, strip=strip)
    assert live.shape[1] is None
    for height in (12, 330) if name == "skip" else (8, 127, 331):
        image = torch.randn(3, height, 10, dtype=torch.float64)
        with torch.no_grad():
            wanted = model(image[None])[0].numpy()
        np.testing.assert_allclose(streamed(live, image.numpy()), wanted, rtol=0, atol=1e-10)


def test_what_is_held_does_not_grow_with_the_rows():
    live = LiveStream(SeparableFIRIIR(3, 3, order=2, delay=2).eval(), 3, 10)
    held = []
    rows = (np.full((3, 1, 10), 0.5, np.float32) for _ in range(700))
    for start, made in live.frame(rows):
        assert made.shape == (3, 1, 10)
        executor = live._endless._executor
        held.append((start, executor.ledger.now, sum(lines.memory.nbytes for lines in executor._lines.values())))
    assert held[-1][0] == 699
    assert {pair[1:] for pair in held[100:-10]} == {held[100][1:]}


class Tall(nn.Module):
    def forward(self, x):
        return x / x.shape[2]


class Placed(nn.Module):
    def forward(self, x):
        return x + torch.arange(x.shape[2], dtype=x.dtype)[:, None]


class First(nn.Module):
    def forward(self, x):
        return torch.cummax(x, 2)[1].to(x.dtype)


@pytest.mark.parametrize(
    "model",
    [
        Tall(),
        Placed(),
        First(),
        nn.Sequential(nn.Conv2d(3, 3, 1), nn.Upsample(size=(100, 10))),
        nn.Sequential(nn.Conv2d(3, 3, 1), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)),
        nn.InstanceNorm2d(3),
    ],
    ids=["divides by the height", "adds the row's number", "names the row", "one size", "corners", "a barrier"],
)
def test_what_depends_on_the_height_is_refused(model):
    with pytest.raises(NotStreamableError, match=r"does the same to every row|every row before"):
        LiveStream(model.eval(), 3, 10)


def test_no_row_is_no_image():
    live = LiveStream(NETWORKS["convolutions"].float().eval(), 3, 10)
    with pytest.raises(InputError, match="none came"):
        list(live.frame(iter(())))
    assert len(list(live.frame(np.zeros((5, 3, 1, 10), np.float32)))) == 5
