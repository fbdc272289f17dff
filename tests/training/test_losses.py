from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from narrows.training.losses import adaptive_max_pool_loss, masked_cross_entropy


def test_masked_cross_entropy_is_the_mean_over_known_pixels() -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(2, 1, 5, 6), (torch.rand(2, 1, 5, 6) > 0.5).float()
    weight = (torch.rand(2, 1, 5, 6) > 0.4).float()
    known = weight > 0
    expected = F.binary_cross_entropy_with_logits(logits[known], target[known])
    torch.testing.assert_close(masked_cross_entropy(logits, target, weight), expected)


@pytest.mark.parametrize("loss", [masked_cross_entropy, adaptive_max_pool_loss])
def test_unknown_pixels_teach_nothing(loss) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(1)
    logits = torch.randn(1, 1, 20, 20, requires_grad=True)
    weight = torch.ones(1, 1, 20, 20)
    weight[..., :10] = 0
    loss(logits, torch.zeros(1, 1, 20, 20), weight).backward()
    assert logits.grad is not None
    assert (logits.grad[..., :10] == 0).all()
    assert (logits.grad[..., 10:] != 0).all()
    assert loss(logits, torch.zeros(1, 1, 20, 20), weight * 0).item() == 0


def test_adaptive_max_pool_loss_multiplies_by_the_hardest_neighbour() -> None:
    logits = torch.zeros(1, 1, 16, 16)
    logits[0, 0, 8, 8] = 3.0
    target = torch.zeros(1, 1, 16, 16)
    plain = 0.25 * F.binary_cross_entropy_with_logits(logits, target, reduction="none")[0, 0]
    expected = 0.0
    for row in range(16):
        for column in range(16):
            # An 8 x 8 window reaches 3 before and 4 after its centre.
            around = plain[max(row - 3, 0) : row + 5, max(column - 3, 0) : column + 5].max()
            expected += float(plain[row, column] * around)
    found = adaptive_max_pool_loss(logits, target, torch.ones_like(target))
    assert found.item() == pytest.approx(expected / 256, rel=1e-5)
