"""Pictures of engines: times real time beside PyTorch, and the SNR of clip after clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from labutils.show.figures import COLOURS, Picture, house_style

__all__ = ["clips_picture", "engines_picture"]

Row = Mapping[str, Any]
_WIDTH = 9.0  # inches: 900 pixels of the page
_LONG = 30  # characters of a name
_TORCH, _ENGINE, _BEST = COLOURS[0], COLOURS[2], COLOURS[1]


def engines_picture(
    panels: Mapping[str, tuple[Sequence[Row], str | None]], *, minimum_snr: float | None = None
) -> Picture:
    """A panel for each {title: (rows, name of the best engine)}; rows as in the records.

    PyTorch and engines differ in colour, the best engine is marked with how many times faster than
    the baseline it is, an SNR below `minimum_snr` is drawn pale, a row without figure says so.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    longest = max((len(_short(row)) for rows, _ in panels.values() for row in rows), default=0)
    # Long names beside a narrow panel would leave no room for its bars.
    columns = 1 if len(panels) == 1 or longest > _LONG else 2
    lines = -(-len(panels) // columns)
    most = max([len(rows) for rows, _ in panels.values()] + [3])
    with house_style():
        figure = Figure(figsize=(_WIDTH, 0.7 + lines * (0.5 + 0.22 * most)), layout="constrained")
        grid = figure.subplots(lines, columns, squeeze=False)
        for ax in list(grid.flat)[len(panels) :]:
            ax.set_visible(False)
        for ax, (title, (rows, best)) in zip(grid.flat, panels.items(), strict=False):
            ax.set_title(title, loc="right")  # it may be wider than the bars
            _bars(ax, rows, best, minimum_snr)
        figure.supxlabel("times real time", fontsize=10)
        if any(rows for rows, _ in panels.values()):
            marks = (("PyTorch", _TORCH), ("TensorRT", _ENGINE), ("fastest engine", _BEST))
            handles = [Patch(color=colour, label=label) for label, colour in marks]
            figure.legend(handles=handles, loc="outside upper right", ncols=3, fontsize=9)
    named = [f"{title}: {best}" for title, (_, best) in panels.items() if best]
    return Picture(
        figure,
        "Bars of speed of PyTorch and engines. Fastest engine: " + ("; ".join(named) or "none"),
    )


def clips_picture(found: Mapping[str, Mapping[str, float]], bound: float) -> Picture:
    """A line for each clip of {clip: {choice: SNR in dB}}, a mark for each choice; `bound` in dB is
    what each has to reach. The clip of the lowest SNR of the first choice stands at the top.

    Raises ValueError without clips, and where a clip lacks a choice of the first one.
    """
    from matplotlib.figure import Figure

    if not found:
        raise ValueError("no clips, so there is nothing to draw")
    choices = list(next(iter(found.values())))
    if lacking := [clip for clip, snrs in found.items() if set(choices) - set(snrs)]:
        raise ValueError(f"{lacking[0]} lacks one of {', '.join(choices)}")
    names = sorted(found, key=lambda clip: found[clip][choices[0]])
    with house_style():
        figure = Figure(figsize=(_WIDTH, 1.0 + 0.24 * len(names)), layout="constrained")
        ax = figure.subplots()
        for number, choice in enumerate(choices):
            snrs = [found[clip][choice] for clip in names]
            ax.plot(snrs, range(len(names)), "os^D"[number % 4], color=COLOURS[number],
                    label=choice)  # fmt: skip
        ax.axvline(bound, color="0.4", linestyle="--", linewidth=1.2, label=f"wanted: {bound:g} dB")
        ax.set_yticks(range(len(names)), names, fontsize=8.5)
        ax.invert_yaxis()
        ax.set_xlabel("SNR (dB)")
        figure.legend(loc="outside upper center", ncols=len(choices) + 1, fontsize=9)
    below = {choice: sum(found[clip][choice] < bound for clip in names) for choice in choices}
    told = "; ".join(f"{choice}: {count}" for choice, count in below.items())
    return Picture(figure, f"SNR of {len(names)} clips; below {bound:g} dB with {told}")


def _bars(ax: Any, rows: Sequence[Row], best: str | None, minimum_snr: float | None) -> None:
    ax.grid(axis="y", visible=False)
    if not rows:
        ax.text(0.5, 0.5, "no record yet", ha="center", va="center", transform=ax.transAxes)
        ax.set(xticks=[], yticks=[])
        return
    speeds = [row.get("times_real_time") or 0.0 for row in rows]
    widest = max(speeds) or 1.0
    frozen = next(
        (r["times_real_time"] for r in rows if r.get("is_baseline") and "error" not in r), 0
    )
    for i, (row, speed) in enumerate(zip(rows, speeds, strict=True)):
        snr, chosen = row.get("snr_db"), row["variant"] == best
        noisy = minimum_snr is not None and snr is not None and snr < minimum_snr
        colour = _BEST if chosen else _TORCH if row["backend"] == "torch" else _ENGINE
        ax.barh(i, speed, color=colour, alpha=0.4 if noisy else 1, height=0.74)
        text = "not measured" if not speed else f"{speed:,.0f}" if speed > 20 else f"{speed:.1f}"
        if noisy:
            text += f" ({snr:.0f} dB)"
        elif row.get("is_baseline"):
            text += " (baseline)"
        elif chosen and frozen:
            text += f" ({speed / frozen:.2f} x baseline)"
        weight = "bold" if chosen or row.get("is_baseline") else "normal"
        ax.text(speed + 0.012 * widest, i, text, va="center", fontsize=8.5, fontweight=weight)
    ax.set_yticks(range(len(rows)), [_short(row) for row in rows], fontsize=8.5)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.6 * widest)


def _short(row: Row) -> str:
    """The variant in few words."""
    name = row["variant"].replace("channels last", "ch. last").replace("snakes in ", "")
    return name.replace("TensorRT ", "")
