"""HiFi-GAN's generator (Kong et al. 2020), V1 to V3; GPT-SoVITS v4 uses it at 48 kHz."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from labutils.vocoders.config import HiFiGANConfig
from labutils.vocoders.weight_norm import add_weight_norm

__all__ = ["HiFiGANGenerator"]

_SLOPE = 0.1
# The original calls leaky_relu without a slope before conv_post, which rewrites often miss.
_LAST_SLOPE = 0.01


def _same(channels: int, kernel: int, dilation: int = 1) -> nn.Conv1d:
    return nn.Conv1d(
        channels, channels, kernel, dilation=dilation, padding=dilation * (kernel - 1) // 2
    )


class _ResBlock1(nn.Module):
    """Per dilation a dilated and a plain convolution, with a sum around both (V1, V2, v4)."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(_same(channels, kernel, d) for d in dilations)
        self.convs2 = nn.ModuleList(_same(channels, kernel) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for first, second in zip(self.convs1, self.convs2, strict=True):
            y = first(functional.leaky_relu(x, _SLOPE))
            x = x + second(functional.leaky_relu(y, _SLOPE))
        return x


class _ResBlock2(nn.Module):
    """Per dilation one convolution, with a sum around it (V3)."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_same(channels, kernel, d) for d in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = x + conv(functional.leaky_relu(x, _SLOPE))
        return x


class HiFiGANGenerator(nn.Module):
    """Log mel (B, n_mels, T) in natural logarithms to audio (B, 1, hop_length * T)."""

    def __init__(self, config: HiFiGANConfig, *, weight_norm: bool = True) -> None:
        super().__init__()
        self.config = config
        self.unnormed = () if config.norm_ends else ("conv_pre", "conv_post")
        channels = config.channels
        self.conv_pre = nn.Conv1d(config.n_mels, channels[0], 7, padding=3)
        self.ups = nn.ModuleList(
            nn.ConvTranspose1d(wide, narrow, kernel, rate, padding=(kernel - rate) // 2)
            for wide, narrow, kernel, rate in zip(
                channels[:-1],
                channels[1:],
                config.upsample_kernel_sizes,
                config.upsample_rates,
                strict=True,
            )
        )
        block = _ResBlock1 if config.resblock == "1" else _ResBlock2
        self.resblocks = nn.ModuleList(
            block(width, kernel, dilations)
            for width in channels[1:]
            for kernel, dilations in zip(
                config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True
            )
        )
        self.conv_post = nn.Conv1d(channels[-1], 1, 7, padding=3, bias=config.is_bias)
        if weight_norm:
            add_weight_norm(self)

    def forward(self, mel: Tensor) -> Tensor:
        """Log mel (B, n_mels, T) to audio (B, 1, hop_length * T) in (-1, 1)."""
        parallel = len(self.config.resblock_kernel_sizes)
        x = self.conv_pre(mel)
        for stage, up in enumerate(self.ups):
            x = up(functional.leaky_relu(x, _SLOPE))
            blocks = self.resblocks[stage * parallel : (stage + 1) * parallel]
            total = blocks[0](x)
            for block in blocks[1:]:
                total = total + block(x)
            x = total / parallel
        return torch.tanh(self.conv_post(functional.leaky_relu(x, _LAST_SLOPE)))
