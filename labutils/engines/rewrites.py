"""Forms of one network that compute the same and may suit an engine better."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn

from labutils.baseline.layouts import channels_last
from labutils.engines.polyphase import polyphase
from labutils.engines.snakes import in_blocks, in_phases

__all__ = ["AS_IT_IS", "FORMS", "Image", "forms", "image", "rewrite"]

AS_IT_IS = "as it is"


class Image(nn.Module):
    """A generator whose signals are (B, channels, 1, length), used as before: mel to (B, 1, L).

    The ONNX graph then has two-dimensional convolutions from end to end. Of a one-dimensional one
    TensorRT's parser makes a two-dimensional one between two reshapes.
    """

    def __init__(self, body: nn.Module, config: object) -> None:
        super().__init__()
        self.body, self.config = body, config
        # Modules, so that their nodes in an ONNX graph have names of their own.
        self.to_image, self.from_image = _ToImage(), _FromImage()

    def forward(self, mel: Tensor) -> Tensor:
        return self.from_image(self.body(self.to_image(mel)))


class _ToImage(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.unsqueeze(2)


class _FromImage(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.squeeze(2)


def image(model: nn.Module) -> Image:
    """A copy of a generator as a graph of images of height 1; weight norm must be folded.

    Exact to rounding. Raises ValueError as `channels_last`.
    """
    body = channels_last(model).body.to(memory_format=torch.contiguous_format)
    return Image(body, model.config).train(model.training)


def _chain(*steps: Callable[[nn.Module], nn.Module]) -> Callable[[nn.Module], nn.Module]:
    def form(model: nn.Module) -> nn.Module:
        for step in steps:
            model = step(model)
        return model

    return form


FORMS: Mapping[str, Callable[[nn.Module], nn.Module]] = MappingProxyType(
    {
        AS_IT_IS: lambda model: model,
        "image": image,
        "polyphase": polyphase,
        "image, polyphase": _chain(polyphase, image),
        "image, snakes in phases": _chain(in_phases, image),
        "image, snakes in blocks": _chain(in_blocks, image),
        "image, polyphase, snakes in blocks": _chain(in_blocks, polyphase, image),
        "image, polyphase, snakes in phases": _chain(in_phases, polyphase, image),
    }
)


def forms(family: str) -> list[str]:
    """Names of the forms that a family ("melgan", "hifigan", "bigvgan") has."""
    return [name for name in FORMS if family == "bigvgan" or "snakes" not in name]


def rewrite(model: nn.Module, form: str) -> nn.Module:
    """The generator in another form, with its configuration and the label of its weights.

    Raises ValueError for an unknown form, and for one that does not fit this network.
    """
    if form not in FORMS:
        raise ValueError(f'no form "{form}": choose one of {", ".join(FORMS)}')
    made = FORMS[form](model).eval()
    made.config = model.config
    if hasattr(model, "weights"):
        made.weights = model.weights
    return made
