"""Runs a vocoder's ONNX graph node by node in PyTorch, in the number formats that the file states.

ONNX Runtime computes FP16 files in FP32 on most processors, which have no FP16 arithmetic: only the
weights are rounded there. Here each result is rounded as well, as on a GPU, where products of FP16
numbers are summed in FP32 and the sum is stored as FP16.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from labutils.environment import require
from labutils.onnx_export import files
from labutils.onnx_export.files import OnnxError

__all__ = ["evaluate"]

Watch = Callable[[str, Tensor], None]


def evaluate(model: Any, mel: np.ndarray, *, watch: Watch | None = None) -> np.ndarray:
    """Audio (batch, 1, samples), float32, of a mel (batch, n_mels, frames).

    `model` is a path or an onnx.ModelProto of `onnx_export`. `watch(name, tensor)` sees the result
    of each node, as it is stored.

    Raises OnnxError for a node that no vocoder of this workbook needs.
    """
    onnx = require("onnx")
    if isinstance(model, str | os.PathLike):
        model = files.read(model)
    graph = model.graph
    values: dict[str, Tensor] = {
        tensor.name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
        for tensor in graph.initializer
    }
    source = graph.input[0]
    half = source.type.tensor_type.elem_type == onnx.TensorProto.FLOAT16
    values[source.name] = torch.from_numpy(mel).to(torch.float16 if half else torch.float32)
    readers = _readers(graph)
    with torch.inference_mode():
        for node in graph.node:
            inputs = [values[name] if name else None for name in node.input]
            settings = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            values[node.output[0]] = result = _compute(node, inputs, settings)
            if watch is not None:
                watch(node.name, result)
            for name in node.input:  # long sounds do not fit into memory layer by layer
                readers[name] -= 1
                if not readers[name]:
                    values.pop(name, None)
    return values[graph.output[0].name].float().numpy()


def _readers(graph: Any) -> dict[str, int]:
    names = [name for node in graph.node for name in node.input]
    names += [value.name for value in graph.output]
    return {name: names.count(name) for name in set(names)}


def _compute(node: Any, inputs: list[Tensor | None], settings: dict[str, Any]) -> Tensor:
    """One node: computed in FP32, stored in the format of its first input."""
    if node.op_type == "Cast":
        onnx = require("onnx")
        kind = onnx.helper.tensor_dtype_to_np_dtype(settings["to"])
        return inputs[0].to(torch.from_numpy(np.zeros(0, kind)).dtype)
    try:
        operation = _OPERATIONS[node.op_type]
    except KeyError:
        raise OnnxError(f"{node.name}: a {node.op_type} is not covered here") from None
    wide = [i.float() if i is not None and i.is_floating_point() else i for i in inputs]
    return operation(wide, settings).to(inputs[0].dtype)


def _conv(inputs: list[Tensor], settings: dict[str, Any]) -> Tensor:
    x, weight, *bias = inputs
    x = functional.pad(x, settings.get("pads", [0, 0]))
    return functional.conv1d(
        x,
        weight,
        bias[0] if bias else None,
        stride=settings.get("strides", [1]),
        dilation=settings.get("dilations", [1]),
        groups=settings.get("group", 1),
    )


def _conv_transpose(inputs: list[Tensor], settings: dict[str, Any]) -> Tensor:
    x, weight, *bias = inputs
    before, after = settings.get("pads", [0, 0])
    y = functional.conv_transpose1d(
        x,
        weight,
        bias[0] if bias else None,
        stride=settings.get("strides", [1]),
        dilation=settings.get("dilations", [1]),
        groups=settings.get("group", 1),
        output_padding=settings.get("output_padding", [0]),
    )
    return y[..., before : y.shape[-1] - after]


def _pad(inputs: list[Tensor], settings: dict[str, Any]) -> Tensor:
    pads = inputs[1].tolist()  # all beginnings, then all ends; only the last dimension is padded
    mode = settings.get("mode", b"constant").decode()
    mode = "replicate" if mode == "edge" else mode
    last = [int(pads[len(pads) // 2 - 1]), int(pads[-1])]
    return functional.pad(inputs[0], last, mode=mode)


_OPERATIONS: dict[str, Callable[[list[Any], dict[str, Any]], Tensor]] = {
    "Add": lambda i, _: i[0] + i[1],
    "Clip": lambda i, _: torch.clamp(i[0], i[1], i[2]),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Div": lambda i, _: i[0] / i[1],
    "Exp": lambda i, _: torch.exp(i[0]),
    "Identity": lambda i, _: i[0],
    "LeakyRelu": lambda i, s: functional.leaky_relu(i[0], s.get("alpha", 0.01)),
    "Mul": lambda i, _: i[0] * i[1],
    "Pad": _pad,
    "Pow": lambda i, _: i[0] ** i[1],
    "Relu": lambda i, _: torch.relu(i[0]),
    "Sin": lambda i, _: torch.sin(i[0]),
    "Sub": lambda i, _: i[0] - i[1],
    "Tanh": lambda i, _: torch.tanh(i[0]),
}
