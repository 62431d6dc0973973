"""Parts of a step that do not need each other, run side by side on a GPU.

The kernels of these small networks do not fill a GPU, so a step is as long as its longest chain of
kernels. Critics, resolutions of a loss and parallel blocks of a generator are chains of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

__all__ = ["Branches", "blocks_side_by_side", "own_gradient"]

T = TypeVar("T")


class Branches:
    """Calls functions on streams of their own and waits for all; elsewhere one after the other.

    Autograd runs the way back on the same streams. Two things may not cross from one stream to
    another, for the one may write while the other still reads: a result that its own way back needs
    (return a sum, or a loss as a scalar), and a gradient that autograd hands to several functions
    and then adds to in place (see `own_gradient`).

    Args:
        device: where the functions work; without a GPU there are no streams.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self._streams: list[torch.cuda.Stream] = []

    def __call__(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """The results of ``calls``, in their order."""
        if self.device.type != "cuda":
            return [call() for call in calls]
        while len(self._streams) < len(calls):
            self._streams.append(torch.cuda.Stream(self.device))
        main, results = torch.cuda.current_stream(self.device), []
        for stream, call in zip(self._streams, calls, strict=False):
            stream.wait_stream(main)
            with torch.cuda.stream(stream):
                results.append(call())
        for stream in self._streams[: len(calls)]:
            main.wait_stream(stream)
        return results


class _OwnGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return gradient.clone()


def own_gradient(x: Tensor) -> Tensor:
    """``x`` itself; its gradient is a copy, made on the stream where this is called."""
    return _OwnGradient.apply(x)


def blocks_side_by_side(generator: nn.Module, branches: Branches) -> None:
    """Let the parallel residual blocks of HiFi-GAN and BigVGAN run on streams of their own.

    The generator calls a stage's blocks one by one with the same input: the first call runs them
    all, the others hand over what is there. A generator without such blocks stays as it is.
    """
    sizes = getattr(generator.config, "resblock_kernel_sizes", ())
    if len(sizes) < 2:
        return
    blocks = list(generator.resblocks)
    for first in range(0, len(blocks), len(sizes)):
        _Stage(blocks[first : first + len(sizes)], branches)


class _Stage:
    """The parallel blocks of one stage."""

    def __init__(self, blocks: list[nn.Module], branches: Branches):
        self.forwards = [block.forward for block in blocks]
        self.branches = branches
        self.waiting: list[Tensor] = []
        blocks[0].forward = self.first
        for block in blocks[1:]:
            block.forward = self.next

    def first(self, x: Tensor) -> Tensor:
        calls = [
            lambda forward=forward: own_gradient(forward(own_gradient(x)))
            for forward in self.forwards
        ]
        result, *self.waiting = self.branches(calls)
        return result

    def next(self, x: Tensor) -> Tensor:
        return self.waiting.pop(0)
