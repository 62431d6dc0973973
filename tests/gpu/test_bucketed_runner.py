"""Buckets on an engine: a graph for each shape and no more, and the sound of single calls."""

import numpy as np
import pytest

from labutils import environment, metrics, trt, vocoders
from labutils.runners import BucketedRunner, MelError, TensorRTRunner, TorchRunner
from labutils.runners.tf32 import tf32
from labutils.shapes import padding

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not environment.has("tensorrt"), reason="needs TensorRT"),
]

BUCKETS, BATCHES = (64, 128, 400), (1, 2, 4)
FRAMES = (20, 300, 51, 115, 51, 90, 386, 33, 77)


@pytest.fixture(scope="module")
def mels(small_vocoder):
    mel = small_vocoder.config.mel
    return [vocoders.speech_like_mel(mel, f, seed=i).numpy()[0] for i, f in enumerate(FRAMES)]


def test_graphs_are_those_of_the_buckets(small_engine_fp16, small_vocoder, mels):
    with trt.load_engine(small_engine_fp16) as engine:
        inner = TensorRTRunner(engine, small_vocoder.config, graph=True)
        with BucketedRunner(inner, BUCKETS, batches=BATCHES) as runner:
            first = runner.infer_many(mels)
            held = set(inner.shapes)
            assert held <= {(b, f) for b in BATCHES for f in BUCKETS} and 1 < len(held) <= 4
            second = runner.infer_many(mels)
            assert set(inner.shapes) == held
            with pytest.raises(MelError, match="387 frames at the most"):
                runner.infer_many([np.zeros((small_vocoder.config.n_mels, 388), np.float32)])
    for one, again in zip(first, second, strict=True):
        assert np.array_equal(one, again)


def test_graphs_and_launches_give_the_same_bits(small_engine_fp16, small_vocoder, mels):
    sounds = []
    with trt.load_engine(small_engine_fp16) as engine:
        for graph in (False, True):
            inner = TensorRTRunner(engine, small_vocoder.config, graph=graph)
            with BucketedRunner(inner, BUCKETS, batches=BATCHES) as runner:
                sounds.append(runner.infer_many(mels))
    for launched, replayed in zip(*sounds, strict=True):
        assert np.array_equal(launched, replayed)


def test_a_batch_gives_the_sounds_of_single_calls_and_of_pytorch(
    small_engine_fp32, small_vocoder, mels
):
    config = small_vocoder.config
    with trt.load_engine(small_engine_fp32) as engine:
        inner = TensorRTRunner(engine, config, graph=True)
        with BucketedRunner(inner, BUCKETS, batches=BATCHES) as runner:
            many = runner.infer_many(mels)
            single = [runner.infer(mel[None])[0] for mel in mels]
    with TorchRunner(small_vocoder, device="cuda") as reference, tf32(False):
        for mel, sound, alone in zip(mels, many, single, strict=True):
            guarded = padding.pad(mel, mel.shape[1] + config.receptive_field, config)
            expected = reference.infer(guarded[None])[0][: len(sound)]
            assert metrics.snr_db(expected, sound) > 80
            assert metrics.snr_db(alone, sound) > 80 or np.array_equal(alone, sound)
