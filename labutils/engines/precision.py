"""Which layers of an FP16 graph stay FP32 so that the engine passes its gate."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import Any

from labutils import onnx_export
from labutils.onnx_export import OnnxError, files

__all__ = ["KEPT", "first_stage", "keep"]

KEPT = ("ends", "first stage")


def first_stage(model: Any) -> list[str]:
    """Names of the nodes before the second upsampling, and of the last layers.

    `model` is a path or an onnx.ModelProto of `onnx_export`. The first stage runs at the lowest
    rate of all, and every sample hangs on it: that is where a vocoder makes up its phases. Raises
    OnnxError for a graph with fewer than two transposed convolutions.
    """
    if isinstance(model, str | os.PathLike):
        model = files.read(model)
    nodes = list(model.graph.node)
    # BigVGAN's filters against aliasing are transposed convolutions, too, but each of one channel.
    upsamplings = [
        i for i, node in enumerate(nodes) if node.op_type == "ConvTranspose" and _groups(node) == 1
    ]
    if len(upsamplings) < 2:
        raise OnnxError("the graph has no second transposed convolution: no stage ends there")
    first = [node.name for node in nodes[: upsamplings[1]]]
    return [*first, *(name for name in onnx_export.last_layers(model) if name not in first)]


def _groups(node: Any) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)


def keep(kept: str, path: Path, out: Path) -> Path:
    """Write the FP16 file of an FP32 file; `kept` in FP32 are its "ends" or its "first stage"."""
    if kept not in KEPT:
        raise ValueError(f"what stays FP32 is one of {', '.join(KEPT)}, not {kept!r}")
    names = None if kept == "ends" else [_by_name(name) for name in first_stage(path)]
    return onnx_export.to_fp16(path, out, exclude=names)


def _by_name(name: str) -> str:
    """A pattern that means this node alone: the first "LeakyRelu" is called as all of its type."""
    return f"[{name[0]}]{glob.escape(name[1:])}"
