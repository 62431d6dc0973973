"""Checkpoints: the authors' formats load exactly, all else is refused in one clear line."""

import argparse
import json
import os
import pickle
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from labutils import vocoders
from labutils.vocoders import CheckpointError, load_checkpoint, preset, save_checkpoint

TINY = {
    "melgan": replace(preset("melgan"), ngf=2, n_residual_layers=1),
    "hifigan": replace(preset("hifigan-v3"), upsample_initial_channel=16),
    "bigvgan": replace(
        preset("bigvgan-base-24khz"), upsample_initial_channel=16, resblock_kernel_sizes=(3,),
        resblock_dilation_sizes=((1, 3),),
    ),
}  # fmt: skip
TINY["v4"] = replace(preset("gpt-sovits-v4"), upsample_initial_channel=16, min_channels=2)


def mel_of(config):
    return vocoders.speech_like_mel(config.mel, 6)


def official(model) -> dict:
    """The state dict with the older spelling of weight norm, which all the authors' files have."""
    names = {
        "parametrizations.weight.original0": "weight_g",
        "parametrizations.weight.original1": "weight_v",
    }
    state = {}
    for key, value in model.state_dict().items():
        for new, old in names.items():
            key = key.replace(new, old)
        state[key] = value
    return state


@pytest.fixture(params=TINY)
def config(request):
    return TINY[request.param]


@pytest.fixture
def hifigan(tmp_path):
    """A HiFi-GAN's state dict, and a function that saves and loads what a test made of it."""
    state = official(vocoders.create(TINY["hifigan"], weight_norm=True))

    def attempt(content, config=TINY["hifigan"], name="g_02500000"):
        torch.save(content, tmp_path / name)
        return load_checkpoint(tmp_path / name, config)

    return state, attempt


def refused(function, *arguments) -> str:
    """The message of the refusal, which must be one line and name the file first."""
    with pytest.raises(CheckpointError) as error:
        function(*arguments)
    message = str(error.value)
    assert "\n" not in message and len(message) < 400
    return message


# The formats ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrapper", [None, "generator", "model_g"])
@pytest.mark.parametrize("norm", ["folded", "older spelling", "newer spelling"])
def test_official_formats(config, norm, wrapper, tmp_path):
    model = vocoders.create(config, weight_norm=norm != "folded")
    state = model.state_dict() if norm == "newer spelling" else official(model)
    content = {wrapper: state, "steps": 7} if wrapper else state
    torch.save(content, tmp_path / "vocoder.pt")
    loaded = load_checkpoint(tmp_path / "vocoder.pt", config)
    assert not loaded.training and not vocoders.has_weight_norm(loaded)
    assert loaded.weights == "loaded from vocoder.pt" and loaded.metadata == {}
    with torch.inference_mode():
        assert torch.allclose(loaded(mel_of(config)), model(mel_of(config)), atol=1e-5)


@pytest.mark.parametrize("norm", [False, True])
def test_weight_norm_for_training(config, norm, tmp_path):
    model = vocoders.create(config, weight_norm=norm)
    if norm:  # a length of v other than g must survive
        v = next(p for k, p in model.named_parameters() if k.endswith("original1"))
        v.data.mul_(3)
    torch.save({"generator": official(model)}, tmp_path / "g")
    loaded = load_checkpoint(tmp_path / "g", config, fold=False)
    assert vocoders.has_weight_norm(loaded)
    if norm:
        assert all(torch.equal(v, loaded.state_dict()[k]) for k, v in model.state_dict().items())
    with torch.inference_mode():
        assert torch.allclose(loaded(mel_of(config)), model(mel_of(config)), atol=1e-5)


def test_training_goes_on_from_filters_of_zeros(config, tmp_path):
    model = vocoders.create(config)
    layers = [m for m in model.modules() if isinstance(m, nn.Conv1d | nn.ConvTranspose1d)]
    with torch.no_grad():
        for layer in layers[:-1]:  # the last one has a single filter
            layer.weight[0] = 0
    torch.save(model.state_dict(), tmp_path / "g")
    loaded = load_checkpoint(tmp_path / "g", config, fold=False)
    sound = loaded(mel_of(config))
    with torch.inference_mode():
        assert torch.allclose(sound, model(mel_of(config)), atol=1e-5)
    sound.square().mean().backward()
    assert all(p.grad.isfinite().all() for p in loaded.parameters() if p.grad is not None)


def test_prefix_of_distributed_training(hifigan):
    state, attempt = hifigan
    loaded = attempt({"generator": {f"module.{key}": value for key, value in state.items()}})
    assert torch.equal(loaded.conv_pre.bias, state["conv_pre.bias"])


