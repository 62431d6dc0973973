"""BigVGAN's generator (Lee et al. 2023), base and v2: HiFi-GAN with anti-aliased snakes."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from labutils.vocoders.config import BigVGANConfig
from labutils.vocoders.weight_norm import add_weight_norm

__all__ = ["AntiAliasedSnake", "BigVGANGenerator", "kaiser_sinc_filter"]

_RATIO = 2
_TAPS = 12


def kaiser_sinc_filter(cutoff: float, half_width: float, taps: int) -> Tensor:
    """Low-pass filter (1, 1, taps), float32: a sinc under a Kaiser window, with a sum of 1.

    `cutoff` and `half_width` of the transition band in cycles per sample. The attenuation A = 2.285
    (taps / 2 - 1) π Δf + 7.95 with Δf = 4 half_width, and the β for it, are Kaiser's formulas
    (Oppenheim and Schafer, Discrete-Time Signal Processing, section 7.6) in the form of
    alias-free-torch and BigVGAN, which count half the taps.
    """
    if taps % 2:
        raise ValueError(f"the filter needs an even number of taps, not {taps}")
    attenuation = 2.285 * (taps // 2 - 1) * math.pi * 4 * half_width + 7.95
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    elif attenuation >= 21:
        beta = 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    else:
        beta = 0.0
    window = torch.kaiser_window(taps, periodic=False, beta=beta, dtype=torch.float64)
    time = torch.arange(-taps // 2, taps // 2, dtype=torch.float64) + 0.5
    response = 2 * cutoff * window * torch.sinc(2 * cutoff * time)
    return (response / response.sum()).float().reshape(1, 1, taps)


class _Filter(nn.Module):
    """Holds a filter under its official key, and a copy of it per channel for the convolution.

    The copies are made here and not in forward, so that exporters see weights of a fixed shape.
    """

    def __init__(self, channels: int, gain: float = 1.0) -> None:
        super().__init__()
        self.channels, self.gain = channels, gain
        self.register_buffer("filter", kaiser_sinc_filter(0.5 / _RATIO, 0.6 / _RATIO, _TAPS))
        self.register_buffer("weight", self._expanded(), persistent=False)
        self.register_load_state_dict_post_hook(_Filter._refresh)

    def _expanded(self) -> Tensor:
        return (self.gain * self.filter).repeat(self.channels, 1, 1)

    @staticmethod
    def _refresh(module: "_Filter", _keys: object) -> None:
        module.weight.copy_(module._expanded())


class _Upsample(_Filter):
    """Twice the rate: (B, C, L) to (B, C, 2 L)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, gain=_RATIO)  # zeros between the samples take half of the level

    def forward(self, x: Tensor) -> Tensor:
        edge = _TAPS // _RATIO - 1
        x = functional.pad(x, (edge, edge), mode="replicate")
        cut = edge * _RATIO + (_TAPS - _RATIO) // 2
        return functional.conv_transpose1d(
            x, self.weight, stride=_RATIO, padding=cut, groups=self.channels
        )


class _LowPass(_Filter):
    """Half the rate: (B, C, 2 L) to (B, C, L)."""

    def forward(self, x: Tensor) -> Tensor:
        x = functional.pad(x, (_TAPS // 2 - 1, _TAPS // 2), mode="replicate")
        return functional.conv1d(x, self.weight, stride=_RATIO, groups=self.channels)


class _Downsample(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lowpass = _LowPass(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.lowpass(x)


class _SnakeBeta(nn.Module):
    """x + sin²(α x) / β per channel (Ziyin et al. 2020, BigVGAN); `logscale`: α, β are logs."""

    def __init__(self, channels: int, logscale: bool) -> None:
        super().__init__()
        self.logscale = logscale
        start = torch.zeros if logscale else torch.ones
        self.alpha = nn.Parameter(start(channels))
        self.beta = nn.Parameter(start(channels))

    def forward(self, x: Tensor) -> Tensor:
        alpha, beta = self.alpha[:, None], self.beta[:, None]
        if self.logscale:
            alpha, beta = torch.exp(alpha), torch.exp(beta)
        return x + torch.sin(x * alpha).square() / (beta + 1e-9)


class AntiAliasedSnake(nn.Module):
    """A snake at twice the rate between two low-pass filters: its harmonics cannot fold back."""

    def __init__(self, channels: int, logscale: bool) -> None:
        super().__init__()
        self.act = _SnakeBeta(channels, logscale)
        self.upsample = _Upsample(channels)
        self.downsample = _Downsample(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.downsample(self.act(self.upsample(x)))


class _AMPBlock(nn.Module):
    """HiFi-GAN's residual block with an anti-aliased snake before each convolution."""

    def __init__(
        self, channels: int, kernel: int, dilations: tuple[int, ...], logscale: bool
    ) -> None:
        super().__init__()
        half = (kernel - 1) // 2
        self.convs1 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, dilation=d, padding=d * half) for d in dilations
        )
        self.convs2 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, padding=half) for _ in dilations
        )
        self.activations = nn.ModuleList(
            AntiAliasedSnake(channels, logscale) for _ in range(2 * len(dilations))
        )

    def forward(self, x: Tensor) -> Tensor:
        for i, (first, second) in enumerate(zip(self.convs1, self.convs2, strict=True)):
            y = first(self.activations[2 * i](x))
            x = x + second(self.activations[2 * i + 1](y))
        return x


class BigVGANGenerator(nn.Module):
    """Log mel (B, n_mels, T) in natural logarithms to audio (B, 1, hop_length * T)."""

    def __init__(self, config: BigVGANConfig, *, weight_norm: bool = True) -> None:
        super().__init__()
        self.config = config
        channels = config.channels
        self.conv_pre = nn.Conv1d(config.n_mels, channels[0], 7, padding=3)
        # A list in a list, as in the original: its keys read ups.0.0.weight.
        self.ups = nn.ModuleList(
            nn.ModuleList(
                [nn.ConvTranspose1d(wide, narrow, kernel, rate, padding=(kernel - rate) // 2)]
            )
            for wide, narrow, kernel, rate in zip(
                channels[:-1],
                channels[1:],
                config.upsample_kernel_sizes,
                config.upsample_rates,
                strict=True,
            )
        )
        self.resblocks = nn.ModuleList(
            _AMPBlock(width, kernel, dilations, config.snake_logscale)
            for width in channels[1:]
            for kernel, dilations in zip(
                config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True
            )
        )
        self.activation_post = AntiAliasedSnake(channels[-1], config.snake_logscale)
        self.conv_post = nn.Conv1d(channels[-1], 1, 7, padding=3, bias=config.use_bias_at_final)
        if weight_norm:
            add_weight_norm(self)

    def forward(self, mel: Tensor) -> Tensor:
        """Log mel (B, n_mels, T) to audio (B, 1, hop_length * T): clamped in v2, tanh in base."""
        parallel = len(self.config.resblock_kernel_sizes)
        x = self.conv_pre(mel)
        for stage, up in enumerate(self.ups):
            x = up[0](x)
            blocks = self.resblocks[stage * parallel : (stage + 1) * parallel]
            total = blocks[0](x)
            for block in blocks[1:]:
                total = total + block(x)
            x = total / parallel
        x = self.conv_post(self.activation_post(x))
        return torch.tanh(x) if self.config.use_tanh_at_final else torch.clamp(x, -1.0, 1.0)
