"""The layer: stable whatever its parameters, normalised at the start, the same row by row."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.layers.vertical_iir import VerticalIIR

EXTREMES = (1e30, -1e30, 1e6, -1e6, 3.0, -3.0, 0.0, 1e-30)
KINDS = [(1, "linear"), (2, "linear"), (1, "relu"), (2, "relu"), (1, "tanh"), (2, "leaky_relu")]
LONG = 100_000


def with_parameters(order, activation, raw, dtype=torch.float32):
    layer = VerticalIIR(len(raw), order, activation=activation).to(dtype)
    with torch.no_grad():
        layer.poles_raw.copy_(torch.tensor(raw, dtype=torch.float64))
    return layer


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    raw=st.lists(
        st.floats(allow_nan=False, width=32) | st.sampled_from(EXTREMES),
        min_size=4,
        max_size=4,
    ),
    radius=st.sampled_from([0.5, 0.9, 0.99, 0.999]),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
def test_poles_lie_inside_for_every_parameter(kind, raw, radius, dtype):
    order, activation = kind
    layer = VerticalIIR(4 // order, order, activation=activation, max_radius=radius).to(dtype)
    with torch.no_grad():
        layer.poles_raw.copy_(torch.tensor(raw).view(4 // order, order))
    assert bool(torch.isfinite(layer.feedback()).all())
    largest = float(layer.poles().abs().max())
    assert largest < 1
    if activation == "linear":
        # A double pole moves by the square root of what its coefficients are rounded by.
        assert largest <= radius * (1 + 1e-3)
    else:
        assert float(layer.feedback().detach().abs().sum(1).max()) <= radius * (1 + 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_thousand_rows_stay_bounded_and_near_float64(kind):
    """For parameters at both ends, on noise, a constant and an alternating image: bounded, streamed as in one piece to
    1e-5 of the largest value, and no further from float64 than that and, if linear, than the stated bound."""
    order, activation = kind
    ends = [(1e30, 1e30), (1e30, -1e30), (-1e30, 1e30), (-1e30, -1e30), (0.5, 1e30), (0.0, 0.0)]
    layer = with_parameters(order, activation, [pair[:order] for pair in ends])
    torch.manual_seed(0)
    noise = torch.rand(1, 1, LONG, 1) * 2 - 1
    turns = torch.where(torch.arange(LONG) % 2 == 0, 1.0, -1.0).view(1, 1, LONG, 1)
    x = torch.cat([noise, torch.full_like(noise, 0.7), turns], 3).expand(1, len(ends), LONG, 3)
    whole, _ = layer.step(x)
    exact, _ = layer.step(x.double())
    scale = exact.abs().amax((0, 2, 3))
    assert bool(torch.isfinite(whole).all())
    # The last tenth is no larger than what came before: nothing grows.
    assert bool((whole[:, :, -LONG // 10 :].abs().amax((0, 2, 3)) <= 1.0001 * whole.abs().amax((0, 2, 3))).all())
    drift = (whole.double() - exact).abs().amax((0, 2, 3))
    assert float((drift / scale.clamp_min(1e-30)).max()) <= 1e-5
    if activation == "linear":
        assert bool((drift <= layer.rounding_bound()).all())
    first, state = layer.step(x[:, :, :2_345])
    rest, _ = layer.step(x[:, :, 2_345:], state)
    streamed = torch.cat([first, rest], 2)
    assert float(((streamed - whole).abs().amax((0, 2, 3)) / scale.clamp_min(1e-30)).max()) <= 1e-5


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("channels", [1, 7])
def test_what_is_constant_passes_unchanged_at_the_start(order, channels):
    layer = VerticalIIR(channels, order)
    torch.testing.assert_close(
        layer.impulse_response(2_000).sum(1), torch.ones(channels, dtype=torch.float64), rtol=0, atol=1e-6
    )


def test_order_two_starts_with_complex_pairs_and_takes_any():
    layer = VerticalIIR(3, 2).double()
    assert bool((layer.poles().imag.abs() > 0.01).all())
    wanted = torch.tensor([[0.5 + 0.3j, 0.5 - 0.3j], [0.8, -0.2], [0.6, 0.6]], dtype=torch.complex128)
    layer.set_poles(wanted)
    found = layer.poles()
    torch.testing.assert_close(found.sum(1), wanted.sum(1))
    torch.testing.assert_close(found.prod(1), wanted.prod(1))


@pytest.mark.parametrize(("order", "activation"), KINDS)
def test_set_poles_of_one(order, activation):
    layer = VerticalIIR(2, order, activation=activation).double()
    layer.set_poles(torch.tensor([[0.3], [0.7]]))
    torch.testing.assert_close(layer.feedback()[:, 0], torch.tensor([0.3, 0.7], dtype=torch.float64), rtol=0, atol=1e-6)


def test_delay_is_look_ahead():
    torch.manual_seed(0)
    x = torch.randn(1, 4, 20, 3, dtype=torch.float64)
    prompt = VerticalIIR(4, 2).double()
    late = VerticalIIR(4, 2, delay=3).double()
    padded = torch.nn.functional.pad(x, (0, 0, 0, 3))
    torch.testing.assert_close(late(x), prompt(padded)[:, :, 3:])


def test_upward_is_downward_on_the_flipped_image():
    x = torch.randn(1, 4, 20, 3, dtype=torch.float64)
    up, down = VerticalIIR(4, 2, upward=True).double(), VerticalIIR(4, 2).double()
    torch.testing.assert_close(up(x), down(x.flip(2)).flip(2))
    with pytest.raises(ValueError, match="upward"):
        up.step(x)


def test_trains():
    """Gradient descent finds the pole and the taps that made the data."""
    torch.manual_seed(0)
    truth, layer = VerticalIIR(2, 1).double(), VerticalIIR(2, 1).double()
    truth.set_poles(torch.tensor([[0.8], [-0.4]]))
    x = torch.randn(4, 2, 64, 4, dtype=torch.float64)
    wanted = truth(x).detach()
    optimiser = torch.optim.Adam(layer.parameters(), 0.05)
    for _ in range(300):
        optimiser.zero_grad()
        loss = (layer(x) - wanted).square().mean()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 1e-5
    torch.testing.assert_close(layer.feedback(), truth.feedback(), rtol=0, atol=0.01)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"channels": 0}, "channel"),
        ({"channels": 2, "order": 3}, "order"),
        ({"channels": 2, "max_radius": 1.0}, "max_radius"),
        ({"channels": 2, "taps": 3}, "taps"),
        ({"channels": 2, "delay": -1}, "delay"),
        ({"channels": 2, "delay": 1, "upward": True}, "delay"),
        ({"channels": 2, "activation": "snake"}, "snake"),
    ],
)
def test_bad_arguments(arguments, said):
    with pytest.raises(ValueError, match=said):
        VerticalIIR(**arguments)


@pytest.mark.parametrize(
    ("order", "activation", "poles", "said"),
    [
        (1, "linear", [[0.995]], "beyond"),
        (1, "relu", [[-0.5]], "negative"),
        (2, "linear", [[0.5 + 0.2j, 0.5]], "pair"),
        (2, "tanh", [[0.6 + 0.6j, 0.6 - 0.6j]], "at most"),
        (1, "linear", [[0.5, 0.2]], "not"),
    ],
)
def test_bad_poles(order, activation, poles, said):
    with pytest.raises(ValueError, match=said):
        VerticalIIR(1, order, activation=activation).set_poles(torch.tensor(poles))
