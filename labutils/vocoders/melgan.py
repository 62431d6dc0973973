"""MelGAN's generator (Kumar et al. 2019) with the layer names of descriptinc/melgan-neurips."""

from torch import Tensor, nn

from labutils.vocoders.config import MelGANConfig
from labutils.vocoders.weight_norm import add_weight_norm

__all__ = ["MelGANGenerator"]

_SLOPE = 0.2


class _ResidualBlock(nn.Module):
    """A dilated convolution and a pointwise one beside a pointwise shortcut."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.LeakyReLU(_SLOPE),
            nn.ReflectionPad1d(dilation),
            nn.Conv1d(channels, channels, 3, dilation=dilation),
            nn.LeakyReLU(_SLOPE),
            nn.Conv1d(channels, channels, 1),
        )
        self.shortcut = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.block(x)


class MelGANGenerator(nn.Module):
    """Log mel (B, n_mels, T) in log10 units to audio (B, 1, hop_length * T); T is 4 or more."""

    def __init__(self, config: MelGANConfig, *, weight_norm: bool = True) -> None:
        super().__init__()
        self.config = config
        channels = config.channels
        layers: list[nn.Module] = [nn.ReflectionPad1d(3), nn.Conv1d(config.n_mels, channels[0], 7)]
        for rate, wide, narrow in zip(config.ratios, channels, channels[1:], strict=False):
            layers += [
                nn.LeakyReLU(_SLOPE),
                nn.ConvTranspose1d(
                    wide,
                    narrow,
                    2 * rate,
                    rate,
                    padding=rate // 2 + rate % 2,
                    output_padding=rate % 2,
                ),
            ]
            layers += [_ResidualBlock(narrow, 3**j) for j in range(config.n_residual_layers)]
        layers += [
            nn.LeakyReLU(_SLOPE),
            nn.ReflectionPad1d(3),
            nn.Conv1d(channels[-1], 1, 7),
            nn.Tanh(),
        ]
        self.model = nn.Sequential(*layers)
        if weight_norm:
            add_weight_norm(self)

    def forward(self, mel: Tensor) -> Tensor:
        """Log mel (B, n_mels, T) to audio (B, 1, hop_length * T) in (-1, 1)."""
        return self.model(mel)
