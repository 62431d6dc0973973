"""Zeros one by one: the smallest weights of each layer, by torch.nn.utils.prune."""

from __future__ import annotations

import copy
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from labutils.vocoders import has_weight_norm, save_checkpoint

__all__ = [
    "PruningError",
    "convolutions",
    "file_bytes",
    "finish",
    "prune_unstructured",
    "sparsity",
    "sparsity_rows",
    "zero_masks",
]

_SCOPES = ("layer", "global")


class PruningError(ValueError):
    """A model that can not be pruned as asked; the text says why."""


def convolutions(model: nn.Module, exclude: Iterable[str] = ()) -> dict[str, nn.Module]:
    """{path: layer} of all Conv1d and ConvTranspose1d, which hold all but a few of the weights.

    `exclude`: paths that are left out. Raises PruningError for a path that is no convolution, for a
    model with weight norm (its weights are computed anew at every call, zeros would not last), and
    for one without convolutions.
    """
    if has_weight_norm(model):
        raise PruningError("the model has weight norm: fold it first, fold_weight_norm(model)")
    found = {
        path: layer
        for path, layer in model.named_modules()
        if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d)
    }
    if not found:
        raise PruningError(f"{type(model).__name__} has no Conv1d and no ConvTranspose1d")
    left_out = set(exclude)
    if unknown := sorted(left_out - set(found)):
        raise PruningError(f"no convolution {', '.join(unknown)}; there are: {_some(list(found))}")
    return {path: layer for path, layer in found.items() if path not in left_out}


def prune_unstructured(
    model: nn.Module,
    amount: float,
    *,
    scope: str = "layer",
    exclude: Iterable[str] = (),
    remove: bool = True,
) -> nn.Module:
    """A copy in which the share `amount` (0 to 1) of the weights with the least magnitude is zero.

    `scope`: "layer" takes the share from every convolution, "global" from all of them together
    (Han et al. 2015, arXiv:1506.02626). Biases stay. With remove=False the copy keeps torch's
    masks: its parameters are called weight_orig, `finish` makes ordinary weights of them.
    Raises PruningError as `convolutions`, and for another share or scope.
    """
    if scope not in _SCOPES:
        raise PruningError(f"scope {scope!r} is not one of {', '.join(_SCOPES)}")
    if not 0 <= amount < 1:
        raise PruningError(f"amount {amount}: a share of the weights, 0 to less than 1")
    model = copy.deepcopy(model)
    layers = convolutions(model, exclude)
    if scope == "layer":
        for layer in layers.values():
            prune.l1_unstructured(layer, "weight", amount)
    else:
        pairs = [(layer, "weight") for layer in layers.values()]
        prune.global_unstructured(pairs, pruning_method=prune.L1Unstructured, amount=amount)
    return finish(model) if remove else model


def finish(model: nn.Module) -> nn.Module:
    """Make torch's masks final, in place: ordinary weights with zeros in them."""
    for layer in model.modules():
        if hasattr(layer, "weight_orig"):
            prune.remove(layer, "weight")
    return model


def sparsity(model: nn.Module) -> float:
    """The share of zeros (0 to 1) among the weights of all convolutions."""
    rows = sparsity_rows(model)
    return sum(row["zeros"] for row in rows) / sum(row["weights"] for row in rows)


def sparsity_rows(model: nn.Module) -> list[dict]:
    """A row for each convolution: "layer", "weights", "zeros", "share" of zeros."""
    rows = []
    for path, layer in convolutions(model).items():
        zeros, weights = int((layer.weight == 0).sum()), layer.weight.numel()
        rows.append({"layer": path, "weights": weights, "zeros": zeros, "share": zeros / weights})
    return rows


def zero_masks(model: nn.Module) -> dict[str, Tensor]:
    """{name of the weight: what may be other than zero} of the convolutions that have zeros."""
    return {
        f"{path}.weight": layer.weight.detach() != 0
        for path, layer in convolutions(model).items()
        if (layer.weight == 0).any()
    }


def file_bytes(model: nn.Module, dtype: torch.dtype = torch.float16) -> dict[str, int]:
    """Size of a checkpoint: "bytes" as it is saved, "compressed" by zlib at its best."""
    with tempfile.TemporaryDirectory() as folder:
        content = save_checkpoint(Path(folder) / "model.safetensors", model, dtype=dtype)
        content = content.read_bytes()
    return {"bytes": len(content), "compressed": len(zlib.compress(content, 9))}


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
