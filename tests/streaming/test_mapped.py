"""Weights mapped from a safetensors file leave memory once they are packed, and stay right."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import narrows

MB = 1 << 20


class Wide(torch.nn.Module):
    """A convolution with a batch norm, one without, and a linear layer along channels, 9.4 to 1 MB of weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv2d(512, 512, 3, padding=1, bias=False)
        self.norm = torch.nn.BatchNorm2d(512)
        self.second = torch.nn.Conv2d(512, 512, 3, padding=1)
        self.mix = torch.nn.Linear(512, 512)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.second(self.norm(self.first(x)).relu())
        return self.mix(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def resident_of(path: Path) -> int:
    """Resident bytes of this process's mapping of a file."""
    total, here = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if not line.partition(" ")[0].endswith(":"):
            here = line.endswith(str(path))
        elif here and line.startswith("Rss:"):
            total += int(line.split()[1]) * 1024
    return total


@pytest.fixture
def mapped(tmp_path: Path) -> tuple[Wide, Path]:
    torch.manual_seed(0)
    path = tmp_path / "wide.safetensors"
    save_file(Wide().state_dict(), path)
    model = Wide().eval()
    model.load_state_dict(load_file(path), assign=True)
    return model, path


pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pages are let go of on Linux alone")


def test_packed_weights_leave_memory_and_come_back(mapped: tuple[Wide, Path]) -> None:
    model, path = mapped
    x = torch.randn(1, 512, 12, 9)
    with torch.no_grad():
        full = model(x)
    assert resident_of(path) > 18 * MB
    streamed = narrows.stream(model, x, strip=3)
    # The linear layer's weights are used as they are.
    assert 512 * 512 * 4 <= resident_of(path) < 3 * MB
    assert (streamed - full).abs().max() <= 1e-5 * full.abs().max()
    with torch.no_grad():
        assert torch.equal(model(x), full)
    assert torch.equal(narrows.stream(model, x, strip=3), streamed)


def test_weights_changed_in_memory_stay(mapped: tuple[Wide, Path]) -> None:
    model, path = mapped
    with torch.no_grad():
        model.second.weight.mul_(2)
    x = torch.randn(1, 512, 12, 9)
    with torch.no_grad():
        full = model(x)
    streamed = narrows.stream(model, x, strip=3)
    assert resident_of(path) > 18 * MB
    assert (streamed - full).abs().max() <= 1e-5 * full.abs().max()
    with torch.no_grad():
        assert torch.equal(model(x), full)
