"""A distance between two sounds as the sum of the same distance at several resolutions."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

__all__ = ["Summed"]


class Summed(nn.Module):
    """A distance at several `resolutions`, summed; each can be computed on its own."""

    def __init__(self, resolutions: Iterable[nn.Module]):
        super().__init__()
        self.resolutions = nn.ModuleList(resolutions)

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """Distance between ``(B, 1, samples)`` and ``(B, 1, samples)``, a scalar."""
        return torch.stack([one(fake, real) for one in self.resolutions]).sum()
