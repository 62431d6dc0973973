"""The ONNX graph that an engine is built from: bytes, hash, input and number types."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from labutils.environment import require
from labutils.trt.options import BuildError

__all__ = ["OnnxSource", "read_onnx"]

_QUANTIZED = {"QuantizeLinear", "DequantizeLinear"}
# Of what a vocoder is made of: what computes nothing, or nothing with the numbers of a signal.
_MOVES = {"Cast", "Concat", "Constant", "Expand", "Gather", "Identity", "Pad", "Reshape", "Shape",
          "Slice", "Squeeze", "Transpose", "Unsqueeze"}  # fmt: skip


@dataclass(frozen=True)
class OnnxSource:
    """A vocoder's graph. `sha` is the SHA-256 of `data`; `precisions` the number types in it:
    "float16" where there are such tensors, "int8" where it quantizes. `single` are the names of
    the nodes that compute in float32 in a graph that has float16, too. `batch` and `frames` are the
    sizes that the input is fixed to, 0 where the file leaves them open.
    """

    name: str
    data: bytes = field(repr=False)
    sha: str
    input: str
    n_mels: int
    precisions: frozenset[str]
    nodes: tuple[str, ...] = field(repr=False)
    single: tuple[str, ...] = field(repr=False)
    batch: int
    frames: int

    def node(self, index: int) -> str:
        """Name and operator of a node, as in "conv_pre/Conv (Conv)"; empty where there is none."""
        return self.nodes[index] if 0 <= index < len(self.nodes) else ""


def read_onnx(onnx: str | PathLike[str] | bytes | Any) -> OnnxSource:
    """Read a graph from a file, from bytes or from an onnx.ModelProto.

    Tensors that a file keeps beside it are taken in: weights, and constants of nodes. Raises
    BuildError for what is no ONNX, for bytes or a model whose tensors are in another file, and for
    a graph that is no vocoder: one input (batch, n_mels, frames) with a fixed number of bands.
    """
    if isinstance(onnx, OnnxSource):
        return onnx
    name, data, model = _load(onnx)
    initializers = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in initializers]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise BuildError(f"{name} is no vocoder: expected one input, it has {names}")
    dims = inputs[0].type.tensor_type.shape.dim
    if len(dims) != 3 or dims[1].dim_value < 1:
        shape = ", ".join(str(d.dim_value or d.dim_param or "?") for d in dims)
        raise BuildError(
            f"{name} is no vocoder: its input {inputs[0].name} is ({shape}), expected (batch, "
            "n_mels, frames) with a fixed number of mel bands"
        )
    precisions = frozenset(_precisions(model))
    return OnnxSource(
        name,
        data,
        hashlib.sha256(data).hexdigest(),
        inputs[0].name,
        dims[1].dim_value,
        precisions,
        tuple(f"{n.name or 'without a name'} ({n.op_type})" for n in model.graph.node),
        tuple(_single(model)) if "float16" in precisions else (),
        batch=dims[0].dim_value,
        frames=dims[2].dim_value,
    )


def _load(source: Any) -> tuple[str, bytes, Any]:
    """What to call the graph, its bytes, and the same as an onnx.ModelProto."""
    onnx = require("onnx")
    name, path, data = "the graph", None, source
    if hasattr(source, "SerializeToString") and hasattr(source, "graph"):
        if _outside(source):  # read with load_external_data=False
            raise BuildError(f"{name} keeps its weights in another file: give the path instead")
        return name, source.SerializeToString(), source
    if isinstance(source, str | PathLike):
        path = Path(source)
        name = path.name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BuildError(f"no ONNX file at {path}: {error.strerror}") from None
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(
            f"expected a path, the bytes of an ONNX file or an onnx.ModelProto, got "
            f"{type(source).__name__}"
        )
    data = bytes(data)
    try:
        model = onnx.load_from_string(data)
    except Exception:  # protobuf raises its own types for whatever is not its format
        model = onnx.ModelProto()
    if not model.graph.node or not model.graph.output:
        raise BuildError(f"{name} is no ONNX graph, or it is cut short: export it again")
    if _outside(model):
        if path is None:
            raise BuildError(f"{name} keeps its weights in another file: give the path instead")
        try:
            onnx.external_data_helper.load_external_data_for_model(model, str(path.parent))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            raise BuildError(f"{name} keeps its weights in a file that is gone: {error}") from None
        data = model.SerializeToString()
    return name, data, model


def _outside(model: Any) -> bool:
    """Whether a tensor of the model is in another file: its bytes are no content of this one."""
    external = require("onnx").external_data_helper.uses_external_data
    return any(external(tensor) for tensor in _tensors(model))


def _bodies(body: Any) -> Iterator[Any]:
    """A graph or function, and every graph that its nodes hold (branches of If, bodies of Loop)."""
    yield body
    for node in body.node:
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from _bodies(inner)


def _all_bodies(model: Any) -> Iterator[Any]:
    for body in (model.graph, *model.functions):
        yield from _bodies(body)


def _tensors(model: Any) -> Iterator[Any]:
    """Every tensor of a model: initializers and what nodes carry, as the Constant does."""
    for body in _all_bodies(model):
        yield from getattr(body, "initializer", ())  # a function has none
        for node in body.node:
            for attribute in node.attribute:
                yield from ([attribute.t] if attribute.HasField("t") else attribute.tensors)


def _precisions(model: Any) -> set[str]:
    """Number types of the graph that TensorRT 8.6 must be permitted."""
    half = require("onnx").TensorProto.FLOAT16
    nodes = [node for body in _all_bodies(model) for node in body.node]
    types = {tensor.data_type for tensor in _tensors(model)}
    types |= {v.type.tensor_type.elem_type for v in (*model.graph.input, *model.graph.output)}
    casts = (node for node in nodes if node.op_type == "Cast")
    types |= {a.i for node in casts for a in node.attribute if a.name == "to"}
    found = {"float16"} if half in types else set()
    return found | ({"int8"} if any(node.op_type in _QUANTIZED for node in nodes) else set())


def _single(model: Any) -> list[str]:
    """Names of the nodes whose result is float32, by the types of what they read."""
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    types |= {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
    single, found = require("onnx").TensorProto.FLOAT, []
    for node in model.graph.node:
        told = {a.name: a.t.data_type if a.name == "value" else a.i for a in node.attribute}
        read = next((types[name] for name in node.input if name in types), None)
        made = told.get("to", told.get("value")) if node.op_type in {"Cast", "Constant"} else read
        types |= dict.fromkeys(node.output, made)
        if made == single and node.name and node.op_type not in _MOVES:
            found.append(node.name)
    return found
