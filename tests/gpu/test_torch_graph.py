"""CUDA graphs and compiled networks on a GPU: the same sound as eager PyTorch."""

import numpy as np
import pytest
import torch

from labutils import metrics, vocoders
from labutils.baseline import trials, variants
from labutils.runners import GraphRunner, TorchRunner

pytestmark = pytest.mark.gpu


def mel_of(model, frames, batch=1, seed=0):
    return vocoders.speech_like_mel(model.config.mel, frames, batch=batch, seed=seed).numpy()


@pytest.mark.parametrize("name", ["melgan", "hifigan-small", "bigvgan-small"])
def test_a_graph_gives_what_eager_gives_for_every_shape_and_input(name):
    model = vocoders.create(name)
    with (
        variants.backends(tf32=False, cudnn_benchmark=False),
        TorchRunner(model, device="cuda", dtype="float16") as eager,
        GraphRunner(model, device="cuda", dtype="float16") as graph,
    ):
        for frames, batch, seed in ((20, 1, 0), (33, 2, 1), (20, 1, 2), (33, 2, 3)):
            mel = mel_of(model, frames, batch, seed)
            expected, got = eager.infer(mel).ravel(), graph.infer(mel).ravel()
            assert np.array_equal(expected, got) or metrics.snr_db(expected, got) > 45
        assert graph.shapes == [(1, 20), (2, 33)]


def test_a_graph_on_the_second_gpu():
    if torch.cuda.device_count() < 2:
        pytest.skip("needs 2 GPUs")
    model = vocoders.create("hifigan-small")
    sounds = []
    with variants.backends(tf32=False, cudnn_benchmark=False):
        for device in ("cuda:0", "cuda:1"):
            with GraphRunner(model, device=device, dtype="float32") as graph:
                graph.infer(mel_of(model, 20, seed=7))
                sounds.append(graph.infer(mel_of(model, 20)).ravel())
    assert metrics.snr_db(sounds[0], sounds[1]) > 60


@pytest.mark.parametrize("way", variants.GPU, ids=lambda way: way.name)
def test_every_variant_runs_and_keeps_the_sound(way):
    if "max-autotune" in way.name:
        pytest.skip("takes minutes")
    model = vocoders.create("hifigan-small")
    ways = [variants.GPU[0], way]
    done = list(trials.rows(model, [mel_of(model, 30)], ways, device="cuda", runs=5))
    assert "error" not in done[1], done[1]
    assert done[1]["same_bits"] or done[1]["snr_db"] > (25 if "BF16" in way.name else 45)
    assert done[1]["peak_mb"] > 0
