"""A vocoder's FP16 graph as kernels compute it that add products up in FP16, too.

Most libraries multiply FP16 numbers and add the products in FP32; `onnx_export.evaluate` does it
so. Kernels that add in FP16 are faster on older GPUs and lose some bits at every step. Names of
TensorRT's kernels tell which they are (`labutils.trt.inspect.Layers.sums`).
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from labutils.environment import require

__all__ = ["evaluate"]

_STEP = 16  # products that a tensor core adds before it rounds: the last number of m16n8k16


def evaluate(path: str | os.PathLike[str], mel: np.ndarray) -> np.ndarray:
    """Audio (batch, 1, samples), float32, of a mel (batch, n_mels, frames), on the processor.

    Takes a file of `onnx_export.to_fp16`. ONNX's reference evaluator runs it node by node and
    stores what each node says; only FP16 convolutions are computed here. Depthwise ones, which add
    few products, keep FP32 sums.
    """
    reference = require("onnx.reference")
    (audio,) = reference.ReferenceEvaluator(str(path), new_ops=_operators()).run(None, {"mel": mel})
    return np.asarray(audio, np.float32)


def _operators() -> list[type]:
    """Conv and ConvTranspose of one dimension for ONNX's reference evaluator."""
    from onnx.reference.op_run import OpRun

    class Conv(OpRun):
        def _run(self, x: Any, weight: Any, bias: Any = None, **settings: Any) -> tuple[Any]:
            return (_convolved(_conv, x, weight, bias, settings),)

    class ConvTranspose(OpRun):
        def _run(self, x: Any, weight: Any, bias: Any = None, **settings: Any) -> tuple[Any]:
            return (_convolved(_conv_transpose, x, weight, bias, settings),)

    return [Conv, ConvTranspose]


def _convolved(compute: Any, x: Any, weight: Any, bias: Any, settings: dict[str, Any]) -> Any:
    half = x.dtype == np.float16 and (settings.get("group") or 1) == 1
    given = [torch.tensor(part, dtype=torch.float32) for part in (x, weight)]
    result = compute(*given, settings, _STEP if half else None)
    if bias is not None:
        result = result + torch.tensor(bias, dtype=torch.float32)[None, :, None]
    return result.numpy().astype(x.dtype)


def _added(total: Tensor, more: Tensor) -> Tensor:
    return (total + more).half().float()


def _conv(x: Tensor, weight: Tensor, settings: dict[str, Any], step: int | None) -> Tensor:
    stride, dilation = _first(settings, "strides"), _first(settings, "dilations")
    x = functional.pad(x, tuple(settings.get("pads") or (0, 0)))
    if step is None:
        group = settings.get("group") or 1
        return functional.conv1d(x, weight, stride=stride, dilation=dilation, groups=group)
    length = (x.shape[2] - dilation * (weight.shape[2] - 1) - 1) // stride + 1
    taps = [
        x[:, :, k * dilation : k * dilation + (length - 1) * stride + 1 : stride]
        for k in range(weight.shape[2])
    ]
    # One product after the other: all channels of a tap, then the next tap.
    columns, rows = torch.cat(taps, 1), weight.permute(0, 2, 1).flatten(1)
    total = x.new_zeros(x.shape[0], weight.shape[0], length)
    for i in range(0, columns.shape[1], step):
        total = _added(total, rows[:, i : i + step] @ columns[:, i : i + step])
    return total


def _conv_transpose(
    x: Tensor, weight: Tensor, settings: dict[str, Any], step: int | None
) -> Tensor:
    stride, (before, after) = _first(settings, "strides"), settings.get("pads") or (0, 0)
    longer = (settings.get("output_padding") or [0])[0]
    if step is None:
        group = settings.get("group") or 1
        full = functional.conv_transpose1d(x, weight, stride=stride, groups=group)
    else:
        reach = (x.shape[2] - 1) * stride
        full = x.new_zeros(x.shape[0], weight.shape[1], reach + weight.shape[2])
        for k in range(weight.shape[2]):
            place = full[:, :, k : k + reach + 1 : stride]
            for i in range(0, x.shape[1], step):
                part = weight[i : i + step, :, k].T @ x[:, i : i + step]
                place.copy_(_added(place, part))
    full = functional.pad(full, (0, longer))
    return full[:, :, before : full.shape[2] - after]


def _first(settings: dict[str, Any], name: str) -> int:
    return int((settings.get(name) or [1])[0])
