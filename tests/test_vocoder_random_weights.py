"""Random weights and mels: as loud as speech, the same for the same seed, no two layers equal."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from vocoder_parts import FACTS, narrow

from labutils import vocoders
from labutils.vocoders import preset, speech_like_mel


@pytest.mark.parametrize("name", [n for n in FACTS if n != "bigvgan-v2-24khz"])
def test_random_weights_have_the_level_of_speech(name):
    config = preset(name)
    if name == "bigvgan-base-24khz":
        config = replace(config, upsample_initial_channel=256)
    check_level(vocoders.create(config, seed=3))


def test_random_weights_of_a_wide_bigvgan_v2():
    check_level(vocoders.create(replace(preset("bigvgan-v2-24khz"), upsample_initial_channel=192)))


def check_level(model):
    mel = speech_like_mel(model.config.mel, 20, seed=11)
    with torch.inference_mode():
        audio = model(mel)
    level = 20 * math.log10(audio.square().mean().sqrt())
    assert -35 < level < -10
    assert audio.abs().max() < 0.99
    assert abs(audio.mean()) < 0.02


def test_random_weights_are_seeded_and_labelled():
    config = narrow("bigvgan-v2-24khz")
    first, same, other = (vocoders.create(config, seed=s) for s in (4, 4, 5))
    assert first.weights == "random, seed 4" and not first.training
    for key, value in first.state_dict().items():
        assert torch.equal(value, same.state_dict()[key])
    assert not torch.equal(first.conv_pre.weight, other.conv_pre.weight)


def test_random_layers_all_differ():
    """Equal parameters let exporters merge layers: their speed would mean nothing."""
    model = vocoders.create(narrow("bigvgan-base-24khz"))
    values = [tuple(p.flatten().tolist()) for p in model.parameters()]
    assert len(set(values)) == len(values)


@pytest.mark.parametrize("name", ["melgan", "hifigan-v1", "gpt-sovits-v4"])
def test_speech_like_mel_is_in_the_units_of_its_front_end(name):
    config = preset(name).mel
    mel = speech_like_mel(config, 50, batch=2, seed=1)
    assert mel.shape == (2, config.n_mels, 50) and mel.dtype == torch.float32
    magnitudes = np.log(config.magnitudes(mel.numpy()))
    assert magnitudes.min() >= math.log(1e-5) - 1e-4
    assert -7 < magnitudes.mean() < -3 and magnitudes.max() < 2
    assert torch.equal(mel, speech_like_mel(config, 50, batch=2, seed=1))
