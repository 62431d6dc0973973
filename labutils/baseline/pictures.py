"""Pictures of speed: bars of variants, launches against work, batches, first calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labutils.show.figures import COLOURS, Picture, house_style

__all__ = ["batch_picture", "first_calls_picture", "launch_picture", "variants_picture"]

Row = Mapping[str, Any]
_WIDTH = 9.0  # inches: 900 pixels of the page


def variants_picture(
    panels: Mapping[str, tuple[Sequence[Row], str | None]], *, minimum_snr: float | None = None
) -> Picture:
    """Bars of times real time, a panel for each {title: (rows, name of the marked variant)}.

    Rows as `trials.rows` yields them. A variant with a lower SNR than `minimum_snr` is drawn pale
    with its SNR; one without a figure says so; a panel without rows, too.
    """
    from matplotlib.figure import Figure

    columns = 1 if len(panels) == 1 else 2
    rows = -(-len(panels) // columns)
    most = max([len(shown) for shown, _ in panels.values()] + [3])
    with house_style():
        figure = Figure(figsize=(_WIDTH, 0.45 + rows * (0.5 + 0.215 * most)), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        for ax in list(grid.flat)[len(panels) :]:
            ax.set_visible(False)
        for ax, (title, (shown, marked)) in zip(grid.flat, panels.items(), strict=False):
            ax.set_title(title)
            _bars(ax, shown, marked, minimum_snr)
        for left, *others in grid:  # the same names on both sides need no second column of them
            labels = [text.get_text() for text in left.get_yticklabels()]
            for ax in others:
                if labels == [text.get_text() for text in ax.get_yticklabels()]:
                    ax.set_yticklabels([])
        figure.supxlabel("times real time", fontsize=10)
    best = [f"{title}: {marked}" for title, (_, marked) in panels.items() if marked]
    return Picture(figure, "Bars of speed per variant. Marked: " + ("; ".join(best) or "none"))


def _bars(ax: Any, shown: Sequence[Row], marked: str | None, minimum_snr: float | None) -> None:
    ax.grid(axis="y", visible=False)
    if not shown:
        ax.text(0.5, 0.5, "no record yet", ha="center", va="center", transform=ax.transAxes)
        ax.set(xticks=[], yticks=[])
        return
    speeds = [row.get("times_real_time") or 0.0 for row in shown]
    widest = max(speeds) or 1.0
    for i, (row, speed) in enumerate(zip(shown, speeds, strict=True)):
        snr = row.get("snr_db")
        noisy = minimum_snr is not None and snr is not None and snr < minimum_snr
        chosen = row["variant"] == marked
        ax.barh(i, speed, color=COLOURS[1 if chosen else 0], alpha=0.4 if noisy else 1, height=0.74)
        number = f"{speed:,.0f}" if speed > 20 else f"{speed:.1f}"
        text = "not measured" if "error" in row else number
        text += f" ({snr:.0f} dB)" if noisy else " (baseline)" if chosen else ""
        weight = "bold" if chosen else "normal"
        ax.text(speed + 0.012 * widest, i, text, va="center", fontsize=8.5, fontweight=weight)
    ax.set_yticks(range(len(shown)), [_short(row["variant"]) for row in shown], fontsize=8.5)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.5 * widest)


def _short(variant: str) -> str:
    return variant.replace("channels last", "ch. last")


def launch_picture(rows: Sequence[Row]) -> Picture:
    """What one call takes against the input's length, log-log.

    Rows have "frames", "eager_ms", "graph_ms" (device) and "host_ms", what the host needs to launch
    the eager call.
    """
    from matplotlib.figure import Figure

    rows = [row for row in rows if "error" not in row]
    frames = [row["frames"] for row in rows]
    with house_style():
        figure = Figure(figsize=(_WIDTH, 3.9), layout="constrained")
        ax = figure.subplots()
        for key, label, style, colour in (
            ("host_ms", "the host launches the operations", "--", COLOURS[6]),
            ("eager_ms", "one call, operation by operation", "o-", COLOURS[0]),
            ("graph_ms", "one call, replayed as a CUDA graph", "s-", COLOURS[1]),
        ):
            ax.plot(frames, [row[key] for row in rows], style, label=label, color=colour)
        ax.set(xscale="log", yscale="log", xlabel="mel frames in one call", ylabel="time (ms)")
        ax.set_xticks(frames, [str(n) for n in frames])
        _plain_log_axis(ax)
        figure.legend(loc="outside lower center", ncols=3)
    return Picture(figure, "Time of a call against its length, eager, as a graph, and of the host")


def _plain_log_axis(ax: Any) -> None:
    """1, 2, 5, 10 on a logarithmic y axis in place of powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    ax.minorticks_off()
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def batch_picture(rows: Sequence[Row], audio_seconds: float) -> Picture:
    """Throughput and waiting time against the batch size.

    Rows have "batch" and, for each way, "NAME_ms" (median of a call); `audio_seconds` of sound in
    each item of a batch.
    """
    from matplotlib.figure import Figure

    ways = list(dict.fromkeys(key for row in rows for key in row if key.endswith("_ms")))
    batches = [row["batch"] for row in rows]
    with house_style():
        figure = Figure(figsize=(_WIDTH, 3.2), layout="constrained")
        speed, wait = figure.subplots(1, 2)
        for way, colour in zip(ways, COLOURS, strict=False):
            known = [row for row in rows if row.get(way) is not None]
            sizes = [row["batch"] for row in known]
            label = way.removesuffix("_ms").replace("_", " ")
            rates = [1e3 * row["batch"] * audio_seconds / row[way] for row in known]
            speed.plot(sizes, rates, "o-", label=label, color=colour)
            wait.plot(sizes, [row[way] for row in known], "o-", label=label, color=colour)
        speed.set(title="throughput", ylabel="seconds of sound per second", ylim=(0, None))
        wait.set(title="latency", ylabel="a batch is ready after (ms)", ylim=(0, None))
        for ax in (speed, wait):
            ax.set(xlabel="batch", xscale="log")
            ax.set_xticks(batches, [str(n) for n in batches])
            ax.minorticks_off()
        if len(ways) > 1:
            speed.legend(loc="lower right")
    return Picture(figure, "Throughput and latency against the batch size")


def first_calls_picture(rows: Sequence[Row]) -> Picture:
    """First and later calls of lengths that come for the first time, with and without the search.

    Rows have "frames", "search" (whether cudnn.benchmark was on), "first_ms" and "later_ms".
    """
    from matplotlib.figure import Figure

    with house_style():
        figure = Figure(figsize=(_WIDTH, 3.4), layout="constrained")
        ax = figure.subplots()
        for search, colour, word in ((False, COLOURS[0], "off"), (True, COLOURS[1], "on")):
            chosen = [row for row in rows if row["search"] == search and "error" not in row]
            frames = [row["frames"] for row in chosen]
            for key, marker, when in (("first_ms", "o", "first call"), ("later_ms", "_", "later")):
                label = f"cudnn.benchmark {word}: {when} of a length"
                values = [row[key] for row in chosen]
                ax.plot(frames, values, marker, color=colour, label=label, markersize=8)
        ax.set(yscale="log", xlabel="mel frames in the call", ylabel="time (ms)")
        _plain_log_axis(ax)
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)
    return Picture(figure, "Time of the first and of later calls per length, search on and off")
