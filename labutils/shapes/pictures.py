"""Pictures of lengths: time over length, buckets over a histogram, batches with their padding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from labutils.shapes.lengths import Lengths
from labutils.shapes.padding import bucket, padded_share, waste
from labutils.show.figures import COLOURS, Picture, house_style

__all__ = ["batches_picture", "buckets_picture", "end_picture", "latency_picture",
           "waiting_picture"]  # fmt: skip

_PADDING = "#D9D9D9"


def _axes(height: float, rows: int = 1, **more: Any) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(9.0, height), layout="constrained").subplots(rows, 1, **more)


def latency_picture(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    *,
    title: str = "",
    xlabel: str = "frames of the mel",
    steps: Sequence[str] = (),
    points: Sequence[str] = (),
    marks: Mapping[str, float] | None = None,
    log: bool = False,
) -> Picture:
    """Milliseconds over frames for each {label: [(frames, ms), ...]}, frames on a log scale.

    With `log` milliseconds, too: then a proportion is a straight line. Lines in `steps` are
    staircases (buckets), those in `points` have no line; `marks` {label: frames} gives a line's own
    tuned length a large dot on it.
    """
    words = []
    with house_style():
        ax = _axes(3.8)
        for i, (label, pairs) in enumerate(lines.items()):
            x, y = (np.array(v, dtype=float) for v in zip(*sorted(pairs), strict=True))
            colour = COLOURS[i % len(COLOURS)]
            style = {"linestyle": "none", "marker": "D"} if label in points else {"marker": "o"}
            if label in steps:
                style = {"drawstyle": "steps-pre", "marker": ""}
            ax.plot(x, y, color=colour, label=label, markersize=5, **style)
            if marks and label in marks:
                height = float(np.interp(marks[label], x, y))
                ax.plot([marks[label]], [height], "o", markersize=13, color=colour, alpha=0.35)
            words.append(f"{label}: {y[0]:.3g} ms at {x[0]:.0f}, {y[-1]:.3g} ms at {x[-1]:.0f}")
        ax.set_xscale("log", base=2)
        ax.set(xlabel=xlabel, ylabel="ms")
        if log:
            ax.set_yscale("log", base=2)
        else:
            ax.set_ylim(bottom=0)
        for axis in (ax.xaxis, *([ax.yaxis] if log else [])):
            axis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.set_title(title)
        if len(lines) > 1:
            ax.legend()
    return Picture(ax.figure, f"{title or 'Time over length'}. {'; '.join(words)}")


def buckets_picture(
    lengths: Lengths, designs: Mapping[str, Sequence[int]], *, title: str = ""
) -> Picture:
    """A histogram of lengths for each {name: buckets}: sentences dark, what padding adds pale."""
    frames = np.array(lengths.frames)
    words = []
    with house_style():
        grid = _axes(0.6 + 1.6 * len(designs), len(designs), sharex=True, squeeze=False)
        for ax, (name, buckets) in zip(grid[:, 0], designs.items(), strict=True):
            edges = np.linspace(0, frames.max() * 1.02, 60)
            made = np.array([bucket(int(f), buckets) for f in frames])
            share = 100 * waste(lengths.frames, buckets)
            used, _ = np.histogram(frames, edges, weights=frames)
            padded, _ = np.histogram(frames, edges, weights=made)
            ax.bar(edges[:-1], padded, np.diff(edges), align="edge", color=_PADDING)
            ax.bar(edges[:-1], used, np.diff(edges), align="edge", color=COLOURS[0])
            for end in sorted(buckets):
                ax.axvline(end, color=COLOURS[1], linewidth=1.4)
            ax.set_title(f"{name}: {share:.0f} % of all computed frames are padding")
            ax.set_yticks([])
            ax.grid(axis="y", visible=False)
            words.append(f"{name} ({', '.join(map(str, sorted(buckets)))}): {share:.0f} %")
        grid[-1, 0].set_xlabel("frames of a sentence; lines: the buckets")
        figure = grid[0, 0].figure
        figure.supylabel("frames computed", fontsize=10)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=11.5)
    return Picture(figure, f"{title or 'Frames computed'}, padding of {'; '.join(words)}")


def batches_picture(
    lengths: Sequence[int], ways: Mapping[str, Sequence[Sequence[int]]], *, title: str = ""
) -> Picture:
    """Every sentence a bar, every batch as long as its longest: {name: batches of indices}."""
    from matplotlib.figure import Figure

    words = []
    with house_style():
        count = sum(len(batch) for batch in next(iter(ways.values())))
        figure = Figure(figsize=(9.0, 1.0 + 0.1 * count), layout="constrained")
        grid = figure.subplots(1, len(ways), sharex=True, squeeze=False)[0]
        for ax, (name, batches) in zip(grid, ways.items(), strict=True):
            row = 0.0
            for i, batch in enumerate(batches):
                longest = max(lengths[j] for j in batch)
                rows = np.arange(row, row + len(batch))
                ax.barh(rows, longest, height=0.9, color=_PADDING)
                colour = COLOURS[0] if i % 2 == 0 else COLOURS[5]
                ax.barh(rows, [lengths[j] for j in batch], height=0.9, color=colour)
                row += len(batch) + 1.2
            share = 100 * padded_share(lengths, batches)
            ax.set_title(f"{name}\n{share:.0f} % padding", fontsize=10.5)
            ax.set(yticks=[], xlabel="frames")
            ax.invert_yaxis()
            ax.grid(axis="y", visible=False)
            words.append(f"{name}: {share:.0f} % padding in {len(batches)} calls")
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=11.5)
    return Picture(figure, f"{title or 'Batches'}. {'; '.join(words)}")


def end_picture(
    differences: Mapping[str, Any], hop_length: int, *, field: int, title: str = "", shown: int = 30
) -> Picture:
    """Differences (samples,) of each {label: samples} against the last frames, in dB of full scale.

    The receptive field, `field` frames before the end, is marked.
    """
    words = []
    with house_style():
        ax = _axes(3.4)
        for i, (label, samples) in enumerate(differences.items()):
            whole = len(samples) // hop_length
            blocks = np.asarray(samples, dtype=float)[: whole * hop_length]
            levels = np.abs(blocks.reshape(whole, hop_length)).max(1)[-shown:]
            db = 20 * np.log10(np.maximum(levels, 1e-9))
            place = np.arange(-len(db), 0) + 0.5
            ax.plot(place, db, marker="o", markersize=4, label=label, color=COLOURS[i])
            words.append(f"{label}: {db[0]:.0f} dB far before the end, {db[-1]:.0f} dB at it")
        ax.axvline(-field, color="#555555", linestyle="--", linewidth=1.2)
        ax.text(-field, ax.get_ylim()[1], " receptive field", va="top", fontsize=9.5)
        ax.set(xlabel="frames before the end of the sentence", ylabel="difference (dBFS)")
        ax.set_title(title)
        ax.legend()
    return Picture(ax.figure, f"{title or 'Differences'}. {'; '.join(words)}")


def waiting_picture(
    lines: Mapping[str, Sequence[tuple[float, float]]], *, title: str = "", limit: float = 200.0
) -> Picture:
    """What 95 % of the requests wait at the most, over requests a second, for each {label: ...}.

    The picture ends at `limit` ms: above it a line only says that the queue grows.
    """
    words = []
    with house_style():
        ax = _axes(3.8)
        for i, (label, pairs) in enumerate(lines.items()):
            x, y = (np.array(v, dtype=float) for v in zip(*sorted(pairs), strict=True))
            ax.plot(x, y, marker="o", markersize=4, label=label, color=COLOURS[i % len(COLOURS)])
            most = max([a for a, b in pairs if b <= limit], default=0)
            words.append(f"{label}: below {limit:.0f} ms up to {most:.0f} a second")
        ax.set(xlabel="requests a second", ylabel="95 % wait less than (ms)", ylim=(0, limit))
        ax.set_title(title)
        ax.legend()
    return Picture(ax.figure, f"{title or 'Waiting'}. {'; '.join(words)}")
