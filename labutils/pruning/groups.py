"""Which channels of a generator can only be removed together.

A residual sum adds channel by channel, so everything that is added to it has the same channels.
In a HiFi-GAN stage these are the upsampling layer and the last convolution of every residual unit
of every parallel block; and everything that reads the sum has to do without what is removed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from labutils.pruning.unstructured import PruningError
from labutils.vocoders import BigVGANGenerator, HiFiGANGenerator, MelGANGenerator

__all__ = ["Group", "groups", "input_axis", "output_axis"]


@dataclass(frozen=True)
class Group:
    """Channels that go or stay together.

    `made_by`: paths of the layers that write them, `read_by`: of those that read them, `scaled_by`:
    names of parameters with a value for each channel (the snakes'). `inside`: between the two
    convolutions of one residual unit, where no sum ties other layers to them.
    """

    name: str
    width: int
    made_by: tuple[str, ...]
    read_by: tuple[str, ...]
    scaled_by: tuple[str, ...] = ()
    inside: bool = False


def output_axis(layer: nn.Module) -> int:
    """The axis of a convolution's weight that counts its output channels."""
    return 1 if isinstance(layer, nn.ConvTranspose1d) else 0


def input_axis(layer: nn.Module) -> int:
    """The axis of a convolution's weight that counts its input channels."""
    return 1 - output_axis(layer)


def groups(model: nn.Module) -> list[Group]:
    """All channels of a generator of the three families, in the order of the network.

    Input (mel bands) and output (one channel) are in none: they stay. Raises PruningError for
    another network.
    """
    if isinstance(model, MelGANGenerator):
        return list(_melgan(model))
    if isinstance(model, HiFiGANGenerator | BigVGANGenerator):
        return list(_upsampling(model))
    raise PruningError(f"the channels of a {type(model).__name__} are not known here")


def _upsampling(model: nn.Module) -> Iterator[Group]:
    """HiFi-GAN and BigVGAN: stages of an upsampling layer and parallel residual blocks."""
    snakes = isinstance(model, BigVGANGenerator)
    widths = model.config.channels
    parallel = len(model.config.resblock_kernel_sizes)
    ups = [f"ups.{i}.0" if snakes else f"ups.{i}" for i in range(len(model.ups))]
    yield Group("conv_pre", widths[0], ("conv_pre",), (ups[0],))
    for stage, up in enumerate(ups):
        width, made, read, scaled, inside = widths[stage + 1], [up], [], [], []
        for number in range(stage * parallel, (stage + 1) * parallel):
            path, block = f"resblocks.{number}", model.resblocks[number]
            if not hasattr(block, "convs2"):  # resblock "2": one convolution a unit
                names = [f"{path}.convs.{i}" for i in range(len(block.convs))]
                made, read = made + names, read + names
                continue
            for i in range(len(block.convs2)):
                first, second = f"{path}.convs1.{i}", f"{path}.convs2.{i}"
                made.append(second)
                read.append(first)
                outer = _snake(f"{path}.activations.{2 * i}") if snakes else ()
                inner = _snake(f"{path}.activations.{2 * i + 1}") if snakes else ()
                scaled += outer
                inside.append(Group(first, width, (first,), (second,), inner, inside=True))
        last = stage + 1 == len(ups)
        read.append("conv_post" if last else ups[stage + 1])
        scaled += _snake("activation_post") if snakes and last else ()
        yield Group(f"stage {stage + 1}", width, tuple(made), tuple(read), tuple(scaled))
        yield from inside


def _snake(path: str) -> tuple[str, ...]:
    return f"{path}.act.alpha", f"{path}.act.beta"


def _melgan(model: MelGANGenerator) -> Iterator[Group]:
    """MelGAN: the sum in each residual block is of a block and a shortcut, both of them layers.

    So unlike in HiFi-GAN each block makes new channels; `build` wants them as wide as the stage.
    """
    layers = dict(model.model.named_children())
    before: tuple[str, int, tuple[str, ...]] | None = None  # a group whose readers are not known
    for number, layer in layers.items():
        path = f"model.{number}"
        block = hasattr(layer, "shortcut")
        if not block and not isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
            continue
        if before is not None:
            readers = (f"{path}.block.2", f"{path}.shortcut") if block else (path,)
            yield Group(*before, readers)
        if block:
            first, second = f"{path}.block.2", f"{path}.block.4"
            width = layer.shortcut.out_channels
            yield Group(first, width, (first,), (second,), inside=True)
            before = (path, width, (second, f"{path}.shortcut"))
        else:
            before = (path, layer.out_channels, (path,))
