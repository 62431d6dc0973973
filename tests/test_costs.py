"""Operations and bytes of a graph: by hand for one layer, by published sums for the networks."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from labutils import costs, vocoders


class Single(nn.Module):
    """One layer, or a few, as a vocoder."""

    def __init__(self, n_mels, *layers):
        super().__init__()
        self.config = SimpleNamespace(n_mels=n_mels)
        self.layers = nn.Sequential(*layers)

    def forward(self, mel):
        return self.layers(mel)


def only(model, frames, **kwargs):
    (row,) = costs.count(model, frames, **kwargs)
    return row


def test_a_convolution_by_hand():
    row = only(Single(6, nn.Conv1d(6, 10, kernel_size=3, padding=1)), frames=20, batch=2)
    # each of 2 * 10 * 20 outputs: 6 channels times 3 taps
    assert row.macs == 2 * 10 * 20 * 6 * 3
    assert row.shape == (2, 10, 20) and row.elements == 400
    assert row.bytes == 4 * (2 * 6 * 20 + 10 * 6 * 3 + 10 + 2 * 10 * 20)  # in, weight, bias, out
    assert (row.layer, row.operation) == ("layers.0", "convolution")


def test_a_transposed_convolution_by_hand():
    layer = nn.ConvTranspose1d(6, 10, kernel_size=8, stride=4, padding=2)
    row = only(Single(6, layer), frames=20)
    # each of 6 * 20 inputs: 10 channels times 8 taps; the stride adds nothing
    assert row.macs == 6 * 20 * 10 * 8
    assert row.shape == (1, 10, 80)


def test_groups_divide_the_operations():
    whole = only(Single(8, nn.Conv1d(8, 8, 5, padding=2)), frames=30)
    groups = only(Single(8, nn.Conv1d(8, 8, 5, padding=2, groups=8)), frames=30)
    assert whole.macs == 8 * groups.macs == 8 * 30 * 5 * 8
    transposed = only(Single(8, nn.ConvTranspose1d(8, 8, 4, stride=2, groups=8)), frames=30)
    assert transposed.macs == 8 * 30 * 4


def test_half_precision_halves_the_bytes_and_no_operations():
    model = Single(6, nn.Conv1d(6, 10, 3))
    single, half = only(model, 20), only(model, 20, dtype=torch.float16)
    assert half.bytes * 2 == single.bytes and half.macs == single.macs


def test_pointwise_operations_count_half_and_views_nothing():
    model = Single(6, nn.Unflatten(1, (2, 3)), nn.LeakyReLU(), nn.Flatten(1, 2))
    row = only(model, frames=20)
    assert row.operation == "leaky_relu" and row.macs == 6 * 20 / 2
    assert row.bytes == 4 * 2 * 6 * 20
    assert row.layer == "layers.1"


def test_counting_computes_nothing_and_leaves_the_model_alone():
    model = Single(6, nn.Conv1d(6, 10, 3)).train()
    before = model.layers[0].weight.clone()
    costs.count(model, 20, dtype=torch.float16)
    weight = model.layers[0].weight
    assert weight.device.type == "cpu" and weight.dtype == torch.float32 and model.training
    assert torch.equal(weight, before)
    assert not model.layers[0]._forward_hooks and not model.layers[0]._forward_pre_hooks


def test_totals_add_up():
    rows = costs.count(Single(6, nn.Conv1d(6, 6, 3, padding=1), nn.Tanh()), 20)
    total = costs.totals(rows)
    assert len(rows) == 2
    assert total["macs"] == 6 * 20 * 18 + 6 * 20 / 2
    assert total["elements"] == 2 * 6 * 20
    assert total["bytes"] == sum(row.bytes for row in rows)


@pytest.mark.parametrize(
    ("name", "gmac"),
    [
        ("melgan", 3.89),
        ("hifigan-v1", 26.4),
        ("hifigan-v2", 1.66),
        ("hifigan-v3", 1.94),
        ("gpt-sovits-v4", 32.5),
        ("bigvgan-base-24khz", 29.9),
        ("bigvgan-v2-24khz", 86.0),
    ],
)
def test_convolutions_per_second_of_sound_of_the_published_vocoders(name, gmac):
    with torch.device("meta"):
        model = vocoders.build(vocoders.preset(name), weight_norm=False)
    config, frames = model.config, 100
    rows = costs.count(model, frames)
    seconds = config.output_length(frames) / config.output_sample_rate
    found = sum(row.macs for row in rows if row.operation == "convolution") / seconds / 1e9
    assert found == pytest.approx(gmac, rel=0.005)
    assert costs.totals(rows)["macs"] / seconds / 1e9 < 1.02 * gmac  # pointwise work is little


def test_operations_grow_with_frames_and_batch():
    with torch.device("meta"):
        model = vocoders.build(vocoders.preset("hifigan-v2"), weight_norm=False)
    one = costs.totals(costs.count(model, 50))["macs"]
    assert costs.totals(costs.count(model, 100))["macs"] == 2 * one
    assert costs.totals(costs.count(model, 50, batch=3))["macs"] == 3 * one


def test_layers_carry_the_names_of_the_modules():
    with torch.device("meta"):
        model = vocoders.build(vocoders.preset("hifigan-v2"), weight_norm=False)
    rows = costs.count(model, 10)
    convolutions = [row.layer for row in rows if row.operation == "convolution"]
    named = [n for n, m in model.named_modules() if isinstance(m, nn.Conv1d | nn.ConvTranspose1d)]
    assert sorted(convolutions) == sorted(named)


def test_inference_mode_counts_the_same():
    model = vocoders.create("melgan")
    mel = vocoders.speech_like_mel(model.config.mel, 4)
    counter = costs.OperationCounter()
    with torch.inference_mode(), costs.module_paths(model, counter), counter:
        model(mel)
    assert counter.rows == costs.count(model, 4)
