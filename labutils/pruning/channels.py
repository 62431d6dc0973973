"""Whole channels removed: a narrower generator of the same family, with a configuration of its own.

What comes out is an ordinary vocoder: it is saved, exported and run like any other.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from labutils.pruning.groups import Group, groups, input_axis, output_axis
from labutils.pruning.unstructured import PruningError, convolutions
from labutils.vocoders import MelGANConfig, VocoderConfig, build

__all__ = ["choose", "cut", "energy", "magnitude", "narrower", "prune_channels", "silenced"]

Importance = Mapping[str, Tensor]  # by the name of a group: a value for each channel


def narrower(config: VocoderConfig, keep: float) -> VocoderConfig:
    """The configuration with the share `keep` of the channels in every stage.

    The stages of all three families halve their width, so one number, that of the first, says all
    of them: it is rounded, and stages never get narrower than `config.min_channels`. Raises
    PruningError for a share that is not above 0 and at most 1, or that leaves a stage without
    channels.
    """
    if not 0 < keep <= 1:
        raise PruningError(f"keep {keep}: the share of channels that stay, above 0 and up to 1")
    field = "ngf" if isinstance(config, MelGANConfig) else "upsample_initial_channel"
    try:
        return replace(config, **{field: round(keep * getattr(config, field))})
    except ValueError as error:
        raise PruningError(f"keep {keep}: {error}") from None


def magnitude(model: nn.Module) -> dict[str, Tensor]:
    """By group, the norm of the weights that make each channel (Li et al. 2017, arXiv:1608.08710).

    Over all layers of a residual sum together: a channel that one of them leaves alone may be the
    one that another needs.
    """
    layers = convolutions(model)
    found = {}
    for group in groups(model):
        squares = [_by_channel(layers[path], output_axis(layers[path])) for path in group.made_by]
        found[group.name] = torch.stack(squares).sum(0).sqrt()
    return found


@torch.no_grad()
def energy(model: nn.Module, mel: Tensor) -> dict[str, Tensor]:
    """By group, how much each channel gives to the layers that read it, while `mel` is spoken.

    `mel` (batch, n_mels, frames) is log mel of real speech. For each reader: the mean square of the
    channel as it arrives, after the activation, times the squares of the weights that meet it,
    as a share of all channels; summed over the readers. A channel that is loud where nobody listens
    counts little.
    """
    layers = convolutions(model)
    power: dict[str, Tensor] = {}

    def hook(path: str):
        def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            power[path] = inputs[0].square().mean((0, 2))

        return note

    handles = [layer.register_forward_pre_hook(hook(path)) for path, layer in layers.items()]
    try:
        model(mel)
    finally:
        for handle in handles:
            handle.remove()
    found = {}
    for group in groups(model):
        total = torch.zeros(group.width, device=mel.device)
        for path in group.read_by:
            given = power[path] * _by_channel(layers[path], input_axis(layers[path]))
            total += given / given.sum().clamp(min=1e-30)
        found[group.name] = total
    return found


def _by_channel(layer: nn.Module, axis: int) -> Tensor:
    """Sum of the squares of a weight for each channel of an axis."""
    return layer.weight.detach().square().sum(tuple(a for a in range(3) if a != axis))


def choose(
    model: nn.Module, keep: float, importance: Importance | None = None
) -> dict[str, Tensor]:
    """By group, the indices of the channels that stay, in rising order, as many as `narrower` says.

    `importance` as `magnitude` (the default) and `energy` give it. Raises PruningError where it
    lacks a group or has another width.
    """
    importance = magnitude(model) if importance is None else importance
    with torch.device("meta"):
        wanted = build(narrower(model.config, keep), weight_norm=False)
    widths = {group.name: group.width for group in groups(wanted)}
    kept = {}
    for group in groups(model):
        values = importance.get(group.name)
        if values is None or tuple(values.shape) != (group.width,):
            raise PruningError(f"importance of {group.name}: expected {group.width} values")
        best = torch.topk(values, widths[group.name]).indices
        kept[group.name] = best.sort().values.cpu()
    return kept


def cut(model: nn.Module, kept: Mapping[str, Tensor], config: VocoderConfig) -> nn.Module:
    """A generator of `config` with the weights of the channels that `kept` names, in eval mode.

    Raises PruningError where they do not make a network of this configuration.
    """
    layers = convolutions(model)
    state = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    for group in groups(model):
        where = kept[group.name]

        def take(name: str, axis: int, where: Tensor = where) -> None:
            state[name] = state[name].index_select(axis, where)

        for path in group.made_by:
            take(f"{path}.weight", output_axis(layers[path]))
            if f"{path}.bias" in state:
                take(f"{path}.bias", 0)
        for path in group.read_by:
            take(f"{path}.weight", input_axis(layers[path]))
        for name in group.scaled_by:
            take(name, 0)
    made = build(config, weight_norm=False)
    try:
        made.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise PruningError(f"the channels do not fit: {' '.join(str(error).split())[:300]}") from (
            None
        )
    made.weights = f"{getattr(model, 'weights', 'unknown')}, channels cut to {config.channels}"
    return made.eval()


def prune_channels(
    model: nn.Module, keep: float, *, importance: Importance | None = None
) -> nn.Module:
    """A generator that has the share `keep` of the channels of every stage, and their weights.

    About keep² of the weights and of the work are left. Residual sums keep the same channels in all
    layers that add to them. `model` stays as it is. Raises PruningError as `choose`.
    """
    kept = choose(model, keep, importance)
    return cut(model, kept, narrower(model.config, keep))


@torch.no_grad()
def silenced(model: nn.Module, kept: Mapping[str, Tensor]) -> nn.Module:
    """A copy of full width in which the channels that `kept` does not name are always zero.

    It gives what the cut model gives, to rounding: that proves that the cut went through all layers
    in the same way.
    """
    model = copy.deepcopy(model)
    layers = convolutions(model)
    for group in groups(model):
        gone = _others(group, kept[group.name])
        for path in group.made_by:
            layers[path].weight.index_fill_(output_axis(layers[path]), gone, 0.0)
            if layers[path].bias is not None:
                layers[path].bias[gone] = 0.0
    return model


def _others(group: Group, kept: Tensor) -> Tensor:
    chosen = torch.zeros(group.width, dtype=torch.bool)
    chosen[kept] = True
    return (~chosen).nonzero().flatten()
