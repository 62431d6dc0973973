"""Pictures of notebook 11: the 2:4 pattern, what ties channels together, sensitivity, recovery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from labutils.pruning.semi_structured import mask_2_4
from labutils.show.figures import COLOURS, Picture, house_style

__all__ = [
    "curves_picture",
    "pattern_picture",
    "residual_picture",
    "sensitivity_picture",
    "verdict_picture",
]

_LIGHT = "#E4E4E4"


def pattern_picture(weight: Tensor, *, channels: int = 16, outputs: int = 12) -> Picture:
    """A corner of a weight (out, in, taps) at its middle tap: as trained, and what 2:4 leaves.

    Raises PruningError for input channels that are no multiple of four.
    """
    from matplotlib.figure import Figure

    tap = weight.shape[2] // 2
    mask = mask_2_4(weight)[:outputs, :channels, tap].numpy()
    values = weight.detach()[:outputs, :channels, tap].numpy()
    top = float(np.abs(values).max())
    with house_style():
        figure = Figure(figsize=(9.0, 3.4), layout="constrained")
        for ax, shown, title in zip(
            figure.subplots(1, 2),
            (values, np.where(mask, values, np.nan)),
            ("as trained", "2:4 along the input channels"),
            strict=True,
        ):
            ax.set_facecolor(_LIGHT)
            image = ax.imshow(shown, cmap="RdBu_r", vmin=-top, vmax=top, aspect="auto")
            for edge in range(4, channels, 4):
                ax.axvline(edge - 0.5, color="#222222", linewidth=1.6)
            ax.set(xlabel="input channel", ylabel="output channel")
            ax.set(xticks=range(0, channels, 4), yticks=range(0, outputs, 2))
            ax.set_title(title)
            ax.grid(False)
        figure.colorbar(image, ax=figure.axes, label="weight", pad=0.01)
    return Picture(
        figure,
        f"{outputs} by {channels} weights in two grids; on the right two of every four in a row "
        "are empty",
    )


def residual_picture(blocks: int = 3) -> Picture:
    """A drawing of one HiFi-GAN stage: which layers write the residual sum, and which read it."""
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch

    with house_style():
        figure = Figure(figsize=(9.0, 3.3), layout="constrained")
        ax = figure.subplots()
        ax.set(xlim=(0, 10.6), ylim=(-0.6, blocks), xticks=[], yticks=[])
        ax.grid(False)
        for side in ax.spines.values():
            side.set_visible(False)

        def box(x: float, y: float, text: str, colour: str, width: float = 1.5) -> None:
            shape = FancyBboxPatch(
                (x, y - 0.21), width, 0.42, boxstyle="round,pad=0.03", color=colour
            )
            ax.add_patch(shape)
            ax.text(x + width / 2, y, text, ha="center", va="center", color="white", fontsize=9.5)

        def arrow(x1: float, y1: float, x2: float, y2: float) -> None:
            ax.annotate("", (x2, y2), (x1, y1), arrowprops={"arrowstyle": "->", "color": "#555555"})

        middle = (blocks - 1) / 2
        box(0.1, middle, "upsampling", COLOURS[1], 1.4)
        for y in range(blocks):
            arrow(1.6, middle, 2.25, y)
            box(2.35, y, "convs1", COLOURS[0])
            arrow(3.95, y, 4.5, y)
            box(4.6, y, "convs2", COLOURS[1])
            arrow(6.2, y, 6.75, y)
            ax.text(6.95, y, "+", fontsize=17, ha="center", va="center")
            ax.plot([2.0, 2.0, 6.95, 6.95], [y, y + 0.36, y + 0.36, y + 0.16], color="#888888")
            arrow(7.15, y, 7.95, middle)
        ax.text(8.2, middle, "sum", fontsize=11, ha="center", va="center")
        arrow(8.5, middle, 8.9, middle)
        box(9.0, middle, "next layer", COLOURS[0], 1.4)
        ax.text(
            0.1, -0.52, "orange layers write the same channels, blue layers read them; between "
            "convs1 and convs2 each pair has channels of its own", fontsize=9.5,
        )  # fmt: skip
    return Picture(
        figure,
        "The upsampling layer and the second convolution of every residual block write the same "
        "channels; the first convolutions and the next layer read them",
    )


def sensitivity_picture(rows: Sequence[Mapping[str, Any]], *, title: str) -> Picture:
    """Bars in the order of `rows`: "damage" of each "layer" when it alone is pruned."""
    from matplotlib.figure import Figure

    damage = [row["damage"] for row in rows]
    worst = sorted(range(len(rows)), key=damage.__getitem__)[-4:]
    with house_style():
        figure = Figure(figsize=(9.0, 3.2), layout="constrained")
        ax = figure.subplots()
        colours = [COLOURS[1] if i in worst else COLOURS[0] for i in range(len(rows))]
        ax.bar(range(len(rows)), damage, color=colours, width=0.85)
        top = max(*damage, 1e-9)
        room = 0.22 * len(rows)  # what a name takes of the width
        heights: dict[int, float] = {}
        for i in sorted(worst):  # a name near another one goes above it
            below = [height + 0.1 * top for j, height in heights.items() if i - j < room]
            heights[i] = max([damage[i], *below])
            left = i > 0.7 * len(rows)
            ax.annotate(
                rows[i]["layer"], (i, heights[i]), xytext=(-3 if left else 3, 3),
                textcoords="offset points", ha="right" if left else "left", fontsize=8.5,
            )  # fmt: skip
        ax.set(xlabel="layer, in the order of the modules", ylabel="added log mel distance")
        ax.set(ylim=(min(0.0, *damage), 1.2 * top), xticks=[])
        ax.set_title(title)
    listed = ", ".join(rows[i]["layer"] for i in reversed(worst))
    return Picture(figure, f"Bars of {len(rows)} layers; the most sensitive: {listed}")


def curves_picture(
    curves: Mapping[str, Sequence[Mapping[str, Any]]],
    dense: float,
    *,
    title: str,
    score: str = "log_mel_l1",
) -> Picture:
    """Recovery over steps: {name: rows with "step" and the score}, and a line for the network
    before it was pruned."""
    from matplotlib.figure import Figure

    with house_style():
        figure = Figure(figsize=(9.0, 3.5), layout="constrained")
        ax = figure.subplots()
        for number, (name, rows) in enumerate(curves.items()):
            points = [(row["step"], row[score]) for row in rows if row.get(score) is not None]
            colour = COLOURS[number % len(COLOURS)]
            ax.plot(
                *zip(*points, strict=True), marker="o", markersize=3.5, color=colour, label=name
            )
        ax.axhline(dense, color="#555555", linestyle="--", linewidth=1.2, label="before pruning")
        ax.set(xlabel="training steps", ylabel="log mel distance\nto the recording", ylim=(0, None))
        ax.set_title(title)
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=9)
    ends = ", ".join(f"{name} {rows[-1][score]:.2f}" for name, rows in curves.items())
    return Picture(figure, f"Distance over training steps; before pruning {dense:.2f}; end: {ends}")


def verdict_picture(rows: Sequence[Mapping[str, Any]], bounds: Mapping[str, float]) -> Picture:
    """A panel for each vocoder: the distance of each way to prune it, and the bound of its gate.

    Rows have "vocoder", "way", "work (%)", "log mel" and "gate" ("passes" or "fails").
    """
    from matplotlib.figure import Figure

    with house_style():
        figure = Figure(figsize=(9.0, 6.0), layout="constrained")
        grid = figure.subplots(2, 2, sharey=True).flat
        for ax, (name, bound) in zip(grid, bounds.items(), strict=True):
            mine = [row for row in rows if row["vocoder"] == name]
            values = [row["log mel"] for row in mine]
            colours = [COLOURS[2] if row["gate"] == "passes" else COLOURS[1] for row in mine]
            ax.barh(range(len(mine)), values, color=colours, height=0.7)
            for i, row in enumerate(mine):
                ax.annotate(
                    f"work {row['work (%)']:.0f}%", (values[i], i), xytext=(3, 0),
                    textcoords="offset points", va="center", fontsize=8,
                )  # fmt: skip
            ax.axvline(bound, color="#222222", linestyle="--", linewidth=1.2)
            ax.set_yticks(range(len(mine)), [row["way"] for row in mine], fontsize=9)
            ax.set(xlim=(0, 1.25 * max(values)), xlabel="log mel distance")
            ax.set_title(name)
            ax.grid(False, axis="y")
        ax.invert_yaxis()
    passed = sum(row["gate"] == "passes" for row in rows)
    return Picture(
        figure,
        f"Distances of {len(rows)} networks in {len(bounds)} panels with the bound of the gate; "
        f"{passed} pass",
    )
