"""Pictures of the roofline: operations under the roof, and what bounds each network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from labutils.show.figures import COLOURS, Picture, house_style

__all__ = ["bounds_picture", "kind", "picture"]

_WORDS = {
    "arithmetic": "floor set by arithmetic",
    "memory": "floor set by memory",
    "launch": "little work: launching is the highest floor",
}
_KINDS = ("convolution", "pointwise", "padding, copying", "filter of single channels")
_MOVING = ("pad", "cat", "copy", "clone", "index", "stack")


class Roof(Protocol):
    """What a picture wants to know of `roofline.Ceilings`."""

    gb_per_s: float
    tflops: Mapping[str, float]
    launch_us: float

    def ridge(self, dtype: str) -> float: ...


_FILTER = 16  # multiply-accumulates for a value written: fewer are one channel's own filter


def kind(row: Mapping[str, Any]) -> str:
    """What a reader tells apart: convolution, filter of one channel, pointwise, moving values."""
    operation = row["operation"]
    if operation in {"convolution", "mm", "addmm", "bmm"}:
        small = row["macs"] <= _FILTER * np.prod(row["shape"])
        return "filter of single channels" if small else "convolution"
    return "padding, copying" if any(word in operation for word in _MOVING) else "pointwise"


def picture(
    placed: Sequence[Mapping[str, Any]], ceilings: Roof, *, dtype: str = "float32", title: str = ""
) -> Picture:
    """Rows of `roofline.place` under the roof; a dot's area is its share of the time.

    Without measured times each dot lies on the roof, as high as it can get.
    """
    from matplotlib.figure import Figure

    ridge = ceilings.ridge(dtype)
    unit, scale = ("TFLOP/s", 1.0) if ceilings.tflops[dtype] >= 1 else ("GFLOP/s", 1e3)
    peak, slope = scale * ceilings.tflops[dtype], scale * ceilings.gb_per_s / 1e3
    x = np.array([row["intensity"] for row in placed])
    # The roof proper: launching is a time, not a rate.
    roof_y = np.minimum(peak, x * slope)
    y = np.array(
        [
            row["tflops"] * scale if "tflops" in row else height
            for row, height in zip(placed, roof_y, strict=True)
        ]
    )
    ms = np.array([row["count"] * row.get("ms", row["floor_ms"]) for row in placed])
    low, high = min(0.05, x.min() / 2), max(x.max(), ridge) * 4
    with house_style():
        figure = Figure(figsize=(9.0, 4.4), layout="constrained")
        ax = figure.subplots()
        line = np.array([low, ridge, high])
        roof = np.minimum(peak, line * slope)
        ax.plot(line, roof, color="#222222", linewidth=2)
        bottom = min(y.min(), roof[0]) / 3
        ax.fill_between(line, roof, bottom, color="#888888", alpha=0.08, linewidth=0)
        ax.axvline(ridge, color="#888888", linestyle=":", linewidth=1.2)
        what = "time" if "ms" in placed[0] else "floor"
        for i, name in enumerate(_KINDS):
            mine = np.array([kind(row) == name for row in placed])
            if mine.any():
                area = np.clip(2500 * ms[mine] / ms.sum(), 12, None)
                share = 100 * ms[mine].sum() / ms.sum()
                ax.scatter(
                    x[mine], y[mine], s=area, color=COLOURS[i], alpha=0.6, linewidths=0.6,
                    edgecolors="white", label=f"{name}: {share:.0f} % of the {what}",
                )  # fmt: skip
        ax.set(xscale="log", yscale="log", xlim=(low, high), ylim=(bottom, peak * 5))
        ax.set(xlabel="operations per byte moved", ylabel=f"{unit} ({dtype})")
        ax.set_title(title)
        ax.annotate(
            f"arithmetic: {_rate(peak)} {unit}", (high / 1.3, peak * 1.4), ha="right", va="bottom"
        )
        at = np.sqrt(low * ridge)
        ax.annotate(
            f"memory: {ceilings.gb_per_s:,.0f} GB/s", (at, at * slope * 1.6),
            ha="right", va="bottom",
        )  # fmt: skip
        ax.annotate(
            f"ridge: {ridge:.0f} operations a byte ", (ridge, bottom * 1.2), ha="right",
            va="bottom", color="#555555",
        )  # fmt: skip
        legend = ax.legend(loc="lower right", bbox_to_anchor=(1.0, 0.09))
        for handle in legend.legend_handles:
            handle.set_sizes([60])
    words = f"Roofline{f' of {title}' if title else ''}: {len(placed)} kinds of operations, ridge"
    return Picture(figure, f"{words} at {ridge:.0f} operations per byte in {dtype}")


def bounds_picture(
    summaries: Mapping[str, Sequence[Mapping[str, Any]]], *, title: str = ""
) -> Picture:
    """A bar for each {name: rows of `roofline.summary`}: shares of time by what sets the floor."""
    from matplotlib.figure import Figure

    colours = {"arithmetic": COLOURS[0], "memory": COLOURS[1], "launch": "#B0B0B0"}
    with house_style():
        figure = Figure(figsize=(9.0, 1.3 + 0.5 * len(summaries)), layout="constrained")
        ax = figure.subplots()
        for position, (_, rows) in enumerate(summaries.items()):
            times = {row["bound"]: row.get("ms", row["floor_ms"]) for row in rows}
            total, left = sum(times.values()), 0.0
            for bound, ms in times.items():
                share = 100 * ms / total
                ax.barh(
                    position, share, left=left, height=0.62, color=colours[bound],
                    label=_WORDS[bound] if position == 0 else None,
                )  # fmt: skip
                if share > 6:
                    dark = "white" if bound != "launch" else "#222222"
                    ax.text(left + share / 2, position, f"{share:.0f} %", ha="center", va="center",
                            color=dark, fontsize=9.5)  # fmt: skip
                left += share
            ax.text(101, position, f"{_rate(total)} ms", va="center", fontsize=9.5)
        ax.set_yticks(range(len(summaries)), list(summaries))
        ax.invert_yaxis()
        ax.set(xlabel="share of the operations' time (%)", xlim=(0, 112))
        ax.set_xticks(range(0, 101, 20))
        ax.grid(axis="y", visible=False)
        ax.set_title(title)
        figure.legend(loc="outside lower center", ncols=3)
    parts = []
    for name, rows in summaries.items():
        times = {row["bound"]: row.get("ms", row["floor_ms"]) for row in rows}
        total = sum(times.values())
        shares = ", ".join(f"{100 * ms / total:.0f} % {bound}" for bound, ms in times.items())
        parts.append(f"{name}: {shares}")
    return Picture(figure, f"What sets the floor of each network's operations. {'; '.join(parts)}")


def _rate(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"
