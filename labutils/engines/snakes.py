"""BigVGAN's filtered snakes in forms that need no depthwise transposed convolution.

The snake runs at twice the rate between two filters of 12 taps that are the same for every channel.
As depthwise convolutions they use no tensor cores and move each signal many times.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from labutils.engines.polyphase import phase_kernels
from labutils.vocoders.bigvgan import AntiAliasedSnake

__all__ = ["BlockSnake", "PhaseSnake", "in_blocks", "in_phases"]

M = TypeVar("M", bound=nn.Module)
_EDGE = 5  # samples that both filters read before and after a block: 12 taps at twice the rate
_BLOCK = 32  # a multiple of 8: tensor cores read FP16 in eights


class _Snake(nn.Module):
    """The pointwise part, for parameters that broadcast against the signal as it is laid out."""

    def __init__(self, snake: AntiAliasedSnake, repeats: int, dims: int) -> None:
        super().__init__()
        alpha, beta = snake.act.alpha.detach(), snake.act.beta.detach()
        if snake.act.logscale:
            alpha, beta = alpha.exp(), beta.exp()
        shape = (-1,) + (1,) * dims
        self.register_buffer("alpha", alpha.repeat_interleave(repeats).reshape(shape).clone())
        scale = 1 / (beta + 1e-9)
        self.register_buffer("scale", scale.repeat_interleave(repeats).reshape(shape).clone())

    def forward(self, x: Tensor) -> Tensor:
        sine = torch.sin(x * self.alpha)
        return x + sine * sine * self.scale


class PhaseSnake(nn.Module):
    """The even and the odd samples of the double rate as two channels at the single rate.

    (B, C, L) or (B, C, 1, L) to the same. Both filters become plain depthwise convolutions of 7
    taps; the double-rate signal is never written in order.
    """

    def __init__(self, snake: AntiAliasedSnake) -> None:
        super().__init__()
        up, down = snake.upsample.weight, snake.downsample.lowpass.weight
        self.channels, taps = up.shape[0], up.shape[-1]
        kernels = phase_kernels(up, 2, _EDGE)[:, 0]  # (C, 2, 7)
        self.reach = kernels.shape[-1] // 2
        self.register_buffer("up", kernels.reshape(-1, 1, 1, kernels.shape[-1]).clone())
        folded = down.new_zeros(self.channels, 2, 1, kernels.shape[-1])
        for phase in range(2):
            for j in range(-self.reach, self.reach + 1):
                place = 2 * j + phase + _EDGE  # output i reads 2 i - 5 to 2 i + 6
                if 0 <= place < taps:
                    folded[:, phase, 0, j + self.reach] = down[:, 0, place]
        self.register_buffer("down", folded)
        self.act = _Snake(snake, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.ndim == 3
        x = x.unsqueeze(2) if flat else x
        n = self.reach
        x = functional.pad(x, (n, n, 0, 0), mode="replicate")
        phases = self.act(functional.conv2d(x, self.up, groups=self.channels))
        # In order the first sample is even, the last one odd: both phases continue with these.
        phases = phases.unflatten(1, (self.channels, 2)).squeeze(3)
        first = functional.pad(phases[:, :, :1, :1], (n - 1, 0, 0, 1), mode="replicate")
        last = functional.pad(phases[:, :, 1:, -1:], (0, n - 1, 1, 0), mode="replicate")
        phases = torch.cat([first, phases, last], dim=3).flatten(1, 2).unsqueeze(2)
        y = functional.conv2d(phases, self.down, groups=self.channels)
        return y.squeeze(2) if flat else y


class BlockSnake(nn.Module):
    """Both filters as matrix products over blocks of `block` samples: work for tensor cores.

    (B, C, L) or (B, C, 1, L) to the same; L must be a multiple of `block`. A filter maps the block
    and its neighbours to the block's output; most of its matrix is 0, and still it is faster where
    products cost less than memory.
    """

    def __init__(self, snake: AntiAliasedSnake, block: int) -> None:
        super().__init__()
        if block < 2 * _EDGE:
            raise ValueError(f"blocks of {block} samples: filters of 12 taps need 10 or more")
        self.block = block
        up, down = snake.upsample.weight[:1], snake.downsample.lowpass.weight[:1]
        taps = up.shape[-1]
        # The matrix of a linear operation: what it makes of each unit vector.
        window = torch.eye(block + 2 * _EDGE).unsqueeze(1)
        cut = 2 * _EDGE + (taps - 2) // 2
        rows = functional.conv_transpose1d(window, up, stride=2, padding=cut)[:, 0]
        self.register_buffer("up", _rounded_up(rows, block))
        window = torch.eye(2 * (block + _EDGE)).unsqueeze(1)
        rows = functional.conv1d(window, down, stride=2)[:, 0]
        self.register_buffer("down", _rounded_up(rows, 2 * block))
        self.act = _Snake(snake, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        signal = x if x.ndim == 3 else x.squeeze(2)
        double = self.act(_windows(signal, self.block, self.up.shape[0]) @ self.up)
        windows = _windows(double.flatten(2), 2 * self.block, self.down.shape[0])
        y = (windows @ self.down).flatten(2)
        return y if x.ndim == 3 else y.unsqueeze(2)


def _rounded_up(matrix: Tensor, block: int) -> Tensor:
    """The matrix with rows of zeros, so that a window is a block and a multiple of 8 more."""
    more = -(-(matrix.shape[0] - block) // 8) * 8
    rows = block + more - matrix.shape[0]
    return functional.pad(matrix.detach(), (0, 0, 0, rows)).clone()


def _windows(x: Tensor, block: int, size: int) -> Tensor:
    """(B, C, L) to (B, C, L / block, size): each block with 5 samples before it and more after."""
    x = functional.pad(x, (_EDGE, block - _EDGE), mode="replicate")
    blocks = x.unflatten(2, (-1, block))
    return torch.cat([blocks[:, :, :-1], blocks[:, :, 1:, : size - block]], dim=3)


def in_phases(model: M) -> M:
    """A copy of a BigVGAN with a `PhaseSnake` for each snake; exact to rounding."""
    return _replaced(model, lambda snake, rate: PhaseSnake(snake))


def in_blocks(model: M) -> M:
    """A copy of a BigVGAN whose filters are matrix products, exact to rounding.

    A block divides the stage's rate, so that any number of frames fits; at a rate below 16 a
    `PhaseSnake` stands in.
    """

    def choose(snake: AntiAliasedSnake, rate: int) -> nn.Module:
        block = next((b for b in (_BLOCK, _BLOCK // 2) if rate % b == 0), None)
        return BlockSnake(snake, block) if block else PhaseSnake(snake)

    return _replaced(model, choose)


def _replaced(model: M, choose: Callable[[AntiAliasedSnake, int], nn.Module]) -> M:
    """A copy with each snake replaced by `choose(snake, samples per frame where it stands)`."""
    model = copy.deepcopy(model)
    rates, rate = [], 1
    for factor in getattr(model.config, "upsample_rates", ()):
        rate *= factor
        rates.append(rate)
    if not any(isinstance(m, AntiAliasedSnake) for m in model.modules()):
        raise ValueError(f"{type(model).__name__} has no filtered snakes")
    parallel = len(model.config.resblock_kernel_sizes)
    for name, module in list(model.named_modules()):
        for key, child in list(module.named_children()):
            if isinstance(child, AntiAliasedSnake):
                parts = name.split(".")
                stage = int(parts[1]) // parallel if parts[0] == "resblocks" else -1
                setattr(module, key, choose(child, rates[stage]))
    return model
