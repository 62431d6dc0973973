"""A sound that does not hang on the last bits of its mel, in a form that can be trained on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["SteadinessLoss"]


class SteadinessLoss(nn.Module):
    """How much of the sound changes when its generator computes a little less exactly.

    A mel does not tell the phase: a generator makes it up from the mel's smallest differences, and
    then an engine in FP16 gives another waveform than PyTorch, for no better reason than rounding.
    What the first upsampling reads gets noise of 1/256 of each value, some 20 times what rounding
    to FP16 does, so that TF32 may round as well while this is trained. The decimal logarithm of
    what that changes in the sound over the level of the recording: -4 is 40 dB.
    """

    NOISE = 2.0**-8
    FLOOR = 1e-7  # mean square, -70 dB: what changes under it does not count

    def forward(self, generator: nn.Module, mel: Tensor, fake: Tensor, real: Tensor) -> Tensor:
        """From a mel, the generator's sound of it and the recording, both ``(B, 1, samples)``: a
        scalar. The generator runs once more."""
        changed = (self.shaken(generator, mel) - fake).square().mean((1, 2))
        level = real.square().mean((1, 2))
        return torch.log10((changed + self.FLOOR) / (level + self.FLOOR)).mean()

    def shaken(self, generator: nn.Module, mel: Tensor) -> Tensor:
        """What the generator makes of a mel with noise before its first upsampling."""
        first = next(m for m in generator.modules() if isinstance(m, nn.ConvTranspose1d))
        hook = first.register_forward_pre_hook(
            lambda _, read: (read[0] * (1 + self.NOISE * torch.randn_like(read[0])),)
        )
        try:
            return generator(mel)
        finally:
            hook.remove()
