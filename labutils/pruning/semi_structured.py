"""2:4 sparsity: of every four input channels, two weights are zero.

NVIDIA's sparse tensor cores (Ampere and later) skip them. TensorRT uses them for a convolution
whose weights have, for each output channel and each tap, at most two other than zero among every
four consecutive input channels (TensorRT developer guide, "Structured Sparsity"; Mishra et al.
2021, arXiv:2104.08378).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from labutils.pruning.groups import input_axis
from labutils.pruning.unstructured import PruningError, convolutions

__all__ = ["is_2_4", "mask_2_4", "prune_2_4", "rows_2_4"]


def mask_2_4(weight: Tensor, axis: int = 1) -> Tensor:
    """What stays of a weight (out, in, taps): the two largest of every four along an axis.

    `axis` is that of the input channels: 1 for Conv1d, 0 for ConvTranspose1d. Of equal magnitudes
    the first stay, so that it is always exactly two. Raises PruningError where the channels are no
    multiple of four.
    """
    size = weight.shape[axis]
    if size % 4:
        raise PruningError(f"{size} input channels are no multiple of 4: 2:4 needs whole fours")
    fours = weight.detach().abs().movedim(axis, -1).unflatten(-1, (size // 4, 4))
    order = fours.argsort(dim=-1, descending=True, stable=True)
    mask = torch.zeros_like(fours, dtype=torch.bool)
    mask.scatter_(-1, order[..., :2], True)
    return mask.flatten(-2).movedim(-1, axis)


def is_2_4(weight: Tensor, axis: int = 1) -> bool:
    """Whether every four along an axis have at most two values other than zero."""
    if weight.shape[axis] % 4:
        return False
    fours = (weight.detach() != 0).movedim(axis, -1).unflatten(-1, (-1, 4))
    return bool((fours.sum(-1) <= 2).all())


def prune_2_4(
    model: nn.Module, *, exclude: Iterable[str] = (), transposed: bool = False
) -> nn.Module:
    """A copy with 2:4 weights in every Conv1d whose input channels are a multiple of four.

    Layers in `exclude` stay dense, and so do transposed convolutions, for which there are no sparse
    kernels, unless `transposed`. Raises PruningError as `convolutions`.
    """
    model = copy.deepcopy(model)
    with torch.no_grad():
        for layer in convolutions(model, exclude).values():
            axis = input_axis(layer)
            if isinstance(layer, nn.ConvTranspose1d) and not transposed:
                continue
            if layer.weight.shape[axis] % 4 == 0:
                layer.weight.mul_(mask_2_4(layer.weight, axis))
    return model


def rows_2_4(model: nn.Module) -> list[dict[str, Any]]:
    """A row for each convolution: "layer", "kind", "in", "out", "fits" (whole fours), "2:4"."""
    rows = []
    for path, layer in convolutions(model).items():
        axis = input_axis(layer)
        size = layer.weight.shape[axis]
        rows.append({
            "layer": path, "kind": type(layer).__name__, "in": size,
            "out": layer.weight.shape[1 - axis], "weights": layer.weight.numel(),
            "fits": size % 4 == 0, "2:4": is_2_4(layer.weight, axis),
        })  # fmt: skip
    return rows
