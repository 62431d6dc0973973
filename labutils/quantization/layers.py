"""The layers of an ONNX graph that can be quantised: their names, sizes, groups and work."""

import fnmatch
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from labutils import costs
from labutils.onnx_export import files
from labutils.onnx_export.files import OnnxError

__all__ = ["KINDS", "Layer", "groups_of", "layers_of", "network_costs", "select"]

KINDS = ("Conv", "ConvTranspose")
_GROUP = re.compile(r"[A-Za-z_]+(?:\.\d+)?")


@dataclass(frozen=True)
class Layer:
    """A convolution whose weight stands in the file.

    `name` is its node's, as in "resblocks.0.convs1.2/Conv"; `weight` the shape of its weight:
    (out, in / groups, taps), of a ConvTranspose (in, out / groups, taps); `groups` are more than 1
    in depthwise filters.
    """

    name: str
    kind: str
    weight: tuple[int, ...]
    groups: int = 1

    @property
    def module(self) -> str:
        """The path of the module that made it, as in "resblocks.0.convs1.2"."""
        return self.name.rpartition("/")[0]

    @property
    def group(self) -> str:
        """The part of the network it belongs to, as in "resblocks.0", "ups.1" or "conv_pre"."""
        found = _GROUP.match(self.name)
        return found.group() if found else self.name


def layers_of(model: Any) -> list[Layer]:
    """The convolutions of a graph in its order, those with a weight in the file.

    `model` is a path or an onnx.ModelProto. Raises OnnxError where there is none.
    """
    if isinstance(model, str | os.PathLike):
        model = files.read(model)
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    found = [
        Layer(
            node.name,
            node.op_type,
            weights[node.input[1]],
            next((a.i for a in node.attribute if a.name == "group"), 1),
        )
        for node in model.graph.node
        if node.op_type in KINDS and node.input[1] in weights
    ]
    if not found:
        raise OnnxError(
            "the graph has no convolution with a weight in the file: is it quantised already, or "
            "was weight norm left in it?"
        )
    return found


def select(layers: Sequence[Layer], patterns: Sequence[str]) -> set[str]:
    """Names of the layers that patterns mean: a kind ("ConvTranspose"), a name, "resblocks.0.*".

    Raises OnnxError for a pattern that fits no layer.
    """
    found: set[str] = set()
    for pattern in patterns:
        fits = {
            layer.name
            for layer in layers
            if pattern == layer.kind or fnmatch.fnmatchcase(layer.name, pattern)
        }
        if not fits:
            raise OnnxError(
                f"no layer is called {pattern!r} or is of that kind; the first is "
                f"{layers[0].name!r}, the last {layers[-1].name!r}"
            )
        found |= fits
    return found


def groups_of(layers: Sequence[Layer]) -> dict[str, list[str]]:
    """{part of the network: names of its layers}, in the order of the graph."""
    groups: dict[str, list[str]] = {}
    for layer in layers:
        groups.setdefault(layer.group, []).append(layer.name)
    return groups


def network_costs(model: nn.Module, layers: Sequence[Layer], frames: int = 100) -> dict[str, float]:
    """{layer: its share of the multiply-accumulate operations of all `layers`}, summing to 1.

    `model` is the network that the graph was exported from. Raises OnnxError for a layer that it
    does not have.
    """
    by_module: dict[str, float] = {}
    for row in costs.count(model, frames):
        if row.operation == "convolution":
            by_module[row.layer] = by_module.get(row.layer, 0.0) + row.macs
    if missing := [layer.name for layer in layers if layer.module not in by_module]:
        raise OnnxError(f"the network has no layer {missing[0]!r}: is it the one of this file?")
    work: Mapping[str, float] = {layer.name: by_module[layer.module] for layer in layers}
    total = sum(work.values())
    return {name: macs / total for name, macs in work.items()}
