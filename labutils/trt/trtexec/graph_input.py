"""Whether the shapes of a command line are those of the graph, asked before minutes of building."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labutils.environment import require
from labutils.trt.source import OnnxSource, read_onnx
from labutils.trt.trtexec.values import FlagError

if TYPE_CHECKING:
    from labutils.trt.trtexec.plan import Plan

__all__ = ["read_graph"]


def read_graph(plan: Plan) -> OnnxSource:
    """The graph of --onnx, whose input takes all shapes of the plan.

    Raises FlagError for another input name, another number of mel bands, and for a batch or a
    number of frames that the file does not leave open; BuildError for what is no vocoder's graph.
    """
    assert plan.onnx is not None and plan.options is not None
    source = read_onnx(plan.onnx)
    if plan.input not in (None, source.input):
        raise FlagError(
            f'{source.name} has no input "{plan.input}": its input is "{source.input}", write the '
            f"shapes as {source.input}:1x{source.n_mels}x400"
        )
    if plan.n_mels not in (None, source.n_mels):
        raise FlagError(
            f"{source.name} takes {source.n_mels} mel bands, the shapes have {plan.n_mels}"
        )
    batch, _, frames = _sizes(source)
    for what, size, wanted in (
        ("a batch of", batch, plan.options.profiles[0].batch),
        ("a number of frames of", frames, plan.options.profiles[0].frames),
    ):
        if size and set(wanted) != {size}:
            asked = ", ".join(map(str, dict.fromkeys(wanted)))
            raise FlagError(
                f"{source.name} was exported for {what} {size} only, the shapes ask for {asked}: "
                f"give {size}, or export the file with that size left open"
            )
    return source


def _sizes(source: OnnxSource) -> list[int]:
    """Sizes of the graph's input, 0 for one that the file leaves open."""
    inputs = require("onnx").load_from_string(source.data).graph.input
    value = next(value for value in inputs if value.name == source.input)
    return [size.dim_value for size in value.type.tensor_type.shape.dim]
