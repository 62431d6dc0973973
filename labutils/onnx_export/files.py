"""ONNX files in and out, and what stands in them. Nothing here knows vocoders or PyTorch."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labutils.environment import require
from labutils.whole_file import whole_file

__all__ = [
    "OnnxError",
    "all_nodes",
    "dimensions",
    "metadata",
    "operators",
    "opset_of",
    "read",
    "runtime_kernels",
    "runtime_message",
    "set_metadata",
    "shape_arithmetic",
    "write",
]

_KERNELS = ("Conv", "ConvTranspose")
_SHAPES = ("Shape", "Size", "ConstantOfShape", "Range", "NonZero")


class OnnxError(ValueError):
    """An ONNX file or a graph that cannot be used; the message says why and what to do."""


def read(path: str | os.PathLike[str]) -> Any:
    """The model in a file, as onnx.ModelProto. Raises OnnxError for one that is none."""
    onnx, path = require("onnx"), Path(path)
    if not path.is_file():
        raise OnnxError(f"no ONNX file at {path}")
    try:
        model = onnx.load(path)
    except (FileNotFoundError, onnx.checker.ValidationError) as error:
        raise OnnxError(f"{path.name} keeps its weights in a file that is gone: {error}") from None
    except Exception:  # protobuf raises its own types for whatever is not its format
        raise OnnxError(f"{path.name} is no ONNX file, or it is cut short: export again") from None
    if not model.graph.node or not model.graph.output:
        raise OnnxError(f"{path.name} holds no graph: export again")
    return model


def write(model: Any, path: str | os.PathLike[str]) -> Path:
    """Check a model and write it, weights included; the file appears whole or not at all.

    Raises OnnxError for a graph that breaks ONNX's rules or has 2 GiB or more, protobuf's limit.
    """
    onnx, path = require("onnx"), Path(path)
    if (size := model.ByteSize()) >= 2**31:
        raise OnnxError(f"{path.name}: {size / 2**30:.1f} GiB, and one file takes 2 GiB")
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise OnnxError(f"{path.name}: {str(error).splitlines()[0]}") from None
    with whole_file(path) as temporary:
        onnx.save(model, temporary)
    return path


def all_nodes(graph: Any) -> Iterator[Any]:
    """Every node of a graph, those of the branches and loops in it included."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from all_nodes(inner)


def operators(model: Any) -> dict[str, int]:
    """How many nodes of each type, the most frequent first; constants are not counted."""
    counts = Counter(n.op_type for n in all_nodes(model.graph) if n.op_type != "Constant")
    return dict(counts.most_common())


def opset_of(model: Any) -> int:
    """The version of ONNX's own operators that the file is written in."""
    return max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)


def dimensions(value: Any) -> tuple[int | str, ...]:
    """The shape of a graph's input or output: numbers, and names where it is dynamic."""
    shape = value.type.tensor_type.shape.dim
    return tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in shape)


def runtime_kernels(model: Any) -> list[str]:
    """Names of the convolutions whose weights the graph computes anew at every run.

    With its weight in the file (an initializer or a Constant) a convolution is prepared once, when
    the model is loaded. Weight norm that was left in the graph is what makes the others.
    """
    fixed = {tensor.name for tensor in model.graph.initializer}
    fixed |= {n.output[0] for n in model.graph.node if n.op_type == "Constant"}
    convolutions = (n for n in model.graph.node if n.op_type in _KERNELS)
    return [n.name for n in convolutions if n.input[1] not in fixed]


def shape_arithmetic(model: Any) -> list[str]:
    """Names of the nodes that compute lengths while the model runs: a vocoder needs none."""
    integer = require("onnx").TensorProto.INT64
    found = []
    for node in all_nodes(model.graph):
        casts = node.op_type == "Cast" and any(a.i == integer for a in node.attribute)
        if node.op_type in _SHAPES or casts:
            found.append(node.name)
    return found


def metadata(model: Any) -> dict[str, str]:
    """What the file says of itself: see `onnx_export.export`."""
    return {entry.key: entry.value for entry in model.metadata_props}


def set_metadata(model: Any, values: dict[str, Any]) -> None:
    """Write entries beside those that are there; numbers become text."""
    known = metadata(model) | {key: str(value) for key, value in values.items()}
    del model.metadata_props[:]
    for key, value in known.items():
        model.metadata_props.add(key=key, value=value)


def runtime_message(error: Exception) -> str:
    """What an exception of ONNX Runtime says, in one line without its codes and source lines."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    return (text.rpartition("Status Message: ")[2] or text)[:300]
