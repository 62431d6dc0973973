"""The same ONNX graph in half precision, with the layers that need it left in single precision."""

import fnmatch
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from labutils.environment import require
from labutils.onnx_export import files, mend, rounding
from labutils.onnx_export.files import OnnxError

__all__ = ["first_layers", "last_layers", "to_fp16"]

_LARGEST = 65504.0  # of FP16


def first_layers(model: Any) -> list[str]:
    """Names of the first convolution and what stands before it: conv_pre, MelGAN's padding.

    `model` is a path or an onnx.ModelProto. They read the mel itself, once a frame. Raises
    OnnxError for a graph without a convolution.
    """
    nodes, convolutions = _ends(model)
    return [node.name for node in nodes[: convolutions[0] + 1]]


def last_layers(model: Any) -> list[str]:
    """Names of the last convolution and what follows it: conv_post and its tanh or clip.

    As `first_layers`; they make the waveform itself.
    """
    nodes, convolutions = _ends(model)
    return [node.name for node in nodes[convolutions[-1] :]]


def _ends(model: Any) -> tuple[list[Any], list[int]]:
    if isinstance(model, str | os.PathLike):
        model = files.read(model)
    nodes = list(model.graph.node)
    convolutions = [i for i, node in enumerate(nodes) if node.op_type == "Conv"]
    if not convolutions:
        raise OnnxError("the graph has no convolution")
    return nodes, convolutions


def to_fp16(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    exclude: Sequence[str] | None = None,
    keep_io: bool = True,
    keep_sums: bool = True,
) -> Path:
    """Write a copy of a file whose weights and activations are FP16; returns `out`.

    `exclude` names what stays FP32: types ("Sin"), node names ("conv_post/Conv") or patterns
    ("resblocks.0.*"). The first node of a type may be called as the type ("Add"): the word means
    the type. By default `first_layers` and `last_layers`, which do next to none of the arithmetic
    (notebook 05 asks what they cost an engine); with () nothing stays. `keep_io` keeps mel and
    audio FP32: a log mel rounded to FP16 is the largest single error in most vocoders (notebook
    04). `keep_sums` rounds the taps of depthwise filters so that they add up to what they did:
    BigVGAN gains 7 dB and more (`rounding`).

    onnxruntime converts. What it leaves is mended: casts to FP16 and back between two FP32 nodes,
    which would round the audio itself; weights that an FP32 node shares with others; equal casts
    under one name; casts out of order.

    Raises OnnxError for a file that is FP16 already, for an exclusion that fits no node, and for
    weights beyond FP16's range (65504) in a node that was not excluded.
    """
    onnx, name = require("onnx"), Path(path).name
    converter = require("onnxruntime.transformers.float16")
    model = files.read(path)
    if any(t.data_type == onnx.TensorProto.FLOAT16 for t in model.graph.initializer):
        raise OnnxError(f"{name} is FP16 already")
    patterns = [*first_layers(model), *last_layers(model)] if exclude is None else list(exclude)
    kept = _matching(model, patterns)
    _separate_weights(model, kept)
    _check_range(model, kept, name)
    filters = dict(rounding.fixed_filters(model)) if keep_sums else {}
    model = converter.convert_float_to_float16(
        model,
        keep_io_types=keep_io,
        op_block_list=converter.DEFAULT_OP_BLOCK_LIST,
        node_block_list=sorted(kept),
    )
    _set_halves(model, filters)
    _mend_casts(model)
    mend.clean(model)
    mend.sort_nodes(model)
    precision = f"FP16, but {', '.join(patterns)} FP32" if patterns else "FP16"
    files.set_metadata(model, {"precision": precision})
    return files.write(model, out)


def _matching(model: Any, patterns: Sequence[str]) -> set[str]:
    """Names of the nodes that the patterns mean, by type or by name."""
    found: set[str] = set()
    for pattern in patterns:
        fits = {
            node.name
            for node in model.graph.node
            if node.op_type == pattern or fnmatch.fnmatchcase(node.name, pattern)
        }
        if not fits:
            types = ", ".join(files.operators(model))
            raise OnnxError(f"no node is of type or is called {pattern!r}; types here: {types}")
        found |= fits
    return found


def _separate_weights(model: Any, kept: set[str]) -> None:
    """Give FP32 nodes weights of their own where they share them with others. In place."""
    shared = {i for node in model.graph.node if node.name not in kept for i in node.input}
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    done = set()
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if node.name in kept and name in shared and name in tensors:
                if name not in done:
                    copy = model.graph.initializer.add()
                    copy.CopyFrom(tensors[name])
                    copy.name = f"{name}_fp32"
                    done.add(name)
                node.input[place] = f"{name}_fp32"


def _check_range(model: Any, kept: set[str], file: str) -> None:
    onnx = require("onnx")
    users = {i: node.name for node in model.graph.node if node.name not in kept for i in node.input}
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or tensor.name not in users:
            continue
        values = np.abs(onnx.numpy_helper.to_array(tensor))
        if values.size and values.max() > _LARGEST:
            raise OnnxError(
                f"{file}: {tensor.name} holds {values.max():.3g}, FP16 ends at {_LARGEST:.0f}: "
                f"exclude {users[tensor.name]!r}"
            )


def _set_halves(model: Any, values: Mapping[str, np.ndarray]) -> None:
    """Give FP16 weights these values; what stayed FP32 keeps its own. In place."""
    onnx = require("onnx")
    for tensor in model.graph.initializer:
        if tensor.name in values and tensor.data_type == onnx.TensorProto.FLOAT16:
            tensor.CopyFrom(onnx.numpy_helper.from_array(values[tensor.name], tensor.name))


def _mend_casts(model: Any) -> None:
    """Drop casts that stand there twice, and FP32 to FP16 to FP32, which only rounds. In place."""
    half, graph = require("onnx").TensorProto.FLOAT16, model.graph
    casts = {node.output[0]: node for node in graph.node if node.op_type == "Cast"}
    rounding = {  # the second cast's output: what the first one read
        name: casts[node.input[0]].input[0]
        for name, node in casts.items()
        if node.attribute[0].i != half
        and node.input[0] in casts
        and casts[node.input[0]].attribute[0].i == half
    }
    outputs = {value.name for value in graph.output}
    # The graph's output keeps its name: there the node before the casts is renamed instead.
    renamed = {origin: name for name, origin in rounding.items() if name in outputs}
    for node in graph.node:
        node.input[:] = [rounding.get(name, name) for name in node.input]
        node.input[:] = [renamed.get(name, name) for name in node.input]
        if node.op_type != "Cast" or node.output[0] not in outputs:
            node.output[:] = [renamed.get(name, name) for name in node.output]
    made = {name for node in graph.node if node.op_type != "Cast" for name in node.output}
    readers = Counter(name for node in graph.node for name in node.input)
    nodes, seen = [], set()
    for node in graph.node:
        if node.op_type == "Cast":
            name = node.output[0]
            if name in seen or name in made:
                readers.subtract(node.input)
                continue
            seen.add(name)
        nodes.append(node)
    while unread := [
        n for n in nodes if n.op_type == "Cast" and not readers[n.output[0]]
        and n.output[0] not in outputs
    ]:  # fmt: skip
        for node in unread:
            nodes.remove(node)
            readers.subtract(node.input)
    del graph.node[:]
    graph.node.extend(nodes)
