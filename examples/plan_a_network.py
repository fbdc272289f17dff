"""Before running anything: what does a network hold on a whole Landsat scene, and how many rows does it wait for?"""

from __future__ import annotations

import torch
from torch import nn

import narrows
from narrows.errors import BudgetError


class Sharpen(nn.Module):
    """A small network of your own: two scales, one skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Conv2d(3, 16, 3, padding=1)
        self.coarse = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.back = nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1)
        self.head = nn.Conv2d(16, 3, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        fine = torch.relu(self.fine(image))
        back = self.back(torch.relu(self.coarse(fine)))[..., : fine.shape[-2], : fine.shape[-1]]
        return image + self.head(fine + back)


def main() -> None:
    network = Sharpen().eval()
    plan = narrows.plan(network, 7741, 7591, memory="1GB")
    print(plan)
    full_frame = 16 * 7741 * 7591 * 4
    print(f"\none feature map of the full frame alone: {full_frame / 1e9:.1f} GB")
    print(f"delay: {plan.delay} of 7,741 rows\n")
    try:
        narrows.plan(network, 7741, 7591, memory="50MB")
    except BudgetError as error:
        print(f"and with 50 MB: {error}")


if __name__ == "__main__":
    main()
