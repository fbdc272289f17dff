"""What needs every row is captured, and refused by name when it is to be run."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import narrows
from narrows.errors import NotStreamableError
from narrows.rowgraph.capture import capture, export_at


class Wrapped(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


class SqueezeAndExcite(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.reduce = nn.Conv2d(channels, 2, 1)
        self.expand = nn.Conv2d(2, channels, 1)

    def forward(self, x):
        share = F.adaptive_avg_pool2d(x, 1)
        return x * torch.sigmoid(self.expand(F.relu(self.reduce(share))))


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8))
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 10)

    def forward(self, x):
        x = self.stem(x)
        return self.head(self.pool(F.relu(x + self.block(x))).flatten(1))


BARRIERS = {
    "group_norm": nn.GroupNorm(2, 4),
    "instance_norm": nn.InstanceNorm2d(4),
    "_native_batch_norm_legit": nn.BatchNorm2d(4, track_running_stats=False),
    "pad": nn.CircularPad2d(1),
    "roll": Wrapped(lambda x: x.roll(1, 2)),
    "flip": Wrapped(lambda x: x.flip(2)),
    "grid_sampler": Wrapped(lambda x: F.grid_sample(x, torch.zeros(1, 5, 6, 2), align_corners=False)),
    "adaptive_avg_pool2d": nn.AdaptiveAvgPool2d(1),
}


@pytest.mark.parametrize("name", BARRIERS)
def test_barriers_are_captured_and_refused_by_name(name):
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), BARRIERS[name], nn.ReLU()).eval()
    graph = capture(export_at(model, [torch.randn(1, 3, 12, 10)], {}))
    held = [node for node in graph.nodes if node.barrier]
    assert [node.unsupported for node in graph.nodes] == [None] * len(graph.nodes)
    assert held and name in held[0].target
    assert held[0].needs[0].last(1) == 12
    with pytest.raises(NotStreamableError, match=rf"aten\.{name}\S* in module '1'") as refused:
        narrows.plan(model, 12, 10)
    assert ".py:" in str(refused.value) or "no source lines" in str(refused.value)


def test_squeeze_and_excite_is_captured():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), SqueezeAndExcite(4)).eval()
    graph = capture(export_at(model, [torch.randn(1, 3, 12, 10)], {}))
    assert [node.operator for node in graph.refusals] == ["adaptive_avg_pool"]
    assert graph.nodes[graph.outputs[0]].height == 12
    with pytest.raises(NotStreamableError, match=r"adaptive_avg_pool2d\S* in module '1' at test_barrier.py:"):
        narrows.stream(model, torch.randn(1, 3, 12, 10))


def test_classifier_is_captured():
    graph = capture(export_at(Classifier().eval(), [torch.randn(1, 3, 33, 30)], {}))
    assert [node.operator for node in graph.refusals] == ["adaptive_avg_pool"]
    assert graph.nodes[graph.outputs[0]].rows is None
    with pytest.raises(NotStreamableError, match="in module 'pool'"):
        narrows.plan(Classifier().eval(), 33, 30)


@pytest.mark.parametrize("strip", [1, 3, 50])
def test_running_statistics_are_no_barrier(strip):
    norm = nn.InstanceNorm2d(4, affine=True, track_running_stats=True)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), norm).double().eval()
    x = torch.randn(1, 3, 11, 9, dtype=torch.float64)
    full = model(x)
    assert (narrows.stream(model, x, strip=strip) - full).abs().max() <= 1e-10 * full.abs().max()


@pytest.mark.parametrize("strip", [1, 2, 50])
def test_group_norm_of_each_row_is_no_barrier(strip):
    """Rows in the batch dimension: every row has statistics of its own."""

    def by_rows(x):
        return F.group_norm(x[0].permute(1, 0, 2), 2).permute(1, 0, 2)[None]

    x = torch.randn(1, 4, 9, 6, dtype=torch.float64)
    assert torch.allclose(narrows.stream(Wrapped(by_rows).eval(), x, strip=strip), by_rows(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize("strip", [1, 4, 50])
def test_a_table_convolved_whole_keeps_its_batch_norm_and_relu(strip):
    """A convolution of constants alone is computed whole; nothing that follows it may be lost."""

    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.randn(1, 2, 10, 8, dtype=torch.float64))
            self.convolve = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU())

        def forward(self, x):
            return x + self.convolve(self.table)

    model = Table().double().eval()
    model.convolve[1].running_mean.normal_()
    x = torch.randn(1, 3, 10, 8, dtype=torch.float64)
    assert torch.allclose(narrows.stream(model, x, strip=strip), model(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize("strip", [1, 4, 50])
def test_a_grid_of_rows_samples_a_table(strip):
    class Sampled(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.randn(1, 2, 5, 6, dtype=torch.float64))

        def forward(self, x):
            return F.grid_sample(self.table, x.permute(0, 2, 3, 1).tanh(), align_corners=False)

    model = Sampled().eval()
    x = torch.randn(1, 2, 9, 7, dtype=torch.float64)
    assert torch.allclose(narrows.stream(model, x, strip=strip), model(x), rtol=0, atol=1e-10)
