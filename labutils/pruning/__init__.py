"""Pruning vocoders: single weights, whole channels, 2:4, and the training that makes good for it.

    narrow = pruning.prune_channels(model, 0.5)     # a smaller generator of the same family
    sparse = pruning.prune_2_4(model)               # for sparse tensor cores
    zeros = pruning.prune_unstructured(model, 0.8)  # zeros that no library here skips

All of them return a new model and leave the one that was given as it is.
"""

from labutils.pruning.channels import (
    choose,
    cut,
    energy,
    magnitude,
    narrower,
    prune_channels,
    silenced,
)
from labutils.pruning.groups import Group, groups
from labutils.pruning.semi_structured import is_2_4, mask_2_4, prune_2_4, rows_2_4
from labutils.pruning.unstructured import (
    PruningError,
    convolutions,
    file_bytes,
    finish,
    prune_unstructured,
    sparsity,
    sparsity_rows,
    zero_masks,
)

__all__ = [
    "Group",
    "PruningError",
    "choose",
    "convolutions",
    "cut",
    "energy",
    "file_bytes",
    "finish",
    "groups",
    "is_2_4",
    "magnitude",
    "mask_2_4",
    "narrower",
    "prune_2_4",
    "prune_channels",
    "prune_unstructured",
    "rows_2_4",
    "silenced",
    "sparsity",
    "sparsity_rows",
    "zero_masks",
]
