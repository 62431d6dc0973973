"""Pruning channels: which go together, which go first, and that the narrow network is right."""

import numpy as np
import pytest
import torch
from pruning_parts import FAMILIES, mel_for
from tiny_vocoders import tiny

from labutils import costs, onnx_export, pruning, runners, vocoders
from labutils.pruning import PruningError


@pytest.mark.parametrize("name", FAMILIES)
def test_every_channel_stands_in_one_group(name):
    """Each convolution's output is written, and its input read, by one group; ends by none."""
    model = tiny(name)
    layers = pruning.convolutions(model)
    written = [path for group in pruning.groups(model) for path in group.made_by]
    read = [path for group in pruning.groups(model) for path in group.read_by]
    names = list(layers)
    assert sorted(written) == sorted(set(names) - {names[-1]})
    assert sorted(read) == sorted(set(names) - {names[0]})
    for group in pruning.groups(model):
        assert all(layers[path].out_channels == group.width for path in group.made_by)
        assert all(layers[path].in_channels == group.width for path in group.read_by)
        assert all(len(model.get_parameter(p)) == group.width for p in group.scaled_by)
    scaled = [name for group in pruning.groups(model) for name in group.scaled_by]
    snakes = [name for name, _ in model.named_parameters() if ".act." in name]
    assert sorted(scaled) == sorted(snakes)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("keep", [0.75, 0.5])
@pytest.mark.parametrize("how", ["magnitude", "energy", "random"])
def test_a_cut_model_gives_what_the_silenced_one_gives(name, keep, how):
    """Removing channels equals setting them to zero, so the cut is right in every layer."""
    model = tiny(name)
    random = torch.Generator().manual_seed(3)
    importance = {
        "magnitude": lambda: pruning.magnitude(model),
        "energy": lambda: pruning.energy(model, mel_for(model)),
        "random": lambda: {
            group.name: torch.rand(group.width, generator=random) for group in pruning.groups(model)
        },
    }[how]()
    kept = pruning.choose(model, keep, importance)
    narrow = pruning.cut(model, kept, pruning.narrower(model.config, keep))
    with torch.no_grad():
        small, silent = narrow(mel_for(model)), pruning.silenced(model, kept)(mel_for(model))
        whole = model(mel_for(model))
    torch.testing.assert_close(small, silent, rtol=0, atol=1e-5 * float(whole.abs().max()))
    assert not torch.allclose(small, whole, atol=1e-3 * float(whole.abs().max()))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("keep", [1.0, 0.9, 0.75, 0.5, 0.3])
@pytest.mark.parametrize("batch, frames", [(1, 4), (3, 17)])
def test_shapes_of_a_channel_pruned_model(name, keep, batch, frames):
    """Whatever the share: a generator of the family, the widths of its configuration, the length
    and range of its sound."""
    model = tiny(name)
    narrow = pruning.prune_channels(model, keep)
    config = narrow.config
    assert type(narrow) is type(model) and type(config) is type(model.config)
    assert config == pruning.narrower(model.config, keep)
    assert (config.hop_length, config.mel) == (model.config.hop_length, model.config.mel)
    assert config.receptive_field == model.config.receptive_field
    widths = [g.width for g in pruning.groups(narrow)]
    assert set(widths) == set(config.channels)
    assert all(a <= b.width for a, b in zip(widths, pruning.groups(model), strict=True))
    with torch.no_grad():
        sound = narrow(mel_for(model, frames, batch))
    assert sound.shape == (batch, 1, config.output_length(frames))
    assert sound.isfinite().all() and sound.abs().max() <= 1
    assert not narrow.training


@pytest.mark.parametrize("name", FAMILIES)
def test_keeping_all_channels_changes_nothing(name):
    model = tiny(name)
    same = pruning.prune_channels(model, 1.0)
    assert same.config == model.config
    for key, value in model.state_dict().items():
        assert torch.equal(same.state_dict()[key], value), key


def test_half_the_channels_are_a_quarter_of_the_work():
    model = vocoders.create("hifigan-v2")
    narrow = pruning.prune_channels(model, 0.5)
    macs = [costs.totals(costs.count(m, 50))["macs"] for m in (model, narrow)]
    assert macs[1] / macs[0] == pytest.approx(0.25, abs=0.02)


def test_energy_finds_the_channels_that_nobody_hears():
    """Channels whose readers have no weights for them go first, however large they are."""
    model = tiny("hifigan-v1")
    group = pruning.groups(model)[0]
    with torch.no_grad():
        model.ups[0].weight[3:9] = 0.0
        model.conv_pre.weight[3:9] *= 50.0
    kept = pruning.choose(model, 0.625, pruning.energy(model, mel_for(model)))
    assert not set(range(3, 9)) & set(kept[group.name].tolist())
    by_weights = pruning.choose(model, 0.625)
    assert set(range(3, 9)) <= set(by_weights[group.name].tolist())


def test_energy_finds_the_channels_that_say_nothing():
    """Channels that are silent go first, however large the weights that wait for them."""
    model = tiny("hifigan-v1")
    with torch.no_grad():
        model.conv_pre.weight[3:9] = 0.0
        model.conv_pre.bias[3:9] = 0.0
        model.ups[0].weight[3:9] *= 50.0
    values = pruning.energy(model, mel_for(model))["conv_pre"]
    assert values[3:9].abs().max() == 0 < values[[0, 1, 2, *range(9, 16)]].min()


def test_importance_must_fit_the_groups():
    model = tiny("hifigan-v1")
    values = pruning.magnitude(model)
    with pytest.raises(PruningError, match="importance of conv_pre: expected 16 values"):
        pruning.choose(model, 0.5, values | {"conv_pre": torch.ones(3)})
    kept = pruning.choose(model, 0.5)
    with pytest.raises(PruningError, match="the channels do not fit"):
        pruning.cut(model, kept, model.config)


@pytest.mark.parametrize("name", ["hifigan-v1", "melgan"])
def test_a_narrow_model_is_saved_exported_and_run_like_any_other(name, tmp_path):
    narrow = pruning.prune_channels(tiny(name), 0.5)
    path = vocoders.save_checkpoint(tmp_path / "narrow.safetensors", narrow, dtype=torch.float32)
    again = vocoders.load_checkpoint(path)
    assert again.config == narrow.config
    onnx_export.export(again, tmp_path / "narrow.onnx", exporter="legacy")
    mel = mel_for(narrow).numpy()
    with (
        runners.TorchRunner(narrow) as torch_runner,
        runners.OnnxRunner(tmp_path / "narrow.onnx") as onnx_runner,
    ):
        expected, got = torch_runner.infer(mel), onnx_runner.infer(mel)
    np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())
