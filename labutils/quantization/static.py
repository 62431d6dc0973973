"""Static INT8: pairs of QuantizeLinear and DequantizeLinear in the graph, and where they stand."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labutils.environment import require
from labutils.onnx_export import files, mend
from labutils.onnx_export.files import OnnxError
from labutils.quantization.calibration import Ranges, quiet
from labutils.quantization.layers import KINDS, Layer, layers_of, select

__all__ = ["TARGETS", "default_exclusions", "placement", "quantize"]

TARGETS = ("onnxruntime", "tensorrt")
_LEAST_OPSET = 13  # scales per channel


def default_exclusions(layers: Sequence[Layer]) -> list[str]:
    """Names of what stays float unless told otherwise: ends, transposed and depthwise convolutions.

    The first convolution reads the mel, the last one writes the waveform; on a GPU INT8 transposed
    convolutions are often missing or slower than FP16 ones; BigVGAN's depthwise filters wait for
    memory, not for arithmetic.
    """
    plain = [layer.name for layer in layers if layer.kind == "Conv"]
    ends = {plain[0], plain[-1]} if plain else set()
    return [x.name for x in layers if x.kind == "ConvTranspose" or x.groups > 1 or x.name in ends]


def quantize(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    ranges: Ranges,
    *,
    exclude: Sequence[str] | None = None,
    only: Sequence[str] | None = None,
    per_channel: bool = True,
    target: str = "onnxruntime",
) -> Path:
    """Write a copy of a float32 file whose convolutions are quantised to INT8; returns `out`.

    Everything is symmetric INT8 with a zero point of 0; the opset stays as it is. `exclude` names
    what stays float: kinds ("ConvTranspose"), names or patterns ("resblocks.0.*"), by default
    `default_exclusions`, with () nothing. `only` names what is quantised instead; both may be
    given. `per_channel` gives each output channel of a weight its own scale.

    `target` decides where the pairs stand. ONNX Runtime fuses a convolution with a pair on its
    output as well, and wants INT8 weights and INT32 biases in the file. TensorRT needs pairs on
    inputs and weights, reads no INT32 biases, and fuses what follows a convolution by itself: one
    rounding less.

    Raises OnnxError for a file that is quantised or half precision already, one whose opset is
    below 13, a pattern that fits nothing, no layer left, and ranges of another graph; ValueError
    for an unknown target.
    """
    if target not in TARGETS:
        raise ValueError(f"no target {target!r}; there are: {', '.join(TARGETS)}")
    model, name = files.read(path), Path(path).name
    _check(model, name)
    layers = layers_of(model)
    kept = select(layers, default_exclusions(layers) if exclude is None else exclude)
    if only is not None:
        wanted = select(layers, only)
        kept = {x.name for x in layers if x.name not in wanted} | (kept if exclude else set())
    chosen = [layer.name for layer in layers if layer.name not in kept]
    if not chosen:
        raise OnnxError(f"{name}: every layer is excluded, nothing is left to quantise")
    _check_ranges(model, set(chosen), ranges, name)
    for_tensorrt = target == "tensorrt"
    kind = require("onnxruntime.quantization").QuantType.QInt8
    quantizer = require("onnxruntime.quantization.qdq_quantizer").QDQQuantizer(
        model, per_channel, False, kind, kind, ranges.data, chosen, [], list(KINDS),
        {
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "QuantizeBias": not for_tensorrt,
            "AddQDQPairToWeight": for_tensorrt,
            "DedicatedQDQPair": for_tensorrt,
            "OpTypesToExcludeOutputQuantization": list(KINDS) if for_tensorrt else [],
        },
    )  # fmt: skip
    with quiet():
        quantizer.quantize_model()
    model = quantizer.model.model
    _free(model, kept)
    mend.sort_nodes(model)
    kind = "per channel" if per_channel else "per tensor"
    words = f"INT8 {kind} in {len(chosen)} of {len(layers)} layers, for {target}"
    files.set_metadata(model, {"precision": words})
    return files.write(model, out)


def placement(model: Any) -> list[dict[str, Any]]:
    """A row for each convolution: whether Q/DQ pairs stand on its input, weight and output.

    `model` is a path or an onnx.ModelProto. "axis" is that of the weight's scales, None where the
    whole weight has one.
    """
    if isinstance(model, str | os.PathLike):
        model = files.read(model)
    made = {name: node for node in model.graph.node for name in node.output}
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    scales = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    rows = []
    for node in model.graph.node:
        if node.op_type not in KINDS:
            continue
        source, weight = (made.get(node.input[i]) for i in (0, 1))
        dequantized = [n is not None and n.op_type == "DequantizeLinear" for n in (source, weight)]
        axis = None
        if dequantized[1] and scales.get(weight.input[1], ()) not in ((), (1,)):
            axis = next((a.i for a in weight.attribute if a.name == "axis"), 1)
        after = readers.get(node.output[0], [])
        rows.append(
            {
                "layer": node.name,
                "kind": node.op_type,
                "input": dequantized[0],
                "weight": dequantized[1],
                "output": any(n.op_type == "QuantizeLinear" for n in after),
                "axis": axis,
            }
        )
    return rows


def _check(model: Any, name: str) -> None:
    onnx = require("onnx")
    kinds = set(files.operators(model))
    if kinds & {"QuantizeLinear", "DequantizeLinear"}:
        raise OnnxError(f"{name} is quantised already: start from the float32 file")
    if any(t.data_type == onnx.TensorProto.FLOAT16 for t in model.graph.initializer):
        raise OnnxError(f"{name} is FP16: quantise the float32 file, the rest becomes FP16 later")
    if (opset := files.opset_of(model)) < _LEAST_OPSET:
        raise OnnxError(f"{name} has opset {opset}; scales per channel need {_LEAST_OPSET}")


def _check_ranges(model: Any, chosen: set[str], ranges: Ranges, name: str) -> None:
    for node in model.graph.node:
        if node.name in chosen:
            for tensor in (node.input[0], node.output[0]):
                if tensor not in ranges.data:
                    raise OnnxError(
                        f"{name}: no range for {tensor!r}, which {node.name} uses: calibrate this "
                        "file"
                    )


def _free(model: Any, kept: set[str]) -> None:
    """Let layers that stay float read float again, where others share their input. In place.

    onnxruntime lets every reader of a quantised tensor read the rounded one.
    """
    made = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.name not in kept:
            continue
        source = made.get(node.input[0])
        while source is not None and source.op_type == "DequantizeLinear":
            node.input[0] = made[source.input[0]].input[0]
            source = made.get(node.input[0])
    outputs = {value.name for value in model.graph.output}
    while True:
        read = {name for node in model.graph.node for name in node.input} | outputs
        unread = [n for n in model.graph.node if not any(name in read for name in n.output)]
        if not unread:
            break
        for node in unread:
            model.graph.node.remove(node)
    read = {name for node in model.graph.node for name in node.input}
    for tensor in [t for t in model.graph.initializer if t.name not in read]:
        model.graph.initializer.remove(tensor)
