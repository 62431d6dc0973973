"""Weight norm: where it stands, that it changes no sound, and that every parameter learns."""

import copy

import pytest
import torch
from vocoder_parts import narrow

from labutils import vocoders
from labutils.vocoders import speech_like_mel


@pytest.mark.parametrize("name", ["melgan", "hifigan-v3", "gpt-sovits-v4", "bigvgan-base-24khz"])
def test_weight_norm_comes_and_goes_without_changing_the_output(name):
    plain = vocoders.create(narrow(name))
    normed = vocoders.create(narrow(name), weight_norm=True)
    mel = speech_like_mel(plain.config.mel, 6)
    assert vocoders.has_weight_norm(normed) and not vocoders.has_weight_norm(plain)
    spare = copy.deepcopy(normed)
    with torch.inference_mode():
        expected = plain(mel)
        assert torch.allclose(normed(mel), expected, atol=1e-5)
        folded = vocoders.fold_weight_norm(normed)
        assert folded is normed and not vocoders.has_weight_norm(folded)
        assert torch.allclose(folded(mel), expected, atol=1e-5)
        assert torch.allclose(spare(mel), expected, atol=1e-5)  # a copy keeps its own weight norm
    assert vocoders.has_weight_norm(spare)
    assert list(folded.state_dict()) == list(vocoders.fold_weight_norm(folded).state_dict())


def test_ends_of_gpt_sovits_v4_have_no_weight_norm():
    keys = set(vocoders.build(narrow("gpt-sovits-v4")).state_dict())
    assert {"conv_pre.weight", "conv_post.weight"} <= keys
    assert "ups.0.parametrizations.weight.original0" in keys
    assert (
        "conv_pre.parametrizations.weight.original0"
        in vocoders.build(narrow("hifigan-v1")).state_dict()
    )


def test_every_parameter_learns():
    for name in ("melgan", "hifigan-v3", "bigvgan-v2-24khz"):
        model = vocoders.create(narrow(name), weight_norm=True).train()
        model(speech_like_mel(model.config.mel, 5)).square().mean().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
