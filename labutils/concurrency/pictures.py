"""Pictures of concurrency: throughput with its knee, and the GPU's memory step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labutils.concurrency.choosing import knee
from labutils.show.figures import COLOURS, Picture, house_style

__all__ = ["memory_picture", "room_picture", "throughput_picture"]

Row = Mapping[str, Any]
_STYLES = ("-", "--", "-.", ":", "-")
_MARKS = ("o", "s", "^", "D", "v")


def throughput_picture(
    rows: Sequence[Row],
    *,
    ceilings: Mapping[int, float] | None = None,
    title: str = "",
    across: str = "at the same time",
) -> Picture:
    """Times real time, and below it latency, against how many run `across`: a column a length.

    Rows have "way", "frames", "lanes", "per_second", "times_real_time", "p95_ms"; those without are
    left out. A ring marks the knee of the best way: the fewest lanes within 5 % of its best.
    `ceilings` {frames: times real time} are drawn as lines.
    """
    from matplotlib.figure import Figure

    known = [row for row in rows if row.get("times_real_time")]
    lengths = list(dict.fromkeys(row["frames"] for row in known))
    ways = list(dict.fromkeys(row["way"] for row in known))
    words = []
    with house_style():
        figure = Figure(figsize=(9.0, 5.2), layout="constrained")
        grid = figure.subplots(2, max(1, len(lengths)), squeeze=False, sharex=True)
        for column, frames in enumerate(lengths):
            above, below = grid[:, column]
            here = [row for row in known if row["frames"] == frames]
            for i, way in enumerate(ways):
                line = sorted((r for r in here if r["way"] == way), key=lambda r: r["lanes"])
                look = {"color": COLOURS[i % len(COLOURS)], "linestyle": _STYLES[i % 5],
                        "marker": _MARKS[i % 5], "markersize": 4, "label": way}  # fmt: skip
                lanes = [row["lanes"] for row in line]
                above.plot(lanes, [row["times_real_time"] for row in line], **look)
                below.plot(lanes, [row["p95_ms"] for row in line], **look)
            words.append(_mark_knee(above, here, frames))
            tops = [max(row[key] for row in here) for key in ("times_real_time", "p95_ms")]
            above.set(title=f"{frames} frames", ylim=(0, 1.15 * tops[0]))
            below.set(xlabel=across, ylim=(0, 1.1 * tops[1]))
            if ceilings and frames in ceilings:
                _draw_ceiling(above, ceilings[frames], here)
            below.set_xticks(sorted({row["lanes"] for row in here}))
        grid[0, 0].set_ylabel("times real time")
        grid[1, 0].set_ylabel("95 % wait less than (ms)")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=11.5, fontweight="bold")
    return Picture(figure, f"{title}. {' '.join(words)}".strip())


def _mark_knee(ax: Any, rows: Sequence[Row], frames: int) -> str:
    """A ring at the knee of the best way; gives it in words."""
    best = max(rows, key=lambda row: row["times_real_time"])
    at = knee([row for row in rows if row["way"] == best["way"]])
    ax.plot(at["lanes"], at["times_real_time"], "o", markersize=12, markerfacecolor="none",
            markeredgecolor="#222222", markeredgewidth=1.4)  # fmt: skip
    return (
        f"{frames} frames: best with {best['way']}, {best['times_real_time']:.4g} times real "
        f"time; the knee is at {at['lanes']}."
    )


def _draw_ceiling(ax: Any, value: float, rows: Sequence[Row]) -> None:
    """A line where it is near, else words: a far ceiling would press the curves together."""
    top = max(row["times_real_time"] for row in rows)
    if value < 2.5 * top:
        ax.set_ylim(top=1.15 * max(value, top))
        ax.axhline(value, color="#555555", linewidth=1.0)
        ax.text(0.98, value, "ceiling", va="bottom", ha="right", fontsize=8.5, color="#444444",
                transform=ax.get_yaxis_transform())  # fmt: skip
        return
    ax.text(0.98, 0.05, f"ceiling: {value:,.0f}", ha="right", fontsize=8.5, color="#444444",
            transform=ax.transAxes)  # fmt: skip


def memory_picture(rows: Sequence[Row], *, title: str = "", whole: str = "GPU (MB)") -> Picture:
    """Each step of a Ledger as a bar from the level before it to the level after it."""
    from matplotlib.figure import Figure

    with house_style():
        figure = Figure(figsize=(9.0, 0.9 + 0.32 * max(3, len(rows))), layout="constrained")
        ax = figure.subplots()
        first = rows[0][whole] - rows[0]["change (MB)"] if rows else 0.0
        top = max([row[whole] - first for row in rows] + [1.0])
        for i, row in enumerate(rows):
            change, after = row["change (MB)"], row[whole] - first
            colour = COLOURS[1] if change > 0 else COLOURS[2]
            ax.barh(i, change, left=after - change, color=colour, height=0.7)
            ax.text(max(after, after - change) + 0.01 * top, i, f"{change:+,.0f}", va="center",
                    fontsize=8.5)  # fmt: skip
        ax.set_yticks(range(len(rows)), [row["step"] for row in rows], fontsize=9)
        ax.invert_yaxis()
        ax.set_xlim(right=1.12 * top)
        ax.grid(axis="y", visible=False)
        ax.set(xlabel="MB more than before the first step", title=title)
    words = "; ".join(f"{row['step']}: {row['change (MB)']:+.0f} MB" for row in rows)
    return Picture(figure, f"{title}. {words}")


def room_picture(
    room: Mapping[int, float], *, claim: tuple[float, float] | None = None, title: str = ""
) -> Picture:
    """How many times more the GPU could do, against the frames of a call; `claim` is a band."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter

    frames, times = list(room), list(room.values())
    with house_style():
        figure = Figure(figsize=(9.0, 3.2), layout="constrained")
        ax = figure.subplots()
        if claim:
            ax.axhspan(*claim, color=COLOURS[4], alpha=0.25, linewidth=0)
            words = f" the claim: {claim[0]:g} to {claim[1]:g} times"
            ax.text(frames[0], (claim[0] * claim[1]) ** 0.5, words, va="center", fontsize=9)
        ax.axhline(1, color="#555555", linewidth=1)
        ax.plot(frames, times, marker="o", color=COLOURS[0])
        for x, y in room.items():
            ax.annotate(f"{y:.2g}", (x, y), textcoords="offset points", xytext=(4, 6), fontsize=9)
        ax.set(xscale="log", yscale="log", xlabel="frames in a call", title=title)
        ax.set(ylabel="times more, at the most", ylim=(0.8, 1.6 * max(times)))
        ax.set_xticks(frames)
        ax.set_yticks([1, 2, 5, 10, 20, 50])
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
        ax.set_ylim(0.8, 1.6 * max(times))
    words = "; ".join(f"{x} frames: {y:.2g}" for x, y in room.items())
    return Picture(figure, f"{title}. {words}")
