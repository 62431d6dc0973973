"""Sounds in the page: players for comparing by ear, with pictures; the pictures come from `plots`.

A player is never normalised: one gain, at most 1, holds for all sounds that stand together.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from labutils.figures import COLOUR_MAP, COLOURS, STYLE, Picture, picture, use_style
from labutils.plots import (
    RANGE_DB,
    check_sounds,
    compare_spectrograms,
    magnitudes,
    mel_picture,
    relative_db,
    spectrogram,
    waveform,
)
from labutils.signals import AudioError, common_gain, decibels

__all__ = [
    "COLOURS",
    "STYLE",
    "Picture",
    "Players",
    "compare_spectrograms",
    "mel_picture",
    "picture",
    "player",
    "players",
    "spectrogram",
    "use_style",
    "waveform",
]

# Everything else is inline style, which survives where a page drops <style>.
DARK = ", ".join(
    f"{theme} .lab-players audio" for theme in ('[data-jp-theme-light="false"]', ".vscode-dark")
)
DARK += " {color-scheme:dark}"
THUMBNAIL = (520, 128)  # pixels
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
    pictures = _thumbnails(checked, fmax) if spectrograms else {}
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
    footer = [_scale()] if spectrograms else []
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


def _scale() -> str:
    """The colour scale of the small spectrograms, as one line."""
    from matplotlib import colormaps

    steps = (colormaps[COLOUR_MAP](np.linspace(0, 1, 7))[:, :3] * 255).round().astype(int)
    strip = ",".join(f"rgb({r},{g},{b})" for r, g, b in steps)
    return (
        f"Colour: -{RANGE_DB:.0f} dB "
        f'<span style="display:inline-block;width:90px;height:9px;border-radius:2px;'
        f'background-image:linear-gradient(to right,{strip})"></span> '
        "0 dB, the loudest point of all. Grey: beyond the end of a sound or half its sample rate."
    )


def _wav_uri(samples: np.ndarray, sample_rate: int) -> str:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate, format="WAV", subtype="PCM_16")
    return f"data:audio/wav;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _thumbnails(sounds: dict[str, tuple[np.ndarray, int]], fmax: float | None) -> dict[str, str]:
    """A small spectrogram of each sound as HTML, all with the same axes and 0 dB."""
    spectra = {t: magnitudes(s, r, columns=THUMBNAIL[0]) for t, (s, r) in sounds.items()}
    reference = max(float(m.max()) for m in spectra.values())
    fmax = fmax or max(rate for _, rate in sounds.values()) / 2
    longest = max(len(samples) / rate for samples, rate in sounds.values())
    return {
        title: _thumbnail(title, relative_db(spectra[title], reference), sound, fmax, longest)
        for title, sound in sounds.items()
    }


def _thumbnail(title, level_db, sound, fmax, longest):
    """One picture; its axes are text of the page, which follows the theme."""
    from matplotlib import colormaps
    from PIL import Image

    samples, rate = sound
    width, height = THUMBNAIL
    colours = (colormaps[COLOUR_MAP](1 + level_db[::-1] / RANGE_DB)[..., :3] * 255).round()
    whole = Image.fromarray(colours.astype(np.uint8))
    # Where the sound ends before the others do, or its rate ends below fmax, the ground is grey.
    wide = max(1, round(width * len(samples) / rate / longest))
    bins, part = whole.height, min(1.0, fmax / (rate / 2))
    box = (0, bins * (1 - part), whole.width, bins)
    tall = max(1, round(height * min(1.0, rate / 2 / fmax)))
    canvas = Image.new("RGBA", (width, height), (128, 128, 128, 70))
    canvas.paste(whole.resize((wide, tall), Image.Resampling.BOX, box=box), (0, height - tall))
    buffer = io.BytesIO()
    canvas.save(buffer, format="webp", quality=75)
    uri = f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    alt = escape(
        f"Spectrogram of {title}, 0 to {longest:.1f} s, 0 to {fmax / 1000:g} kHz", quote=True
    )
    tick = "font-size:0.8em;opacity:0.8;line-height:1"
    row = f"display:flex;justify-content:space-between;{tick}"
    return (
        '<div style="display:flex">'
        f'<div style="{row};flex-direction:column;text-align:right;width:34px;padding-right:5px;'
        'box-sizing:border-box">'
        f"<span>{fmax / 1000:.3g}</span><span>kHz</span><span>0</span></div>"
        f'<img alt="{alt}" src="{uri}" style="flex:1 1 0;min-width:0;width:100%;height:110px;'
        'margin:0;border-radius:2px"></div>'
        f'<div style="{row};padding:3px 0 4px 34px"><span>0 s</span>'
        f"<span>{longest:.1f} s</span></div>"
    )