def test_older_file_format(tmp_path):
    config = TINY["hifigan"]
    model = vocoders.create(config)
    torch.save(model.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert torch.equal(
        load_checkpoint(tmp_path / "old.pt", config).ups[0].weight, model.ups[0].weight
    )


def test_half_precision_becomes_single(hifigan):
    state, attempt = hifigan
    loaded = attempt({key: value.half() for key, value in state.items()})
    assert all(p.dtype == torch.float32 for p in loaded.parameters())


def test_a_presets_name_is_enough(tmp_path):
    model = vocoders.create("hifigan-v2")
    torch.save({"generator": official(model)}, tmp_path / "g")
    assert torch.equal(
        load_checkpoint(tmp_path / "g", "hifigan-v2").conv_pre.weight, model.conv_pre.weight
    )


# Our own files ----------------------------------------------------------------------------------


def test_saved_in_half_precision_and_read_in_single(config, tmp_path):
    model = vocoders.create(config, weight_norm=True)
    path = save_checkpoint(
        tmp_path / "new" / "a.safetensors", model, metadata={"steps": 5, "loss": [1.5]}
    )
    assert vocoders.has_weight_norm(model)  # saving leaves the model alone
    loaded = load_checkpoint(path)
    assert loaded.config == config and loaded.metadata == {"steps": 5, "loss": [1.5]}
    buffers = {name for name, _ in loaded.named_buffers()}
    for key, value in vocoders.fold_weight_norm(model).state_dict().items():
        expected = value if key in buffers else value.half().float()
        assert torch.equal(loaded.state_dict()[key], expected)
    assert vocoders.read_metadata(path)["metadata"]["steps"] == 5
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["vocoder"])["config"]["family"] == config.family
    assert os.listdir(path.parent) == ["a.safetensors"]


def test_single_precision_is_exact(tmp_path):
    model = vocoders.create(TINY["v4"])
    loaded = load_checkpoint(
        save_checkpoint(tmp_path / "a.safetensors", model, dtype=torch.float32)
    )
    assert all(torch.equal(v, loaded.state_dict()[k]) for k, v in model.state_dict().items())


def test_the_same_weights_give_the_same_file(tmp_path):
    model = vocoders.create(TINY["bigvgan"])
    first, second = (
        save_checkpoint(tmp_path / n, model, metadata={"b": 1, "a": 2}) for n in ("1", "2")
    )
    assert first.read_bytes() == second.read_bytes()


def test_safetensors_of_others_need_a_configuration(tmp_path):
    model = vocoders.create(TINY["hifigan"])
    save_file(model.state_dict(), tmp_path / "theirs.safetensors")
    assert torch.equal(
        load_checkpoint(tmp_path / "theirs.safetensors", TINY["hifigan"]).conv_pre.bias,
        model.conv_pre.bias,
    )
    assert "configuration" in refused(load_checkpoint, tmp_path / "theirs.safetensors")
    assert vocoders.read_metadata(tmp_path / "theirs.safetensors") == {}


@pytest.mark.parametrize(
    "other, said",
    [("bigvgan", "HiFi-GAN, not a BigVGAN"), ("v4", "sampling_rate is 22050, not 48000")],
)
def test_our_files_know_what_they_are(other, said, tmp_path):
    path = save_checkpoint(tmp_path / "a.safetensors", vocoders.create(TINY["hifigan"]))
    assert said in refused(load_checkpoint, path, TINY[other])


@pytest.mark.parametrize("value", [float("nan"), 1e6], ids=["NaN", "too large for half"])
def test_nothing_is_saved_of_broken_weights(value, tmp_path):
    model = vocoders.create(TINY["hifigan"])
    path = save_checkpoint(tmp_path / "a.safetensors", model)
    before = path.read_bytes()
    model.conv_pre.weight.data[0, 0, 0] = value
    assert "conv_pre.weight" in refused(save_checkpoint, path, model)
    assert path.read_bytes() == before and len(os.listdir(tmp_path)) == 1


def test_a_failed_save_leaves_no_file(tmp_path, monkeypatch):
    path = save_checkpoint(tmp_path / "a.safetensors", vocoders.create(TINY["hifigan"]))
    before = path.read_bytes()

    def half_way(_tensors, target, **_):
        target.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr("labutils.vocoders.checkpoint.save_file", half_way)
    with pytest.raises(OSError):
        save_checkpoint(path, vocoders.create(TINY["hifigan"], seed=1))
    assert path.read_bytes() == before and len(os.listdir(tmp_path)) == 1


