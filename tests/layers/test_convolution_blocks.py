from __future__ import annotations

import pytest
import torch

from narrows.layers.convolution import ConvNorm, PixelShuffleUp, WideRowBlock


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 3)])
@pytest.mark.parametrize("size", [(1, 1), (8, 10), (9, 7)])
def test_conv_norm_divides_the_sides_by_its_stride(stride: int, dilation: int, size: tuple[int, int]) -> None:
    block = ConvNorm(3, 5, 3, stride=stride, row_dilation=dilation).eval()
    found = block(torch.randn(2, 3, *size))
    assert found.shape == (2, 5, *(-(-side // stride) for side in size))
    assert (found >= 0).all()


def test_conv_norm_without_activation_is_linear() -> None:
    block = ConvNorm(2, 4, 3, activation=False).eval()
    x, y = torch.randn(2, 1, 2, 6, 6)
    torch.testing.assert_close(block(x + 2 * y) - block(y * 0), block(x) + 2 * block(y) - 3 * block(y * 0))


@pytest.mark.parametrize("dilation", [1, 2, 4])
def test_wide_row_block_reaches_two_rows_and_further_columns(dilation: int) -> None:
    block = WideRowBlock(4, dilation).eval()
    x = torch.randn(1, 4, 21, 31)
    x[..., 10, 15] = torch.nan
    felt = torch.isnan(block(x)[0]).any(0)
    rows, columns = felt.any(1).nonzero().flatten(), felt.any(0).nonzero().flatten()
    assert (int(rows.min()), int(rows.max())) == (8, 12)
    assert (int(columns.min()), int(columns.max())) == (15 - 1 - dilation, 15 + 1 + dilation)


def test_pixel_shuffle_up_needs_no_neighbour() -> None:
    block = PixelShuffleUp(6, 3).eval()
    x = torch.randn(1, 6, 5, 4)
    assert block(x).shape == (1, 3, 10, 8)
    x[..., 2, 1] = torch.nan
    felt = torch.isnan(block(x)[0]).any(0)
    assert felt.nonzero().tolist() == [[4, 2], [4, 3], [5, 2], [5, 3]]
