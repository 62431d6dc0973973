"""The scores without pitch: by waveform, spectrum and mel, and the standards PESQ and STOI.

Each docstring gives formula and source, and after "Misses:" what the score does not hear.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from labutils.audio.signals import AudioError, pair, resample
from labutils.environment import require
from labutils.mel import MelConfig, MelSpectrogram
from labutils.metrics.pitch import UndefinedMetric

__all__ = [
    "analysis_mel",
    "log_mel_l1",
    "mcd",
    "multi_resolution_stft",
    "pesq_wb",
    "snr_db",
    "stoi",
]

STFT_RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))  # FFT, hop, window
CEPSTRAL_COEFFICIENTS = 13


def analysis_mel(sample_rate: int) -> MelConfig:
    """The metrics' own mel: 80 bands up to half of `sample_rate`, natural logarithm, floor 1e-5.

    The window is a power of two near 46 ms (1024 samples at 16 to 24 kHz, 2048 at 32 to 48 kHz),
    the hop a quarter of it. Raises AudioError for no sample rate of sound (1 kHz or more).
    """
    if not sample_rate >= 1000:
        raise AudioError(f"a sample rate of {sample_rate}: give Hz, such as 22050")
    n_fft = 2 ** round(math.log2(0.046 * sample_rate))
    return MelConfig(sample_rate, n_fft, win_length=n_fft, hop_length=n_fft // 4, n_mels=80)


def snr_db(reference: Any, candidate: Any, *, trim: int = 0) -> float:
    """Signal-to-noise ratio in dB, 10 log10(sum r^2 / sum (r - c)^2); inf for equal sounds.

    Misses: how it sounds; a delay of one sample or another phase ruins it and is not heard.

    Raises AudioError as `signals.pair`.
    """
    reference, candidate = pair(reference, candidate, trim)
    noise = np.sum((reference - candidate) ** 2)
    return math.inf if noise == 0 else float(10 * np.log10(np.sum(reference**2) / noise))


def log_mel_l1(reference: Any, candidate: Any, mel_config: MelConfig, *, trim: int = 0) -> float:
    """Mean absolute difference of the natural logarithms of two mels; 0.1 is about 0.9 dB.

    The mel spectrogram error of HiFi-GAN's training (Kong et al. 2020), with `mel_config` of any
    vocoder; log10 mels are brought to natural logarithms, so that vocoders can be compared.
    Misses: phase, and what is finer than a mel band, such as hoarseness; noise in pauses weighs as
    much as noise in speech.

    Raises AudioError as `signals.pair`, ValueError for less than one frame.
    """
    reference, candidate = pair(reference, candidate, trim)
    scale = math.log(10) if mel_config.log == "log10" else 1.0
    difference = _log_mel(reference, mel_config) - _log_mel(candidate, mel_config)
    return float(scale * np.abs(difference).mean())


def multi_resolution_stft(reference: Any, candidate: Any, *, trim: int = 0) -> float:
    """Multi-resolution STFT distance: spectral convergence and log-magnitude L1, mean of 3 sizes.

    FFT, hop and window in samples: (1024, 120, 600), (2048, 240, 1200), (512, 50, 240), Hann
    windows, magnitudes from 1e-4; auraloss, sizes of Parallel WaveGAN (Yamamoto et al.,
    arXiv:1910.11480). They are in samples: only scores at one sample rate can be compared.
    Misses: phase; soft noise in pauses weighs as much as noise in speech.

    Raises AudioError as `signals.pair`, and for fewer than 1025 samples.
    """
    import torch
    from auraloss.freq import MultiResolutionSTFTLoss

    reference, candidate = pair(reference, candidate, trim)
    fft_sizes, hops, windows = zip(*STFT_RESOLUTIONS, strict=True)
    if len(reference) <= max(fft_sizes) // 2:
        raise AudioError(f"{len(reference)} samples; the largest FFT wants more than 1024")
    distance = MultiResolutionSTFTLoss(fft_sizes=fft_sizes, hop_sizes=hops, win_lengths=windows)
    sounds = [torch.from_numpy(s).float()[None, None] for s in (candidate, reference)]
    with torch.inference_mode():
        return float(distance(*sounds))


def mcd(reference: Any, candidate: Any, sample_rate: int, *, trim: int = 0) -> float:
    """Mel-cepstral distortion in dB, 10 / ln 10 * sqrt(2 * sum of (r_k - c_k)^2), frame mean.

    r_k, c_k: coefficients 1 to 13 of the DCT-II of the log mel of `analysis_mel`, scaled by 2 /
    bands, so that the formula (Kubichek 1993) is the RMS difference in dB of the two smooth
    spectra. No time warping: lengths are equal. Papers analyse in other ways (SPTK, WORLD): not
    comparable with theirs.
    Misses: loudness (coefficient 0), pitch, hoarseness, all that a smooth spectrum does not show.

    Raises AudioError as `signals.pair`, ValueError for less than one frame.
    """
    from scipy.fft import dct

    config = analysis_mel(sample_rate)
    mels = [_log_mel(sound, config) for sound in pair(reference, candidate, trim)]
    cepstra = [dct(mel, axis=0)[1 : CEPSTRAL_COEFFICIENTS + 1] / config.n_mels for mel in mels]
    squares = np.sum((cepstra[0] - cepstra[1]) ** 2, axis=0)
    return float(np.mean(10 / math.log(10) * np.sqrt(2 * squares)))


def pesq_wb(reference: Any, candidate: Any, sample_rate: int, *, trim: int = 0) -> float:
    """Wideband PESQ (ITU-T P.862.2) as MOS-LQO, 1.04 to 4.64, at 16 kHz; package pesq.

    Misses: everything above 8 kHz; made for telephone codecs, it aligns time and forgives level.

    Raises MissingPackage, AudioError as `signals.pair`, UndefinedMetric: under 0.25 s, no speech.
    """
    package = require("pesq")
    sounds = [resample(s, sample_rate, 16000) for s in pair(reference, candidate, trim)]
    try:
        return float(package.pesq(16000, *sounds, "wb"))
    except package.PesqError as error:
        reason = error.args[0] if error.args else type(error).__name__
        reason = reason.decode() if isinstance(reason, bytes) else reason
        raise UndefinedMetric(f"PESQ: {reason}") from error


def stoi(reference: Any, candidate: Any, sample_rate: int, *, trim: int = 0) -> float:
    """Short-time objective intelligibility, at most 1 (Taal et al. 2011); pystoi, at 10 kHz.

    Misses: everything above 4.3 kHz, and how it sounds: it says whether words are understood.

    Raises AudioError as `signals.pair`, UndefinedMetric: under 0.4 s without the silent parts.
    """
    from pystoi import stoi as measure

    reference, candidate = pair(reference, candidate, trim)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)
        try:
            return float(measure(reference, candidate, sample_rate))
        except RuntimeWarning as warning:
            raise UndefinedMetric(f"STOI: {warning}") from warning


def _log_mel(samples: np.ndarray, config: MelConfig) -> np.ndarray:
    import torch

    return MelSpectrogram(config)(torch.from_numpy(samples)).squeeze(0).numpy()
