"""Pictures of listening tests: right answers against guessing, ratings of stimuli."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from labutils.listening.abx_statistics import CHANCE, right_needed
from labutils.show.figures import COLOURS, Picture, house_style

__all__ = ["abx_picture", "mushra_picture"]

Row = Mapping[str, Any]
_WIDTH = 9.0  # inches: 900 pixels of the page
_SCALE = ("bad", "poor", "fair", "good", "excellent")
_GREY = "#9AA0A6"


def abx_picture(rows: Sequence[Row], level: float, simulated: bool = False) -> Picture:
    """One listener: what guessing gives, with the count and the bound. Several: a line for each.

    Rows have "listener", "right" and "trials", as `AbxReport.rows`.
    """
    from matplotlib.figure import Figure

    with house_style():
        if len(rows) == 1:
            figure = Figure(figsize=(_WIDTH, 3.2), layout="constrained")
            _guessing(figure.subplots(), rows[0], level)
        else:
            height = 1.3 + 0.3 * max(len(rows), 2)
            figure = Figure(figsize=(_WIDTH, height), layout="constrained")
            _listeners(figure.subplots(), rows, level)
        _mark(figure.axes[0], simulated)
    told = ", ".join(f"{r['listener']} {r['right']} of {r['trials']}" for r in rows)
    return Picture(
        figure, f"Right answers against guessing: {told or 'none yet'}{_word(simulated)}"
    )


def _guessing(ax: Any, row: Row, level: float) -> None:
    from scipy.stats import binom

    trials, right = row["trials"], row["right"]
    counts = np.arange(trials + 1)
    shares = 100 * binom.pmf(counts, trials, CHANCE)
    as_good = counts >= right
    ax.bar(counts[~as_good], shares[~as_good], color=_GREY, width=0.8)
    ax.bar(counts[as_good], shares[as_good], color=COLOURS[0], width=0.8)
    tail = 100 * binom.sf(right - 1, trials, CHANCE)
    label = f"{row['listener']}: {right} right\nguessing gets there\nin {tail:.2g} % of tests"
    top = 1.35 * shares.max()
    behind = right >= trials / 2
    ax.annotate(
        label,
        (right, shares[right]),
        xytext=(trials + 0.5 if behind else -0.5, 0.62 * top),
        arrowprops={"arrowstyle": "->", "color": COLOURS[0]},
        color=COLOURS[0],
        ha="right" if behind else "left",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 2},
    )
    needed = right_needed(trials, level)
    if needed is not None:
        ax.axvline(needed - 0.5, color=COLOURS[1], linestyle="--", linewidth=1.2)
        text = f" from {needed} on: heard"
        ax.text(needed - 0.5, 0.98 * top, text, color=COLOURS[1], va="top", fontsize=9)
    ax.set(xlabel=f"right answers of {trials}", ylabel="tests by guessing (%)", ylim=(0, top))
    ax.set_xticks(counts if trials <= 24 else np.linspace(0, trials, 11).round())


def _listeners(ax: Any, rows: Sequence[Row], level: float) -> None:
    ax.grid(axis="y", visible=False)
    if not rows:
        _empty(ax)
        return
    for i, row in enumerate(rows):
        share = 100 * row["right"] / row["trials"]
        needed = right_needed(row["trials"], level)
        heard = needed is not None and row["right"] >= needed
        ax.plot([100 * CHANCE, share], [i, i], color=_GREY, linewidth=1)
        ax.plot(share, i, "o" if heard else "s", color=COLOURS[0] if heard else _GREY, markersize=8)
        if needed is not None:
            bound = 100 * needed / row["trials"]
            ax.plot([bound, bound], [i - 0.32, i + 0.32], color=COLOURS[1], linewidth=1.6)
        ax.text(102, i, f"{row['right']} of {row['trials']}", va="center", fontsize=9)
    ax.axvline(100 * CHANCE, color="#555555", linewidth=1)
    ax.set_yticks(range(len(rows)), [row["listener"] for row in rows])
    ax.invert_yaxis()
    ax.set(xlim=(0, 115), ylim=(len(rows) - 0.4, -0.6))
    ax.set(xlabel="right answers (%); grey line: guessing, orange marks: needed to count as heard")
    ax.set_xticks(range(0, 101, 25))


def mushra_picture(
    rows: Sequence[Row], ratings: np.ndarray, over: str, simulated: bool = False
) -> Picture:
    """Ratings of each stimulus: a dot for each listener (or item), box of quartiles, and mean.

    Rows as `MushraReport.rows`, `ratings` (listeners, stimuli) in their order.
    """
    from matplotlib.figure import Figure

    with house_style():
        height = 1.25 + 0.48 * max(len(rows), 2)
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        ax = figure.subplots()
        if rows:
            _ratings(ax, rows, ratings, over)
        else:
            _empty(ax)
        _mark(ax, simulated, pad=20)
    told = ", ".join(f"{row['stimulus']} {row['median']:.0f}" for row in rows)
    return Picture(figure, f"MUSHRA ratings, medians: {told or 'none yet'}{_word(simulated)}")


def _ratings(ax: Any, rows: Sequence[Row], ratings: np.ndarray, over: str) -> None:
    jitter = np.random.default_rng(0)
    ax.grid(axis="y", visible=False)
    for i, (row, values) in enumerate(zip(rows, ratings.T, strict=True)):
        low, high = row["quartile_1"], row["quartile_3"]
        ax.barh(i, high - low, left=low, height=0.56, color=COLOURS[0], alpha=0.22)
        ax.plot([row["median"]] * 2, [i - 0.28, i + 0.28], color=COLOURS[0], linewidth=2.2)
        spots = i + jitter.uniform(-0.18, 0.18, len(values))
        ax.scatter(values, spots, s=12, color=COLOURS[0], alpha=0.55, linewidths=0)
        if row["low"] is not None:
            ax.plot([row["low"], row["high"]], [i + 0.38] * 2, color=COLOURS[1], linewidth=1.8)
        ax.plot(row["mean"], i + 0.38, "D", color=COLOURS[1], markersize=4.5)
    ax.set_yticks(range(len(rows)), [row["stimulus"] for row in rows])
    ax.set(xlim=(-2, 102), ylim=(len(rows) - 0.35, -0.55))
    ax.set(xlabel=f"dots: {over}; box: quartiles and median; diamond: mean with 95 % interval")
    ax.set_xticks(range(0, 101, 20))
    for i, word in enumerate(_SCALE):
        at = (20 * i + 12) / 104
        ax.text(at, 1.02, word, transform=ax.transAxes, ha="center", fontsize=9, color="#666666")


def _empty(ax: Any) -> None:
    text = "nobody has finished yet"
    ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes)
    ax.set(xticks=[], yticks=[])


def _mark(ax: Any, simulated: bool, pad: float = 8) -> None:
    if simulated:
        ax.set_title("Simulated listeners", color=COLOURS[1], pad=pad)


def _word(simulated: bool) -> str:
    return "; the listeners are simulated" if simulated else ""
