"""Recursive layers over whole ranges: stable for every parameter, in strips of any height, near float64 in float32."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import narrows
from narrows.layers.vertical_iir import VerticalIIR

KINDS = ((1, "linear"), (2, "linear"), (1, "relu"), (2, "relu"), (1, "tanh"), (2, "leaky_relu"))
EXTREME = (1e38, -1e38, 1e6, -1e6, 30.0, -30.0, 3.0, -3.0, 1e-30, 0.0)
ROWS = 100_000


def drawn_layer(kind, raw, taps, delay=0):
    """A layer whose parameters are `raw`, its taps drawn."""
    order, activation = kind
    layer = VerticalIIR(len(raw) // order, order, activation=activation, delay=delay, taps=min(taps, order + 1))
    with torch.no_grad():
        layer.poles_raw.copy_(torch.tensor(raw).view(-1, order))
        layer.numerator.uniform_(-1, 1)
    return layer.eval()


@settings(max_examples=12, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    raw=st.lists(st.floats(-50, 50, width=32) | st.sampled_from(EXTREME), min_size=4, max_size=4),
    taps=st.integers(1, 3),
    delay=st.integers(0, 3),
    height=st.integers(1, 60),
    strips=st.lists(st.integers(1, 70), min_size=2, max_size=2),
    seed=st.integers(0, 1 << 20),
)
def test_strips_of_any_height_equal_the_full_frame(kind, raw, taps, delay, height, strips, seed):
    """Law 1, in both dtypes, for parameters of any size; a strip of one row and two others, also beyond the image."""
    torch.manual_seed(seed)
    layer = drawn_layer(kind, raw, taps, delay)
    x = torch.rand(1, layer.channels, height, 3) * 2 - 1
    for dtype, bound in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        layer.to(dtype)
        with torch.no_grad():
            whole = layer(x.to(dtype))
        assert bool(torch.isfinite(whole).all())
        scale = max(float(whole.abs().max()), 1e-30)
        for strip in (1, *strips):
            streamed = narrows.stream(layer, x.to(dtype), strip=strip)
            assert float((streamed - whole).abs().max()) <= bound * scale


@settings(max_examples=60, deadline=None)
@given(
    order=st.sampled_from([1, 2]),
    raw=st.lists(st.floats(-50, 50, width=32) | st.sampled_from(EXTREME), min_size=8, max_size=8),
    taps=st.integers(1, 3),
    alternating=st.booleans(),
    seed=st.integers(0, 1 << 20),
)
def test_float32_stays_within_the_stated_bound(order, raw, taps, alternating, seed):
    """`rounding_bound` holds for linear filters, on noise and on the input that excites the largest pole most."""
    torch.manual_seed(seed)
    layer = drawn_layer((order, "linear"), raw, taps)
    turns = torch.where(torch.arange(3_000) % 2 == 0, 1.0, -1.0) if alternating else torch.ones(3_000)
    x = torch.stack([turns, torch.rand(3_000) * 2 - 1], 1).expand(1, layer.channels, 3_000, 2)
    with torch.no_grad():
        drift = (layer(x).double() - layer.double()(x.double())).abs().amax((0, 2, 3))
    assert bool((drift <= layer.rounding_bound()).all()), (drift / layer.rounding_bound()).max()


def test_the_state_is_carried_a_hundred_thousand_times():
    """A row at a time, with poles at both ends: as near to float64 as the bound says, and no further at the end."""
    ends = [(1e38, 1e38), (1e38, -1e38), (-1e38, 1e38), (-1e38, -1e38), (0.5, 1e38), (0.0, 0.0)]
    layer = VerticalIIR(len(ends), 2)
    with torch.no_grad():
        layer.poles_raw.copy_(torch.tensor(ends))
    torch.manual_seed(0)
    noise = torch.rand(1, 1, ROWS, 1) * 2 - 1
    x = torch.cat([noise, torch.full_like(noise, 0.7)], 3).expand(1, len(ends), ROWS, 2).contiguous()
    state, made = None, []
    for row in x.split(1, 2):
        y, state = layer.step(row, state)
        made.append(y)
    exact, _ = layer.step(x.double())
    scale = exact.abs().amax((0, 2, 3))
    drift = (torch.cat(made, 2).double() - exact).abs()
    assert float((drift.amax((0, 2, 3)) / scale).max()) <= 1e-5
    assert bool((drift.amax((0, 2, 3)) <= layer.rounding_bound()).all())
    tenth = ROWS // 10
    first, last = drift[:, :, :tenth].amax((0, 2, 3)) / scale, drift[:, :, -tenth:].amax((0, 2, 3)) / scale
    assert float(last.max()) <= 2 * float(first.max())
