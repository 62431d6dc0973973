"""Sounds in the page: players for comparing by ear, with pictures; the pictures come from `plots`.

A player is never normalised: one gain, at most 1, holds for all sounds that stand together.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from labutils import tables
from labutils.audio.signals import AudioError, common_gain, decibels
from labutils.show.figures import COLOURS, STYLE, Picture, picture, use_style
from labutils.show.plots import (
    check_sounds,
    compare_spectrograms,
    mel_picture,
    spectrogram,
    waveform,
)
from labutils.show.thumbs import thumbnails

__all__ = [
    "COLOURS",
    "STYLE",
    "Picture",
    "Players",
    "Table",
    "compare_spectrograms",
    "mel_picture",
    "picture",
    "player",
    "players",
    "spectrogram",
    "table",
    "use_style",
    "waveform",
]

# Everything else is inline style, which survives where a page drops <style>.
DARK = ", ".join(
    f"{theme} .lab-players audio" for theme in ('[data-jp-theme-light="false"]', ".vscode-dark")
)
DARK += " {color-scheme:dark}"
# Starting one sound stops the others: two at once cannot be compared.
ONE_AT_A_TIME = "for(const a of document.querySelectorAll('audio')){if(a!==this){a.pause()}}"


class Players:
    """A grid of titled players, for the last line of a cell. `gain` is the factor that all got."""

    def __init__(self, sounds: dict[str, tuple[np.ndarray, int]], gain: float, markup: str) -> None:
        self.sounds = sounds
        self.gain = gain
        self._markup = markup

    def _repr_html_(self) -> str:
        return self._markup

    def __repr__(self) -> str:
        return f"Players({', '.join(map(repr, self.sounds))})"


class Table:
    """Rows for the last line of a cell; as HTML in the page, as text elsewhere."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self.rows = [dict(row) for row in rows]

    def _repr_html_(self) -> str:
        return tables.table(self.rows)

    def __repr__(self) -> str:
        return tables.text_table(self.rows)


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A table of rows, one mapping each; the keys of the mappings are the columns."""
    return Table(rows)


def player(
    samples: Any,
    sample_rate: int,
    title: str = "",
    *,
    gain: float = 1.0,
    spectrograms: bool = False,
    max_seconds: float | None = None,
) -> Players:
    """One sound with a title. `gain` is for showing what a level means; else see `players`."""
    sounds = {title: (samples, sample_rate)}
    return players(sounds, gain=gain, spectrograms=spectrograms, max_seconds=max_seconds)


def players(
    sounds: Mapping[str, tuple[Any, int]],
    *,
    columns: int | None = None,
    spectrograms: bool = False,
    fmax: float | None = None,
    max_seconds: float | None = None,
    gain: float = 1.0,
    notes: Mapping[str, str] | None = None,
) -> Players:
    """Players of {title: (samples, sample_rate)} side by side, each sound within the page itself.

    All sounds get one gain: `gain`, or less where the highest peak would clip, and then a line says
    so. `spectrograms` puts a picture above each player, with common axes and colours (-80 to 0 dB
    below the loudest point of all; up to `fmax` Hz). `max_seconds` keeps the page small: only the
    beginning is embedded. `notes` puts a line under a title, such as a figure that belongs to it.

    Raises AudioError by title: not a pair (samples, sample_rate), zero samples, NaN.
    """
    checked = check_sounds(sounds)
    if gain <= 0 or (max_seconds is not None and max_seconds <= 0):
        raise AudioError(f"gain {gain} and max_seconds {max_seconds}; both must be above 0")
    if unknown := set(notes or {}) - set(checked):
        raise AudioError(f"notes for {', '.join(sorted(unknown))}; there are: {', '.join(checked)}")
    whole = {title: len(samples) / rate for title, (samples, rate) in checked.items()}
    if max_seconds is not None:
        checked = {t: (s[: max(1, round(max_seconds * r))], r) for t, (s, r) in checked.items()}
    lowered = common_gain(samples * gain for samples, _ in checked.values())
    pictures, footer = thumbnails(checked, fmax) if spectrograms else ({}, [])
    columns = columns or {1: 1 if spectrograms else 2, 2: 2, 4: 2}.get(len(checked), 3)
    figures = []
    for title, (samples, rate) in checked.items():
        seconds = len(samples) / rate
        length = f"{seconds:.1f} s"
        if seconds < whole[title] - 0.05:
            length = f"first {seconds:.1f} of {whole[title]:.1f} s"
        lines = [
            f"{length}, {rate / 1000:g} kHz",
            *([notes[title]] if notes and title in notes else []),
        ]
        uri = _wav_uri(samples * (gain * lowered), rate)
        figures.append(_figure(title, lines, pictures.get(title, ""), uri, columns))
    if lowered < 1:
        drop = f"turned down by {-decibels(lowered):.1f} dB"
        footer.append(
            f"All sounds are {drop} together, so that none clips."
            if len(checked) > 1
            else f"The sound is {drop}, so that it does not clip."
        )
    markup = (
        f"<style>{DARK}</style>"
        '<div class="lab-players" role="group" aria-label="Sounds" style="max-width:960px">'
        '<div style="display:flex;flex-wrap:wrap;align-items:flex-end;margin:0 -8px">'
        f"{''.join(figures)}</div>{''.join(_small(line) for line in footer)}</div>"
    )
    return Players(checked, gain * lowered, markup)


def _figure(title: str, lines: list[str], image: str, uri: str, columns: int) -> str:
    label = escape(title or "sound", quote=True)
    heading = (
        f'<div style="font-weight:600;line-height:1.35">{escape(title)}</div>' if title else ""
    )
    share = f"{100 / columns:.3f}%"
    return (
        f'<figure role="group" aria-label="{label}" style="margin:0;padding:6px 8px;'
        f'box-sizing:border-box;flex:1 0 {share};min-width:250px;max-width:{share}">'
        f'<figcaption style="margin:0 0 4px 0">{heading}'
        f"{''.join(_small(escape(line)) for line in lines)}</figcaption>{image}"
        f'<audio controls preload="auto" title="{label}" aria-label="Play {label}" '
        f'onplay="{ONE_AT_A_TIME}" style="width:100%;height:40px;display:block" src="{uri}">'
        "</audio></figure>"
    )


def _small(content: str) -> str:
    return f'<div style="font-size:0.86em;opacity:0.8;line-height:1.4">{content}</div>'


def _wav_uri(samples: np.ndarray, sample_rate: int) -> str:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate, format="WAV", subtype="PCM_16")
    return f"data:audio/wav;base64,{base64.b64encode(buffer.getvalue()).decode()}"
