"""The experiments on pruning: their clips, their scores, their names and what they need."""

import torch

from labutils import audio, pruning, vocoders
from labutils.pruning import experiments, judging, on_gpu, recovery


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


def test_experiments_are_named_and_gpu_ones_need_a_gpu():
    assert {e.name for e in (experiments.every_vocoder, experiments.miniature)} == {
        "11-every-vocoder", "11-miniature-recovery",
    }  # fmt: skip
    assert on_gpu.speed.needs == on_gpu.sparse.needs == ("tensorrt", "cuda")
    assert on_gpu.recovered.needs == ("cuda",)
