"""The same network on images of height 1, channels last: the layout in which tensor cores read."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from labutils.vocoders.bigvgan import AntiAliasedSnake

__all__ = ["ChannelsLast", "channels_last"]


class ChannelsLast(nn.Module):
    """A generator in channels-last layout, used as before: (B, n_mels, T) to (B, 1, L)."""

    def __init__(self, body: nn.Module, config: object) -> None:
        super().__init__()
        self.body, self.config = body, config

    def forward(self, mel: Tensor) -> Tensor:
        image = mel.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        return self.body(image).squeeze(2)


class _Snake(nn.Module):
    """BigVGAN's filtered snake on (B, C, 1, L); its filters are (C, 1, 1, taps)."""

    def __init__(self, snake: AntiAliasedSnake) -> None:
        super().__init__()
        self.logscale = snake.act.logscale
        self.channels = snake.upsample.channels
        self.alpha = nn.Parameter(snake.act.alpha.detach().clone().reshape(-1, 1, 1))
        self.beta = nn.Parameter(snake.act.beta.detach().clone().reshape(-1, 1, 1))
        lowpass = snake.downsample.lowpass
        self.register_buffer("up", snake.upsample.weight.clone().unsqueeze(2))
        self.register_buffer("down", lowpass.weight.clone().unsqueeze(2))

    def forward(self, x: Tensor) -> Tensor:
        alpha, beta = self.alpha, self.beta
        if self.logscale:
            alpha, beta = torch.exp(alpha), torch.exp(beta)
        taps = self.up.shape[-1]
        edge = taps // 2 - 1
        x = functional.pad(x, (edge, edge, 0, 0), mode="replicate")
        cut = 2 * edge + (taps - 2) // 2
        x = functional.conv_transpose2d(
            x, self.up, stride=(1, 2), padding=(0, cut), groups=self.channels
        )
        x = x + torch.sin(x * alpha).square() / (beta + 1e-9)
        x = functional.pad(x, (taps // 2 - 1, taps // 2, 0, 0), mode="replicate")
        return functional.conv2d(x, self.down, stride=(1, 2), groups=self.channels)


def channels_last(model: nn.Module) -> ChannelsLast:
    """A copy of a generator that keeps its signals as (B, channels, 1, length), channels last.

    Same weights, same sums in another order, so the outputs agree to rounding. Convolutions and
    paddings become their two-dimensional relatives of height 1; all else works on either shape.
    Weight norm must be folded. Raises ValueError for a layer that has no such relative here.
    """
    body = copy.deepcopy(model)
    body = _converted(body) or body
    for name, module in list(body.named_modules()):
        for key, child in list(module.named_children()):
            new = _converted(child)
            if new is not None:
                setattr(module, key, new)
            elif isinstance(child, nn.modules.conv._ConvNd | nn.modules.padding._ReflectionPadNd):
                where = f"{name}.{key}".lstrip(".")
                raise ValueError(f"{where}: {type(child).__name__} has no channels-last form here")
    wrapped = ChannelsLast(body, model.config).to(memory_format=torch.channels_last)
    return wrapped.train(model.training)


def _converted(layer: nn.Module) -> nn.Module | None:
    """The relative of a one-dimensional layer; None for what works on either shape."""
    if isinstance(layer, AntiAliasedSnake):
        return _Snake(layer)
    if isinstance(layer, nn.ReflectionPad1d):
        left, right = layer.padding
        return nn.ReflectionPad2d((left, right, 0, 0))
    if not isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
        return None
    if hasattr(layer, "parametrizations"):
        raise ValueError("fold the weight norm first: vocoders.fold_weight_norm(model)")
    sizes = {
        key: (neutral, getattr(layer, key)[0])
        for key, neutral in (("kernel_size", 1), ("stride", 1), ("padding", 0), ("dilation", 1))
    }
    if isinstance(layer, nn.ConvTranspose1d):
        sizes["output_padding"] = (0, layer.output_padding[0])
        kind: type[nn.Module] = nn.ConvTranspose2d
    else:
        kind = nn.Conv2d
    new = kind(
        layer.in_channels,
        layer.out_channels,
        groups=layer.groups,
        bias=layer.bias is not None,
        **sizes,
    )
    with torch.no_grad():
        new.weight.copy_(layer.weight.unsqueeze(2))
        if layer.bias is not None:
            new.bias.copy_(layer.bias)
    return new.to(layer.weight.dtype)
