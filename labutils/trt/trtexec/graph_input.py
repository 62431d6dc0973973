"""Whether the shapes of a command line are those of a graph or an engine.

A graph is asked before minutes of building.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labutils.trt.source import OnnxSource, read_onnx
from labutils.trt.trtexec.values import FlagError

if TYPE_CHECKING:
    from labutils.trt.trtexec.plan import Plan

__all__ = ["check_input", "read_graph"]


def check_input(plan: Plan, where: str, name: str, n_mels: int) -> None:
    """Raises FlagError where the plan's shapes are for another input, or have other mel bands, than
    those of `where`, a graph or an engine.
    """
    if plan.input not in (None, name):
        raise FlagError(
            f'{where} has no input "{plan.input}": its input is "{name}", write the shapes as '
            f"{name}:1x{n_mels}x400"
        )
    if plan.n_mels not in (None, n_mels):
        raise FlagError(f"{where} takes {n_mels} mel bands, the shapes have {plan.n_mels}")


def read_graph(plan: Plan) -> OnnxSource:
    """The graph of --onnx, whose input takes all shapes of the plan.

    Raises FlagError for another input name, another number of mel bands, and for a batch or a
    number of frames that the file does not leave open; BuildError for what is no vocoder's graph.
    """
    assert plan.onnx is not None and plan.options is not None
    source = read_onnx(plan.onnx)
    check_input(plan, source.name, source.input, source.n_mels)
    for what, size, wanted in (
        ("a batch of", source.batch, plan.options.profiles[0].batch),
        ("a number of frames of", source.frames, plan.options.profiles[0].frames),
    ):
        if size and set(wanted) != {size}:
            asked = ", ".join(map(str, dict.fromkeys(wanted)))
            raise FlagError(
                f"{source.name} was exported for {what} {size} only, the shapes ask for {asked}: "
                f"give {size}, or export the file with that size left open"
            )
    return source
