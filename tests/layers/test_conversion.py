"""Convolutions replaced by recursive filters: the right fit, the right rows, the delay in the plan."""

from __future__ import annotations

import copy

import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import nn

import narrows
from narrows.layers.conversion import RecursiveConv2d
from narrows.layers.fir_iir import ResidualSeparable, SeparableFIR, VerticalFIR
from narrows.layers.fitting import fit
from narrows.layers.vertical_iir import VerticalIIR

D = torch.float64


def recursive_kernel(filters: VerticalIIR, columns: torch.Tensor, rows: int) -> torch.Tensor:
    """Weights (C, 1, rows, columns) of the depthwise convolution that a filter is, cut to `rows`."""
    return filters.impulse_response(rows).flip(1)[:, None, :, None] * columns[:, None, None]


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("columns", [1, 3])
def test_what_was_recursive_is_found_again(order, columns):
    """A kernel that is a cut recursive filter's response is fitted but for the cut, at the delay that it has."""
    torch.manual_seed(0)
    truth = VerticalIIR(3, order).double()
    truth.set_poles(torch.tensor([[0.5], [-0.3], [0.1]]))
    rows = 25
    convolution = nn.Conv2d(3, 3, (rows, columns), padding=(rows - 1, columns // 2), groups=3, bias=False, dtype=D)
    with torch.no_grad():
        convolution.weight.copy_(recursive_kernel(truth, torch.randn(3, columns, dtype=D), rows))
    found = narrows.fir_to_iir(convolution, order=order)
    assert found.layers[0].error < 1e-5
    x = torch.randn(1, 3, 40, 6, dtype=D)
    torch.testing.assert_close(found.module(x), convolution(x), rtol=0, atol=1e-4)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": (2, 1)},
        {"kernel_size": (2, 3), "padding": (1, 1)},
        {"kernel_size": (2, 3), "padding": "same"},
        {"kernel_size": (2, 3), "padding": (1, 0), "stride": (2, 2), "groups": 2},
        {"kernel_size": (2, 3), "padding": (1, 1), "stride": (3, 1), "dilation": (1, 2), "bias": False},
        {"kernel_size": (2, 1), "groups": 4, "padding": (1, 0)},
        {"kernel_size": (2, 1), "groups": 4, "stride": (2, 1)},
    ],
    ids=str,
)
@pytest.mark.parametrize("height", [5, 6, 12])
def test_kernels_of_two_rows_are_exact_where_all_is_waited_for(arguments, order, height):
    """Two taps are a filter of any order with its poles at 0, whatever the padding, the stride and the groups."""
    torch.manual_seed(0)
    convolution = nn.Conv2d(4, 4, **arguments, dtype=D)
    found = narrows.fir_to_iir(convolution, order=order)
    x = torch.randn(2, 4, height, 9, dtype=D)
    assert found.layers[0].error < 1e-6
    torch.testing.assert_close(found.module(x), convolution(x), rtol=0, atol=1e-5)


def test_pole_and_error_are_the_least_squares_ones():
    """Against SciPy's search for the pole, with numpy's least squares inside."""
    torch.manual_seed(0)
    response = torch.randn(1, 5, 4, dtype=D)
    target = torch.cat([response[0], torch.zeros(995, 4, dtype=D)])

    def missed(pole: float) -> float:
        later = pole ** torch.arange(999, dtype=D)
        basis = torch.stack([torch.eye(1, 1000, dtype=D)[0], torch.cat([torch.zeros(1, dtype=D), later])], 1)
        solution = torch.linalg.lstsq(basis, target).solution
        return float((basis @ solution - target).square().sum())

    grid = torch.linspace(-0.989, 0.989, 200).tolist()
    start = min(grid, key=missed)
    wanted = minimize_scalar(missed, bounds=(start - 0.02, start + 0.02), method="bounded").fun
    found = fit(response, 1)
    assert float(found.missed) == pytest.approx(wanted, rel=1e-6)
    assert found.error == pytest.approx((wanted / float(response.square().sum())) ** 0.5, rel=1e-6)


@pytest.mark.parametrize("order", [1, 2])
def test_stated_error_is_that_of_the_kernels(order):
    """White noise through the difference of both layers has the power that the error says."""
    torch.manual_seed(0)
    convolution = nn.Conv2d(2, 3, (5, 3), padding=(2, 1), bias=False, dtype=D)
    for delay in range(3):
        found = narrows.fir_to_iir(convolution, delay=delay, order=order)
        x = torch.randn(1, 2, 3_000, 60, dtype=D)
        with torch.no_grad():
            apart = (found.module(x) - convolution(x)).square().mean() / convolution(x).square().mean()
        assert float(apart) ** 0.5 == pytest.approx(found.layers[0].error, rel=0.05)
        assert found.layers[0].error == min(found.layers[0].by_delay[: delay + 1])
        assert found.layers[0].waits[1] <= delay


