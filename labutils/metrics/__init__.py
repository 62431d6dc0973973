"""Objective scores of a sound against a reference, and `compare`, which takes all of them at once.

Which reference? For the same weights in another runtime: the output of FP32 PyTorch, where phases
must agree and SNR is the sharpest score. For another model: the recording, where only scores
without phase say anything. A new score goes into `METRICS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from labutils.audio.signals import AudioError, pair
from labutils.environment import MissingPackage
from labutils.mel import MelConfig
from labutils.metrics import pitch
from labutils.metrics.gate import QualityGate, Verdict
from labutils.metrics.pitch import UndefinedMetric, f0, f0_rmse_cents, voicing_f1
from labutils.metrics.scores import (
    analysis_mel,
    log_mel_l1,
    mcd,
    multi_resolution_stft,
    pesq_wb,
    snr_db,
    stoi,
)

__all__ = [
    "METRICS",
    "Metric",
    "QualityGate",
    "UndefinedMetric",
    "Verdict",
    "analysis_mel",
    "compare",
    "f0",
    "f0_rmse_cents",
    "log_mel_l1",
    "mcd",
    "multi_resolution_stft",
    "pesq_wb",
    "snr_db",
    "stoi",
    "voicing_f1",
]


@dataclass(frozen=True)
class _Comparison:
    """Two checked sounds and what several metrics need of them."""

    reference: np.ndarray
    candidate: np.ndarray
    sample_rate: int
    mel_config: MelConfig

    @property
    def sounds(self) -> tuple[np.ndarray, np.ndarray]:
        return self.reference, self.candidate

    @cached_property
    def tracks(self) -> tuple[np.ndarray, np.ndarray]:
        return f0(self.reference, self.sample_rate), f0(self.candidate, self.sample_rate)


@dataclass(frozen=True)
class Metric:
    """One score. `same_phase`: it only says something of two runs of the same weights."""

    function: Callable[..., float]
    unit: str
    better: str  # "higher" or "lower"
    perfect: float  # the score of equal sounds
    same_phase: bool
    score: Callable[[_Comparison], float]

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def misses(self) -> str:
        """What the score does not hear, one line."""
        lines = (self.function.__doc__ or "").partition("Misses:")[2].partition("\n\n")[0]
        return " ".join(lines.split())


_ALL = (
    Metric(snr_db, "dB", "higher", math.inf, True, lambda c: snr_db(*c.sounds)),
    Metric(log_mel_l1, "ln", "lower", 0.0, False, lambda c: log_mel_l1(*c.sounds, c.mel_config)),
    Metric(
        multi_resolution_stft, "", "lower", 0.0, False, lambda c: multi_resolution_stft(*c.sounds)
    ),
    Metric(mcd, "dB", "lower", 0.0, False, lambda c: mcd(*c.sounds, c.sample_rate)),
    Metric(voicing_f1, "", "higher", 1.0, False, lambda c: pitch.track_f1(*c.tracks)),
    Metric(f0_rmse_cents, "cents", "lower", 0.0, False, lambda c: pitch.track_error(*c.tracks)),
    Metric(pesq_wb, "MOS", "higher", 4.644, False, lambda c: pesq_wb(*c.sounds, c.sample_rate)),
    Metric(stoi, "", "higher", 1.0, False, lambda c: stoi(*c.sounds, c.sample_rate)),
)
METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _ALL})


def compare(
    reference: Any,
    candidate: Any,
    sample_rate: int,
    *,
    mel_config: MelConfig | None = None,
    only: str | Iterable[str] | None = None,
    trim: int = 0,
) -> dict[str, float | None]:
    """All scores of two sounds (samples,) at `sample_rate` in Hz, or those named in `only`.

    `mel_config` is that of `log_mel_l1`, else `analysis_mel`. None stands where a package is
    missing or a score is not defined for these sounds (pitch of noise). Two sounds of 4 s take
    about a second.

    Raises AudioError as `signals.pair`, for an unknown metric, for a mel of another sample rate.
    """
    names = [only] if isinstance(only, str) else list(METRICS if only is None else only)
    if unknown := set(names) - set(METRICS):
        raise AudioError(f"no metric {', '.join(sorted(unknown))}; there are: {', '.join(METRICS)}")
    config = mel_config or analysis_mel(sample_rate)
    if config.sample_rate != sample_rate:
        raise AudioError(f"sounds at {sample_rate} Hz, but a mel for {config.sample_rate} Hz")
    comparison = _Comparison(*pair(reference, candidate, trim), sample_rate, config)
    scores: dict[str, float | None] = {}
    for name in names:
        try:
            scores[name] = METRICS[name].score(comparison)
        except (MissingPackage, UndefinedMetric):
            scores[name] = None
    return scores
