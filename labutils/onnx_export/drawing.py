"""Draws a small part of an ONNX graph: boxes for nodes, lines for tensors, numbers in the boxes."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from labutils.environment import require
from labutils.onnx_export import files
from labutils.onnx_export.files import OnnxError
from labutils.show.figures import COLOURS, Picture, house_style

__all__ = ["graph_picture"]

_WIDTH, _ROW, _MOST = 9.0, 1.55, 24  # inches, inches, boxes
_KINDS = {
    "Conv": COLOURS[0],
    "ConvTranspose": COLOURS[0],
    "LeakyRelu": COLOURS[1],
    "Tanh": COLOURS[1],
    "Sin": COLOURS[1],
    "Clip": COLOURS[1],
    "Add": COLOURS[2],
    "Mul": COLOURS[2],
    "Div": COLOURS[2],
    "Pow": COLOURS[2],
    "Pad": COLOURS[3],
}
_OTHER = "#6B6B6B"  # what only computes shapes


def graph_picture(
    model: Any, names: Sequence[str], *, title: str = "", columns: int = 7
) -> Picture:
    """Draw the nodes of these names and what goes from one to the next, `columns` in a row.

    `model` is a path or an onnx.ModelProto. Constants stand in the box of the node that reads them:
    short ones as numbers, weights by their shape. Raises OnnxError for names that are not there, or
    more than 24 nodes with an output that the others use.
    """
    if isinstance(model, str | os.PathLike):
        model = files.read(model)
    constants = _constants(model)
    nodes = [n for n in model.graph.node if n.name in set(names) and n.op_type != "Constant"]
    if not nodes or len(nodes) > _MOST:
        raise OnnxError(f"{len(nodes)} nodes of these names; draw 1 to {_MOST}")
    maker = {name: i for i, node in enumerate(nodes) for name in node.output}
    depths = _depths(nodes, maker)
    with house_style():
        from matplotlib.figure import Figure

        rows = max(depths) // columns + 1
        figure = Figure(figsize=(_WIDTH, 0.3 + _ROW * (rows - 0.12)), layout="constrained")
        ax = figure.subplots()
        places = [(depth % columns, -(depth // columns)) for depth in depths]
        for i, node in enumerate(nodes):
            _box(ax, places[i], node, constants)
            for name in node.input:
                if name in maker:
                    _line(ax, places[maker[name]], places[i])
                elif name and name not in constants:
                    _enter(ax, places[i])
        ax.set(xlim=(-0.75, columns - 0.45), ylim=(-rows + 0.62, 0.48))
        ax.axis("off")
        ax.set_title(title)
    words = ", ".join(f"{node.op_type} {' '.join(_details(node, constants))}" for node in nodes)
    return Picture(figure, f"{title or 'Part of a graph'}: {words}")


def _constants(model: Any) -> dict[str, np.ndarray]:
    numpy_helper = require("onnx").numpy_helper
    found = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found


def _depths(nodes: list[Any], maker: dict[str, int]) -> list[int]:
    """The column of each node: one more than that of the last node that it reads from."""
    depths: list[int] = []
    for node in nodes:
        before = [depths[maker[name]] for name in node.input if name in maker]
        depths.append(max(before, default=-1) + 1)
    return depths


def _details(node: Any, constants: dict[str, np.ndarray]) -> list[str]:
    """What the box says below the type, a few short lines."""
    helper = require("onnx").helper
    settings = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type in ("Conv", "ConvTranspose"):
        return _convolution(node, settings, constants.get(node.input[1]))
    fixed = [constants[name] for name in node.input if name in constants]
    lines = [f"slope {settings['alpha']:g}"] if "alpha" in settings else []
    if node.op_type == "Pad":
        lines.append(settings.get("mode", b"constant").decode())
        if fixed:  # all beginnings, then all ends: the last dimension is the one in time
            return [*lines, f"{fixed[0][len(fixed[0]) // 2 - 1]} + {fixed[0][-1]}"]
    return [*lines, *map(_number, fixed)][:4]


def _convolution(node: Any, settings: dict[str, Any], weight: np.ndarray | None) -> list[str]:
    stride, dilation = settings.get("strides", [1])[0], settings.get("dilations", [1])[0]
    if weight is None:
        return ["kernel computed", "at run time"]
    groups, (first, second, kernel) = settings.get("group", 1), weight.shape
    ends = (second * groups, first) if node.op_type == "Conv" else (first, second * groups)
    lines = [f"kernel {kernel}"]
    lines += [f"stride {stride}"] if stride > 1 else []
    lines += [f"dilation {dilation}"] if dilation > 1 else []
    return [*lines, f"{groups} × 1 → 1" if groups > 1 else f"{ends[0]} → {ends[1]}"]


def _number(array: np.ndarray) -> str:
    if array.size > 6:
        return "×".join(map(str, array.shape))
    values = [_plain(v) for v in array.ravel()]
    return values[0] if array.ndim == 0 else f"[{', '.join(values)}]"


def _plain(value: Any) -> str:
    if np.issubdtype(type(value), np.integer):
        return "−∞" if value < -(2**31) else "∞" if value > 2**31 else str(value)
    return f"{value:.3g}"


def _box(ax: Any, place: tuple[int, int], node: Any, constants: dict[str, np.ndarray]) -> None:
    from matplotlib.patches import FancyBboxPatch

    x, y = place
    colour = _KINDS.get(node.op_type, _OTHER)
    ax.add_patch(
        FancyBboxPatch(
            (x - 0.4, y - 0.3), 0.8, 0.6, boxstyle="round,pad=0,rounding_size=0.06",
            facecolor="white", edgecolor=colour, linewidth=1.8, zorder=3,
        )
    )  # fmt: skip
    size = 9 if len(node.op_type) < 11 else 7.5 if len(node.op_type) < 15 else 6.3
    ax.text(x, y + 0.19, node.op_type, ha="center", va="center", fontsize=size, weight="bold",
            color=colour, zorder=4)  # fmt: skip
    ax.text(x, y - 0.07, "\n".join(_details(node, constants)), ha="center", va="center",
            fontsize=7.5, linespacing=1.25, zorder=4)  # fmt: skip


def _line(ax: Any, start: tuple[int, int], end: tuple[int, int]) -> None:
    style = {"arrowstyle": "-|>", "color": "#444444", "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
    (x0, y0), (x1, y1) = start, end
    if y0 != y1:  # to the next line of the picture
        points = [
            (x0 + 0.4, y0),
            (x0 + 0.5, y0),
            (x0 + 0.5, y0 - 0.5),
            (-0.5, y0 - 0.5),
            (-0.5, y1),
        ]
        ax.plot(*zip(*points, strict=True), color="#444444", linewidth=1.2, zorder=1)
        ax.annotate("", (x1 - 0.4, y1), (x1 - 0.5, y1), arrowprops=style)
    elif x1 - x0 == 1:
        ax.annotate("", (x1 - 0.4, y1), (x0 + 0.4, y0), arrowprops=style)
    else:  # over the boxes between: the branch around a residual block
        top = y0 + 0.42
        ax.plot([x0, x0, x1, x1], [y0 + 0.3, top, top, y1 + 0.35], color="#444444", linewidth=1.2)
        ax.annotate("", (x1, y1 + 0.3), (x1, top), arrowprops=style)


def _enter(ax: Any, place: tuple[int, int]) -> None:
    x, y = place
    style = {"arrowstyle": "-|>", "color": "#999999", "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", (x - 0.4, y), (x - 0.62, y), arrowprops=style)
