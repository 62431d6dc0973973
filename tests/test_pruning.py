"""Pruning: zeros, channels that go together, 2:4, and the training after it."""

import json
import re

import numpy as np
import pytest
import torch
from tiny_vocoders import tiny
from torch import nn
from torch.nn.utils import prune

from labutils import audio, costs, onnx_export, pruning, runners, vocoders
from labutils.pruning import PruningError, experiments, judging, on_gpu, pictures, recovery
from labutils.training.data import Corpus, Mixture
from labutils.training.discriminators import Discriminators

FAMILIES = ["melgan", "hifigan-v1", "hifigan-v3", "bigvgan-v2-24khz"]


def mel_for(model, frames=12, batch=2):
    return vocoders.speech_like_mel(model.config.mel, frames, batch=batch)


# Single weights ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_zeros_are_as_many_as_asked_for_and_the_smallest(name, scope):
    model = tiny(name)
    pruned = pruning.prune_unstructured(model, 0.5, scope=scope)
    assert pruning.sparsity(pruned) == pytest.approx(0.5, abs=0.01)
    assert pruning.sparsity(model) < 0.01  # the model that was given stays as it is
    assert pruned.state_dict().keys() == model.state_dict().keys()
    shares = [row["share"] for row in pruning.sparsity_rows(pruned)]
    uniform = max(shares) - min(shares) < 0.15  # small layers are rounded
    assert uniform == (scope == "layer")
    for path, layer in pruning.convolutions(pruned).items():
        before = model.get_submodule(path).weight
        gone, left = before[layer.weight == 0].abs(), before[layer.weight != 0].abs()
        if len(gone) and len(left):
            assert gone.max() <= left.min()
        if layer.bias is not None:
            assert torch.equal(layer.bias, model.get_submodule(path).bias)


def test_masks_of_torch_are_made_final_by_finish():
    masked = pruning.prune_unstructured(tiny("hifigan-v1"), 0.5, remove=False)
    assert "conv_pre.weight_orig" in masked.state_dict()
    with torch.no_grad():
        sound = masked(mel_for(masked))
        done = pruning.finish(masked)
        assert torch.equal(done(mel_for(done)), sound)
    assert not any("weight_orig" in key for key in done.state_dict())
    assert not prune.is_pruned(done)


def test_bad_requests_are_refused():
    model = tiny("hifigan-v1")
    for amount in (-0.1, 1.0, float("nan")):
        with pytest.raises(PruningError, match="amount"):
            pruning.prune_unstructured(model, amount)
    with pytest.raises(PruningError, match="scope 'row'"):
        pruning.prune_unstructured(model, 0.5, scope="row")
    with pytest.raises(PruningError, match="no convolution conv_last; there are: conv_pre"):
        pruning.prune_unstructured(model, 0.5, exclude=["conv_last"])
    with pytest.raises(PruningError, match="fold it first"):
        pruning.prune_unstructured(vocoders.add_weight_norm(tiny("hifigan-v1")), 0.5)
    with pytest.raises(PruningError, match="no Conv1d"):
        pruning.prune_unstructured(nn.Linear(2, 2), 0.5)
    for keep in (0.0, 1.1, 0.01):
        with pytest.raises(PruningError, match="keep"):
            pruning.prune_channels(model, keep)
    with pytest.raises(PruningError, match="not known here"):
        pruning.groups(nn.Conv1d(1, 1, 1))


def test_what_is_excluded_stays():
    model = tiny("hifigan-v1")
    pruned = pruning.prune_unstructured(model, 0.9, exclude=["conv_post", "conv_pre"])
    assert torch.equal(pruned.conv_post.weight, model.conv_post.weight)
    assert torch.equal(pruned.conv_pre.weight, model.conv_pre.weight)
    assert (pruned.ups[0].weight == 0).float().mean() == pytest.approx(0.9, abs=0.01)


def test_zeros_make_no_file_smaller_until_it_is_compressed():
    model = tiny("hifigan-v1")
    dense, zeros = (pruning.file_bytes(m) for m in (model, pruning.prune_unstructured(model, 0.9)))
    # The header says where the weights come from, a few bytes more or less.
    assert zeros["bytes"] == pytest.approx(dense["bytes"], rel=0.01)
    assert zeros["compressed"] < 0.75 * dense["compressed"]


# Channels ---------------------------------------------------------------------------------------


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


