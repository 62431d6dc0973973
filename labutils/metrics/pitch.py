"""Fundamental frequency, and how well two sounds agree in it."""

from __future__ import annotations

from typing import Any

import numpy as np

from labutils.audio.signals import AudioError, mono, pair, resample

__all__ = [
    "F0_RANGE",
    "FRAME",
    "HOP",
    "RATE",
    "UndefinedMetric",
    "f0",
    "f0_rmse_cents",
    "track_error",
    "track_f1",
    "voicing_f1",
]

RATE = 16000  # Hz; sounds are resampled to it, so that their own rates do not matter
FRAME = 1024  # samples, 64 ms: four periods of the lowest pitch
HOP = 256  # samples, 16 ms; half of it takes twice the time and moves the scores by little
F0_RANGE = (60.0, 600.0)  # Hz, speech of low to very high voices
SILENCE_DB = -60.0  # frames so far below the loudest one count as unvoiced


class UndefinedMetric(AudioError):
    """A score that does not exist for these sounds, such as the pitch error of two noises."""


def f0(samples: Any, sample_rate: int) -> np.ndarray:
    """Fundamental frequency in Hz of sound (samples,), one value per 16 ms, NaN where unvoiced.

    librosa.pyin (Mauch and Dixon, "pYIN", ICASSP 2014) at 16 kHz with frames of 1024 samples, hop
    256, 60 to 600 Hz in steps of 10 cents; frames 60 dB below the loudest one are unvoiced. Frame
    k is centred at 0.016 k seconds. Takes about 0.3 s for 5 s of speech.

    Raises AudioError: NaN, zero samples.
    """
    import librosa

    samples = resample(mono(samples), sample_rate, RATE)
    low, high = F0_RANGE
    track, _, _ = librosa.pyin(
        samples, fmin=low, fmax=high, sr=RATE, frame_length=FRAME, hop_length=HOP, resolution=0.1
    )
    level = librosa.feature.rms(y=samples, frame_length=FRAME, hop_length=HOP)[0][: len(track)]
    track[level <= level.max() * 10 ** (SILENCE_DB / 20)] = np.nan
    return track


def voicing_f1(reference: Any, candidate: Any, sample_rate: int, *, trim: int = 0) -> float:
    """F1 score (0 to 1, higher is better) of the candidate's voiced frames against the reference's.

    Frames, range and silence gate: see `f0`. The idea is from CARGAN (Morrison et al., ICLR 2022),
    which decides voicing in another way: not comparable with papers.
    Misses: everything but voicing; a wrong pitch scores 1.

    Raises UndefinedMetric where neither sound has a voiced frame, AudioError as `signals.pair`.
    """
    return track_f1(*_tracks(reference, candidate, sample_rate, trim))


def f0_rmse_cents(reference: Any, candidate: Any, sample_rate: int, *, trim: int = 0) -> float:
    """Root mean square of the pitch error in cents (1/100 semitone), over frames voiced in both.

    Frames, range and silence gate: see `f0`, whose steps of 10 cents bound what it resolves.
    Misses: frames that lost their voicing; one octave error of the tracker outweighs all else.

    Raises UndefinedMetric where no frame is voiced in both, AudioError as `signals.pair`.
    """
    return track_error(*_tracks(reference, candidate, sample_rate, trim))


def track_f1(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Voicing F1 of two pitch tracks (frames,) with NaN where unvoiced."""
    voiced, claimed = ~np.isnan(reference), ~np.isnan(candidate)
    if not voiced.any() and not claimed.any():
        raise UndefinedMetric("voicing F1: neither sound has a voiced frame")
    hits = np.count_nonzero(voiced & claimed)
    return float(2 * hits / (np.count_nonzero(voiced) + np.count_nonzero(claimed)))


def track_error(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Root mean square error in cents of two pitch tracks (frames,) with NaN where unvoiced."""
    both = ~np.isnan(reference) & ~np.isnan(candidate)
    if not both.any():
        raise UndefinedMetric("F0 error: no frame is voiced in both sounds")
    cents = 1200 * np.log2(candidate[both] / reference[both])
    return float(np.sqrt(np.mean(cents**2)))


def _tracks(reference, candidate, sample_rate, trim):
    reference, candidate = pair(reference, candidate, trim)
    return f0(reference, sample_rate), f0(candidate, sample_rate)
