"""Which TensorRT versions can read an ONNX file, as far as the file itself can tell."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labutils import tables
from labutils.environment import require
from labutils.onnx_export import files

__all__ = ["VERSIONS", "Readiness", "tensorrt_ready"]

# Newest opset of each version's parser (its release notes and docs/operators.md).
VERSIONS = {"8.6": 17, "10": 20, "11": 25}
# What onnx-tensorrt's docs/operators.md lists as supported for 8.5, and its change log adds in 8.6.
_OPERATORS_8_6 = frozenset(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast
    Ceil Celu Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace
    DequantizeLinear Div Dropout Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather
    GatherElements GatherND Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual
    GridSample GroupNormalization HardSigmoid HardSwish Identity If InstanceNormalization IsInf
    IsNaN LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax Loop LpNormalization
    LpPool MatMul Max MaxPool Mean MeanVarianceNormalization Min Mod Mul Neg NonMaxSuppression
    NonZero Not OneHot Or PRelu Pad Pow QuantizeLinear RNN RandomNormal RandomNormalLike
    RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
    ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize
    ReverseSequence RoiAlign Round Scan ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin
    Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh
    ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Where Xor
    """.split()
)


@dataclass(frozen=True)
class Readiness:
    """Facts of a file, and per TensorRT version what it refuses and what its user must know.

    Truthy if no version refuses the file. `facts` hold opset, file format (IR version), operators,
    dimensions, the number of convolutions with a kernel computed at run time, of nodes that compute
    lengths, and of half-precision weights.
    """

    path: Path
    facts: dict[str, Any]
    refused: dict[str, list[str]]
    remarks: dict[str, list[str]]

    def __bool__(self) -> bool:
        return not any(self.refused.values())

    def __repr__(self) -> str:
        able = [version for version, reasons in self.refused.items() if not reasons]
        text = f"{self.path.name}: TensorRT {', '.join(able) or 'of no version'} can read it"
        for version, reasons in self.refused.items():
            text += "".join(f"; {version} refuses: {reason}" for reason in reasons)
        return text

    def _repr_html_(self) -> str:
        rows = [
            {
                "TensorRT": version,
                "reads it": "no" if self.refused[version] else "yes",
                "refuses": "; ".join(self.refused[version]),
                "to know": "; ".join(self.remarks[version]),
            }
            for version in VERSIONS
        ]
        counts = ", ".join(f"{n} {kind}" for kind, n in self.facts["operators"].items())
        shapes = ", ".join(f"{n} {d}" for n, d in self.facts["dimensions"].items())
        text = f"{self.path.name}: opset {self.facts['opset']}, {shapes}"
        badge = ("TensorRT can read it", "good") if self else ("not every TensorRT", "warn")
        return tables.strip([badge], text.replace("'", ""), counts) + tables.table(rows)


def tensorrt_ready(path: str | os.PathLike[str]) -> Readiness:
    """Read a file as TensorRT's parsers would, without TensorRT.

    It knows opsets, operators, number formats and where weights are; only a build proves more.
    Raises OnnxError for a file that is no ONNX model.
    """
    path = Path(path)
    model = files.read(path)
    facts = _facts(model)
    refused: dict[str, list[str]] = {}
    remarks: dict[str, list[str]] = {}
    for version, newest in VERSIONS.items():
        opset = facts["opset"]
        refused[version] = [f"opset {opset}, its parser knows {newest}"] if opset > newest else []
        refused[version] += [reason for rule in _RULES if (reason := rule(version, model, facts))]
        remarks[version] = [note for rule in _NOTES if (note := rule(version, facts))]
    return Readiness(path, facts, refused, remarks)


def _facts(model: Any) -> dict[str, Any]:
    tensors, graph = require("onnx").TensorProto, model.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    kinds = {tensor.data_type for tensor in graph.initializer}
    return {
        "opset": files.opset_of(model),
        "IR version": model.ir_version,
        "operators": files.operators(model),
        "dimensions": {v.name: files.dimensions(v) for v in (*inputs, *graph.output)},
        "inputs": [value.name for value in inputs],
        "runtime kernels": len(files.runtime_kernels(model)),
        "shape arithmetic": len(files.shape_arithmetic(model)),
        "float16": tensors.FLOAT16 in kinds,
        "bfloat16": tensors.BFLOAT16 in kinds,
        "external data": any(t.data_location == tensors.EXTERNAL for t in graph.initializer),
    }


def _unknown_operators(version: str, model: Any, facts: dict[str, Any]) -> str:
    unknown = sorted(set(facts["operators"]) - _OPERATORS_8_6)
    return f"it has no {', '.join(unknown)}" if unknown and version == "8.6" else ""


def _functions(version: str, model: Any, facts: dict[str, Any]) -> str:
    return "functions in a file came with 9.0" if version == "8.6" and model.functions else ""


def _pad_axes(version: str, model: Any, facts: dict[str, Any]) -> str:
    pads = [n for n in files.all_nodes(model.graph) if n.op_type == "Pad"]
    found = version == "8.6" and any(any(pad.input[3:]) for pad in pads)
    return "Pad with axes came with 10.4" if found else ""


def _bfloat16(version: str, model: Any, facts: dict[str, Any]) -> str:
    return "BF16 came with 9.0" if version == "8.6" and facts["bfloat16"] else ""


def _half(version: str, facts: dict[str, Any]) -> str:
    notes = {
        "8.6": "FP16 weights: set BuilderFlag.FP16, else the build fails",
        "10": "FP16 weights: create the network with STRONGLY_TYPED, so that types are kept",
    }
    return notes.get(version, "") if facts["float16"] else ""


def _kernels(version: str, facts: dict[str, Any]) -> str:
    number = facts["runtime kernels"]
    return f"{number} kernels computed at run time: not pre-packed, no INT8" if number else ""


def _lengths(version: str, facts: dict[str, Any]) -> str:
    number = facts["shape arithmetic"]
    cast = ", INT64 cast to INT32" if version == "8.6" else ""
    return f"{number} nodes compute lengths{cast}" if number else ""


def _dynamic(version: str, facts: dict[str, Any]) -> str:
    shapes = [facts["dimensions"][name] for name in facts["inputs"]]
    names = [str(d) for shape in shapes for d in shape if isinstance(d, str)]
    return f"{' and '.join(names)} need a profile" if names else "one shape only, no profile"


def _external(version: str, facts: dict[str, Any]) -> str:
    return "weights in a second file: parse_from_file finds it" if facts["external data"] else ""


def _newer_operators(version: str, facts: dict[str, Any]) -> str:
    unknown = sorted(set(facts["operators"]) - _OPERATORS_8_6)
    return f"ask its parser about {', '.join(unknown)}" if unknown and version != "8.6" else ""


_RULES: tuple[Callable[..., str], ...] = (_unknown_operators, _functions, _pad_axes, _bfloat16)
_NOTES: tuple[Callable[..., str], ...] = (
    _dynamic, _half, _kernels, _lengths, _external, _newer_operators,
)  # fmt: skip
