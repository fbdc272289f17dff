"""Lines, delay and receptive field by hand."""

from __future__ import annotations

import pytest
import torch
from tests.costing.networks import REFERENCES, Classifier, Recurrent
from torch import nn

import narrows
from narrows.costing import field as field_room
from narrows.errors import CaptureError
from narrows.layers.fir_iir import ResidualSeparable, SeparableFIRIIR
from narrows.layers.line_coding import DPCM, ChannelCompressor, Quantiser
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
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
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


class CodedSkip(nn.Module):
    def __init__(self, coder):
        super().__init__()
        self.branch = nn.Conv2d(4, 4, (7, 1), padding=(3, 0))
        self.skip = ChannelCompressor(4, coder)

    def forward(self, x):
        return self.skip(torch.relu(x)) + self.branch(x)


@pytest.mark.parametrize("coder", [Quantiser(2, 5), DPCM(2, 3, first_bits=7)], ids=["quantiser", "dpcm"])
def test_a_skip_line_waits_as_its_coder_stores_it(coder):
    report = narrows.cost(CodedSkip(coder).eval(), 30, 10, bits=16)
    kept = {buffer.operator: (buffer.lines, buffer.bytes) for buffer in report.lines.buffers}
    # The branch's window keeps 6 rows of 4 channels; its centre, row t - 3, waits as codes.
    stored = coder.stored_bits(10, 3)
    assert kept.pop("input") == (6, 6 * 4 * 10 * 2)
    assert list(kept.values()) == [(3, -(-stored // 8))]


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


def reached(model, height, width):
    """First and last row and column of an image that the central value of the output has a gradient to."""
    image = torch.randn(1, 6, height, width, dtype=torch.float64, requires_grad=True)
    output = model(image)
    output[..., output.shape[-2] // 2, output.shape[-1] // 2].sum().backward()
    found = image.grad.abs().sum((0, 1)).nonzero()
    return found.amin(0).tolist(), found.amax(0).tolist()


@pytest.mark.parametrize("name", ["unet", "dilated"])
@pytest.mark.parametrize("size", [(512, 32), (32, 512)], ids=["rows", "columns"])
def test_theoretical_field_holds_every_gradient(name, size):
    model = REFERENCES[name]().eval().double()
    field = narrows.cost(model, *size).field
    (top, left), (bottom, right) = reached(model, *size)
    middle = [side // 2 for side in size]
    assert middle[0] - field.above <= top and bottom <= middle[0] + field.below
    assert middle[1] - field.left <= left and right <= middle[1] + field.right
    assert (field.whole, field.whole_columns) == (size[0] == 32, size[1] == 32)


class Running(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, x):
        return x.cumsum(dim=self.dim)


def uneven() -> nn.Module:
    """Something else along rows than along columns, in every kind of operator that looks at neighbours."""
    return nn.Sequential(
        nn.Conv2d(6, 8, (1, 5), stride=(1, 2), padding=(0, 2)),
        nn.ConvTranspose2d(8, 4, (3, 2), stride=(1, 2), padding=(1, 0)),
        nn.ReplicationPad2d((3, 0, 0, 1)),
        nn.Conv2d(4, 4, (2, 3), dilation=(1, 2), padding="same", padding_mode="zeros"),
        nn.AvgPool2d((1, 2)),
        nn.Upsample(scale_factor=(1.0, 2.0), mode="bilinear"),
    )


@pytest.mark.parametrize(
    ("model", "rows", "columns"),
    [
        (nn.Sequential(nn.Conv2d(6, 3, (5, 1), padding=(2, 0))), 5, 1),
        (nn.Sequential(nn.Conv2d(6, 3, (1, 5), padding=(0, 2))), 1, 5),
        (nn.Sequential(nn.Conv2d(6, 3, (3, 1)), nn.PixelShuffle(1), nn.MaxPool2d((2, 3))), 4, 3),
        (nn.Sequential(nn.Conv2d(6, 4, 1), nn.GELU(), nn.Softmax(-1)), 1, 64),
        (nn.Sequential(nn.Conv2d(6, 4, 1), nn.Flatten(2)), 1, 1),
        (nn.Sequential(nn.CircularPad2d((1, 1, 0, 0)), nn.Conv2d(6, 4, 3)), 3, 64),  # the bound of what wraps around
        # A recurrence depends on all that came before: rows and columns 0 to 24 and 0 to 32.
        (nn.Sequential(nn.Conv2d(6, 4, 1), Running(-1)), 1, 33),
        (nn.Sequential(nn.Conv2d(6, 4, 3, padding=1), Running(-2)), 26, 3),
    ],
    ids=["5x1", "1x5", "pooled", "softmax over columns", "flattened", "circular", "running along", "running down"],
)
def test_field_by_hand(model, rows, columns):
    field = narrows.cost(model.eval(), 48, 64).field
    assert (field.rows, field.columns, field.whole_columns) == (rows, columns, columns == 64)


def test_columns_that_are_not_known_are_not_given(monkeypatch):
    def refuse(program):
        raise CaptureError("no")

    monkeypatch.setattr(field_room, "transposed_graph", refuse)
    report = narrows.cost(nn.Conv2d(6, 4, 3).eval(), 48, 64)
    assert report.field.rows == 3 and report.field.columns is None
    assert any("columns are not known" in note for note in report.notes)


def test_columns_of_an_uneven_network_hold_every_gradient():
    torch.manual_seed(0)
    model = uneven().eval().double()
    field = narrows.cost(model, 40, 96).field
    (top, left), (bottom, right) = reached(model, 40, 96)
    # Resizing is bounded by a row or column more than strictly needed.
    assert 20 - field.above <= top and bottom <= 20 + field.below and field.rows <= bottom - top + 1 + 4
    assert 48 - field.left <= left and right <= 48 + field.right and field.columns <= right - left + 1 + 8
    assert field.columns > 2 * field.rows and "columns" in str(narrows.cost(model, 40, 96))


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
