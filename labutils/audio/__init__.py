"""Sound in and out: read, write, resample, loudness, and the demo clips of data/speech.

Sound is a mono float32 array of shape (samples,) in [-1, 1], everywhere in this package.
Players and pictures are in `labutils.show`.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from labutils import DATA
from labutils.audio.signals import (
    AudioError,
    common_gain,
    decibels,
    loudness,
    match_loudness,
    mono,
    resample,
)
from labutils.whole_file import whole_file

__all__ = [
    "MANIFEST",
    "AudioError",
    "SpeechClip",
    "clip",
    "clips",
    "common_gain",
    "load",
    "loudness",
    "match_loudness",
    "mono",
    "resample",
    "save",
]

MANIFEST = DATA / "speech" / "clips.json"
FULL_BAND_KHZ = 16.0
SPLITS = ("train", "held-out")
LOSSY = ("MP3", "OGG")  # their decoders overshoot full scale, and players cut that off
SUFFIXES = {".wav": "WAV", ".flac": "FLAC"}


def load(
    path: str | os.PathLike[str],
    sample_rate: int | None = None,
    *,
    offset: float = 0.0,
    duration: float | None = None,
) -> tuple[np.ndarray, int]:
    """Read a sound file (WAV, FLAC, OGG, MP3) as mono float32 (samples,) and its sample rate in Hz.

    `offset` and `duration` are in seconds; `duration` past the end reads to the end. With
    `sample_rate` the sound is resampled, which may overshoot [-1, 1] by a little where the file
    peaks at full scale.

    Raises AudioError: missing or empty file, not audio, damaged, zero samples, NaN, above full
    scale.
    """
    import soundfile

    path = Path(path).expanduser()
    if not path.exists():
        raise AudioError(f"{path}: no such file")
    if not path.is_file():
        raise AudioError(f"{path}: not a file")
    if path.stat().st_size == 0:
        raise AudioError(f"{path}: empty file (0 bytes)")
    if not 0 <= offset < math.inf or (duration is not None and not 0 < duration < math.inf):
        raise AudioError(
            f"{path}: offset {offset} s, duration {duration} s; want offset >= 0 and duration > 0"
        )
    try:
        with soundfile.SoundFile(path) as file:
            rate, frames = file.samplerate, file.frames
            start = round(offset * rate)
            if frames and start >= frames:
                raise AudioError(
                    f"{path}: offset {offset} s lies behind the end ({frames / rate:.2f} s)"
                )
            file.seek(start)
            wanted = (
                frames - start if duration is None else min(round(duration * rate), frames - start)
            )
            data = file.read(wanted, dtype="float32", always_2d=True)
            if file.format in LOSSY:
                data = data.clip(-1.0, 1.0)
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"{path}: not a readable WAV, FLAC, OGG or MP3 file ({error.error_string})"
        ) from error
    samples = mono(data.mean(axis=1), str(path))
    peak = float(np.abs(samples).max())
    if peak > 1.0:
        raise AudioError(
            f"{path}: peaks at {peak:.4g}, full scale is 1.0; "
            f"save it again {decibels(peak):.1f} dB lower"
        )
    if sample_rate is not None and sample_rate != rate:
        return resample(samples, rate, sample_rate), sample_rate
    return samples, rate


def save(
    path: str | os.PathLike[str],
    samples: Any,
    sample_rate: int,
    *,
    subtype: str = "PCM_16",
    limit: bool = False,
) -> Path:
    """Write mono sound as .wav or .flac (by suffix), never leaving half a file; returns the path.

    A peak above 1.0 is refused; with `limit=True` the samples beyond full scale are cut off at it.

    Raises AudioError: other suffix or subtype, NaN, zero samples, clipping.
    """
    import soundfile

    path = Path(path).expanduser()
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise AudioError(f"{path}: suffix {path.suffix!r}; use .wav or .flac")
    whole = isinstance(sample_rate, (int, float, np.number)) and sample_rate % 1 == 0
    if isinstance(sample_rate, bool) or not whole or sample_rate < 1:
        raise AudioError(f"{path}: a sample rate of {sample_rate}; want whole Hz, 1 or more")
    sample_rate = int(sample_rate)
    if not soundfile.check_format(kind, subtype):
        raise AudioError(f"{path}: {kind} has no subtype {subtype!r}; use PCM_16 or PCM_24")
    samples = mono(samples, str(path))
    peak = float(np.abs(samples).max())
    if peak > 1.0:
        if not limit:
            raise AudioError(
                f"{path}: would clip, peak {peak:.4g}; "
                f"lower it {decibels(peak):.1f} dB or pass limit=True"
            )
        samples = np.clip(samples, -1.0, 1.0)
    with whole_file(path) as temporary:
        soundfile.write(temporary, samples, sample_rate, subtype=subtype, format=kind)
    return path


@dataclass(frozen=True)
class SpeechClip:
    """One demo clip. `band_khz` is where its spectrum ends; `split` is "train" or "held-out"."""

    name: str
    path: Path
    sample_rate: int
    seconds: float
    language: str
    voice: str
    synthesiser: str
    licence: str
    text: str
    split: str
    band_khz: float

    @property
    def full_band(self) -> bool:
        """Whether the clip has sound at 16 kHz and above, where speech synthesisers have none."""
        return self.band_khz >= FULL_BAND_KHZ

    def load(self, sample_rate: int | None = None) -> np.ndarray:
        """Read the clip as float32 (samples,), resampled where `sample_rate` is given."""
        return load(self.path, sample_rate)[0]


def clips(
    split: str | None = None,
    *,
    full_band: bool | None = None,
    manifest: str | os.PathLike[str] = MANIFEST,
) -> list[SpeechClip]:
    """The demo clips in the manifest's order; `split` and `full_band` keep those that match.

    Raises AudioError: unknown split, no manifest, or one with fields missing or unknown.
    """
    if split not in (None, *SPLITS):
        raise AudioError(f"unknown split {split!r}; there are: {', '.join(SPLITS)}")
    found = _read_manifest(Path(manifest))
    return [
        c
        for c in found
        if (split is None or c.split == split) and (full_band is None or c.full_band == full_band)
    ]


def clip(name: str, *, manifest: str | os.PathLike[str] = MANIFEST) -> SpeechClip:
    """The demo clip of this name. Raises AudioError that lists the names where there is none."""
    found = {c.name: c for c in clips(manifest=manifest)}
    if name not in found:
        raise AudioError(f"no clip {name!r}; there are: {', '.join(found)}")
    return found[name]


def _read_manifest(path: Path) -> list[SpeechClip]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AudioError(f"{path}: no such file; the demo clips come with the repository") from None
    except ValueError as error:
        raise AudioError(f"{path}: not JSON ({error})") from error
    rows = content.get("clips") if isinstance(content, dict) else None
    if not isinstance(rows, list):
        raise AudioError(f'{path}: no list "clips" in it')
    wanted = {f.name for f in fields(SpeechClip)}
    result = []
    for row in rows:
        if set(row) != wanted:
            difference = ", ".join(sorted(set(row) ^ wanted))
            raise AudioError(
                f"{path}: clip {row.get('name')!r}: fields missing or unknown: {difference}"
            )
        result.append(SpeechClip(**{**row, "path": path.parent / row["path"]}))
    return result