# 2:4 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("seed", range(4))
def test_the_mask_keeps_the_two_largest_of_every_four(axis, seed):
    """Property: exactly two of four stay, none that goes is larger than one that stays."""
    random = torch.Generator().manual_seed(seed)
    sizes = [int(torch.randint(1, 9, (), generator=random)) for _ in range(3)]
    sizes[axis] *= 4
    weight = torch.randn(*sizes, generator=random)
    if seed == 3:
        weight = weight.round()  # many equal ones, many zeros
    mask = pruning.mask_2_4(weight, axis)
    assert mask.shape == weight.shape and mask.dtype == torch.bool
    fours = weight.abs().movedim(axis, -1).reshape(-1, 4)
    stays = mask.movedim(axis, -1).reshape(-1, 4)
    assert (stays.sum(1) == 2).all()
    for values, chosen in zip(fours, stays, strict=True):
        assert values[chosen].min() >= values[~chosen].max()
    assert pruning.is_2_4(weight * mask, axis)
    again = pruning.mask_2_4(weight * mask, axis)
    assert torch.equal(weight * mask * again, weight * mask)  # a second time changes nothing


def test_is_2_4_counts_along_the_input_channels():
    weight = torch.zeros(4, 8, 2)
    weight[0, [0, 1, 4, 5], 0] = 1.0
    assert pruning.is_2_4(weight)
    weight[0, 2, 1] = 1.0  # another tap: no third one of its four
    assert pruning.is_2_4(weight)
    weight[0, 2, 0] = 1.0
    assert not pruning.is_2_4(weight)
    assert not pruning.is_2_4(torch.zeros(4, 6, 2))
    with pytest.raises(PruningError, match="6 input channels are no multiple of 4"):
        pruning.mask_2_4(torch.zeros(4, 6, 2))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("transposed", [False, True])
def test_layers_get_the_pattern_where_it_fits(name, transposed):
    model = tiny(name)
    exclude = ["conv_pre"] if name != "melgan" else []
    rows = pruning.rows_2_4(pruning.prune_2_4(model, exclude=exclude, transposed=transposed))
    for row in rows:
        wanted = row["fits"] and (transposed or row["kind"] == "Conv1d")
        wanted = wanted and row["layer"] != "conv_pre"
        assert row["2:4"] == wanted, row
    assert any(row["2:4"] for row in rows) and not all(row["2:4"] for row in rows)


def test_the_polyphase_form_of_2_4_weights_is_2_4():
    from labutils.engines.polyphase import polyphase

    sparse = pruning.prune_2_4(tiny("hifigan-v1"), transposed=True)
    kinds = {row["kind"] for row in pruning.rows_2_4(sparse)}
    made = polyphase(sparse)
    layers = [m for m in made.modules() if isinstance(m, nn.Conv1d)]
    assert kinds == {"Conv1d", "ConvTranspose1d"} and len(layers) == len(pruning.rows_2_4(sparse))
    assert all(pruning.is_2_4(m.weight) for m in layers if m.in_channels % 4 == 0)


# Recovery ---------------------------------------------------------------------------------------


def mixture_for(model, batch=2, frames=160):
    rate = model.config.output_sample_rate
    time = np.arange(2 * rate) / rate
    sounds = [
        (8000 * np.sin(2 * np.pi * f * time) * np.sin(3 * time)).astype(np.int16)
        for f in (150, 220)
    ]
    corpus = Corpus.from_arrays(sounds, rate, model.config)
    return Mixture([(corpus, 1.0)], batch, frames)


@pytest.mark.parametrize("name", ["hifigan-v1", "melgan", "bigvgan-v2-24khz"])
def test_training_lowers_the_loss_and_leaves_zeros_alone(name):
    model = pruning.prune_unstructured(tiny(name), 0.5)
    zeros = {path: layer.weight == 0 for path, layer in pruning.convolutions(model).items()}
    done = recovery.recover(model, mixture_for(model), steps=30, every=10, rate=5e-3)
    assert [row["step"] for row in done.curve] == [0, 10, 20, 30]
    assert done.curve[0]["loss"] is None
    assert done.last["loss"] < done.curve[1]["loss"]
    for path, layer in pruning.convolutions(done.model).items():
        assert torch.equal(layer.weight == 0, zeros[path]), path
        assert torch.equal(model.get_submodule(path).weight == 0, zeros[path])
    assert any(
        not torch.equal(a, b)
        for a, b in zip(model.parameters(), done.model.parameters(), strict=True)
    )
    assert not done.model.training and not done.stopped


def test_two_four_survives_training():
    model = pruning.prune_2_4(tiny("hifigan-v1"))
    before = {row["layer"]: row["2:4"] for row in pruning.rows_2_4(model)}
    done = recovery.recover(model, mixture_for(model), steps=3)
    assert {row["layer"]: row["2:4"] for row in pruning.rows_2_4(done.model)} == before


