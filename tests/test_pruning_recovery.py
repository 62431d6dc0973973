"""The training after pruning: it lowers the loss and leaves the zeros alone."""

import json

import numpy as np
import pytest
import torch
from tiny_vocoders import tiny

from labutils import pruning
from labutils.pruning import PruningError, recovery
from labutils.training.data import Corpus, Mixture
from labutils.training.discriminators import Discriminators


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
