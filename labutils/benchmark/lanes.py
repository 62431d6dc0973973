"""A picture of who works when: host and device side by side along one time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from labutils.show.figures import COLOURS, Picture, house_style

__all__ = ["Span", "lanes_picture"]

Span = tuple[str, float, float]  # what, start and end

_HEIGHT = 0.62  # of a bar; 1 is the distance of two lanes
_LEGIBLE = 0.012  # width of a letter as a share of the whole: narrower bars get no label


def lanes_picture(
    panels: Mapping[str, Mapping[str, Sequence[Span]]],
    *,
    title: str = "",
    unit: str = "ms",
    to_scale: bool = True,
) -> Picture:
    """{panel: {lane: [(what, start, end), ...]}}: a row of bars for each lane, one time for all.

    The same `what` has the same colour everywhere. `to_scale=False` leaves the numbers of the axis
    out: a sketch. Raises ValueError for a span that ends before it starts.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    spans = [span for lanes in panels.values() for lane in lanes.values() for span in lane]
    for what, start, end in spans:
        if end < start:
            raise ValueError(f"{what} ends at {end:g}, before it starts at {start:g}")
    kinds = list(dict.fromkeys(what for what, _, _ in spans))
    colours = {what: COLOURS[i % len(COLOURS)] for i, what in enumerate(kinds)}
    right = max((end for _, _, end in spans), default=1.0) or 1.0
    rows = [len(lanes) for lanes in panels.values()]
    with house_style():
        figure = Figure(
            figsize=(9.0, 1.0 + sum(0.42 * n + 0.35 for n in rows)), layout="constrained"
        )
        axes = figure.subplots(
            len(panels), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": rows}
        )
        for ax, (name, lanes) in zip(axes[:, 0], panels.items(), strict=True):
            for place, lane in enumerate(lanes.values()):
                for what, start, end in lane:
                    ax.barh(
                        place, end - start, left=start, height=_HEIGHT, color=colours[what],
                        edgecolor="white", linewidth=0.8,
                    )  # fmt: skip
                    if end - start > _LEGIBLE * right * len(what):
                        ax.text(
                            (start + end) / 2, place, what, ha="center", va="center",
                            color=_ink(colours[what]), fontsize=8.5,
                        )  # fmt: skip
            ax.set_yticks(range(len(lanes)), list(lanes))
            ax.set(xlim=(0, right * 1.01), ylim=(len(lanes) - 0.45, -0.55))
            ax.grid(axis="y", visible=False)
            ax.set_title(name, fontsize=10)
        if to_scale:
            axes[-1, 0].set_xlabel(unit)
        else:
            axes[-1, 0].set_xticks([])
            axes[-1, 0].set_xlabel("time, not to scale")
        figure.legend(
            handles=[Patch(color=colours[what], label=what) for what in kinds],
            loc="outside lower center", ncols=min(len(kinds), 6), fontsize=9,
        )  # fmt: skip
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=11.5, fontweight="bold")
    words = "; ".join(
        ", ".join(filter(None, (name, lane)))
        + ": "
        + ", ".join(_words(span, unit if to_scale else "") for span in of)
        for name, lanes in panels.items()
        for lane, of in lanes.items()
    )
    return Picture(figure, f"{title}. {words}")


def _ink(ground: str) -> str:
    """Black or white, whichever is easier to read on a colour (its luminance, by WCAG 2)."""
    parts = [int(ground[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    luminance = sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return "black" if luminance > 0.18 else "white"


def _words(span: Span, unit: str) -> str:
    what, start, end = span
    return f"{what} {start:.3g} to {end:.3g} {unit}" if unit else what
