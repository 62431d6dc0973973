"""Weight norm on and off: networks are trained with it and run, exported and measured without."""

from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

__all__ = ["add_weight_norm", "fold_weight_norm", "has_weight_norm"]

M = TypeVar("M", bound=nn.Module)


def add_weight_norm(model: M) -> M:
    """Put weight norm on every convolution, except the children that `model.unnormed` names.

    Works in place. The weights keep their values: w = g * v / |v| with g = |v| to begin with
    (Salimans and Kingma 2016). A filter of zeros keeps g = 0 and gets a direction, since 0 / 0 is
    NaN: training and rounding to FP16 leave such filters.
    """
    skip = [getattr(model, name) for name in getattr(model, "unnormed", ())]
    for module in list(model.modules()):
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d) and not any(
            module is s for s in skip
        ):
            parametrizations.weight_norm(module)
            norm, direction = module.parametrizations.weight.parameters()
            with torch.no_grad():
                direction.masked_fill_(norm == 0, 1.0)
    return model


def fold_weight_norm(model: M) -> M:
    """Replace g and v by the weight that they stand for; a model without weight norm is left as is.

    Works in place. The output is the same, and each layer saves a norm and a product at every call.
    """
    for module in list(model.modules()):
        if not parametrize.is_parametrized(module, "weight"):
            continue
        weight = nn.Parameter(module.weight.detach().clone())
        # Not remove_parametrizations: it also takes the weight from every deep copy of the module,
        # because copies share the class that it changes.
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
        module.register_parameter("weight", weight)
    return model


def has_weight_norm(model: nn.Module) -> bool:
    """Whether any layer still has weight norm."""
    return any(parametrize.is_parametrized(module, "weight") for module in model.modules())
