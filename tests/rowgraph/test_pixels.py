from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from narrows.rowgraph.pixels import folded, joined, unfolded


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int32])
@pytest.mark.parametrize("channels", [1, 2, 6, 7, 16])
@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_as_pytorch_moves_them(factor: int, channels: int, dtype: torch.dtype, memory: torch.memory_format) -> None:
    torch.manual_seed(factor + channels)
    for height, width in ((1, 1), (1, 5), (3, 4)):
        image = torch.randint(0, 99, (2, channels, height * factor, width * factor)).to(dtype)
        image = image.contiguous(memory_format=memory)
        wanted = F.pixel_unshuffle(image, factor)
        found = folded(image, factor)
        assert torch.equal(found, wanted)
        assert found.stride() == wanted.stride() or found.numel() == max(found.shape)
        back = unfolded(wanted.contiguous(memory_format=memory), factor)
        assert torch.equal(back, image)


def test_rows_of_a_larger_image_are_moved_where_they_lie() -> None:
    held = torch.rand(1, 6, 12, 10).contiguous(memory_format=torch.channels_last)
    rows = held[:, :, 4:8]
    assert torch.equal(folded(rows, 2), F.pixel_unshuffle(rows, 2))
    columns = held[..., 2:8]
    assert torch.equal(folded(columns, 2), F.pixel_unshuffle(columns, 2))


def test_values_without_a_batch_are_left_to_pytorch() -> None:
    image = torch.rand(3, 4, 6)
    assert torch.equal(folded(image, 2), F.pixel_unshuffle(image, 2))
    assert torch.equal(unfolded(folded(image, 2), 2), image)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("channels", [(24, 4, 4, 4), (3, 3), (16, 8), (1, 2, 1)])
def test_channels_are_joined_as_pytorch_joins_them(channels: tuple[int, ...], memory: torch.memory_format) -> None:
    parts = [torch.rand(2, count, 3, 5).contiguous(memory_format=memory) for count in channels]
    found, wanted = joined(parts), torch.cat(parts, 1)
    assert torch.equal(found, wanted)
    assert found.stride() == wanted.stride()
    shortened = [part[:, :, 1:3] for part in parts]
    assert torch.equal(joined(shortened), torch.cat(shortened, 1))


def test_values_of_different_kinds_are_joined_by_pytorch() -> None:
    numbers = torch.arange(12.0).reshape(1, 2, 2, 3).contiguous(memory_format=torch.channels_last)
    whole = numbers.to(torch.int32)
    assert joined([numbers, whole]).dtype == torch.float32
    assert torch.equal(joined([numbers[0], numbers[0]]), torch.cat([numbers[0], numbers[0]], 1))
