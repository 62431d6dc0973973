"""Pictures of quantization: what each layer costs, and speed against quality."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from labutils.quantization.layers import Layer
from labutils.quantization.sensitivity import Sensitivity
from labutils.show.figures import COLOURS, Picture, house_style
from labutils.tables import heading

__all__ = ["histogram_picture", "pareto_front", "pareto_picture", "sensitivity_picture"]

_WIDTH = 9.0  # inches


def sensitivity_picture(
    rows: Sequence[Sensitivity],
    layers: Sequence[Layer],
    *,
    budget: float | None = None,
    title: str = "",
) -> Picture:
    """The SNR that is left when a layer alone is INT8, layer by layer in the network's order.

    Stalks hang from the top, so that a long one is a costly layer. Parts of the network are told
    apart by background, transposed convolutions and the ends by colour; `budget` is a line.
    """
    from matplotlib.figure import Figure

    known = {layer.name: layer for layer in layers}
    order = [row for row in rows if row.name in known]
    plain = [layer.name for layer in layers if layer.kind == "Conv"]
    scores = np.array([row.score for row in order])
    top = float(scores.max()) + 4
    with house_style():
        figure = Figure(figsize=(_WIDTH, 3.9), layout="constrained")
        ax = figure.subplots()
        seen: set[str] = set()
        for x, row in enumerate(order):
            layer = known[row.name]
            ends = layer.name in (plain[0], plain[-1])
            kind = (
                "transposed" if layer.kind == "ConvTranspose" else "first and last" if ends
                else "in the residual blocks"
            )  # fmt: skip
            place = ("in the residual blocks", "transposed", "first and last").index(kind)
            label = None if kind in seen else kind
            seen.add(kind)
            ax.vlines(x, row.score, top, color=COLOURS[place], linewidth=2.2)
            ax.plot(x, row.score, "o", color=COLOURS[place], markersize=4.5, label=label)
        _parts(ax, [known[row.name].group for row in order])
        if budget is not None:
            line = {"color": "#444444", "linestyle": "--", "linewidth": 1}
            ax.axhline(budget, label=f"budget, {budget:g} dB", **line)
        ax.set(xlim=(-0.8, len(order) - 0.2), ylim=(min(0.0, float(scores.min()) - 3), top))
        ax.set_ylabel("SNR with this layer in INT8 (dB)")
        ax.legend(loc="lower right")
        ax.set_title(title)
    worst = sorted(order, key=lambda row: row.score)[:3]
    words = ", ".join(f"{row.name} {row.score:.1f} dB" for row in worst)
    return Picture(figure, f"{title or 'Sensitivity by layer'}; the most costly: {words}")


def _parts(ax: Any, groups: Sequence[str]) -> None:
    """Stripes and names of the parts of the network along the x axis."""
    starts = [i for i, name in enumerate(groups) if not i or groups[i - 1] != name]
    ends = [*starts[1:], len(groups)]
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if number % 2:
            ax.axvspan(start - 0.5, end - 0.5, color="#F1F1F1", zorder=0)
    ax.set_xticks(
        [(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)],
        [groups[start] for start in starts], rotation=90, fontsize=8,
    )  # fmt: skip
    ax.set_xticks([], minor=True)
    ax.tick_params(axis="x", length=0)
    ax.grid(axis="x", visible=False)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points (speed, quality) that no other beats in both, by rising speed."""
    best = [
        i
        for i, (speed, quality) in enumerate(points)
        if not any(
            s >= speed and q >= quality and (s, q) != (speed, quality) for s, q in points
        )
    ]  # fmt: skip
    return sorted(best, key=lambda i: points[i][0])


