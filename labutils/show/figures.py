"""The house style of every figure; `Picture` shows one in the page with a text alternative."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

__all__ = [
    "COLOURS",
    "COLOUR_MAP",
    "STYLE",
    "Picture",
    "house_style",
    "picture",
    "use_style",
]

# Okabe and Ito's colours, which colour-blind readers can tell apart; without yellow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
COLOUR_MAP = "magma"  # its lightness rises evenly: readable in grey and by colour-blind readers
WIDTH = 9.0  # inches: 900 pixels of the page
STYLE: Mapping[str, Any] = MappingProxyType(
    {
        "figure.dpi": 100,
        "figure.figsize": (WIDTH, 3.4),
        "figure.facecolor": "white",
        "figure.constrained_layout.use": True,
        "figure.constrained_layout.h_pad": 0.06,
        "figure.constrained_layout.w_pad": 0.06,
        "savefig.facecolor": "white",
        "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
        "font.size": 10.5,
        "axes.titlesize": 11.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": 10.5,
        "axes.prop_cycle": f"cycler('color', {list(COLOURS)})",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#555555",
        "axes.labelcolor": "#222222",
        "text.color": "#222222",
        "xtick.color": "#444444",
        "ytick.color": "#444444",
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#DDDDDD",
        "grid.linewidth": 0.7,
        "lines.linewidth": 1.6,
        "legend.frameon": False,
        "image.cmap": COLOUR_MAP,
    }
)


def use_style() -> None:
    """Give every later matplotlib figure of this session the workbook's style."""
    import matplotlib

    matplotlib.rcParams.update(STYLE)


def house_style() -> Any:
    """The house style for the figures that a `with` block makes."""
    import matplotlib

    return matplotlib.rc_context(dict(STYLE))


class Picture:
    """A figure that the notebook shows as an image with a text for readers who cannot see it.

    `figure` and `axes` are matplotlib's, for changes before it is shown.
    """

    def __init__(self, figure: Any, alt: str) -> None:
        self.figure = figure
        self.alt = alt

    @property
    def axes(self) -> list[Any]:
        return self.figure.axes

    def save(self, path: str | Path) -> Path:
        """Write the picture; the suffix (.png, .svg, .pdf) says how."""
        self.figure.savefig(path)
        return Path(path)

    def _repr_html_(self) -> str:
        source = f"data:image/webp;base64,{base64.b64encode(self._packed()).decode()}"
        width = round(self.figure.get_figwidth() * 100)
        return (
            f'<img alt="{html.escape(self.alt)}" src="{source}" width="{width}" '
            'style="max-width:100%;height:auto;border-radius:4px">'
        )

    def _packed(self, scale: float = 1.5) -> bytes:
        """The figure at `scale` times its size on the page, for sharpness, in the smaller format:

        128 colours without loss for lines and text, with loss for spectrograms (a quarter of that).
        """
        from PIL import Image

        raw, lines, sound = io.BytesIO(), io.BytesIO(), io.BytesIO()
        with house_style():
            self.figure.savefig(raw, format="png", dpi=100 * scale)
        image = Image.open(raw).convert("RGB")
        # Maximum coverage keeps a colour of few pixels, such as one dot of a legend.
        cover = Image.Quantize.MAXCOVERAGE
        few = image.quantize(128, method=cover, dither=Image.Dither.NONE).convert("RGB")
        # Without loss `quality` is the effort. WebP takes a third less room than PNG here.
        few.save(lines, format="webp", lossless=True, quality=100)
        image.save(sound, format="webp", quality=80)
        return min(lines.getvalue(), sound.getvalue(), key=len)

    def __repr__(self) -> str:
        return f"Picture({self.alt!r})"


def picture(figure: Any, alt: str) -> Picture:
    """Show any matplotlib figure with a text alternative, once: pyplot forgets the figure."""
    import matplotlib.pyplot as plt

    plt.close(figure)
    return Picture(figure, alt)
