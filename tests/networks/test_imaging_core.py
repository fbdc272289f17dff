"""The imaging core: any size, exact when streamed, its delay as stated, its lines as they are counted by hand."""

from __future__ import annotations

import pytest
import torch

import narrows
from narrows.costing.lines import line_costs
from narrows.networks.imaging_core import imaging_core
from narrows.streaming.capturing import captured
from narrows.streaming.plan import make_plan

FORMS = [
    {},
    {"look_ahead": 4, "rows_above": 2, "stem": 8},
    {"order": 2, "fold": 1, "widths": (4, 8, 8), "blocks": (1, 1, 1)},
    {"gated": True, "look_ahead": 1},
    {"vertical": "causal", "kernel": 3},
    {"vertical": "symmetric", "look_ahead": 2},
    {"vertical": "causal", "gated": True},
    {"pooling": "ordinary", "widths": (4, 8, 8), "blocks": (1, 1, 1)},
    {"pooling": "ordinary", "look_ahead": 4},
]
DELAYS = [0, 4, 0, 1, 0, 2 + 2 * 2 + 3 * 4, 0, 3, 4 + 1]


def build(how, **more):
    torch.manual_seed(0)
    small = {"widths": (4, 8), "horizontal": 3, "expand": 1}
    return imaging_core(**{**small, **how, **more}).eval()


@pytest.mark.parametrize("how", FORMS)
@pytest.mark.parametrize("size", [(37, 26), (1, 1), (6, 3)])
def test_streamed_equals_full_frame(how, size):
    model = build(how).double()
    image = torch.rand(1, 6, *size, dtype=torch.float64)
    whole = model(image).detach()
    assert whole.shape == image.shape
    for strip in (1, 3, 64):
        torch.testing.assert_close(narrows.stream(model, image, strip=strip), whole, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("how", "delay"), list(zip(FORMS, DELAYS, strict=True)))
def test_waits_for_as_many_rows_as_it_states(how, delay):
    model = build(how)
    graph = captured(model, [(1, 6, 80, 32)], [torch.float32])
    assert model.delay == delay
    # The plan counts the row that is being made.
    assert make_plan(graph, process=0, strip=1).delay == delay + 1
    assert line_costs(graph, 16).delay == delay + 1


@pytest.mark.parametrize(("how", "delay"), list(zip(FORMS, DELAYS, strict=True)))
def test_no_row_below_the_stated_delay_is_felt(how, delay):
    model = build(how).double()
    image = torch.rand(1, 6, 48, 16, dtype=torch.float64)
    before, felt = model(image), []
    for row in range(24, 28):
        changed = image.clone()
        changed[:, :, row] += 1
        felt.append(row - int((model(changed) - before).detach().abs().amax((0, 1, 3)).nonzero()[0]))
    assert max(felt) == delay


def test_look_ahead_keeps_lines_of_the_image_and_of_nothing_else():
    def kept(how):
        graph = captured(build(how), [(1, 6, 64, 32)], [torch.float32])
        return line_costs(graph, 16)

    prompt, late = kept({}), kept({"look_ahead": 4})
    assert late.bytes - prompt.bytes == 4 * 6 * 32 * 2
    assert kept({"look_ahead": 4, "rows_above": 2}).bytes - prompt.bytes == 6 * 6 * 32 * 2


def test_lines_of_the_recursive_core_and_its_twin_by_hand():
    def kept(**how):
        graph = captured(build(how), [(1, 6, 64, 32)], [torch.float32])
        return line_costs(graph, 16).bytes * 8

    # Two blocks of 4 channels at 16 columns, three of 8 at 8 columns; one row of 4 channels waits for its turn after
    # the coarser scale has made two.
    states, waiting = 2 * 4 * 16 + 3 * 8 * 8, 4 * 16
    assert kept() == 16 * (states + waiting)
    assert kept(order=2) == 16 * (2 * states + waiting)
    assert kept(gated=True) == 16 * (states + waiting)
    assert kept(vertical="causal", kernel=5) == 16 * (4 * states + waiting)


def test_at_the_start_the_image_passes():
    image = torch.rand(1, 6, 20, 20)
    assert float((imaging_core()(image) - image).detach().abs().mean()) < 0.1


def test_twins_have_the_same_shape():
    counts = {v: sum(p.numel() for p in imaging_core(vertical=v, kernel=3).parameters()) for v in ("iir", "causal")}
    # A filter of order 1 has a pole and two taps, a convolution of 3 rows three.
    assert counts["iir"] == counts["causal"]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"widths": (4,)}, "scales"),
        ({"vertical": "upward"}, "vertical"),
        ({"pooling": "mean"}, "pooling"),
        ({"look_ahead": -1}, "look-ahead"),
        ({"gated": True, "order": 2}, "gated"),
        ({"horizontal": 4}, "odd"),
    ],
)
def test_bad_arguments_are_refused(how, said):
    with pytest.raises(ValueError, match=said):
        imaging_core(**how)
