"""Attention of every kind is found, told apart, and left out of a copy; where it can't be, the reason is said."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import narrows
from narrows.guidelines.core.attentions import attentions_of
from narrows.guidelines.core.subject import Subject
from narrows.layers.self_attention import RowAttention, WindowAttention
from narrows.layers.spatial_attention import SpatialAttention
from narrows.layers.squeeze_excitation import SqueezeExcitation
from tests.guidelines import faults
from tests.guidelines.measurers import Told


class Everywhere(nn.Module):
    """Attention over all pixels, by torch's own module."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(channels, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        found, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        return found.transpose(1, 2).reshape(x.shape)


class Written(nn.Module):
    """Attention along the row, written out, in one module; with `more` a convolution besides."""

    def __init__(self, channels: int, more: bool) -> None:
        super().__init__()
        self.parts = nn.Conv2d(channels, 3 * channels, 1)
        self.mix = nn.Conv2d(channels, channels, 1)
        self.more = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU(), nn.Conv2d(channels, channels, 1))
        self.wide = more

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.parts(x).permute(0, 2, 3, 1).chunk(3, -1)
        weights = torch.softmax(query @ key.transpose(-1, -2) / 4, -1)
        y = x + self.mix((weights @ value).permute(0, 3, 1, 2))
        return self.more(y) if self.wide else y


KINDS: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "rows": (lambda: RowAttention(16), "self", "self-attention with"),
    "windows": (lambda: WindowAttention(16, window=(4, 8)), "self", "self-attention with"),
    "all pixels": (lambda: Everywhere(16), "self", "self-attention with"),
    "written out": (lambda: Written(16, False), "self", "self-attention with"),
    "spatial": (SpatialAttention, "spatial", "spatial attention with"),
    "channel": (lambda: SqueezeExcitation(16), "channel", "channel attention with"),
}


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_is_found_and_left_out(name: str) -> None:
    make, kind, fact = KINDS[name]
    model = faults.Chain(16, faults.conv(16, 16), make(), faults.conv(16, 16)).eval()
    (found,) = attentions_of(Subject(model, [(1, 3, 32, 32)], torch.float32))
    assert (found.kind, found.why) == (kind, "") and found.module is not None and found.module.startswith("body.1")
    (finding,) = narrows.check(model, 32, 32, only=["G11"], measurer=Told(30.0), seconds=1.0).findings
    assert finding.status == "stands" and fact in finding.fact, str(finding)
    (finding,) = narrows.check(model, 32, 32, only=["G11"], measurer=Told(1.0), seconds=1.0).findings
    assert finding.status == "withdrawn"


def test_several_of_a_kind_are_one_finding() -> None:
    model = faults.Chain(16, RowAttention(16), faults.conv(16, 16), RowAttention(16), SpatialAttention()).eval()
    report = narrows.check(model, 32, 32, only=["G11"], measurer=Told(3.0), seconds=1.0)
    assert sorted(finding.fact.partition(" with")[0] for finding in report.findings) == [
        "2 modules of self-attention",
        "spatial attention",
    ]


def test_attention_among_other_layers_is_not_left_out() -> None:
    model = faults.Chain(16, faults.conv(16, 16), Written(16, True)).eval()
    (finding,) = narrows.check(model, 32, 32, only=["G11"], measurer=Told(3.0)).findings
    assert finding.status == "not tried" and "written into 'body.1' with other layers" in finding.why


def test_a_softmax_over_classes_is_no_attention() -> None:
    model = nn.Sequential(faults.conv(3, 16), nn.ReLU(), faults.conv(16, 4), nn.Softmax(1)).eval()
    assert attentions_of(Subject(model, [(1, 3, 32, 32)], torch.float32)) == []


def test_attention_that_is_hardly_felt_is_not_named() -> None:
    """A map at an eighth of the resolution: the clean twin of G10."""
    model = faults.with_attention().eval()
    assert [each.kind for each in attentions_of(Subject(model, [(1, 3, 64, 64)], torch.float32))] == ["spatial"]
    assert not narrows.check(model, 64, 64, only=["G11"], experiments=False).findings
