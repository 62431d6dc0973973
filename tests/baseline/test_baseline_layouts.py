"""Networks in channels-last layout: the same sound, and signals that stay in that layout."""

import pytest
import torch
from torch import nn

from labutils import vocoders
from labutils.baseline import layouts


@pytest.mark.parametrize("name", ["melgan", "hifigan-v2", "hifigan-v3", "bigvgan-small"])
@torch.inference_mode()
def test_channels_last_computes_the_same(name):
    model = vocoders.create(name, seed=3)
    mel = vocoders.speech_like_mel(model.config.mel, 9, batch=2)
    twin = layouts.channels_last(model)
    expected = model(mel)
    torch.testing.assert_close(twin(mel), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    assert twin.config is model.config and not twin.training
    kinds = {type(m).__name__ for m in twin.modules()}
    assert not kinds & {"Conv1d", "ConvTranspose1d", "ReflectionPad1d", "AntiAliasedSnake"}


def test_channels_last_keeps_signals_in_that_layout():
    model = vocoders.create("hifigan-v2")
    twin, layers = layouts.channels_last(model), []
    for layer in twin.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda m, a, out: layers.append(out))
    with torch.inference_mode():
        twin(vocoders.speech_like_mel(model.config.mel, 6))
    wide = [out for out in layers if out.shape[1] > 1]
    assert wide and all(out.stride(1) == 1 for out in wide)


def test_channels_last_refuses_weight_norm():
    with pytest.raises(ValueError, match="fold the weight norm first"):
        layouts.channels_last(vocoders.create("hifigan-v3", weight_norm=True))