class Net(nn.Module):
    """A skip around two layers, each of which waits for a row."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.body = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))
        self.dilated = nn.Conv2d(4, 4, 3, padding=2, dilation=2)
        self.mirrored = nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")
        self.up = nn.ConvTranspose2d(4, 2, 3)

    def forward(self, x):
        x = self.stem(x)
        return self.up(self.mirrored(self.dilated(x + self.body(x))))


class Skip(nn.Module):
    def __init__(self, channels=4):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1)
        )

    def forward(self, x):
        return x + self.body(x)


@pytest.mark.parametrize("order", [1, 2])
def test_the_delay_is_planned_and_skips_wait_for_it(order):
    torch.manual_seed(0)
    net = Skip().double().eval()
    delays = []
    for delay in (0, 1):
        found = narrows.fir_to_iir(net, delay=delay, order=order).module
        waits = [layer.delay for layer in found.modules() if isinstance(layer, RecursiveConv2d)]
        plan = narrows.plan(found, 64, 16, strip=1, channels=4, dtype=D)
        assert plan.delay == sum(waits) + 1
        state = sum(entry.bytes for entry in plan.ledger if entry.kind == "state")
        assert state == 2 * order * 4 * 16 * 8
        x = torch.randn(1, 4, 21, 16, dtype=D)
        with torch.no_grad():
            whole = found(x)
        torch.testing.assert_close(narrows.stream(found, x, strip=2), whole, rtol=0, atol=1e-10)
        delays.append(plan.delay)
    assert delays == [1, 3]


def test_what_is_converted_and_what_is_left():
    net = Net()
    before = copy.deepcopy(net.state_dict())
    found = narrows.fir_to_iir(net)
    assert [layer.name for layer in found.layers] == ["body.0", "body.2"]
    assert dict(found.left) == {
        "dilated": "dilated along the rows",
        "mirrored": "padded with mode 'reflect'",
        "up": "a ConvTranspose2d, not a plain Conv2d",
    }
    assert isinstance(found.module.body[0], RecursiveConv2d) and isinstance(net.body[0], nn.Conv2d)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    text = str(found)
    assert "body.0" in text and "left as it is: dilated" in text and "*" in text
    assert found.module.training


def test_a_module_used_twice_is_converted_in_both_places():
    shared = nn.Conv2d(3, 3, 3, padding=1)
    found = narrows.fir_to_iir(nn.Sequential(shared, nn.ReLU(), shared)).module
    assert found[0] is found[2] and isinstance(found[0], RecursiveConv2d)


@pytest.mark.parametrize("causal", [False, True])
def test_separable_twins_become_single_filters(causal):
    torch.manual_seed(0)
    net = ResidualSeparable.fir(4, vertical=3, causal=causal).double()
    found = narrows.fir_to_iir(net, order=2)
    filters = [layer for layer in found.module.modules() if isinstance(layer, RecursiveConv2d)]
    assert len(filters) == 2 and all(layer.mix is None for layer in filters)
    assert [layer.waits for layer in found.layers] == [(0, 0)] * 2 if causal else [(1, 1)] * 2
    x = torch.randn(1, 4, 30, 5, dtype=D)
    # Three taps are a filter of order 2 with its poles at 0.
    torch.testing.assert_close(found.module(x), net(x), rtol=0, atol=1e-5)


def test_fine_tuning_brings_the_output_nearer():
    torch.manual_seed(0)
    net = Skip()
    images = [torch.randn(1, 4, 24, 24).cumsum(2) * 0.2 for _ in range(2)]
    found = narrows.fir_to_iir(net, delay=1, images=images, steps=120, learning_rate=3e-3)
    before, after = found.tuned
    assert after < 0.7 * before
    with torch.no_grad():
        apart = sum((found.module(x) - net(x)).square().sum() for x in images)
        scale = sum(net(x).square().sum() for x in images)
    assert float((apart / scale).sqrt()) == pytest.approx(after, rel=1e-3)


def test_float32_and_training_mode_are_kept():
    net = SeparableFIR(4, 4).eval()
    found = narrows.fir_to_iir(net).module
    assert not found.training
    assert {p.dtype for p in found.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: narrows.fir_to_iir(nn.Conv2d(3, 3, 1)), "nothing to convert"),
        (lambda: narrows.fir_to_iir(nn.Conv2d(3, 3, 3, dilation=2)), "dilated"),
        (lambda: narrows.fir_to_iir(nn.Conv2d(3, 3, 3, padding=3)), "as many rows"),
        (lambda: narrows.fir_to_iir(VerticalFIR(3), delay=-1), "delay"),
        (lambda: narrows.fir_to_iir(VerticalFIR(3), order=3), "order"),
        (lambda: narrows.fir_to_iir(VerticalFIR(3), images=[]), "image"),
        (lambda: narrows.fir_to_iir(nn.Conv2d(3, 3, 3)).module(torch.zeros(1, 3, 2, 9)), "too low"),
    ],
)
def test_bad_arguments(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_each_layer_may_have_a_delay_of_its_own():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1)).eval()
    found = narrows.fir_to_iir(model, delay={"2": 1})
    whole = narrows.fir_to_iir(model)
    assert [layer.waits[1] for layer in found.layers] == [0, whole.layers[1].waits[1]]
    assert found.layers[0].error == whole.layers[0].by_delay[0]
    with pytest.raises(ValueError, match=r"no convolution to convert called '3'"):
        narrows.fir_to_iir(model, delay={"3": 1})
    with pytest.raises(ValueError, match="not -1"):
        narrows.fir_to_iir(model, delay={"2": -1})
