"""Samples for each frame, and how far one frame is heard before and after it."""

import math
from dataclasses import replace

import pytest
import torch
from vocoder_parts import FACTS, narrow

from labutils import vocoders
from labutils.vocoders import preset, speech_like_mel

SMALL_ENOUGH = ("hifigan-v2", "hifigan-v3", "hifigan-small", "gpt-sovits-v4-small", "melgan")


@pytest.mark.parametrize("name", FACTS)
def test_output_length_is_hop_times_frames(name):
    config = narrow(name)
    model = vocoders.create(config)
    assert config.hop_length == FACTS[name][-1]
    for frames in (config.min_frames, 5, 8, 21):
        with torch.inference_mode():
            audio = model(speech_like_mel(config.mel, frames, batch=2))
        assert audio.shape == (2, 1, config.hop_length * frames)
        assert config.output_length(frames) == audio.shape[-1]


@pytest.mark.parametrize("name", FACTS)
def test_receptive_field_is_as_far_as_a_nan_spreads(name):
    config = preset(name)
    assert config.receptive_field == FACTS[name][4]
    real = name in SMALL_ENOUGH
    model = vocoders.create(config if real else narrow(name))
    reach = config.receptive_field
    middle = reach + 2
    mel = speech_like_mel(config.mel, 2 * middle + 1)
    mel[:, :, middle] = math.nan
    with torch.inference_mode():
        samples = model(mel).isnan()[0, 0].nonzero()[:, 0] - middle * config.hop_length
    first, last = int(samples.min()), int(samples.max())
    assert -first <= (middle - 1) * config.hop_length  # the edges did not cut it short
    assert (first, last) == config.reach
    frames = samples.div(config.hop_length, rounding_mode="floor")
    assert max(-int(frames.min()), int(frames.max())) == reach


def test_receptive_field_follows_the_settings():
    v2 = preset("hifigan-v2")
    wider = replace(v2, resblock_dilation_sizes=((1, 3, 5), (1, 3, 5), (1, 3, 25)))
    assert wider.receptive_field > v2.receptive_field
    assert replace(preset("melgan"), n_residual_layers=1).receptive_field < 6
