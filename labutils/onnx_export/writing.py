"""A generator as one ONNX file of any batch and length, which TensorRT 8.6, 10 and 11 can read."""

import copy
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from labutils import tables
from labutils.onnx_export import files, mend
from labutils.onnx_export.exporters import EXPORTERS
from labutils.onnx_export.files import OnnxError
from labutils.vocoders import PRESETS, fold_weight_norm, has_weight_norm

__all__ = ["ExportReport", "export"]

_OPSETS = range(13, 21)
_BATCH, _FRAMES = 2, 37  # of the example: a batch of 1 would be taken for a constant


@dataclass(frozen=True)
class ExportReport:
    """What an export made. `nodes_exported` counts before simplification, constants included.

    `dimensions` are those of input and output, a name where they are dynamic; `seconds` of each
    step; `folded` says that weight norm was folded, in a copy; `operators` counts node types.
    """

    path: Path
    exporter: str
    opset: int
    ir_version: int
    nodes_exported: int
    nodes: int
    operators: dict[str, int]
    dimensions: dict[str, tuple[int | str, ...]]
    bytes: int
    seconds: dict[str, float]
    folded: bool
    simplified: bool

    def row(self) -> dict[str, Any]:
        """One row for a table that compares exports."""
        return {
            "file": self.path.name,
            "exporter": self.exporter,
            "opset": self.opset,
            "nodes as exported": self.nodes_exported,
            "nodes in the file": self.nodes,
            "MB": self.bytes / 1e6,
            "seconds": sum(self.seconds.values()),
        }

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {_shape(dims)}" for name, dims in self.dimensions.items())
        return (
            f"{self.path.name}: {self.exporter} exporter, opset {self.opset}, "
            f"{self.nodes} nodes, {self.bytes / 1e6:.1f} MB, {shapes}"
        )

    def _repr_html_(self) -> str:
        counts = ", ".join(f"{count} {kind}" for kind, count in self.operators.items())
        steps = [f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items()]
        steps += ["weight norm folded in a copy"] if self.folded else []
        note = f"{counts}. {self.nodes_exported} nodes as exported; {', '.join(steps)}."
        return tables.strip([("exported", "info")], repr(self), note)


def export(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    exporter: str = "dynamo",
    opset: int = 17,
    simplify: bool = True,
) -> ExportReport:
    """Write a generator, (batch, n_mels, frames) to (batch, 1, samples), as an ONNX file.

    Input "mel" and output "audio" are float32 with any batch and any number of frames. `exporter`
    is "dynamo", which torch maintains, or "legacy", which traces and is several times as fast.
    Weights are inside the file. Weight norm is folded, in a copy: the model stays as it is. The
    file says where it comes from (`graph.metadata`) and appears whole or not at all.

    Raises OnnxError for a model that is not float32, whose weights are not finite, or that cannot
    be exported, ValueError for an unknown exporter or opset, TypeError without a configuration.
    """
    if exporter not in EXPORTERS:
        raise ValueError(f"exporter {exporter!r} is not one of {', '.join(EXPORTERS)}")
    if opset not in _OPSETS:
        raise ValueError(f"opset {opset}: choose {_OPSETS[0]} to {_OPSETS[-1]}; TensorRT 8.6: 17")
    path, folded = Path(path), has_weight_norm(model)
    model = _ready(model)
    frames = max(_FRAMES, getattr(model.config, "min_frames", 1))
    example = torch.zeros(_BATCH, model.config.n_mels, frames)
    start = time.perf_counter()
    proto = EXPORTERS[exporter](model, example, opset)
    seconds = {"export": time.perf_counter() - start}
    nodes_exported = len(proto.graph.node)
    mend.lower_opset(proto, opset)
    mend.name_nodes(proto)
    if simplify:
        start = time.perf_counter()
        proto = mend.simplified(proto)
        seconds["simplify"] = time.perf_counter() - start
        mend.squares_as_products(proto)
        mend.name_nodes(proto)
    mend.clean(proto)
    _name_shapes(proto, model.config)
    files.set_metadata(proto, _origin(model, exporter, frames))
    files.write(proto, path)
    return ExportReport(
        path,
        exporter,
        files.opset_of(proto),
        proto.ir_version,
        nodes_exported,
        len(proto.graph.node),
        files.operators(proto),
        {v.name: files.dimensions(v) for v in (*proto.graph.input, *proto.graph.output)},
        path.stat().st_size,
        seconds,
        folded,
        simplify,
    )


def _ready(model: nn.Module) -> nn.Module:
    """The model itself where it can be exported as it is, otherwise a copy that can."""
    if not hasattr(getattr(model, "config", None), "output_length"):
        raise TypeError(f"{type(model).__name__} has no .config with n_mels and output_length")
    for name, value in model.state_dict().items():
        if value.is_floating_point() and value.dtype != torch.float32:
            kind = str(value.dtype).removeprefix("torch.")
            raise OnnxError(f"{name} is {kind}: export float32, then convert with to_fp16")
        if not value.isfinite().all():
            raise OnnxError(f"{name} has values that are not finite; nothing was exported")
    away = any(tensor.device.type != "cpu" for tensor in model.state_dict().values())
    if has_weight_norm(model) or model.training or away:
        return fold_weight_norm(copy.deepcopy(model).cpu()).eval()
    return model


def _name_shapes(proto: Any, config: Any) -> None:
    """Dynamic dimensions by the same names for both exporters; refuses a graph of another shape."""
    (source,), (sink,) = proto.graph.input, proto.graph.output
    kinds = [type(d) for v in (source, sink) for d in files.dimensions(v)]
    bands, channels = (files.dimensions(v)[1] for v in (source, sink))
    if kinds != [str, int, str] * 2 or (bands, channels) != (config.n_mels, 1):
        shapes = " to ".join(_shape(files.dimensions(v)) for v in (source, sink))
        raise OnnxError(f"the graph maps {shapes}: batch and frames are not both dynamic")
    mend.name_dimensions(source, ("batch", config.n_mels, "frames"))
    mend.name_dimensions(sink, ("batch", 1, f"{config.hop_length}*frames"))


def _origin(model: nn.Module, exporter: str, frames: int) -> dict[str, Any]:
    """What the file says of itself."""
    config = model.config
    facts = {
        "vocoder.preset": ", ".join(name for name, known in PRESETS.items() if known == config),
        "vocoder.config": _compact(config.to_json()) if hasattr(config, "to_json") else "",
        "vocoder.weights": getattr(model, "weights", "unknown"),
        "export.exporter": f"{exporter}, torch {torch.__version__}",
        "export.frames": frames,
    }
    return {key: value for key, value in facts.items() if value != ""}


def _compact(text: str) -> str:
    return json.dumps(json.loads(text), separators=(",", ":"))


def _shape(dims: tuple[int | str, ...]) -> str:
    return f"({', '.join(map(str, dims))})"
