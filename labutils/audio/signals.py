"""Sound as arrays: what is accepted, resampling, loudness, and the gain of compared sounds."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

__all__ = [
    "AudioError",
    "common_gain",
    "decibels",
    "loudness",
    "match_loudness",
    "mono",
    "pair",
    "resample",
]

LOUDNESS_BLOCK = 0.4  # seconds, ITU-R BS.1770
SILENCE = 1e-5  # peak of -100 dB: below one step of 16 bit

log = logging.getLogger(__name__)


class AudioError(ValueError):
    """Sound or a sound file that cannot be used; the message names what is wrong and what to do."""


def mono(samples: Any, name: str = "sound") -> np.ndarray:
    """Check samples and mix them down to mono float32 of shape (samples,).

    `samples`: an array or a torch tensor of floats, shape (samples,), (channels, samples) or
    (samples, channels); in two dimensions the shorter one is taken for the channels. `name`
    stands in the error messages.

    Raises AudioError: zero samples, NaN or infinity, integers, more than two dimensions.
    """
    if hasattr(samples, "detach"):  # a torch tensor, perhaps on a GPU
        samples = samples.detach().cpu().float().numpy()
    array = np.asarray(samples)
    if array.dtype.kind != "f":
        raise AudioError(
            f"{name}: {array.dtype} samples; give floats in [-1, 1] (divide int16 by 32768)"
        )
    if array.ndim not in (1, 2):
        raise AudioError(f"{name}: shape {array.shape}; give (samples,) or (channels, samples)")
    if array.size == 0:
        raise AudioError(f"{name}: zero samples")
    if array.ndim == 2:
        array = array.mean(axis=int(np.argmin(array.shape)))
    bad = np.count_nonzero(~np.isfinite(array))
    if bad:
        raise AudioError(f"{name}: {bad} of {array.size} samples are NaN or infinite")
    return np.ascontiguousarray(array, dtype=np.float32)


def pair(reference: Any, candidate: Any, trim: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Check two sounds (samples,) that are compared sample by sample; float64, equally long.

    Up to `trim` samples (say, one hop) are cut off the end of the longer one.

    Raises AudioError by name, "reference" or "candidate": what `mono` refuses, silence; and lengths
    that differ by more than `trim`.
    """
    reference, candidate = mono(reference, "reference"), mono(candidate, "candidate")
    if abs(len(reference) - len(candidate)) > trim:
        raise AudioError(
            f"reference has {len(reference)} samples, candidate {len(candidate)}; make them equal "
            f"or pass trim=... to cut that much off the longer one (trim is {trim})"
        )
    length = min(len(reference), len(candidate))
    sounds = {"reference": reference[:length], "candidate": candidate[:length]}
    for name, samples in sounds.items():
        if np.abs(samples).max() < SILENCE:
            raise AudioError(f"{name}: silent, there is nothing to compare")
    return sounds["reference"].astype(np.float64), sounds["candidate"].astype(np.float64)


def decibels(ratio: float) -> float:
    """An amplitude ratio in dB."""
    return 20 * math.log10(ratio)


def resample(samples: Any, source_rate: int, target_rate: int) -> np.ndarray:
    """Resample (samples,) from one rate in Hz to another: soxr, very high quality, through librosa.

    Raises AudioError: a rate that is not positive, bad samples (see `mono`).
    """
    import librosa

    if source_rate <= 0 or target_rate <= 0:
        raise AudioError(f"sample rates {source_rate} and {target_rate} Hz; both must be positive")
    samples = mono(samples)
    if source_rate == target_rate:
        return samples
    return librosa.resample(
        samples, orig_sr=source_rate, target_sr=target_rate, res_type="soxr_vhq"
    )


def loudness(samples: Any, sample_rate: int) -> float:
    """Integrated loudness in LUFS (ITU-R BS.1770-4, by pyloudnorm); -inf for silence.

    A sound below 0.4 s is shorter than the standard's block: it is measured as one block, and
    the log says so.
    """
    import pyloudnorm

    samples = mono(samples)
    seconds = len(samples) / sample_rate
    if seconds < LOUDNESS_BLOCK:
        log.warning(
            "loudness of %.2f s of sound: one block, shorter than the 0.4 s of BS.1770", seconds
        )
    if not samples.any():
        return -math.inf
    meter = pyloudnorm.Meter(sample_rate, block_size=min(LOUDNESS_BLOCK, seconds))
    with np.errstate(divide="ignore"):  # silent blocks, which the gate drops
        return float(meter.integrated_loudness(samples.astype(np.float64)))


def common_gain(sounds: Iterable[Any], ceiling: float = 1.0) -> float:
    """One gain for all compared sounds: 1.0, less where the highest peak would pass `ceiling`."""
    peak = max((float(np.abs(mono(sound)).max()) for sound in sounds), default=0.0)
    return min(1.0, ceiling / peak) if peak > 0 else 1.0


def match_loudness(
    sounds: Mapping[str, tuple[Any, int]], target: float | None = None
) -> dict[str, tuple[np.ndarray, int]]:
    """Bring {title: (samples, sample_rate)} to one loudness, for listeners who compare vocoders.

    `target` in LUFS; without it the softest sound sets it, so that nothing is turned up.

    Raises AudioError: a silent sound, or a target at which a sound would clip.
    """
    levels = {title: loudness(samples, rate) for title, (samples, rate) in sounds.items()}
    for title, level in levels.items():
        if not math.isfinite(level):
            raise AudioError(f"{title}: silent, it has no loudness to match")
    target = min(levels.values(), default=0.0) if target is None else target
    matched = {}
    for title, (samples, rate) in sounds.items():
        scaled = mono(samples, title) * np.float32(10 ** ((target - levels[title]) / 20))
        if np.abs(scaled).max() > 1.0:
            raise AudioError(f"{title}: would clip at {target:.1f} LUFS; choose a lower target")
        matched[title] = (scaled, rate)
    return matched
