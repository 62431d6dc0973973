"""torch's two exporters, each as one strict and quiet call that gives an onnx.ModelProto."""

import contextlib
import inspect
import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from labutils.environment import require
from labutils.onnx_export.files import OnnxError

__all__ = ["EXPORTERS", "INPUT", "OUTPUT", "dynamo", "legacy", "quiet", "what_they_see"]

INPUT, OUTPUT = "mel", "audio"
_DYNAMO_OPSET = 18  # the oldest that torch's dynamo exporter writes


def dynamo(model: nn.Module, example: Tensor, opset: int) -> Any:
    """torch.export follows the Python code with symbols for batch and frames.

    `model` is on the CPU in evaluation mode, with a `.config`; `example` is a mel (batch, n_mels,
    frames) with a batch of 2 or more. Writes opset 18 where an older one is asked for. Raises
    OnnxError for a model that cannot be exported.

    torch.export is called here and not by torch.onnx.export, which tries strict mode where it
    fails: torch 2.13 then writes a file for one length, or one branch of an `if`.
    """
    require("onnxscript")
    argument = next(iter(inspect.signature(model.forward).parameters))
    least = max(2, getattr(model.config, "min_frames", 1))  # torch.export takes 1 for a constant
    axes = {0: torch.export.Dim("batch"), 2: torch.export.Dim("frames", min=least)}
    with _guarded("dynamo"):
        program = torch.export.export(
            model, (example,), dynamic_shapes={argument: axes}, strict=False
        )
        return torch.onnx.export(
            program,
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=max(opset, _DYNAMO_OPSET),
            external_data=False,
            verbose=False,
        ).model_proto


def legacy(model: nn.Module, example: Tensor, opset: int) -> Any:
    """TorchScript's tracer runs the model once and writes down the operations that it saw.

    As `dynamo`, but at the opset asked for. What Python computed from the example's length stands
    in the file as a number: only a comparison at other lengths finds that.
    """
    onnx, file = require("onnx"), io.BytesIO()
    with _guarded("legacy"), torch.no_grad():
        torch.onnx.export(
            model,
            (example,),
            file,
            dynamo=False,
            dynamic_axes={INPUT: {0: "batch", 2: "frames"}, OUTPUT: {0: "batch", 2: "samples"}},
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=opset,
        )
    return onnx.load_from_string(file.getvalue())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No warnings and no log lines of the exporters, which write a page where all is well."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch._guards", "onnxscript")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _guarded(exporter: str) -> Iterator[None]:
    """Quiet, and one OnnxError for whatever the exporter raises."""
    try:
        with quiet():
            yield
    except Exception as error:  # either exporter raises many types
        raise OnnxError(f"the {exporter} exporter failed: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What an exporter says of its failure, its first paragraph in one line."""
    text = str(error).strip().partition("\n\n")[0]
    text = text.replace('For more information, run with TORCH_LOGS="+dynamic".', "")
    return " ".join(text.split())[:300] or type(error).__name__


def what_they_see(
    model: nn.Module, example: Tensor, axes: Mapping[int, torch.export.Dim]
) -> list[dict[str, str]]:
    """One row for each operation of a small network: the shape that each exporter knows of it.

    `axes` {axis: torch.export.Dim} of the only input may change. The tracer knows the numbers of
    the example, torch.export the names of what may change.
    """
    with quiet():
        graph = torch.jit.trace(model, example).inlined_graph
        argument = next(iter(inspect.signature(model.forward).parameters))
        program = torch.export.export(model, (example,), dynamic_shapes={argument: dict(axes)})
    sizes = [n.output().type().sizes() for n in graph.nodes() if n.kind().startswith("aten::")]
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    source = next(n for n in program.graph.nodes if n.name == argument).meta["val"].shape
    words = {str(source[axis]): dim.__name__ for axis, dim in axes.items()}
    symbol = re.compile("|".join(words))

    def named(size: object) -> str:
        return symbol.sub(lambda found: words[found.group()], str(size))

    return [
        {
            "operation": call.target.__name__.partition(".")[0],
            "the tracer saw": f"({', '.join(map(str, size))})",
            "torch.export knows": f"({', '.join(map(named, call.meta['val'].shape))})",
        }
        for call, size in zip(calls, sizes, strict=True)
    ]


EXPORTERS: Mapping[str, Callable[[nn.Module, Tensor, int], Any]] = MappingProxyType(
    {"dynamo": dynamo, "legacy": legacy}
)
