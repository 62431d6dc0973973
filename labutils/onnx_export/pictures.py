"""Pictures of exports: node counts before and after, differences over time, bars of figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from labutils.show.figures import COLOURS, Picture, house_style

__all__ = ["bars_picture", "difference_picture", "operators_picture"]

_WIDTH = 9.0  # inches
_FLOOR_DB = -140.0


def operators_picture(counts: Mapping[str, Mapping[str, int]], *, title: str = "") -> Picture:
    """Bars of {graph: {operator: number of nodes}}, one group for each operator."""
    from matplotlib.figure import Figure

    kinds = sorted(
        {kind for graph in counts.values() for kind in graph},
        key=lambda kind: max(graph.get(kind, 0) for graph in counts.values()),
    )
    height = 0.8 / len(counts)
    with house_style():
        figure = Figure(figsize=(_WIDTH, 0.9 + 0.3 * len(kinds)), layout="constrained")
        ax = figure.subplots()
        for i, (name, graph) in enumerate(counts.items()):
            numbers = [graph.get(kind, 0) for kind in kinds]
            y = np.arange(len(kinds)) + height * ((len(counts) - 1) / 2 - i)
            label = f"{name}: {sum(numbers)} nodes"
            bars = ax.barh(y, numbers, height=height * 0.92, color=COLOURS[i], label=label)
            ax.bar_label(bars, labels=[str(n) if n else "" for n in numbers], padding=3, fontsize=8)
        ax.set_yticks(range(len(kinds)), kinds)
        ax.set_xlabel("nodes")
        ax.margins(x=0.08)
        ax.grid(axis="y", visible=False)
        ax.legend(loc="lower right")
        ax.set_title(title)
    words = "; ".join(f"{name}: {sum(graph.values())}" for name, graph in counts.items())
    return Picture(figure, f"{title or 'Nodes by operator'}, {words} nodes")


def difference_picture(
    reference: Any,
    candidates: Mapping[str, Any],
    sample_rate: int,
    *,
    title: str = "",
    window: float = 0.01,
) -> Picture:
    """Where two sounds differ: the largest difference in each `window` seconds, in dB of the peak.

    `reference` and `candidates` {title: sound} are of one length, (samples,). What is equal to the
    last bit lies at the bottom.
    """
    from matplotlib.figure import Figure

    reference = np.asarray(reference, dtype=np.float64)
    size = max(1, round(window * sample_rate))
    edges = np.arange(0, len(reference), size)
    times = edges / sample_rate
    with house_style():
        figure = Figure(figsize=(_WIDTH, 3.3), layout="constrained")
        ax = figure.subplots()
        floor = 10 ** (_FLOOR_DB / 20)
        for i, (name, sound) in enumerate(candidates.items()):
            error = np.abs(np.asarray(sound, dtype=np.float64) - reference)
            largest = np.maximum.reduceat(error, edges) / np.abs(reference).max()
            level = 20 * np.log10(np.maximum(largest, floor))
            ax.plot(times, level, label=name, color=COLOURS[i], drawstyle="steps-post")
        ax.set(xlabel="time (s)", ylabel="difference (dB of the peak)")
        ax.set(xlim=(0, len(reference) / sample_rate), ylim=(_FLOOR_DB, 3))
        if len(candidates) > 1:
            ax.legend()
        ax.set_title(title)
    return Picture(figure, f"{title or 'Differences over time'}: {', '.join(candidates)}")


def bars_picture(
    rows: Sequence[tuple[str, float]],
    *,
    unit: str,
    title: str = "",
    marked: Sequence[str] = (),
    log: bool = False,
) -> Picture:
    """One horizontal bar for each (label, figure), the first on top; `marked` ones stand out."""
    from matplotlib.figure import Figure

    labels, values = [label for label, _ in rows], [value for _, value in rows]
    with house_style():
        figure = Figure(figsize=(_WIDTH, 0.95 + 0.36 * len(rows)), layout="constrained")
        ax = figure.subplots()
        colours = [COLOURS[1] if label in marked else COLOURS[0] for label in labels]
        bars = ax.barh(range(len(rows)), values, color=colours, height=0.7, log=log)
        ax.bar_label(bars, labels=[f"{value:.3g}" for value in values], padding=4, fontsize=9)
        ax.set_yticks(range(len(rows)), labels)
        ax.invert_yaxis()
        ax.set_xlabel(unit)
        ax.margins(x=0.1)
        ax.grid(axis="y", visible=False)
        ax.set_title(title)
    words = ", ".join(f"{label} {value:.3g}" for label, value in rows)
    return Picture(figure, f"{title or 'Bars'} in {unit}: {words}")
