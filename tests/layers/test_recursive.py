"""The recursive operator against SciPy, against itself in pieces, and its gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter, sosfilt

from narrows.layers import scan
from narrows.layers.nonlinearities import nonlinearity, register_nonlinearity
from narrows.layers.recursive import filter_rows, vertical_iir

FEEDBACK = {1: [[0.9], [0.4], [0.0]], 2: [[1.2, -0.5], [0.3, 0.2], [0.0, -0.8]]}
GENTLE = {1: [[0.9], [0.4], [0.0]], 2: [[0.5, -0.3], [0.3, 0.2], [0.0, -0.8]]}
ACTIVATIONS = ("linear", "relu", "tanh", "leaky_relu")


def coefficients(order, activation="linear", taps=None):
    table = FEEDBACK if activation == "linear" else GENTLE
    feedback = torch.tensor(table[order], dtype=torch.float64)
    return torch.randn(3, taps or order + 1, dtype=torch.float64), feedback


def by_rows(x, numerator, feedback, activation):
    """The definition, row by row."""
    f = (lambda z: z) if activation == "linear" else nonlinearity(activation)
    made: list[torch.Tensor] = []
    for t in range(x.shape[2]):
        z = sum(numerator[:, j, None] * x[:, :, t - j] for j in range(numerator.shape[1]) if t >= j)
        z = z + sum(feedback[:, j - 1, None] * made[t - j] for j in range(1, feedback.shape[1] + 1) if t >= j)
        made.append(f(z))
    return torch.stack(made, 2)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("height", [1, 2, 31, 100])
def test_linear_filter_equals_scipy(order, height):
    torch.manual_seed(0)
    x = torch.randn(2, 3, height, 4, dtype=torch.float64)
    numerator, feedback = coefficients(order)
    made = vertical_iir(x, numerator, feedback, "linear", False)
    for channel in range(3):
        b, a = numerator[channel].numpy(), np.r_[1, -feedback[channel].numpy()]
        np.testing.assert_allclose(made[:, channel], lfilter(b, a, x[:, channel].numpy(), axis=1), rtol=0, atol=1e-11)
        section = np.r_[b, [0] * (3 - len(b)), a, [0] * (3 - len(a))][None]
        np.testing.assert_allclose(
            made[:, channel], sosfilt(section, x[:, channel].numpy(), axis=1), rtol=0, atol=1e-11
        )


@settings(max_examples=150, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 3),
    order=st.sampled_from([1, 2]),
    activation=st.sampled_from(ACTIVATIONS),
    upward=st.booleans(),
    channels_last=st.booleans(),
    seed=st.integers(0, 1 << 20),
)
def test_both_methods_equal_the_definition(height, width, order, activation, upward, channels_last, seed):
    torch.manual_seed(seed)
    x = torch.randn(2, 3, height, width, dtype=torch.float64)
    numerator, feedback = coefficients(order, activation, taps=1 + seed % (order + 1))
    wanted = by_rows(x.flip(2) if upward else x, numerator, feedback, activation)
    wanted = wanted.flip(2) if upward else wanted
    given_ = x.contiguous(memory_format=torch.channels_last) if channels_last else x
    torch.testing.assert_close(
        vertical_iir(given_, numerator, feedback, activation, upward), wanted, rtol=0, atol=1e-10
    )
    if not upward:
        for blocks in (False, True):
            made, _ = filter_rows(given_, numerator, feedback, activation, blocks=blocks)
            torch.testing.assert_close(made, wanted, rtol=0, atol=1e-10)


@settings(max_examples=100, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 60), min_size=1, max_size=8),
    order=st.sampled_from([1, 2]),
    activation=st.sampled_from(ACTIVATIONS),
    taps=st.integers(1, 3),
    seed=st.integers(0, 1 << 20),
)
def test_state_is_carried_over_strips_of_any_height(cuts, order, activation, taps, seed):
    torch.manual_seed(seed)
    x = torch.randn(1, 3, sum(cuts), 2, dtype=torch.float64)
    numerator, feedback = coefficients(order, activation, min(taps, order + 1))
    wanted = vertical_iir(x, numerator, feedback, activation, False)
    state, made = None, []
    for rows in x.split(cuts, 2):
        strip, state = filter_rows(rows, numerator, feedback, activation, state)
        assert state.shape == (1, 3, order, 2)
        made.append(strip)
    torch.testing.assert_close(torch.cat(made, 2), wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("activation", ["linear", "relu", "tanh"])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("upward", [False, True])
@pytest.mark.parametrize("height", [1, 2, 4, 70])
def test_gradients(activation, order, upward, height):
    torch.manual_seed(1)
    x = torch.randn(1, 2, height, 1, dtype=torch.float64, requires_grad=True)
    numerator = torch.randn(2, 1 + height % (order + 1), dtype=torch.float64, requires_grad=True)
    feedback = torch.tensor(GENTLE[order][:2], dtype=torch.float64, requires_grad=True)

    def filtered(*given_):
        return vertical_iir(*given_, activation, upward)

    assert torch.autograd.gradcheck(filtered, (x, numerator, feedback))
    if height < 10:
        assert torch.autograd.gradgradcheck(filtered, (x, numerator, feedback))


def test_gradients_in_blocks_equal_those_row_by_row(monkeypatch):
    torch.manual_seed(2)
    found = []
    for narrow in (0, 1 << 30):
        monkeypatch.setattr(scan, "NARROW", narrow)
        torch.manual_seed(2)
        given_ = [torch.randn(2, 3, 150, 5, dtype=torch.float64), *coefficients(1)]
        given_ = [tensor.requires_grad_() for tensor in given_]
        for activation in ("linear", "relu", "tanh"):
            result = vertical_iir(*given_, activation, False)
            found.append(torch.autograd.grad(result, given_, result.detach().cos()))
    for here, there in zip(found[:3], found[3:], strict=True):
        for one, other in zip(here, there, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_the_library_checks_the_operators():
    x, numerator, feedback = torch.randn(1, 3, 8, 8, requires_grad=True), torch.rand(3, 2), torch.rand(3, 1)
    torch.library.opcheck(torch.ops.narrows.vertical_iir.default, (x, numerator, feedback, "relu", False))
    torch.library.opcheck(torch.ops.narrows.gated_recursion.default, (x, torch.rand(1, 3, 8, 8), feedback, True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_floats_are_filtered_in_float32_and_rounded_once(dtype):
    x = torch.randn(1, 3, 300, 4).to(dtype)
    numerator, feedback = (tensor.float() for tensor in coefficients(2))
    made = vertical_iir(x, numerator, feedback, "linear", False)
    wide = vertical_iir(x.float(), numerator, feedback, "linear", False)
    assert made.dtype == dtype
    torch.testing.assert_close(made, wide.to(dtype), rtol=0, atol=0)
    _, state = filter_rows(x, numerator, feedback)
    assert state.dtype == torch.float32


def test_autocast_runs_in_float32():
    x = torch.randn(1, 3, 20, 4)
    numerator, feedback = (tensor.float() for tensor in coefficients(1))
    with torch.autocast("cpu", torch.bfloat16):
        made = vertical_iir(x.bfloat16(), numerator, feedback, "linear", False)
    assert made.dtype == torch.float32


def test_method_is_chosen_by_shape():
    assert scan.in_blocks(torch.empty(8, 16, 256, 32))
    assert not scan.in_blocks(torch.empty(8, 16, 256, 256))
    assert not scan.in_blocks(torch.empty(1, 32, 256, 1024))
    assert not scan.in_blocks(torch.empty(1, 3, 8, 8))


@pytest.mark.parametrize(
    ("shape", "taps", "order", "activation", "said"),
    [
        ((3, 4, 4), (3, 1), (3, 1), "linear", "images"),
        ((1, 3, 4, 4), (2, 1), (3, 1), "linear", "numerator"),
        ((1, 3, 4, 4), (3, 1), (3,), "linear", "feedback"),
        ((1, 3, 4, 4), (3, 3), (3, 1), "linear", "up to 2"),
        ((1, 3, 4, 4), (3, 1), (3, 1), "snake", "snake"),
    ],
)
def test_what_does_not_fit_is_refused(shape, taps, order, activation, said):
    with pytest.raises(ValueError, match=said):
        vertical_iir(torch.zeros(shape), torch.zeros(taps), torch.zeros(order), activation, False)


def test_a_nonlinearity_of_ones_own():
    register_nonlinearity("halved_test", lambda z: 0.5 * torch.sin(z))
    x = torch.randn(1, 3, 12, 2, dtype=torch.float64)
    numerator, feedback = coefficients(2, "halved_test")
    made = vertical_iir(x, numerator, feedback, "halved_test", False)
    torch.testing.assert_close(made, by_rows(x, numerator, feedback, "halved_test"))
    with pytest.raises(ValueError, match="exists"):
        register_nonlinearity("halved_test", torch.sin)
    with pytest.raises(ValueError, match="diverge"):
        register_nonlinearity("squared_test", torch.square)
