"""How well a vocoder copies speech it has never heard, next to Griffin-Lim from the same mels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import mean, median

import numpy as np
import torch
from torch import nn

from labutils import audio, mel, metrics
from labutils.audio import SpeechClip

VOCODER, GRIFFIN_LIM = "vocoder", "Griffin-Lim, 60 iterations"
STARTS = 5  # of Griffin-Lim: it begins with random phases, and some beginnings are luckier
# Debian's alsa-utils puts a few words of a real speaker here; they are not part of this project.
HUMAN_VOICE = Path("/usr/share/sounds/alsa")

__all__ = [
    "against_griffin_lim",
    "compare_copies",
    "copy_synthesis",
    "griffin_lim_copy",
    "held_out_comparison",
    "human_voice",
    "log_mel",
    "medians",
]


def _reference(samples: np.ndarray, rate: int, config) -> np.ndarray:
    """The recording at the vocoder's output rate, cut to whole frames."""
    frames = len(audio.resample(samples, rate, config.mel.sample_rate)) // config.mel.hop_length
    reference = audio.resample(samples, rate, config.output_sample_rate)
    return reference[: frames * config.hop_length]


def log_mel(samples: np.ndarray, sample_rate: int, config) -> np.ndarray:
    """What a vocoder is given for speech.

    Args:
        samples: ``(samples,)`` at ``sample_rate`` Hz, resampled to the rate of the mel where they
        differ.
        config: of the vocoder.

    Returns:
        float32 ``(1, n_mels, frames)`` in the units of ``config.mel``.
    """
    source = audio.resample(samples, sample_rate, config.mel.sample_rate)
    whole = len(source) // config.mel.hop_length * config.mel.hop_length
    return mel.MelSpectrogram(config.mel)(torch.from_numpy(source[:whole])[None]).numpy()


def copy_synthesis(
    model: nn.Module, samples: np.ndarray, sample_rate: int
) -> tuple[np.ndarray, np.ndarray]:
    """Speech to mel and back through a vocoder.

    Args:
        model: a generator with a ``config``.
        samples: ``(samples,)`` at ``sample_rate`` Hz.

    Returns:
        the recording and its copy, both ``(frames * hop,)`` at ``model.config.output_sample_rate``.
    """
    with torch.inference_mode():
        copy = model(torch.from_numpy(log_mel(samples, sample_rate, model.config)))[0, 0].numpy()
    reference = _reference(samples, sample_rate, model.config)
    length = min(len(copy), len(reference))
    return reference[:length], copy[:length]


def griffin_lim_copy(
    config, samples: np.ndarray, sample_rate: int, *, iterations: int = 60, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The same path with Griffin-Lim in place of the network, from the random phases of `seed`;
    shapes as in :func:`copy_synthesis`."""
    return next(_griffin_lim_copies(config, samples, sample_rate, [seed], iterations))


def _griffin_lim_copies(
    config, samples: np.ndarray, sample_rate: int, seeds: Iterable[int], iterations: int = 60
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(reference, copy) for each seed."""
    heard = log_mel(samples, sample_rate, config)[0]
    reference = _reference(samples, sample_rate, config)
    for copy in mel.griffin_lim_starts(heard, config.mel, seeds, iterations):
        copy = audio.resample(copy, config.mel.sample_rate, config.output_sample_rate)
        length = min(len(copy), len(reference))
        yield reference[:length], copy[:length]


def held_out_comparison(model: nn.Module, clips: Sequence[SpeechClip]) -> dict:
    """Score a vocoder and Griffin-Lim on clips; the figures that a trained vocoder is accepted by.

    Returns:
        ``{"rows": [{"clip", "method", "start", metric: value, …}, …], "medians": …}``: the rows of
        :func:`compare_copies` for every clip, and what :func:`medians` makes of them.
    """
    rows = []
    for clip in clips:
        for row in compare_copies(model, clip.load(), clip.sample_rate):
            rows.append({"clip": clip.name, **row})
    return {"rows": rows, "medians": medians(rows)}


def compare_copies(
    model: nn.Module, samples: np.ndarray, sample_rate: int, *, starts: int = STARTS
) -> list[dict]:
    """Scores of a vocoder's copy of one sound and of Griffin-Lim's, from several starts.

    Args:
        model: a generator with a ``config``.
        samples: ``(samples,)`` at ``sample_rate`` Hz.
        starts: random phases that Griffin-Lim begins with, one copy for each.

    Returns:
        a row for each copy: ``{"method", "start", metric: value, …}``; the vocoder's start is 0.
    """
    rate = model.config.output_sample_rate
    copies = [(VOCODER, 0, copy_synthesis(model, samples, sample_rate))]
    seeds = range(starts)
    guessed = _griffin_lim_copies(model.config, samples, sample_rate, seeds)
    copies += [(GRIFFIN_LIM, seed, copy) for seed, copy in zip(seeds, guessed, strict=True)]
    return [
        {"method": method, "start": start, **metrics.compare(reference, copy, rate)}
        for method, start, (reference, copy) in copies
    ]


def medians(rows: Sequence[dict]) -> list[dict]:
    """A row for each method of :func:`held_out_comparison`: the mean of a clip's starts, and the
    median of the clips. A score that no clip has is None."""
    names = [name for name in rows[0] if name not in ("clip", "method", "start")]
    table = []
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == method]
        table.append({"method": method, **{name: _median(mine, name) for name in names}})
    return table


def _median(rows: Sequence[dict], name: str) -> float | None:
    clips: dict[str, list[float]] = {}
    for row in rows:
        if row[name] is not None:
            clips.setdefault(row.get("clip", ""), []).append(row[name])
    return median(mean(values) for values in clips.values()) if clips else None


def human_voice(folder: Path = HUMAN_VOICE) -> tuple[np.ndarray, int] | None:
    """A real speaker, where this machine has one: the loudspeaker names of Debian's alsa-utils.

    Returns:
        ``(samples,)`` and their rate in Hz, the files one after the other; None without them.
    """
    parts = [audio.load(path) for path in sorted(folder.glob("*_*.wav"))]
    if not parts:
        return None
    rate = parts[0][1]
    return np.concatenate([audio.resample(part, r, rate) for part, r in parts]), rate


def against_griffin_lim(table: Sequence[dict]) -> list[dict]:
    """Whether a vocoder's :func:`medians` beat Griffin-Lim's: a row for each of three conditions.

    A trained vocoder should have a multi-resolution STFT distance lower by 10 %, a higher voicing
    F1 and a PESQ that is at least equal.
    """
    mine, theirs = ({row["method"]: row for row in table}[m] for m in (VOCODER, GRIFFIN_LIM))
    rows = []
    for metric, condition, met in (
        ("multi_resolution_stft", "10 % lower", lambda a, b: a <= 0.9 * b),
        ("voicing_f1", "higher", lambda a, b: a > b),
        ("pesq_wb", "at least equal", lambda a, b: a >= b),
    ):
        a, b = mine[metric], theirs[metric]
        known = a is not None and b is not None
        rows.append(
            {
                "median of": metric,
                "vocoder": a,
                "Griffin-Lim": b,
                "wanted": condition,
                "met": ("yes" if met(a, b) else "no") if known else "not measured",
            }
        )
    return rows
