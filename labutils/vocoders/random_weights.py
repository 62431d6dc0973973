"""Vocoders with random weights at the level of speech: to measure speed, or to start training."""

import math

import torch
from torch import Tensor, nn

from labutils.mel import MelConfig
from labutils.vocoders.bigvgan import BigVGANGenerator
from labutils.vocoders.config import BigVGANConfig, HiFiGANConfig, MelGANConfig, VocoderConfig
from labutils.vocoders.hifigan import HiFiGANGenerator
from labutils.vocoders.melgan import MelGANGenerator
from labutils.vocoders.presets import preset
from labutils.vocoders.weight_norm import add_weight_norm

__all__ = ["build", "create", "speech_like_mel"]

_CLASSES = {
    MelGANConfig: MelGANGenerator,
    HiFiGANConfig: HiFiGANGenerator,
    BigVGANConfig: BigVGANGenerator,
}
_LEVEL = 0.1  # root mean square of the output: -20 dBFS
_RESIDUAL_ENDS = (
    "convs",
    "convs2",
    "block.4",
)  # layers whose output is added to their block's input


def build(config: VocoderConfig, *, weight_norm: bool = True) -> nn.Module:
    """The network of a configuration with PyTorch's initial weights; ValueError for others."""
    try:
        return _CLASSES[type(config)](config, weight_norm=weight_norm)
    except KeyError:
        raise ValueError(f"no vocoder for a {type(config).__name__}") from None


def speech_like_mel(config: MelConfig, frames: int, *, batch: int = 1, seed: int = 0) -> Tensor:
    """A random log mel (batch, n_mels, frames), float32, with syllables, pauses, formants and tilt.

    In the range of speech and the units of `config`. Nobody can understand it: it feeds benchmarks
    and random weights.
    """
    random = torch.Generator().manual_seed(seed)
    band = torch.linspace(0, 1, config.n_mels)[None, :, None]
    time = torch.arange(frames)[None, None, :] / config.frame_rate
    phase, wander = torch.rand(2, batch, 4, 1, 1, generator=random) * 2 * math.pi
    syllables = torch.sin(2 * math.pi * 4 * time + phase[:, 0]).clamp(min=-0.6)
    mel = -4.5 - 3.0 * band + 2.0 * syllables
    for i, centre in enumerate((0.15, 0.4, 0.65)):
        formant = centre + 0.07 * torch.sin(2 * math.pi * (1 + i) * time + wander[:, i + 1])
        mel = mel + 2.0 * torch.exp(-(((band - formant) / 0.06) ** 2))
    mel = mel + 0.5 * torch.randn(batch, config.n_mels, frames, generator=random)
    floor = math.log(config.floor)
    return mel.clamp(min=floor) * (config.lowest_value / floor)


@torch.no_grad()
def _randomise(model: nn.Module, seed: int) -> None:
    """Weights that keep the variance (He et al. 2015), with residual branches at a third.

    Biases and the snakes' parameters differ a little from layer to layer, as in a trained network:
    equal ones let an export or an engine merge layers, which would flatter the speed.
    """
    random = torch.Generator().manual_seed(seed)
    last = None
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            stride = module.stride[0] if isinstance(module, nn.ConvTranspose1d) else 1
            gain = 0.3 if any(f".{end}." in f".{name}." for end in _RESIDUAL_ENDS) else 1.0
            gain = gain if name.endswith("shortcut") else gain * math.sqrt(2)
            std = gain / math.sqrt(module.in_channels * module.kernel_size[0] / stride)
            module.weight.normal_(0, std, generator=random)
            if module.bias is not None:
                module.bias.normal_(0, 0.01, generator=random)
            last = module
        elif hasattr(module, "alpha"):
            for parameter in (module.alpha, module.beta):
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=random))
    # Without a gain at 0 Hz in the last layer the output has no offset; then the level is set.
    last.weight.sub_(last.weight.mean(-1, keepdim=True)).mul_(1e-3)
    if last.bias is not None:
        last.bias.zero_()
    level = model(speech_like_mel(model.config.mel, 16, seed=seed)).square().mean().sqrt()
    last.weight.mul_(_LEVEL / level)


def create(config: str | VocoderConfig, *, seed: int = 0, weight_norm: bool = False) -> nn.Module:
    """A vocoder with seeded random weights and the level of speech (about -20 dBFS), in eval mode.

    Takes a preset's name or a configuration. The weights say nothing about quality: they measure
    speed, or are where training starts; `model.weights` labels them. Raises ValueError for an
    unknown name.
    """
    if isinstance(config, str):
        config = preset(config)
    model = build(config, weight_norm=False).eval()
    _randomise(model, seed)
    if weight_norm:
        add_weight_norm(model)
    model.weights = f"random, seed {seed}"
    return model