def test_load_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr("labutils.weights.FOLDER", tmp_path)
    message = refused(vocoders.load, "hifigan-small")
    assert "no trained hifigan-small" in message and "create('hifigan-small')" in message
    model = vocoders.create("hifigan-small")
    path = save_checkpoint(tmp_path / "hifigan-small.safetensors", model)
    assert torch.equal(
        vocoders.load("hifigan-small").conv_pre.weight, model.conv_pre.weight.half().float()
    )
    assert "hifigan-small" in refused(vocoders.load, "melgan")  # what is shipped is listed
    assert vocoders.load("hifigan-v2", path).config == preset("hifigan-v2")
    with pytest.raises(ValueError, match="unknown vocoder"):
        vocoders.load("hifigan-v9")


# Refusals: the content --------------------------------------------------------------------------


def test_missing_keys_are_named(hifigan):
    state, attempt = hifigan
    for key in ("conv_post.bias", "ups.1.weight_v"):
        del state[key]
    message = refused(attempt, state)
    assert message == "g_02500000 lacks ups.1.weight_v, conv_post.bias of 69 keys"


def test_extra_keys_are_named(hifigan):
    state, attempt = hifigan
    state["resblocks.9.convs.0.bias"] = torch.zeros(3)
    message = refused(attempt, state)
    assert "resblocks.9.convs.0.bias" in message and "does not know" in message


def test_many_keys_are_counted(hifigan):
    state, attempt = hifigan
    message = refused(attempt, {k: v for k, v in state.items() if not k.startswith("resblocks.0")})
    assert "and 3 more" in message


def test_misshapen_keys_are_named(hifigan):
    state, attempt = hifigan
    state["conv_pre.weight_v"] = torch.zeros(16, 100, 7)
    message = refused(attempt, state)
    assert "conv_pre.weight_v has the shape (16, 100, 7), not (16, 80, 7)" in message


def test_half_of_a_weight_norm(hifigan):
    state, attempt = hifigan
    state["conv_pre.weight"] = state.pop("conv_pre.weight_v")
    assert "conv_pre.weight_v" in refused(attempt, state)


@pytest.mark.parametrize("given, asked, said", [
    ("hifigan", "bigvgan", "looks like a HiFi-GAN, not like the BigVGAN"),
    ("bigvgan", "hifigan", "looks like a BigVGAN, not like the HiFi-GAN"),
    ("hifigan", "melgan", "looks like a HiFi-GAN, not like the MelGAN"),
    ("melgan", "hifigan", "looks like a MelGAN, not like the HiFi-GAN"),
])  # fmt: skip
def test_another_architecture_is_named(given, asked, said, tmp_path):
    torch.save(
        {"generator": official(vocoders.create(TINY[given], weight_norm=True))}, tmp_path / "g"
    )
    assert said in refused(load_checkpoint, tmp_path / "g", TINY[asked])


@pytest.mark.parametrize("norm", [False, True])
def test_another_preset_is_named(norm, tmp_path):
    torch.save(
        {"generator": official(vocoders.build(preset("hifigan-v2"), weight_norm=norm))},
        tmp_path / "g",
    )
    for asked in ("hifigan-v1", "bigvgan-base-24khz"):
        message = refused(load_checkpoint, tmp_path / "g", asked)
        assert (
            f"looks like hifigan-v2, not like {asked}" in message
            and "load it as 'hifigan-v2'" in message
        )


def test_weight_norm_on_all_but_the_ends_is_told(tmp_path):
    state = official(vocoders.build(preset("hifigan-v2"), weight_norm=True))
    plain = vocoders.build(preset("hifigan-v2"), weight_norm=False).state_dict()
    ends = {key: value for key, value in plain.items() if key.startswith(("conv_pre", "conv_post"))}
    state = {k: v for k, v in state.items() if not k.startswith(("conv_pre", "conv_post"))} | ends
    torch.save({"generator": state}, tmp_path / "ends.pth")
    message = refused(load_checkpoint, tmp_path / "ends.pth", "hifigan-v2")
    assert "ends.pth has weight norm on some layers only" in message and "norm_ends" in message


def test_the_other_melgan_is_refused_for_its_mel(tmp_path):
    state = {"generator.1.bias": torch.zeros(512)}
    for name in ("generator.4.blocks.0.2", "generator.4.shortcuts.0"):
        state |= {f"{name}.{k}": torch.zeros(2) for k in ("bias", "weight_g", "weight_v")}
    torch.save(
        {"model_g": state, "model_d": {}, "step": 1, "hp_str": "audio:"}, tmp_path / "nvidia.pt"
    )
    for asked in ("melgan", "hifigan-v3"):
        message = refused(load_checkpoint, tmp_path / "nvidia.pt", asked)
        assert "seungwonpark" in message and "mel" in message


