"""The mel front ends: log mels exactly as each vocoder was trained on, and Griffin-Lim.

Two vocoders only share a mel if every field of their `MelConfig` is the same. The logarithm is the
field that is overlooked most: log10 in MelGAN, natural logarithm elsewhere.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import librosa
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["MelConfig", "MelSpectrogram", "griffin_lim", "griffin_lim_starts"]

_LOG_SCALE = {"ln": 1.0, "log10": 1 / math.log(10)}


@dataclass(frozen=True)
class MelConfig:
    """One mel front end. Rates and frequencies in Hz, lengths in samples.

    `fmax` None means half the sample rate. `log` is "ln" or "log10"; mel magnitudes are clamped to
    `floor` first. `magnitude_epsilon` is added to re² + im² before the square root. Raises
    ValueError for settings that do not fit together.
    """

    sample_rate: int
    n_fft: int
    win_length: int
    hop_length: int
    n_mels: int
    fmin: float = 0.0
    fmax: float | None = None
    log: str = "ln"
    floor: float = 1e-5
    magnitude_epsilon: float = 1e-9

    def __post_init__(self) -> None:
        for name in ("sample_rate", "n_fft", "win_length", "hop_length", "n_mels"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"mel {name} must be a whole number above 0, not {value!r}")
        if self.win_length > self.n_fft:
            raise ValueError(f"mel win_length {self.win_length} is longer than n_fft {self.n_fft}")
        if self.hop_length > self.n_fft or (self.n_fft - self.hop_length) % 2:
            raise ValueError(
                f"mel n_fft {self.n_fft} minus hop_length {self.hop_length} must be even and "
                "not negative: half of it pads each side"
            )
        if self.log not in _LOG_SCALE:
            raise ValueError(f'mel log must be "ln" or "log10", not {self.log!r}')
        if not 0 <= self.fmin < self.highest <= self.sample_rate / 2:
            raise ValueError(
                f"mel bands from {self.fmin} to {self.highest} Hz do not fit a sample rate of "
                f"{self.sample_rate} Hz"
            )
        if self.floor <= 0 or self.magnitude_epsilon < 0:
            raise ValueError("mel floor must be above 0 and magnitude_epsilon not below 0")

    @property
    def highest(self) -> float:
        """Upper edge of the last band in Hz."""
        return self.sample_rate / 2 if self.fmax is None else self.fmax

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    @property
    def padding(self) -> int:
        """Samples that are reflected at each end."""
        return (self.n_fft - self.hop_length) // 2

    @property
    def lowest_value(self) -> float:
        """The value of a silent band: the logarithm of `floor`."""
        return math.log(self.floor) * _LOG_SCALE[self.log]

    def frames(self, samples: int) -> int:
        """Frames of a signal of so many samples: samples // hop_length."""
        return samples // self.hop_length

    def filterbank(self) -> np.ndarray:
        """Slaney mel filters, area-normalised, float64 (n_mels, n_fft // 2 + 1)."""
        return librosa.filters.mel(
            sr=self.sample_rate,
            n_fft=self.n_fft,
            n_mels=self.n_mels,
            fmin=self.fmin,
            fmax=self.fmax,
            dtype=np.float64,
        )

    def magnitudes(self, log_mel: np.ndarray) -> np.ndarray:
        """Undo the logarithm: log mel of any shape to mel magnitudes of the same shape."""
        return np.exp(np.asarray(log_mel, dtype=np.float64) / _LOG_SCALE[self.log])