def pareto_picture(
    rows: Sequence[Mapping[str, Any]],
    *,
    speed: str,
    quality: str,
    name: str = "variant",
    least: float | None = None,
    title: str = "",
) -> Picture:
    """Speed against quality, a point for each row; `speed` and `quality` are keys of the rows.

    Higher is better for both. A line joins the points that no other beats in both; `least` is the
    quality that is asked for. Rows without one of the figures are left out.
    """
    from matplotlib.figure import Figure

    rows = [r for r in rows if r.get(speed) is not None and r.get(quality) is not None]
    points = [(float(row[speed]), float(row[quality])) for row in rows]
    front = pareto_front(points)
    with house_style():
        figure = Figure(figsize=(_WIDTH, 4.4), layout="constrained")
        ax = figure.subplots()
        ax.plot(*zip(*(points[i] for i in front), strict=True), color=COLOURS[0], alpha=0.5)
        for i, (x, y) in enumerate(points):
            ax.plot(x, y, "o", color=COLOURS[0] if i in front else COLOURS[1], markersize=8)
        if least is not None:
            ax.axhline(least, color="#444444", linestyle="--", linewidth=1)
        ax.margins(x=0.08, y=0.12)
        low, high = ax.get_ylim()
        places = label_places([(y - low) / (high - low) for _, y in points])
        for row, point, place in zip(rows, points, places, strict=True):
            ax.annotate(
                str(row[name]), point, xytext=(1.06, place), textcoords="axes fraction",
                va="center", fontsize=9, annotation_clip=False,
                arrowprops={"arrowstyle": "-", "color": "#999999", "linewidth": 0.7, "shrinkB": 5},
            )  # fmt: skip
        ax.set(xlabel=heading(speed), ylabel=heading(quality))
        ax.set_title(title)
    told = [f"{r[name]}: {x:.3g}, {y:.3g}" for r, (x, y) in zip(rows, points, strict=True)]
    words = "; ".join(told)
    return Picture(
        figure,
        f"{title or 'Speed against quality'} ({heading(speed)}, {heading(quality)}): {words}",
    )


def label_places(heights: Sequence[float], apart: float = 0.06) -> list[float]:
    """Heights (0 to 1) of labels in one column, in the order of their points and near them, but
    `apart` from each other; where there are too many, the column goes on below 0."""
    places = [0.0] * len(heights)
    above = 1.0 + apart
    order = sorted(range(len(heights)), key=lambda i: -heights[i])
    for rank, i in enumerate(order):
        room = apart * (len(order) - 1 - rank)  # for those that are still to come
        places[i] = above = min(max(heights[i], room), above - apart)
    return places


def histogram_picture(
    values: Mapping[str, np.ndarray], spans: Mapping[str, float], *, title: str = ""
) -> Picture:
    """How often a tensor takes a magnitude (log scale), and where each span (+-) would cut it."""
    from matplotlib.figure import Figure

    with house_style():
        figure = Figure(figsize=(_WIDTH, 3.3), layout="constrained")
        ax = figure.subplots()
        top = max(float(np.abs(v).max()) for v in values.values())
        edges = np.linspace(0, max(top, *spans.values()) if spans else top, 120)
        for i, (name, data) in enumerate(values.items()):
            ax.hist(
                np.abs(data).ravel(), edges, histtype="step", label=name, color=COLOURS[i],
                linewidth=1.6,
            )  # fmt: skip
        ax.set_yscale("log")
        for i, (name, span) in enumerate(spans.items()):
            ax.axvline(span, color=COLOURS[(len(values) + i) % len(COLOURS)], linestyle="--")
            ax.text(
                span, 0.97 - 0.09 * i, f" {name} ", rotation=0, va="top", fontsize=9,
                transform=ax.get_xaxis_transform(),
                ha="right" if span > 0.7 * edges[-1] else "left",
            )  # fmt: skip
        ax.set(xlabel="magnitude", ylabel="how many values", xlim=(0, None))
        if len(values) > 1:
            ax.legend(loc="upper center")
        ax.set_title(title)
    words = ", ".join(f"{name} {span:.3g}" for name, span in spans.items())
    return Picture(figure, f"{title or 'Magnitudes of a tensor'}; ranges: {words}")
