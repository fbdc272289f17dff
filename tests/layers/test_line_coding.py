"""Coders of lines: bits counted exactly, decoded as they were coded, trained through."""

from __future__ import annotations

from contextlib import suppress

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import narrows
from narrows.layers.line_coding import DPCM, ChannelCompressor, Coded, Quantiser
from narrows.streaming.capturing import captured


def coders(channels, bits, first_bits, dtype=torch.float32):
    made = [Quantiser(channels, bits, -1.5, 1.0)]
    made += [DPCM(channels, bits, -1.5, 1.0, first_bits)] if bits > 1 else []
    return [coder.to(dtype) for coder in made]


@settings(max_examples=150, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 4), st.integers(1, 20)),
    bits=st.integers(1, 9),
    first_bits=st.integers(1, 10),
    scale=st.sampled_from([0.1, 1.0, 10.0]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 1 << 20),
)
def test_the_stream_has_the_counted_length_and_decodes_to_forward(shape, bits, first_bits, scale, dtype, seed):
    torch.manual_seed(seed)
    x = torch.randn(shape, dtype=dtype) * scale
    batch, channels, rows, columns = shape
    for coder in coders(channels, bits, first_bits, dtype):
        coded = coder.encode(x)
        first = first_bits if isinstance(coder, DPCM) else bits
        assert coder.stored_bits(columns) == channels * (first + (columns - 1) * bits)
        assert coded.bits == batch * coder.stored_bits(columns, rows)
        assert coded.data.dtype == torch.uint8 and len(coded.data) == -(-coded.bits // 8)
        assert torch.equal(coder.decode(coded), coder(x).detach())


def test_every_bit_counts():
    """Turning any one bit of the stream changes what is decoded, unless it makes a code that is never used."""
    torch.manual_seed(0)
    for coder in coders(2, 3, 5):
        coded = coder.encode(torch.randn(1, 2, 2, 6) * 0.3)
        right = coder.decode(coded)
        unchanged = 0
        for place in range(coded.bits):
            data = coded.data.clone()
            data[place // 8] ^= 1 << (place % 8)
            with suppress(RuntimeError):  # the one code without a step
                unchanged += torch.equal(coder.decode(Coded(data, coded.bits, coded.shape)), right)
        assert unchanged <= coded.bits // 20


def test_uniform_levels_are_numpys():
    coder = Quantiser(1, 3, 0.0, 7.0).double()
    x = torch.linspace(-2, 9, 97, dtype=torch.float64).view(1, 1, 1, -1)
    torch.testing.assert_close(coder(x), x.round().clamp(0, 7), rtol=0, atol=1e-6)


def test_dpcm_follows_a_slow_line_closely_and_catches_up_after_an_edge():
    coder = DPCM(1, 4, 0.0, 1.0, first_bits=8)
    slow = (0.5 + 0.2 * torch.sin(torch.arange(200.0) / 20)).view(1, 1, 1, -1)
    steps = coder.steps()[0]
    needed = steps[steps.abs() <= 0.02]
    assert float((coder(slow) - slow).abs().max()) <= float(needed.diff().max()) / 2 + 1e-6
    edge = torch.cat([torch.zeros(20), torch.ones(20)]).view(1, 1, 1, -1)
    error = (coder(edge) - edge).abs()[0, 0, 0]
    assert float(error[:20].max()) < 0.01 and float(error[24:].max()) < 0.05


def test_errors_do_not_add_up_along_the_line():
    torch.manual_seed(0)
    coder = DPCM(1, 3, -1.0, 1.0)
    x = (torch.randn(1, 1, 4, 4_000).cumsum(3) * 0.01).sin()
    error = (coder(x) - x).abs()
    assert float(error[..., -500:].mean()) <= 1.2 * float(error[..., 500:1000].mean()) + 1e-3


def test_gradients_pass_straight_through():
    x = torch.tensor([[-2.0, -0.4, 0.0, 0.3, 0.9, 3.0]]).view(1, 1, 1, -1)
    for coder in (Quantiser(1, 4, -1.0, 1.0), DPCM(1, 4, -1.0, 1.0)):
        given_ = x.clone().requires_grad_()
        (grad,) = torch.autograd.grad(coder(given_).sum(), given_)
        assert grad.flatten().tolist() == pytest.approx([0, 1, 1, 1, 1, 0], abs=1e-5)


def test_the_quantisers_range_is_trained():
    torch.manual_seed(0)
    x = torch.randn(1, 2, 32, 32) * torch.tensor([0.1, 3.0]).view(1, 2, 1, 1)
    coder = Quantiser(2, 3)
    before = (coder(x) - x).square().mean((0, 2, 3)).detach()
    optimiser = torch.optim.Adam(coder.parameters(), 0.02)
    for _ in range(200):
        optimiser.zero_grad()
        ((coder(x) - x).square().mean((0, 2, 3)) / torch.tensor([0.01, 9.0])).sum().backward()
        optimiser.step()
    after = (coder(x) - x).square().mean((0, 2, 3)).detach()
    assert bool((after < 0.5 * before).all())


@pytest.mark.parametrize("kind", [Quantiser, DPCM])
def test_calibrated_ranges_hold_the_values(kind):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 8) * 5 + 2
    coder = kind(3, 8)
    coder.calibrate(x)
    assert float((coder(x).detach() - x)[..., 0].abs().max()) <= 0.6 * 40 / 255


@pytest.mark.parametrize("coder", [Quantiser(2, 4), DPCM(2, 4)])
def test_a_compressed_skip_is_counted_decoded_and_streamed(coder):
    torch.manual_seed(0)
    skip = ChannelCompressor(8, coder).double().eval()
    x = torch.randn(1, 8, 13, 9, dtype=torch.float64)
    with torch.no_grad():
        whole = skip(x)
        assert torch.equal(skip.decode(skip.encode(x)), whole)
    assert skip.encode(x).bits == skip.stored_bits(9, 13)
    torch.testing.assert_close(narrows.stream(skip, x, strip=3), whole, rtol=0, atol=1e-10)
    graph = captured(skip, [tuple(x.shape)], [x.dtype])
    assert sum(node.operator == "dpcm" for node in graph.nodes) == isinstance(coder, DPCM)


def test_the_library_checks_the_operator():
    coder = DPCM(3, 4)
    arguments = (torch.randn(1, 3, 4, 5, requires_grad=True), coder.steps(), coder.low, coder.high, 8)
    torch.library.opcheck(torch.ops.narrows.dpcm.default, arguments)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Quantiser(0, 4), "channel"),
        (lambda: Quantiser(1, 0), "bits"),
        (lambda: DPCM(1, 1), "bits"),
        (lambda: DPCM(1, 17), "bits"),
        (lambda: DPCM(1, 4, 1.0, 0.0), "range"),
        (lambda: DPCM(1, 4, first_bits=0), "first_bits"),
    ],
)
def test_bad_arguments(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_a_stream_that_is_cut_short_is_refused():
    coder = DPCM(1, 4)
    coded = coder.encode(torch.zeros(1, 1, 4, 8))
    with pytest.raises(ValueError, match="bits make"):
        coder.decode(Coded(coded.data[:-1], coded.bits, coded.shape))
