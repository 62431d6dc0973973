"""Weight norm on and off: networks are trained with it and run, exported and measured without."""

from typing import TypeVar

from torch import nn
from torch.nn.utils import parametrizations, parametrize

__all__ = ["add_weight_norm", "fold_weight_norm", "has_weight_norm"]

M = TypeVar("M", bound=nn.Module)


def add_weight_norm(model: M) -> M:
    """Put weight norm on every convolution, except the children that `model.unnormed` names. Works in place.

    The weights keep their values: w = g * v / |v| with g = |v| to begin with (Salimans and Kingma 2016).
    """
    skip = [getattr(model, name) for name in getattr(model, "unnormed", ())]
    for module in list(model.modules()):
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d) and not any(module is s for s in skip):
            parametrizations.weight_norm(module)
    return model


def fold_weight_norm(model: M) -> M:
    """Replace g and v by the weight that they stand for. Works in place; a model without weight norm is left as it is.

    The output is the same, and each layer saves a norm and a product at every call.
    """
    for module in list(model.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    return model


def has_weight_norm(model: nn.Module) -> bool:
    """Whether any layer still has weight norm."""
    return any(parametrize.is_parametrized(module, "weight") for module in model.modules())