def test_a_seed_gives_the_same_training_again_and_scores_are_kept():
    model = pruning.prune_channels(tiny("hifigan-v1"), 0.5)
    score = lambda m: {"parameters": float(sum(p.numel() for p in m.parameters()))}  # noqa: E731
    runs = [
        recovery.recover(model, mixture_for(model), steps=4, every=2, seed=5, score=score)
        for _ in range(2)
    ]
    losses = [[row["loss"] for row in run.curve] for run in runs]
    assert losses[0] == losses[1]
    assert all(row["parameters"] > 0 for row in runs[0].curve)
    assert json.dumps(runs[0].curve)


def test_a_teacher_is_the_target_and_critics_learn_along():
    teacher = tiny("hifigan-v1")
    # Taught by itself, there is nothing to learn but noise; by the recording, there is.
    same = recovery.recover(teacher, mixture_for(teacher), steps=1, teacher=teacher)
    other = recovery.recover(teacher, mixture_for(teacher), steps=1)
    assert 0 <= same.last["loss"] < 1e-3 * other.last["loss"]
    critics = Discriminators(0.05)
    before = [p.detach().clone() for p in critics.parameters()]
    done = recovery.recover(teacher, mixture_for(teacher), steps=2, critics=critics)
    assert np.isfinite(done.last["loss"])
    assert any(not torch.equal(a, b) for a, b in zip(before, critics.parameters(), strict=True))
    with pytest.raises(PruningError, match="another mel"):
        recovery.recover(teacher, mixture_for(teacher), steps=1, teacher=tiny("melgan"))


def test_time_ends_a_training_and_bad_lengths_are_refused():
    model = tiny("hifigan-v1")
    done = recovery.recover(model, mixture_for(model), steps=10_000, seconds=1e-6, every=10_000)
    assert done.stopped and [row["step"] for row in done.curve] == [0, 1]
    for steps, every in ((0, 1), (1, 0)):
        with pytest.raises(PruningError, match="1 or more"):
            recovery.recover(model, mixture_for(model), steps=steps, every=every)
    with pytest.raises(PruningError, match="not finite"):
        recovery.recover(model, mixture_for(model), steps=4, rate=float("inf"))


def test_the_miniature_uses_training_clips_only(monkeypatch):
    asked = []
    real = audio.clips
    monkeypatch.setattr(audio, "clips", lambda split=None: asked.append(split) or real(split))
    config = vocoders.preset("hifigan-small")
    mixture = recovery.clip_mixture(config, batch=2, frames=16)
    assert asked == ["train"]
    mel, sound = mixture.draw(torch.Generator().manual_seed(0))
    assert mel.shape == (2, 80, 16) and sound.shape == (2, 1, 16 * 256)
    assert {clip.split for clip in judging.held_out()} == {"held-out"}
    assert judging.speech_mel(config, 2.0).shape == (1, 80, round(2.0 * 22050) // 256)


def test_scores_are_better_for_the_trained_network():
    model = vocoders.load("hifigan-small")
    clips = judging.held_out(1)
    dense, pruned = (
        judging.scores(m, clips, seconds=1.0)
        for m in (model, pruning.prune_unstructured(model, 0.8))
    )
    assert set(dense) == set(judging.SCORES)
    assert pruned["log_mel_l1"] > 1.5 * dense["log_mel_l1"]


# What is around ---------------------------------------------------------------------------------


def test_pictures_say_what_they_show():
    rows = [{"layer": f"layer {i}", "damage": abs(i - 5) / 10} for i in range(12)]
    assert "layer 11" in pictures.sensitivity_picture(rows, title="x").alt
    weight = tiny("hifigan-v1").conv_pre.weight[:, :8]
    assert "two of every four" in pictures.pattern_picture(weight, channels=8).alt
    curve = [{"step": 0, "log_mel_l1": 2.0}, {"step": 5, "log_mel_l1": 1.0}]
    picture = pictures.curves_picture({"a": curve}, 0.5, title="x")
    assert re.search(r"before pruning 0\.50; end: a 1\.00", picture.alt)
    assert picture._repr_html_().startswith("<img")
    assert "upsampling" in pictures.residual_picture().alt


def test_experiments_are_named_and_gpu_ones_need_a_gpu():
    assert {e.name for e in (experiments.every_vocoder, experiments.miniature)} == {
        "11-every-vocoder", "11-miniature-recovery",
    }  # fmt: skip
    assert on_gpu.speed.needs == on_gpu.sparse.needs == ("tensorrt", "cuda")
    assert on_gpu.recovered.needs == ("cuda",)
