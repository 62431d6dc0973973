"""Parameters of the vocoders: how many there are, their names, shapes and biases."""

from dataclasses import replace

import pytest
import torch
from vocoder_parts import FACTS, narrow

from labutils import vocoders
from labutils.vocoders import PRESETS, preset

# Parameters in millions as the authors and others published them.
PUBLISHED = {
    "melgan": 4.26,
    "hifigan-v1": 13.92,
    "hifigan-v2": 0.92,
    "hifigan-v3": 1.46,
    "bigvgan-v2-24khz": 112,
}


@pytest.mark.parametrize("name", FACTS)
def test_counts(name):
    normed, folded, normed_keys, folded_keys, _, _ = FACTS[name]
    with torch.device("meta"):
        pair = [vocoders.build(preset(name), weight_norm=norm) for norm in (True, False)]
    assert [sum(p.numel() for p in m.parameters()) for m in pair] == [normed, folded]
    if name in PUBLISHED:
        assert folded / 1e6 == pytest.approx(PUBLISHED[name], rel=0.007)
    assert [len(m.state_dict()) for m in pair] == [normed_keys, folded_keys]


def test_every_preset_has_its_facts():
    assert set(FACTS) == set(PRESETS)


def test_bias_of_hifigan():
    config = narrow("hifigan-v1")
    assert "conv_post.bias" in vocoders.build(config).state_dict()
    assert "conv_post.bias" not in vocoders.build(replace(config, is_bias=False)).state_dict()


def test_keys_are_the_official_ones():
    def keys(name):
        state = vocoders.build(preset(name), weight_norm=False).state_dict()
        return {k: tuple(v.shape) for k, v in state.items()}

    melgan = keys("melgan")
    assert melgan["model.3.weight"] == (512, 256, 16) and melgan["model.24.weight"] == (1, 32, 7)
    assert melgan["model.4.block.2.weight"] == (256, 256, 3) and "model.4.shortcut.bias" in melgan
    v3 = keys("hifigan-v3")
    assert v3["ups.2.weight"] == (64, 32, 8) and v3["resblocks.8.convs.1.weight"] == (32, 32, 7)
    v4 = keys("gpt-sovits-v4")
    assert v4["ups.0.weight"] == (512, 256, 20) and v4["resblocks.14.convs2.2.bias"] == (16,)
    base = keys("bigvgan-base-24khz")
    assert base["ups.3.0.weight"] == (64, 32, 4)
    assert base["resblocks.0.activations.5.act.alpha"] == (256,)
    assert base["activation_post.downsample.lowpass.filter"] == (1, 1, 12)
    assert sum(k.endswith("filter") for k in keys("bigvgan-small")) == 218
