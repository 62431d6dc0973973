"""Small spectrograms for the page: pictures of a few kilobytes whose axes are text of the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from labutils.show.figures import COLOUR_MAP
from labutils.show.plots import RANGE_DB, magnitudes, relative_db

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["SIZE", "thumbnails"]

SIZE = (520, 128)  # pixels


def thumbnails(
    sounds: Mapping[str, tuple[np.ndarray, int]], fmax: float | None = None
) -> tuple[dict[str, str], list[str]]:
    """The HTML of a picture for each {title: (samples, sample_rate)}, and the lines of the legend.

    All have the same axes, up to `fmax` Hz, and the same 0 dB: the loudest point of all.
    """
    spectra = {t: magnitudes(s, r, columns=SIZE[0]) for t, (s, r) in sounds.items()}
    reference = max(float(m.max()) for m in spectra.values())
    highest = fmax or max(rate for _, rate in sounds.values()) / 2
    seconds = {title: len(samples) / rate for title, (samples, rate) in sounds.items()}
    longest = max(seconds.values())
    pictures, legend = {}, [_scale()]
    for title, (_, rate) in sounds.items():
        level_db = relative_db(spectra[title], reference)
        image = _image(level_db, seconds[title] / longest, rate / 2 / highest)
        pictures[title] = _with_axes(image, title, longest, highest)
    if min(seconds.values()) < longest or min(rate for _, rate in sounds.values()) / 2 < highest:
        legend.append("Grey: beyond the end of a sound, or beyond half of its sample rate.")
    return pictures, legend


def _image(level_db: np.ndarray, length: float, band: float) -> Image:
    """The picture of a sound that fills these shares of the axes; what is left is grey."""
    from matplotlib import colormaps
    from PIL import Image

    width, height = SIZE
    colours = (colormaps[COLOUR_MAP](1 + level_db[::-1] / RANGE_DB)[..., :3] * 255).round()
    whole = Image.fromarray(colours.astype(np.uint8))
    below = (0, whole.height * (1 - min(1.0, 1 / band)), whole.width, whole.height)
    filled = (max(1, round(width * length)), max(1, round(height * min(1.0, band))))
    image = Image.new("RGBA", SIZE, (128, 128, 128, 70))  # translucent: right on any theme
    image.paste(whole.resize(filled, Image.Resampling.BOX, box=below), (0, height - filled[1]))
    return image


def _with_axes(image: Image, title: str, seconds: float, fmax: float) -> str:
    """HTML of a picture; its axes are text of the page, which follows the theme."""
    buffer = io.BytesIO()
    image.save(buffer, format="webp", quality=75)
    uri = f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    khz = f"{fmax / 1000:.3g}"
    alt = escape(f"Spectrogram of {title}, 0 to {seconds:.1f} s, 0 to {khz} kHz", quote=True)
    row = "display:flex;justify-content:space-between;font-size:0.8em;opacity:0.8;line-height:1"
    return (
        '<div style="display:flex">'
        f'<div style="{row};flex-direction:column;text-align:right;width:34px;padding-right:5px;'
        f'box-sizing:border-box"><span>{khz}</span><span>kHz</span><span>0</span></div>'
        f'<img alt="{alt}" src="{uri}" style="flex:1 1 0;min-width:0;width:100%;height:110px;'
        'margin:0;border-radius:2px"></div>'
        f'<div style="{row};padding:3px 0 4px 34px"><span>0 s</span>'
        f"<span>{seconds:.1f} s</span></div>"
    )


def _scale() -> str:
    """The colour scale of the small spectrograms, as one line."""
    from matplotlib import colormaps

    steps = (colormaps[COLOUR_MAP](np.linspace(0, 1, 7))[:, :3] * 255).round().astype(int)
    strip = ",".join(f"rgb({r},{g},{b})" for r, g, b in steps)
    return (
        f"Colour: -{RANGE_DB:.0f} dB "
        f'<span style="display:inline-block;width:90px;height:9px;border-radius:2px;'
        f'background-image:linear-gradient(to right,{strip})"></span> '
        "0 dB, the loudest point of all"
    )
