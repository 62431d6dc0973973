"""Pictures of measurements: call by call, as a distribution, against size, memory over calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from labutils.show.figures import COLOURS, Picture, house_style

__all__ = ["calls_picture", "distribution_picture", "levels_picture", "transfers_picture"]


def _axes(height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(9.0, height), layout="constrained").subplots()


def calls_picture(
    series: Mapping[str, Sequence[float]], *, title: str = "", ylabel: str = "ms", log: bool = True
) -> Picture:
    """One figure a call, in the order of the calls, for each {label: figures}."""
    with house_style():
        ax = _axes(3.2)
        for i, (label, values) in enumerate(series.items()):
            numbers = np.arange(1, len(values) + 1)
            ax.plot(numbers, values, marker="o", markersize=4, label=label, color=COLOURS[i])
        ax.set(xlabel="call", ylabel=ylabel, yscale="log" if log else "linear")
        if log:
            _plain_ticks(ax.yaxis)
        else:
            ax.set_ylim(bottom=0)
        ax.set_title(title)
        if len(series) > 1:
            ax.legend()
    parts = [f"{k}: {v[0]:.3g}, later about {np.median(v):.3g}" for k, v in series.items()]
    return Picture(
        ax.figure, f"{title}, {ylabel} of call after call. First call {'; '.join(parts)}"
    )


def distribution_picture(
    times_ms: Sequence[float], marks: Mapping[str, float], *, title: str = ""
) -> Picture:
    """A histogram of times with a labelled line for each of `marks` {label: ms}."""
    times = np.asarray(times_ms, dtype=float)
    with house_style():
        ax = _axes(3.6)
        right = max(times.max(), *marks.values())
        left = min(times.min(), *marks.values())
        counts, _, _ = ax.hist(times, bins=60, range=(left, right), color="#9BB8CC", bottom=0)
        # A logarithmic scale: the tail is what matters, and a linear one would hide it. Labels
        # stand on steps of a stair, so that lines close together keep theirs apart.
        for i, (label, value) in enumerate(sorted(marks.items(), key=lambda item: item[1])):
            colour = COLOURS[i % len(COLOURS)]
            height = counts.max() * 2.2 ** (len(marks) - i)
            ax.plot([value, value], [0.1, height], color=colour)
            words = f" {label}: {value:.3g} ms"
            ax.text(value, height, words, va="center", color=colour, fontsize=9.5)
        ax.set(xlabel="ms", ylabel="number of runs", yscale="log")
        ax.set_ylim(0.7, counts.max() * 2.2 ** (len(marks) + 0.7))
        ax.set_yticks([10**n for n in range(int(np.log10(counts.max())) + 1)])
        _plain_ticks(ax.yaxis)
        ax.set_xlim(right=right + 0.28 * (right - left))
        ax.set_title(title)
    words = ", ".join(f"{label} {value:.3g} ms" for label, value in marks.items())
    return Picture(ax.figure, f"{title}: histogram of {len(times)} runs; {words}")


def levels_picture(
    series: Mapping[str, Sequence[float]],
    *,
    calls: Mapping[str, int] | None = None,
    title: str = "",
    ylabel: str = "held memory (MB)",
) -> Picture:
    """Memory after call after call, for each {label: MB}; from zero, so that growth is seen.

    `calls` {label: how many there were}, where fewer levels were kept than calls were made.
    """
    with house_style():
        ax = _axes(3.2)
        for i, (label, values) in enumerate(series.items()):
            style = ("-", "--", ":", "-.")[i % 4]
            made = (calls or {}).get(label, len(values))
            numbers = np.linspace(made / len(values), made, len(values))
            ax.plot(numbers, values, label=label, color=COLOURS[i], linestyle=style, linewidth=2.2)
        ax.set(xlabel="call", ylabel=ylabel)
        ax.set_ylim(bottom=0)
        ax.set_title(title)
        ax.legend()
    parts = [f"{k}: from {v[0]:.3g} to {v[-1]:.3g}" for k, v in series.items()]
    return Picture(ax.figure, f"{title}, {ylabel}. {'; '.join(parts)}")


def transfers_picture(rows: Sequence[Mapping[str, Any]], *, title: str = "") -> Picture:
    """Bandwidth against size: rows with ``mb`` and columns of GB/s for each way of copying."""
    names = [name for name in rows[0] if name != "mb"]
    sizes = [row["mb"] for row in rows]
    with house_style():
        ax = _axes(3.4)
        for i, name in enumerate(names):
            ax.plot(sizes, [row[name] for row in rows], marker="o", markersize=4, label=name,
                    color=COLOURS[i // 2], linestyle="-" if i % 2 == 0 else "--")  # fmt: skip
        ax.set(xscale="log", yscale="log", xlabel="size of the copy (MB)", ylabel="GB/s")
        _plain_ticks(ax.xaxis)
        _plain_ticks(ax.yaxis)
        ax.set_title(title)
        ax.figure.legend(loc="outside right center")
    best = ", ".join(f"{name} {max(row[name] for row in rows):.3g}" for name in names)
    return Picture(ax.figure, f"{title}. Highest GB/s: {best}")


def _plain_ticks(axis: Any) -> None:
    """Numbers as people write them, in place of powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogFormatter

    class Plain(LogFormatter):
        """Labels between the powers of ten where the axis is too short for them alone."""

        def __call__(self, value: float, position: int | None = None) -> str:
            return f"{value:g}" if super().__call__(value, position) else ""

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(Plain(labelOnlyBase=False, minor_thresholds=(1.5, 0.7)))