def test_discriminators_are_recognised(tmp_path):
    torch.save({"mpd": {}, "msd": {}, "optim_g": {}, "steps": 1}, tmp_path / "do_02500000")
    assert "g_" in refused(load_checkpoint, tmp_path / "do_02500000", "hifigan-v1")


@pytest.mark.parametrize("content, said", [
    ([torch.zeros(2)], "list"),
    (torch.zeros(2), "Tensor"),
    ({}, "no state dict"),
    ({1: torch.zeros(2)}, "no state dict"),
    ({"generator": {}}, "no state dict"),
    ({"epoch": 3, "net": {"a": torch.zeros(2)}}, "'epoch' is of type int"),
    ({"encoder.weight": torch.zeros(2)}, "no vocoder known here"),
])  # fmt: skip
def test_other_content(content, said, hifigan):
    assert said in refused(hifigan[1], content)


def test_weights_that_are_no_weights(hifigan):
    state, attempt = hifigan
    assert "not floating point" in refused(
        attempt, state | {"conv_pre.bias": torch.zeros(16, dtype=torch.int8)}
    )
    assert "not finite" in refused(
        attempt, state | {"conv_pre.bias": torch.full((16,), float("inf"))}
    )


# Refusals: the file -----------------------------------------------------------------------------


class Dangerous:
    """Unpickling this writes a file: the trace that must not appear."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return open, (str(self.trace), "w")


@pytest.mark.parametrize("form", ["zip", "older", "plain pickle"])
def test_code_in_a_pickle_does_not_run(form, tmp_path):
    trace, path = tmp_path / "trace", tmp_path / "g"
    content = {"generator": {"conv_pre.bias": torch.zeros(2)}, "extra": Dangerous(trace)}
    if form == "plain pickle":
        path.write_bytes(pickle.dumps(Dangerous(trace)))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    message = refused(load_checkpoint, path, TINY["hifigan"])
    assert not trace.exists()
    assert "refused" in message or "damaged" in message
    if form != "plain pickle":
        assert "open" in message and "Python objects" in message
        torch.load(path, weights_only=False)  # the file does what it was made for
        assert trace.exists()


def test_a_whole_pickled_model(hifigan):
    message = refused(hifigan[1], vocoders.create(TINY["hifigan"]))
    assert "HiFiGANGenerator" in message and "state dict" in message


def test_settings_in_a_pickle(hifigan):
    state, attempt = hifigan
    message = refused(attempt, {"generator": state, "args": argparse.Namespace(a=1)})
    assert "argparse.Namespace" in message


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "model.pt")
    assert "TorchScript" in refused(load_checkpoint, tmp_path / "model.pt", "melgan")


@pytest.mark.parametrize("name", ["g_0", "old.pt", "a.safetensors"])
@pytest.mark.parametrize("share", [0.3, 0.97])
def test_truncated_files(name, share, tmp_path):
    model, path = vocoders.create(TINY["hifigan"]), tmp_path / name
    if name == "a.safetensors":
        save_checkpoint(path, model)
    else:
        torch.save(model.state_dict(), path, _use_new_zipfile_serialization=name == "g_0")
    load_checkpoint(path, TINY["hifigan"])
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    message = refused(load_checkpoint, path, TINY["hifigan"])
    assert name in message and "damaged or cut short" in message


@pytest.mark.parametrize("name, content, said", [
    ("g_0", b"", "empty"),
    ("args.yml", b"!!python/object:argparse.Namespace\nngf: 32\n", "settings, not weights"),
    ("config.json", b'{"upsample_rates": [8, 8, 2, 2]}', "settings, not weights"),
    ("best_netG.pt", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
    ("g_0", b"<!DOCTYPE html><html>", "neither a PyTorch nor a safetensors"),
    ("a.safetensors", b"\xff" * 7 + b"\x00{}", "damaged"),
    ("a.safetensors", b"abc", "no checkpoint"),
    ("g_0", b"PK\x03\x04", "damaged"),
    ("g_0", b"\x80", "damaged"),
])  # fmt: skip
def test_files_that_are_no_checkpoint(name, content, said, tmp_path):
    (tmp_path / name).write_bytes(content)
    message = refused(load_checkpoint, tmp_path / name, "melgan")
    assert message.startswith(name) and said in message


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "absent.pt", tmp_path):
        assert str(path) in refused(load_checkpoint, path, "melgan")
