"""An engine's layers as a strip in running order, wide where the time goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labutils.show.figures import COLOURS, Picture, house_style

__all__ = ["picture"]

_WIDTH = 9.0  # inches
_NAMED = 0.045  # of the strip: a narrower layer has no room for a word
_OTHER = "#999999"


def picture(
    layers: Any,
    times: Mapping[str, float] | None = None,
    *,
    by: str = "precision",
    title: str = "",
) -> Picture:
    """The layers of `inspect.layers` as one strip, from the mel on the left to the sound.

    `times` {name: ms} of `inspect.layer_times` make the width, otherwise all are alike; layers of
    one name share their time. `by` says what the colours mean, "precision" or "kind"; what is rarer
    than the first six is grey. Raises ValueError for another word, for no layers, and for times of
    which none belongs to a layer.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    if by not in {"precision", "kind"}:
        raise ValueError(f'by "{by}": choose "precision" or "kind"')
    rows = list(layers.rows)
    if not rows:
        raise ValueError("there are no layers to draw")
    widths = _widths(layers, times)
    whole = sum(widths)
    shares = _shares(rows, widths, by)
    colours = dict(zip(list(shares)[: len(COLOURS) - 1], COLOURS, strict=False))
    with house_style():
        figure = Figure(figsize=(_WIDTH, 2.2), layout="constrained")
        ax = figure.subplots()
        left = 0.0
        for row, width in zip(rows, widths, strict=True):
            colour = colours.get(row[by], _OTHER)
            ax.barh(0, width, left=left, height=1, color=colour, edgecolor="white", linewidth=0.6)
            if width > _NAMED * whole:
                middle = left + width / 2
                turned = 0 if width > 0.1 * whole else 90
                word = _label(row, width / whole)
                style = {"ha": "center", "va": "center", "color": "white", "fontsize": 8}
                ax.text(middle, 0, word, rotation=turned, **style)
            left += width
        ax.set(xlim=(0, left), ylim=(-0.5, 0.5), yticks=[])
        ax.set_xlabel("ms, layer after layer" if times is not None else "layers in running order")
        ax.grid(visible=False)
        ax.spines["left"].set_visible(False)
        unit = "of the time" if times is not None else "of the layers"
        handles = [
            Patch(color=colours.get(name, _OTHER), label=f"{name}: {100 * share:.0f} % {unit}")
            for name, share in shares.items()
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9)
        ax.set_title(title or f"{len(rows)} layers")
    words = ", ".join(f"{name} {100 * share:.0f} % {unit}" for name, share in shares.items())
    return Picture(figure, f"{title or 'Layers of an engine'}, {len(rows)} layers: {words}")


def _widths(layers: Any, times: Mapping[str, float] | None) -> list[float]:
    if times is None:
        return [1.0] * len(layers.rows)
    widths = [float(ms or 0.0) for ms in layers.spread(times)]
    if not sum(widths) > 0:
        raise ValueError("no time belongs to a layer: are they of another engine?")
    return widths


def _shares(
    rows: Sequence[Mapping[str, Any]], widths: Sequence[float], by: str
) -> dict[str, float]:
    """What part of the strip each colour has, the largest first."""
    sums: dict[str, float] = {}
    for row, width in zip(rows, widths, strict=True):
        sums[row[by]] = sums.get(row[by], 0.0) + width
    whole = sum(widths)
    return {name: sums[name] / whole for name in sorted(sums, key=sums.get, reverse=True)}


def _label(row: Mapping[str, Any], share: float) -> str:
    """The last part of the first ONNX node's name, or the kind, cut to the room there is."""
    text = row["nodes"][0] if row["nodes"] else row["kind"]
    parts = [part for part in text.split("/") if part]
    word = "/".join(parts[-2:]) if parts else text
    room = max(6, int(95 * share)) if share > 0.1 else 16
    return word if len(word) <= room else f"{word[: room - 1]}\N{HORIZONTAL ELLIPSIS}"
