"""The gated filter against its definition, in pieces, and its gradients; its layers at the start."""

from __future__ import annotations

import pytest
import torch

import narrows
from narrows.layers.gated_iir import GatedFIR, GatedIIR, gated_iir, gated_rows


def drawn(*shape, dtype=torch.float64):
    torch.manual_seed(0)
    return torch.randn(*shape, dtype=dtype), torch.rand(*shape, dtype=dtype)


def by_rows(x, gate):
    made = [x[:, :, 0]]
    for t in range(1, x.shape[2]):
        made.append(gate[:, :, t] * made[-1] + x[:, :, t])
    return torch.stack(made, 2)


@pytest.mark.parametrize("height", [1, 2, 37])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_equals_its_definition(height, memory_format):
    x, gate = (value.contiguous(memory_format=memory_format) for value in drawn(2, 3, height, 5))
    torch.testing.assert_close(gated_iir(x, gate), by_rows(x, gate), rtol=0, atol=1e-12)


def test_gradients():
    x, gate = (value.requires_grad_() for value in drawn(2, 2, 7, 3))
    assert torch.autograd.gradcheck(gated_iir, (x, gate))
    assert torch.autograd.gradgradcheck(gated_iir, (x, gate))
    torch.library.opcheck(torch.ops.narrows.gated_iir, (x, gate), test_utils=("test_schema", "test_faketensor"))


def test_in_pieces_as_in_one():
    x, gate = drawn(1, 3, 23, 4)
    state, pieces = None, []
    for start, stop in ((0, 1), (1, 9), (9, 23)):
        piece, state = gated_rows(x[:, :, start:stop], gate[:, :, start:stop], state)
        pieces.append(piece)
    torch.testing.assert_close(torch.cat(pieces, 2), gated_iir(x, gate), rtol=0, atol=0)


def test_narrow_numbers_are_filtered_in_float32():
    x, gate = drawn(1, 2, 64, 3, dtype=torch.float32)
    x, gate = x.bfloat16(), gate.bfloat16()
    made = gated_iir(x, gate)
    assert made.dtype is torch.bfloat16
    torch.testing.assert_close(made, by_rows(x.float(), gate.float()).bfloat16())


@pytest.mark.parametrize("logit", [-1e30, -50.0, 0.0, 50.0, 1e30])
def test_never_leaves_the_range_of_its_values(logit):
    values = torch.rand(1, 4, 20_000, 1) * 2 - 1
    made = GatedIIR(4)(values, torch.full_like(values, logit))
    assert bool(torch.isfinite(made).all()) and float(made.detach().abs().max()) <= 1.0 + 1e-5


@pytest.mark.parametrize("make", [GatedIIR, GatedFIR, lambda n: GatedFIR(n, 3, causal=False)])
def test_what_is_constant_passes_at_the_start(make):
    layer = make(6)
    values = torch.ones(1, 6, 400, 1)
    middle = layer(values, torch.zeros_like(values)).detach()[:, :, 200, 0]
    torch.testing.assert_close(middle, torch.ones(1, 6), rtol=0, atol=1e-4)


def test_the_twin_starts_as_the_filter_cut_off():
    values = torch.zeros(1, 3, 9, 1)
    values[:, :, 0] = 1
    long, short = (layer(values, torch.zeros_like(values)).detach()[0, :, :, 0] for layer in (GatedIIR(3), GatedFIR(3)))
    torch.testing.assert_close(short[:, 1:5] / short[:, :4], long[:, 1:5] / long[:, :4], rtol=1e-4, atol=0)
    assert float(short[:, 5:].abs().max()) == 0


class Gated(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = GatedIIR(4)

    def forward(self, x):
        return self.layer(x, -x)


def test_streams_with_a_row_of_state():
    model = Gated().double().eval()
    x = torch.randn(1, 4, 19, 6, dtype=torch.float64)
    for strip in (1, 4, 64):
        torch.testing.assert_close(narrows.stream(model, x, strip=strip), model(x).detach(), rtol=0, atol=1e-12)
    plan = narrows.plan(model.float(), 64, 6, channels=4, strip=1)
    assert plan.delay == 1
    assert [entry.bytes for entry in plan.ledger if entry.kind == "state"] == [4 * 6 * 4]
    assert not [entry for entry in plan.ledger if entry.kind == "line buffer"]


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        gated_iir(torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 1))
    with pytest.raises(ValueError, match="odd"):
        GatedFIR(3, 4)
