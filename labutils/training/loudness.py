"""How loud each part of a spectrum is to an ear, in a form that a generator can be trained on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["LoudnessLoss"]


class LoudnessLoss(nn.Module):
    """How far the compressed magnitudes of two sounds are apart, at three windows.

    A logarithm gives a bin 60 dB under the voice as much weight as the voice; a bare magnitude
    hears the loudest partials only. An ear lies between: loudness grows with about the 0.3rd power
    of the magnitude (a power that is usual in speech enhancement, arXiv 1804.03619). Up to 8 kHz,
    where most of a voice is and where wide-band PESQ ends. The distance is relative to the
    recording's own size, so a quiet segment counts as much as a loud one; the sum of the three
    goes from 0 to about 3.
    """

    WINDOWS = (512, 1024, 2048)
    POWER = 0.3
    HIGHEST = 8000.0  # Hz
    FLOOR = 1e-8  # of a full-scale sine's power, -80 dB

    def __init__(self, sample_rate: int):
        super().__init__()
        self.bins = [int(self.HIGHEST / sample_rate * n) for n in self.WINDOWS]
        for n in self.WINDOWS:
            self.register_buffer(f"window_{n}", torch.hann_window(n), persistent=False)

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """Distance between two ``(B, 1, samples)``, a scalar."""
        both = torch.cat([fake, real]).squeeze(1).float()
        distances = []
        for n, bins in zip(self.WINDOWS, self.bins, strict=True):
            window = self.get_buffer(f"window_{n}")
            spectrum = torch.stft(both, n, n // 4, window=window, return_complex=True)[:, 1:bins]
            power = torch.view_as_real(spectrum).square().sum(-1) * (2 / window.sum()) ** 2
            a, b = (power + self.FLOOR).pow(self.POWER / 2).chunk(2)
            apart = (a - b).square().sum((1, 2)) / b.square().sum((1, 2))
            distances.append((apart + 1e-8).sqrt().mean())  # a root has no slope at 0
        return torch.stack(distances).sum()