class MelSpectrogram(nn.Module):
    """Log-mel spectrogram of `config`, differentiable, on any device.

    Short-time Fourier transform with a periodic Hann window, `center=False` and (n_fft - hop) / 2
    samples of reflection at each end, then slaney mel filters (librosa), then the logarithm: the
    front end of HiFi-GAN and its descendants.
    """

    def __init__(self, config: MelConfig) -> None:
        super().__init__()
        self.config = config
        # Kept beside the float32 buffers, so that float64 audio gets a float64 computation.
        self._exact = (
            torch.from_numpy(config.filterbank()),
            torch.hann_window(config.win_length, dtype=torch.float64),
        )
        self.register_buffer("filters", self._exact[0].float(), persistent=False)
        self.register_buffer("window", self._exact[1].float(), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """Audio (B, samples) or (samples,) to log mel (B, n_mels, samples // hop_length).

        Computes in the dtype of its input; half precision is computed in float32 and rounded at the
        end. Raises ValueError for another shape, for integers and for a signal too short to be
        padded.
        """
        config = self.config
        if audio.ndim not in (1, 2):
            raise ValueError(
                "audio must have the shape (samples,) or (batch, samples), "
                f"not {tuple(audio.shape)}"
            )
        if not audio.is_floating_point():
            raise ValueError(
                f"audio must be floating point in [-1, 1], not {audio.dtype}: divide integers first"
            )
        if audio.shape[-1] < max(config.padding + 1, config.hop_length):
            raise ValueError(
                f"{audio.shape[-1]} samples are too few for one mel frame: "
                f"at least {max(config.padding + 1, config.hop_length)} are needed"
            )
        dtype = audio.dtype
        x = audio.reshape(-1, audio.shape[-1]).to(
            torch.float64 if dtype == torch.float64 else torch.float32
        )
        if x.dtype == torch.float64:
            filters, window = (constant.to(x.device) for constant in self._exact)
        else:
            filters, window = self.filters.to(x.dtype), self.window.to(x.dtype)
        x = functional.pad(x[:, None], (config.padding, config.padding), mode="reflect")[:, 0]
        spectrum = torch.stft(
            x,
            config.n_fft,
            config.hop_length,
            config.win_length,
            window,
            center=False,
            return_complex=True,
        )
        if config.magnitude_epsilon:
            magnitude = torch.sqrt(
                torch.view_as_real(spectrum).square().sum(-1) + config.magnitude_epsilon
            )
        else:
            magnitude = spectrum.abs()  # its gradient is 0, not infinite, where the magnitude is 0
        mel = torch.matmul(filters, magnitude).clamp(min=config.floor)
        return (torch.log(mel) if config.log == "ln" else torch.log10(mel)).to(dtype)


def griffin_lim(
    log_mel: np.ndarray, config: MelConfig, iterations: int = 60, seed: int = 0
) -> np.ndarray:
    """Speech from a log mel without any network: the baseline that a trained vocoder has to beat.

    log_mel (n_mels, frames) in the units of `config`; returns float32 (hop_length * frames,) at
    `config.sample_rate`, in step with the signal that the mel was made of. Non-negative least
    squares undoes the mel filters, then the fast Griffin-Lim algorithm (Perraudin et al. 2013)
    finds phases, beginning with random ones; both from librosa. Raises ValueError for a wrong
    shape.
    """
    return next(griffin_lim_starts(log_mel, config, [seed], iterations))


def griffin_lim_starts(
    log_mel: np.ndarray, config: MelConfig, seeds: Iterable[int], iterations: int = 60
) -> Iterator[np.ndarray]:
    """`griffin_lim` from the random phases of each seed; the mel filters are undone once."""
    log_mel = np.asarray(log_mel)
    if log_mel.ndim != 2 or log_mel.shape[0] != config.n_mels or log_mel.shape[1] < 1:
        raise ValueError(
            f"log_mel must have the shape ({config.n_mels}, frames), not {log_mel.shape}"
        )
    magnitude = librosa.util.nnls(config.filterbank(), config.magnitudes(log_mel))
    length = config.hop_length * log_mel.shape[1]
    for seed in seeds:
        samples = librosa.griffinlim(
            magnitude,
            n_iter=iterations,
            hop_length=config.hop_length,
            win_length=config.win_length,
            n_fft=config.n_fft,
            center=False,
            random_state=seed,
        )
        yield samples[config.padding : config.padding + length].astype(np.float32)
