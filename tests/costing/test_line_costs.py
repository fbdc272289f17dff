"""Lines, delay and receptive field by hand."""

from __future__ import annotations

import pytest
import torch
from tests.costing.networks import REFERENCES, Classifier, Recurrent
from torch import nn

import narrows
from narrows.layers.fir_iir import ResidualSeparable, SeparableFIRIIR
from narrows.layers.vertical_iir import VerticalIIR


@pytest.mark.parametrize(
    ("layer", "lines", "delay"),
    [
        (nn.Conv2d(3, 3, (5, 1), padding=(2, 0)), 4, 3),
        (nn.Conv2d(3, 3, (1, 5), padding=(0, 2)), 0, 1),
        (nn.Conv2d(3, 3, 3, padding=1), 2, 2),
        (nn.Conv2d(3, 3, 3, padding=2, dilation=2), 4, 3),
        (nn.MaxPool2d(2), 1, 2),
        (nn.Conv2d(3, 3, 1), 0, 1),
    ],
    ids=["5x1", "1x5", "3x3", "dilated", "pool", "1x1"],
)
def test_lines_that_one_operator_keeps(layer, lines, delay):
    report = narrows.cost(nn.Sequential(layer).eval(), 20, 12, channels=3, bits=6)
    assert sum(buffer.lines for buffer in report.lines.buffers) == lines
    assert report.totals["delay_rows"] == delay
    assert report.totals["line_buffer_bytes"] == -(-lines * 3 * 12 * 6 // 8)
    assert report.totals["skip_line_bytes"] == 0


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("delay", [0, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_recursive_filter_keeps_its_order_in_rows_and_waits_for_its_delay(order, delay, dtype):
    report = narrows.cost(VerticalIIR(4, order, delay=delay).to(dtype).eval(), 32, 10, channels=4, bits=6)
    assert report.lines.buffers == ()
    assert report.totals["delay_rows"] == delay + 1
    assert report.totals["line_buffer_bytes"] == -(-order * 4 * 10 * 6 // 8)
    assert report.totals["skip_line_bytes"] == 0
    assert report.totals["macs"] == 4 * (32 + delay) * 10 * (2 * order + 1)


def test_recursive_layers_in_a_row_each_keep_their_own_state():
    report = narrows.cost(nn.Sequential(*(SeparableFIRIIR(4, 4) for _ in range(3))).eval(), 32, 10, channels=4, bits=8)
    assert report.totals["line_buffer_bytes"] == 3 * 4 * 10
    assert report.totals["delay_rows"] == 1


def test_look_ahead_makes_a_skip_wait():
    """Two filters, each waiting for 2 rows: the image waits 4, beside a row of state for each."""
    report = narrows.cost(ResidualSeparable.fir_iir(4, delay=2).eval(), 32, 10, channels=4, bits=8)
    (image,) = report.lines.buffers
    assert (image.lines, image.window, image.waiting) == (4, 0, 4)
    assert report.totals["skip_line_bytes"] == 4 * 4 * 10
    assert report.totals["line_buffer_bytes"] == (4 + 2) * 4 * 10
    assert report.totals["delay_rows"] == 5


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        return x + self.second(self.first(x))


def test_skip_waits_for_its_branch():
    report = narrows.cost(Residual().eval(), 30, 10)
    image, between = report.lines.buffers
    # Two rows for its window; row r - 2 is still wanted by the sum while row r arrives.
    assert (image.lines, image.window, image.waiting) == (2, 2, 0)
    assert (between.lines, between.window, between.waiting) == (2, 2, 0)
    assert report.totals["delay_rows"] == 3 and report.field.rows == 5 and report.field.below == 2


def test_barrier_waits_for_all_rows_and_keeps_what_waits_for_it():
    report = narrows.cost(Classifier().eval(), 32, 24)
    kept = {buffer.name: buffer.lines for buffer in report.lines.buffers}
    assert report.totals["delay_rows"] == 32 and kept["conv2d"] == 16
    assert report.lines.whole_frame == ("conv2d",) and report.field.whole
    pooled = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.AdaptiveAvgPool2d(1)).eval()
    report = narrows.cost(pooled, 32, 24)
    assert [buffer.lines for buffer in report.lines.buffers] == [2]  # a running mean keeps no rows
    assert report.totals["delay_rows"] == 32


def test_recurrence_over_pixels_waits_for_the_whole_image():
    report = narrows.cost(Recurrent().eval(), 12, 16, channels=8)
    assert report.totals["delay_rows"] == 12


@pytest.mark.parametrize("name", ["unet", "dilated"])
def test_theoretical_rows_hold_every_gradient(name):
    model = REFERENCES[name]().eval().double()
    report = narrows.cost(model, 512, 32)
    image = torch.randn(1, 6, 512, 32, dtype=torch.float64, requires_grad=True)
    output = model(image)
    output[..., output.shape[-2] // 2, 16].sum().backward()
    rows = image.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    first, last = int(rows[0]), int(rows[-1])
    assert 256 - report.field.above <= first and last <= 256 + report.field.below


def test_effective_field_is_smaller_than_the_theoretical_one():
    torch.manual_seed(0)
    stack = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(8))).eval()
    field = narrows.cost(stack, 200, 200, effective=True).field
    assert field.rows == 17 and field.crop == (96, 96)
    assert 3 < field.effective_rows < 17 and 3 < field.effective_columns < 17


def test_streamed_peak_needs_a_budget_and_an_impossible_one_is_noted():
    model = REFERENCES["dilated"]().eval()
    assert narrows.cost(model, 64, 64).totals["streamed_peak_bytes"] is None
    assert narrows.cost(model, 64, 64, memory="4GB").totals["streamed_peak_bytes"] < 4e9
    report = narrows.cost(model, 64, 64, memory="1MB")
    assert report.totals["streamed_peak_bytes"] is None and any("smallest that works" in note for note in report.notes)
