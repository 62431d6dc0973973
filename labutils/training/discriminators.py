"""The two critics that a generator is trained against: of folded waveforms and of spectra.

Both are narrower than the published ones: our generators are small, and a critic that costs ten
times the generator would only slow the minutes that we have.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

__all__ = ["Discriminators", "PeriodDiscriminator", "SpectrogramDiscriminator"]

SLOPE = 0.1


def _scores(convs: nn.ModuleList, post: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Convolutions with leaky ReLU; returns the scores, and the feature maps with them last."""
    features = []
    for conv in convs:
        # One channel has no layout of its own; from the first layer on, channels lie last, as
        # tensor cores like it.
        x = F.leaky_relu(conv(x), SLOPE).contiguous(memory_format=torch.channels_last)
        features.append(x)
    x = post(x)
    return x, [*features, x]


class PeriodDiscriminator(nn.Module):
    """Judges every ``period``-th sample together (HiFi-GAN, arXiv 2010.05646, section 2.3).

    Args:
        period: the waveform is folded into rows of this many samples.
        channels: output channels of the five convolutions.
    """

    def __init__(self, period: int, channels: tuple[int, ...] = (32, 128, 256, 512, 512)):
        super().__init__()
        self.period = period
        widths = (1, *channels)
        strides = (3,) * (len(channels) - 1) + (1,)
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, (5, 1), (stride, 1), (2, 0)))
            for a, b, stride in zip(widths, channels, strides, strict=False)
        )
        self.post = weight_norm(nn.Conv2d(channels[-1], 1, (3, 1), 1, (1, 0)))

    def forward(self, audio: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Score ``(B, 1, samples)``; returns the scores and the feature maps of every layer."""
        batch, _, samples = audio.shape
        if rest := samples % self.period:
            audio = F.pad(audio, (0, self.period - rest), "reflect")
        x = audio.view(batch, 1, -1, self.period)
        return _scores(self.convs, self.post, x)


class SpectrogramDiscriminator(nn.Module):
    """Judges the complex spectrum at one resolution, so that it hears a phase that jitters.

    Layers as in UnivNet (arXiv 2106.07889, section 2.2), which looks at magnitudes; real and
    imaginary part as in the Descript Audio Codec (arXiv 2306.06546, section 3.3).

    Args:
        n_fft: FFT size in samples; the hop is a quarter of it.
        channels: channels of the five convolutions.
    """

    def __init__(self, n_fft: int, channels: int = 32):
        super().__init__()
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        shapes = [
            (2, (3, 9), (1, 1)),
            *[(channels, (3, 9), (1, 2))] * 3,
            (channels, (3, 3), (1, 1)),
        ]
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv2d(a, channels, k, stride, (k[0] // 2, k[1] // 2)))
            for a, k, stride in shapes
        )
        self.post = weight_norm(nn.Conv2d(channels, 1, (3, 3), 1, (1, 1)))

    def forward(self, audio: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Score ``(B, 1, samples)``; returns the scores and the feature maps of every layer."""
        with torch.autocast(
            audio.device.type, enabled=False
        ):  # a half-precision FFT loses quiet detail
            spectrum = torch.stft(
                audio.float().squeeze(1),
                self.n_fft,
                self.n_fft // 4,
                window=self.window,
                normalized=True,
                return_complex=True,
            )
            # (B, 2, frames, bins): the strides above then shorten the frequency axis.
            x = torch.view_as_real(spectrum).permute(0, 3, 2, 1).contiguous()
        return _scores(self.convs, self.post, x)


class Discriminators(nn.Module):
    """Five periods and three resolutions, called as one.

    Args:
        width: multiplies every channel count; tests use a small one.
    """

    def __init__(self, width: float = 1.0):
        super().__init__()
        channels = tuple(max(4, int(c * width)) for c in (32, 128, 256, 512, 512))
        self.critics = nn.ModuleList(
            [PeriodDiscriminator(p, channels) for p in (2, 3, 5, 7, 11)]
            + [SpectrogramDiscriminator(n, max(4, int(32 * width))) for n in (512, 1024, 2048)]
        )

    def forward(self, audio: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
        """Score ``(B, 1, samples)`` with every critic; returns a list of scores and one of feature
        lists."""
        scores, features = zip(*(critic(audio) for critic in self.critics), strict=True)
        return list(scores), list(features)
