"""How loud each part of a spectrum is to an ear, in a form that a generator can be trained on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from labutils.training.summed import Summed

__all__ = ["LoudnessLoss"]


class LoudnessLoss(Summed):
    """How far the compressed magnitudes of two sounds are apart, at three windows.

    A logarithm gives a bin 60 dB under the voice as much weight as the voice; a bare magnitude
    hears the loudest partials only. An ear lies between: loudness grows with about the 0.3rd power
    of the magnitude (a power that is usual in speech enhancement, arXiv 1804.03619). Up to 8 kHz,
    where most of a voice is and where wide-band PESQ ends. The distance is relative to the
    recording's own size, so a quiet segment counts as much as a loud one; the sum of the three
    goes from 0 to about 3.

    Args:
        sample_rate: of both signals, in Hz.
    """

    WINDOWS = (512, 1024, 2048)

    def __init__(self, sample_rate: int):
        super().__init__(_Loudness(sample_rate, n_fft) for n_fft in self.WINDOWS)


class _Loudness(nn.Module):
    """One window size of :class:`LoudnessLoss`."""

    POWER = 0.3
    HIGHEST = 8000.0  # Hz
    FLOOR = 1e-8  # of a full-scale sine's power, -80 dB

    def __init__(self, sample_rate: int, n_fft: int):
        super().__init__()
        self.n_fft, self.bins = n_fft, int(self.HIGHEST / sample_rate * n_fft)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        both, n = torch.cat([fake, real]).squeeze(1).float(), self.n_fft
        spectrum = torch.stft(both, n, n // 4, window=self.window, return_complex=True)
        kept = torch.view_as_real(spectrum[:, 1 : self.bins])
        power = kept.square().sum(-1) * (2 / self.window.sum()) ** 2
        a, b = (power + self.FLOOR).pow(self.POWER / 2).chunk(2)
        apart = (a - b).square().sum((1, 2)) / b.square().sum((1, 2))
        return (apart + 1e-8).sqrt().mean()  # a root has no slope at 0
