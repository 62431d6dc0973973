"""What the generator is told: copy the mel that it was given, sound right at seven resolutions, let
phases run steadily, be as loud as it is, repeat as its periods do, and fool the critics."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import librosa
import torch
from torch import Tensor, nn

from labutils.mel import MelConfig, MelSpectrogram
from labutils.training.branches import own_gradient
from labutils.training.loudness import LoudnessLoss
from labutils.training.summed import Summed
from labutils.training.voicing import VoicingLoss
from labutils.vocoders import VocoderConfig

__all__ = [
    "FrontEndLoss",
    "MultiScaleMelLoss",
    "PhaseAdvanceLoss",
    "ReconstructionLoss",
    "adversarial_loss",
    "discriminator_loss",
    "feature_loss",
]


class MultiScaleMelLoss(Summed):
    """L1 distance of log10 mel magnitudes at seven window sizes, summed.

    The scales are those of BigVGAN v2 (multi-scale mel loss) and of the Descript Audio Codec (arXiv
    2306.06546, section 3.4): windows of 32 to 2048 samples with 5 to 320 bands. Levels count from a
    full-scale sine, and what lies under -80 dB hardly counts: the rounding noise of 16-bit files is
    random, nobody can predict it, and on a bare logarithm it would make most of the gradient.

    Args:
        sample_rate: of both signals, in Hz.
    """

    SCALES = ((32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320))

    def __init__(self, sample_rate: int):
        super().__init__(_MelDistance(sample_rate, *scale) for scale in self.SCALES)


class _MelDistance(nn.Module):
    """One window size of :class:`MultiScaleMelLoss`."""

    FLOOR = 1e-4

    def __init__(self, sample_rate: int, n_fft: int, n_mels: int):
        super().__init__()
        self.n_fft = n_fft
        # The finest banks leave a few low bands empty, which is harmless here.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Empty filters")
            bank = librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels, norm=None)
        window = torch.hann_window(n_fft)
        self.register_buffer("bank", torch.from_numpy(bank) * 2 / window.sum(), persistent=False)
        self.register_buffer("window", window, persistent=False)

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        both = torch.cat([fake, real]).squeeze(1).float()
        hop = self.n_fft // 4
        spectrum = torch.stft(both, self.n_fft, hop, window=self.window, return_complex=True)
        magnitude = torch.view_as_real(spectrum).square().sum(-1).add(1e-12).sqrt()
        a, b = torch.log10(self.bank @ magnitude + self.FLOOR).chunk(2)
        return (a - b).abs().mean()


class PhaseAdvanceLoss(Summed):
    """How far the phase of every bin turns from one frame to the next, compared at three windows.

    A mel does not tell the phase, and losses of magnitudes let it jitter, which sounds hoarse. How
    far it turns can be told: that is the frequency of the partial in the bin. One minus the cosine
    of the difference, weighted by the magnitude of the recording, so that silence does not count
    (after APNet's time difference of the phase, arXiv 2305.07952; a cosine needs no unwrapping).
    The sum goes from 0 to 6.
    """

    WINDOWS = (512, 1024, 2048)

    def __init__(self) -> None:
        super().__init__(_PhaseAdvance(n_fft) for n_fft in self.WINDOWS)


class _PhaseAdvance(nn.Module):
    """One window size of :class:`PhaseAdvanceLoss`, with an eighth of it as the hop."""

    def __init__(self, n_fft: int):
        super().__init__()
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        both = torch.cat([fake, real]).squeeze(1).float()
        hop = self.n_fft // 8
        spectrum = torch.stft(both, self.n_fft, hop, window=self.window, return_complex=True)
        advance = torch.view_as_real(spectrum[..., 1:] * spectrum[..., :-1].conj())
        size = advance.square().sum(-1).add(1e-10).sqrt()
        (a, b), (size_a, size_b) = advance.chunk(2), size.chunk(2)
        cosine = (a * b).sum(-1) / (size_a * size_b)
        weight = size_b.sqrt()  # the geometric mean of both frames' magnitudes
        return (weight * (1 - cosine)).sum() / weight.sum()


class FrontEndLoss(nn.Module):
    """L1 distance of the mels that the vocoder itself is given, in natural logarithms.

    HiFi-GAN's mel loss (arXiv 2010.05646, section 2.4). What the input says can be copied exactly,
    unlike the fine structure that :class:`MultiScaleMelLoss` sees.

    Args:
        mel: the front end. Where the output has another rate, window and hop keep their lengths in
            seconds.
        output_rate: of both signals, in Hz.
    """

    FLOOR = 3e-4  # about 84 dB under a full-scale sine

    def __init__(self, mel: MelConfig, output_rate: int):
        super().__init__()
        stretch = output_rate / mel.sample_rate
        lengths = {
            name: round(getattr(mel, name) * stretch)
            for name in ("n_fft", "win_length", "hop_length")
        }
        front_end = replace(
            mel,
            sample_rate=output_rate,
            fmax=mel.highest,
            log="ln",
            floor=1e-9,
            magnitude_epsilon=1e-9,
            **lengths,
        )
        self.mel = MelSpectrogram(front_end)

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """Distance between ``(B, 1, samples)`` and ``(B, 1, samples)``, a scalar."""
        magnitudes = self.mel(torch.cat([fake, real]).squeeze(1).float()).exp()
        a, b = torch.log(magnitudes + self.FLOOR).chunk(2)
        return (a - b).abs().mean()


def _in_turn(calls: list[Callable[[], Tensor]]) -> list[Tensor]:
    return [call() for call in calls]


class ReconstructionLoss(nn.Module):
    """How far a copy is from the recording: by `front_end`, `mel`, `phase`, `loudness`, `voicing`.

    Args:
        vocoder: whose mel and output rate count.
        weights: by name; what has none, or 0, is not computed.
    """

    def __init__(self, vocoder: VocoderConfig, weights: Mapping[str, float]):
        super().__init__()
        self.weights = dict(weights)
        self.front_end = FrontEndLoss(vocoder.mel, vocoder.output_sample_rate)
        self.mel = MultiScaleMelLoss(vocoder.output_sample_rate)
        self.phase = PhaseAdvanceLoss()
        self.loudness = LoudnessLoss(vocoder.output_sample_rate)
        self.voicing = VoicingLoss(vocoder.output_sample_rate)

    def forward(
        self,
        fake: Tensor,
        real: Tensor,
        run: Callable[[list[Callable[[], Tensor]]], list[Tensor]] = _in_turn,
    ) -> dict[str, Tensor]:
        """Each distance between ``(B, 1, samples)`` and ``(B, 1, samples)``, a scalar, by name.

        `run` makes the calls for all resolutions: in turn, or side by side as `Branches` does.
        """
        parts: dict[str, Iterable[nn.Module]] = {
            "front_end": [self.front_end],
            "mel": self.mel.resolutions,
            "phase": self.phase.resolutions,
            "loudness": self.loudness.resolutions,
            "voicing": [self.voicing],
        }
        wanted = {name: list(several) for name, several in parts.items() if self.weights.get(name)}
        calls = [
            lambda part=part: part(own_gradient(fake), real)
            for several in wanted.values()
            for part in several
        ]
        distances = iter(run(calls))
        return {
            name: torch.stack([next(distances) for _ in several]).sum()
            for name, several in wanted.items()
        }

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of what `forward` gave."""
        return sum(self.weights[name] * distance for name, distance in losses.items())


def discriminator_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Least-squares loss (arXiv 1611.04076): real scores to one, fake scores to zero."""
    return sum(
        (
            (1 - r.float()).square().mean() + f.float().square().mean()
            for r, f in zip(real, fake, strict=True)
        ),
        start=torch.zeros((), device=real[0].device),
    )


def adversarial_loss(fake: list[Tensor]) -> Tensor:
    """Least-squares loss of the generator: fake scores to one."""
    return sum(
        ((1 - f.float()).square().mean() for f in fake),
        start=torch.zeros((), device=fake[0].device),
    )


def feature_loss(real: list[list[Tensor]], fake: list[list[Tensor]]) -> Tensor:
    """L1 distance of the critics' feature maps (MelGAN, arXiv 1910.06711, section 2.2)."""
    total = torch.zeros((), device=real[0][0].device)
    for r_maps, f_maps in zip(real, fake, strict=True):
        for r, f in zip(r_maps, f_maps, strict=True):
            total = total + (r.detach().float() - f.float()).abs().mean()
    return total
