"""The picture of what an engine is: built once on one GPU, then loaded and run many times."""

from __future__ import annotations

from typing import Any

from labutils.show.figures import COLOURS, Picture, house_style

__all__ = ["engine_picture"]

_WIDTH = 9.0  # inches
# A row of the picture: its title, the boxes (heading, lines), what goes from each to the next.
_ROWS = (
    (
        "building: minutes, once for each GPU and TensorRT version",
        (
            ("ONNX file", ("operations", "and weights")),
            ("parser", ("every node becomes", "a TensorRT layer,", "or it says which not")),
            ("builder", ("fuses layers, times", "many kernels for each,", "keeps the fastest")),
            ("plan", ("a file: kernels chosen,", "weights packed")),
        ),
        ("", "network", "engine"),
        COLOURS[0],
    ),
    (
        "running: milliseconds, as often as you like",
        (
            ("runtime", ("reads the plan, if", "GPU and version", "are the same")),
            ("engine", ("weights in GPU memory;", "nothing changes")),
            ("context", ("the shapes of one call,", "memory between layers")),
            ("enqueue", ("mel address in,", "audio address out,", "on a stream")),
        ),
        ("", "1 to n", ""),
        COLOURS[2],
    ),
)


def engine_picture() -> Picture:
    """Two rows of boxes: from ONNX file to plan, and from plan to sound."""
    from matplotlib.figure import Figure

    with house_style():
        figure = Figure(figsize=(_WIDTH, 3.5), layout="constrained")
        ax = figure.subplots()
        for row, (title, boxes, between, colour) in enumerate(_ROWS):
            y = -1.35 * row
            ax.text(0.45 * row - 0.38, y + 0.53, title, fontsize=10, weight="bold", color=colour)
            for i, (heading, lines) in enumerate(boxes):
                _box(ax, i, y, heading, lines, colour)
                if i:
                    _arrow(ax, i, y, between[i - 1])
        _turn(ax)
        ax.set(xlim=(-0.5, 3.5), ylim=(-1.85, 0.75))
        ax.axis("off")
    rows = ["; ".join(f"{h}: {' '.join(lines)}" for h, lines in boxes) for _, boxes, _, _ in _ROWS]
    return Picture(figure, f"Building an engine: {rows[0]}. Running it: {rows[1]}.")


def _box(ax: Any, x: float, y: float, heading: str, lines: tuple[str, ...], colour: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    ax.add_patch(
        FancyBboxPatch(
            (x - 0.38, y - 0.4), 0.76, 0.8, boxstyle="round,pad=0,rounding_size=0.05",
            facecolor="white", edgecolor=colour, linewidth=1.8, zorder=3,
        )
    )  # fmt: skip
    centred = {"ha": "center", "va": "center", "zorder": 4}
    ax.text(x, y + 0.24, heading, fontsize=10.5, weight="bold", color=colour, **centred)
    ax.text(x, y - 0.1, "\n".join(lines), fontsize=8.2, linespacing=1.3, **centred)


def _arrow(ax: Any, x: float, y: float, word: str) -> None:
    style = {"arrowstyle": "-|>", "color": "#444444", "linewidth": 1.3, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", (x - 0.39, y), (x - 0.61, y), arrowprops=style)
    ax.text(x - 0.5, y + 0.07, word, fontsize=7.5, ha="center", color="#444444")


def _turn(ax: Any) -> None:
    """From the plan at the end of the first row to the runtime at the start of the second."""
    style = {"arrowstyle": "-|>", "color": "#444444", "linewidth": 1.3, "shrinkA": 0, "shrinkB": 0}
    ax.plot([3, 3, 0], [-0.4, -0.63, -0.63], color="#444444", linewidth=1.3, zorder=1)
    ax.annotate("", (0, -0.95), (0, -0.63), arrowprops=style)
