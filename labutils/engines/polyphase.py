"""Transposed convolutions as plain ones: each of the `stride` phases of the output is a kernel."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

__all__ = ["Polyphase", "phase_kernels", "polyphase"]

M = TypeVar("M", bound=nn.Module)


def phase_kernels(weight: Tensor, stride: int, padding: int) -> Tensor:
    """The kernels (Cin, Cout, stride, taps) that give each phase of a transposed convolution.

    `weight` is (Cin, Cout, k) as in ConvTranspose1d. Output sample stride * q + r is the sum over
    inputs q + j of weight[stride * -j + r + padding]; so tap j + taps // 2 of phase r is that
    weight, or 0 where there is none. The number of taps is odd: a plain convolution with a padding
    of taps // 2 and this kernel gives the phases.
    """
    size = weight.shape[-1]
    first, last = -((size - 1 - padding) // stride), (stride - 1 + padding) // stride
    reach = max(-first, last)
    kernels = weight.new_zeros(*weight.shape[:-1], stride, 2 * reach + 1)
    for phase in range(stride):
        for j in range(-reach, reach + 1):
            place = phase + padding - j * stride
            if 0 <= place < size:
                kernels[..., phase, j + reach] = weight[..., place]
    return kernels


class Polyphase(nn.Module):
    """ConvTranspose1d as Conv1d with `stride` times as many channels, and a reordering.

    (B, Cin, L) to (B, Cout, stride * L), or (B, Cin, 1, L) where `conv` has become a Conv2d: the
    same sums in another order. Channel c * stride + r of `conv` holds phase r of channel c. Raises
    ValueError for a layer whose output is not exactly `stride` times as long, or with groups or
    dilation.
    """

    def __init__(self, layer: nn.ConvTranspose1d) -> None:
        super().__init__()
        (stride,), (padding,), (size,) = layer.stride, layer.padding, layer.kernel_size
        longer = size - 2 * padding + layer.output_padding[0] - stride
        if longer or layer.groups != 1 or layer.dilation != (1,):
            raise ValueError(f"{layer} is not of one group and {stride} times as long as its input")
        self.channels, self.stride = layer.out_channels, stride
        with torch.no_grad():
            kernels = phase_kernels(layer.weight, stride, padding)
            wide = kernels.permute(1, 2, 0, 3).reshape(-1, layer.in_channels, kernels.shape[-1])
            self.conv = nn.Conv1d(
                layer.in_channels, wide.shape[0], wide.shape[-1], padding=wide.shape[-1] // 2,
                bias=layer.bias is not None,
            ).to(wide)  # fmt: skip
            self.conv.weight.copy_(wide)
            if layer.bias is not None:
                self.conv.bias.copy_(layer.bias.repeat_interleave(stride))

    def forward(self, x: Tensor) -> Tensor:
        phases = self.conv(x).unflatten(1, (self.channels, self.stride))
        return phases.movedim(2, -1).flatten(-2)


def polyphase(model: M) -> M:
    """A copy of a generator without transposed convolutions; weight norm must be folded.

    Exact to rounding. Raises ValueError for weight norm, and as `Polyphase`.
    """
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        for key, child in list(module.named_children()):
            if isinstance(child, nn.ConvTranspose1d):
                if hasattr(child, "parametrizations"):
                    raise ValueError("fold the weight norm first: vocoders.fold_weight_norm(model)")
                setattr(module, key, Polyphase(child))
    return model
