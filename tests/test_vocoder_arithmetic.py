"""The arithmetic of each family against a plain one that knows the authors' key names alone."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F
from vocoder_parts import FACTS, narrow

from labutils import vocoders
from labutils.vocoders import speech_like_mel


def conv(x, w, name, dilation=1):
    weight = w[f"{name}.weight"]
    padding = dilation * (weight.shape[-1] - 1) // 2
    return F.conv1d(x, weight, w.get(f"{name}.bias"), padding=padding, dilation=dilation)


def plain_hifigan(w, config, mel, slope=0.1, last=0.01):
    x = conv(mel, w, "conv_pre")
    count = len(config.resblock_kernel_sizes)
    for i, (rate, kernel) in enumerate(
        zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True)
    ):
        weight, bias = w[f"ups.{i}.weight"], w[f"ups.{i}.bias"]
        x = F.conv_transpose1d(F.leaky_relu(x, slope), weight, bias, rate, (kernel - rate) // 2)
        total = 0
        for j, dilations in enumerate(config.resblock_dilation_sizes):
            y, block = x, f"resblocks.{i * count + j}"
            for k, d in enumerate(dilations):
                if config.resblock == "1":
                    z = conv(F.leaky_relu(y, slope), w, f"{block}.convs1.{k}", d)
                    y = y + conv(F.leaky_relu(z, slope), w, f"{block}.convs2.{k}")
                else:
                    y = y + conv(F.leaky_relu(y, slope), w, f"{block}.convs.{k}", d)
            total = total + y
        x = total / count
    return torch.tanh(conv(F.leaky_relu(x, last), w, "conv_post"))


def plain_melgan(w, config, mel, slope=0.2):
    def padded(x, name, dilation=1):
        pad = dilation * (w[f"{name}.weight"].shape[-1] - 1) // 2
        return F.conv1d(
            F.pad(x, (pad, pad), mode="reflect"),
            w[f"{name}.weight"],
            w[f"{name}.bias"],
            dilation=dilation,
        )

    x = padded(mel, "model.1")
    for i, rate in enumerate(config.ratios):
        at = 3 + 5 * i
        weight, bias = w[f"model.{at}.weight"], w[f"model.{at}.bias"]
        x = F.conv_transpose1d(F.leaky_relu(x, slope), weight, bias, rate, rate // 2)
        for j in range(3):
            name = f"model.{at + 1 + j}"
            y = padded(F.leaky_relu(x, slope), f"{name}.block.2", 3**j)
            y = padded(F.leaky_relu(y, slope), f"{name}.block.4")
            x = padded(x, f"{name}.shortcut") + y
    return torch.tanh(padded(F.leaky_relu(x, slope), "model.24"))


def plain_snake(x, w, name):
    """Up by zeros and a filter, the snake, a filter and down: on one channel after the other."""
    alpha, beta = (w[f"{name}.act.{p}"].exp()[:, None] for p in ("alpha", "beta"))
    up, down = w[f"{name}.upsample.filter"], w[f"{name}.downsample.lowpass.filter"]
    batch, channels, length = x.shape
    x = F.pad(x.reshape(-1, 1, length), (5, 5), mode="replicate")
    x = 2 * F.conv_transpose1d(x, up, stride=2)[..., 15:-15].reshape(batch, channels, 2 * length)
    x = x + torch.sin(alpha * x) ** 2 / (beta + 1e-9)
    x = F.pad(x.reshape(-1, 1, 2 * length), (5, 6), mode="replicate")
    return F.conv1d(x, down, stride=2).reshape(batch, channels, length)


def plain_bigvgan(w, config, mel):
    x = conv(mel, w, "conv_pre")
    count = len(config.resblock_kernel_sizes)
    for i, (rate, kernel) in enumerate(
        zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True)
    ):
        x = F.conv_transpose1d(
            x, w[f"ups.{i}.0.weight"], w[f"ups.{i}.0.bias"], rate, (kernel - rate) // 2
        )
        total = 0
        for j, dilations in enumerate(config.resblock_dilation_sizes):
            y, block = x, f"resblocks.{i * count + j}"
            for k, d in enumerate(dilations):
                z = conv(
                    plain_snake(y, w, f"{block}.activations.{2 * k}"), w, f"{block}.convs1.{k}", d
                )
                y = y + conv(
                    plain_snake(z, w, f"{block}.activations.{2 * k + 1}"), w, f"{block}.convs2.{k}"
                )
            total = total + y
        x = total / count
    x = conv(plain_snake(x, w, "activation_post"), w, "conv_post")
    return x.tanh() if config.use_tanh_at_final else x.clamp(-1, 1)


PLAIN = {"melgan": plain_melgan, "hifigan": plain_hifigan, "bigvgan": plain_bigvgan}


def randomised(name: str) -> torch.nn.Module:
    """A narrow float64 copy with biases and snakes far from zero and output up to ±1."""
    model = vocoders.create(narrow(name)).double()
    random = torch.Generator().manual_seed(1)
    for key, parameter in model.named_parameters():
        if key.endswith(("bias", "alpha", "beta")):
            parameter.data.add_(
                0.3 * torch.randn(parameter.shape, generator=random, dtype=torch.float64)
            )
    last = model.model[-2] if hasattr(model, "model") else model.conv_post
    last.weight.data.mul_(8)
    return model


@pytest.mark.parametrize("name", [n for n in FACTS if not n.endswith("small")])
def test_arithmetic_is_the_published_one(name):
    model = randomised(name)
    config, weights = model.config, model.state_dict()
    mel = speech_like_mel(config.mel, 9, batch=2).double()
    with torch.inference_mode():
        ours, theirs = model(mel), PLAIN[config.family](weights, config, mel)
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-9)
        assert ours.abs().max() > 0.8  # else clamp and tanh could not be told apart
        if config.family == "hifigan":
            assert not torch.allclose(
                ours, plain_hifigan(weights, config, mel, last=0.1), atol=1e-4
            )
        if config.family == "bigvgan":
            other = replace(config, use_tanh_at_final=not config.use_tanh_at_final)
            assert not torch.allclose(ours, plain_bigvgan(weights, other, mel), atol=1e-2)


def test_loaded_filters_are_the_ones_used():
    """Official files carry the filters: the copies for each channel must follow them."""
    model = vocoders.create(narrow("bigvgan-base-24khz"))
    state = {k: v * 0.5 if k.endswith("filter") else v for k, v in model.state_dict().items()}
    model.load_state_dict(state)
    mel = speech_like_mel(model.config.mel, 6)
    with torch.inference_mode():
        assert torch.allclose(model(mel), plain_bigvgan(state, model.config, mel), atol=1e-5)
