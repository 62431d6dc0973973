"""Periods as a pitch tracker sees them, in a form that a generator can be trained on."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["VoicingLoss"]


class VoicingLoss(nn.Module):
    """How alike both sounds repeat themselves, as a pitch tracker sees it.

    YIN's difference from a sound shifted by each lag, over its mean up to that lag (de Cheveigné
    and Kawahara 2002, equation 8; as librosa's pYIN and so `labutils.metrics.pitch` computes it:
    frames of 64 ms, lags of 1/600 to 1/60 s). Near 0 the frame repeats after the lag, near 1 it
    does not.
    The L1 distance counts where either sound repeats best: there the recording's periods may be
    lost, and there a generator without noise of its own repeats itself where the recording does not
    (at the frame rate of its mel, 86 Hz, a buzz that is taken for a voice).

    Args:
        sample_rate: of both signals, in Hz.
    """

    FRAME, HOP = 0.064, 0.008  # seconds
    PITCH = (60.0, 600.0)  # Hz
    SHARPNESS = 20.0  # a lag with 0.05 more than the best counts e times less
    FLOOR = 1e-6  # mean square under which a frame is silence, -60 dB
    SOFT = 1e-5  # mean square at which a frame counts half, -50 dB: gradients grow as sounds fade

    def __init__(self, sample_rate: int):
        super().__init__()
        low, high = self.PITCH
        self.frame, self.hop = round(self.FRAME * sample_rate), round(self.HOP * sample_rate)
        self.shortest, self.longest = int(sample_rate / high), math.ceil(sample_rate / low)
        self.size = 1 << (self.frame + self.longest - 1).bit_length()
        lags = torch.arange(1, self.longest + 1, dtype=torch.float32)
        self.register_buffer("lags", lags, persistent=False)

    def difference(self, samples: Tensor) -> Tensor:
        """Normalised difference of ``(B, samples)`` at each lag, ``(B, frames, lags)``."""
        frames = samples.unfold(-1, self.frame, self.hop)
        spectrum = torch.view_as_real(torch.fft.rfft(frames, self.size))
        power = spectrum.square().sum(-1)
        correlation = torch.fft.irfft(power, self.size)[..., : self.longest + 1]
        left_out = frames[..., : self.longest].square().cumsum(-1)
        difference = 2 * (correlation[..., :1] - correlation[..., 1:]) - left_out
        mean = difference.cumsum(-1) / self.lags + self.frame * self.FLOOR
        return (difference / mean)[..., self.shortest - 1 :]

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """Distance between two ``(B, 1, samples)``, a scalar from 0 to about 1."""
        a, b = (self.difference(x.squeeze(1).float()) for x in (fake, real))
        best = [torch.softmax(-self.SHARPNESS * x.detach(), -1) for x in (a, b)]
        level = real.squeeze(1).unfold(-1, self.frame, self.hop).square().mean(-1)
        distance = (sum(best) / 2 * (a - b).abs()).sum(-1)
        return (level / (level + self.SOFT) * distance).mean()
