"""Which layers of a vocoder today's FP8 tool would leave out, by its published rules."""

from typing import Any

from torch import nn

from labutils import costs

__all__ = ["fp8_layers"]

_CHANNELS, _TAPS = 16, 32


def fp8_layers(model: nn.Module, frames: int = 100) -> list[dict[str, Any]]:
    """A row for each convolution of a network: its share of the work and why FP8 leaves it out.

    The rules are those of NVIDIA's Model Optimizer for ONNX (0.47): plain convolutions only, more
    than 16 channels on both sides, a kernel of at most 32 taps. Grouped (depthwise) convolutions
    have no FP8 kernel in TensorRT. "left out" is None for a layer that would be FP8.

    Source: NVIDIA/Model-Optimizer, modelopt/onnx/quantization/fp8.py and graph_utils.py.
    """
    modules = dict(model.named_modules())
    rows = [row for row in costs.count(model, frames) if row.operation == "convolution"]
    total = sum(row.macs for row in rows)
    return [
        {"layer": row.layer, "share": row.macs / total, "left out": _reason(modules.get(row.layer))}
        for row in rows
    ]


def _reason(module: nn.Module | None) -> str | None:
    if isinstance(module, nn.ConvTranspose1d):
        return "transposed convolution"
    if not isinstance(module, nn.Conv1d) or module.groups > 1:
        return "depthwise filter"
    if min(module.in_channels, module.out_channels) <= _CHANNELS:
        return f"{_CHANNELS} channels or fewer"
    if module.kernel_size[0] > _TAPS:
        return f"more than {_TAPS} taps"
    return None
