"""Contexts that run at once, graphs for each bucket, workers that die: on a real GPU."""

import functools

import numpy as np
import pytest
import torch

from labutils import environment, trt, vocoders
from labutils.concurrency import (
    PoolError,
    ProcessRunner,
    RunnerPool,
    in_turn,
    makers,
    mistakes,
    threads,
)
from labutils.concurrency.contexts import call_of, open_contexts, sounds_of
from labutils.concurrency.memory import gpu_ledger
from labutils.runners import TensorRTRunner

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not environment.has("tensorrt"), reason="needs TensorRT"),
]

WAIT = 120  # seconds: longer means that a request hangs
BUCKETS = (32, 64, 128, 256)


def mel_of(config, frames, seed=0, batch=1):
    return vocoders.speech_like_mel(config.mel, frames, batch=batch, seed=seed).numpy()


@pytest.fixture(scope="module")
def engine(small_engine_fp16):
    with trt.load_engine(small_engine_fp16) as engine:
        yield engine


@pytest.fixture(scope="module")
def plan(small_engine_fp16, tmp_path_factory):
    return str(small_engine_fp16.save(tmp_path_factory.mktemp("plans") / "small.plan"))


@pytest.mark.parametrize("graph", [False, True], ids=["launches", "graphs"])
@pytest.mark.parametrize("count", [2, 4, 8])
def test_contexts_at_once_give_the_bits_of_one_after_the_other(engine, small_vocoder, count, graph):
    config, frames = small_vocoder.config, 100
    mels = [mel_of(config, frames, seed) for seed in range(count)]
    shape = (1, engine.n_mels, frames)
    with open_contexts(engine, shape, count, graph=graph, mels=mels) as bounds:
        one_by_one = sounds_of(bounds, at_once=False)
        for _ in range(10):
            for got, wanted in zip(sounds_of(bounds, at_once=True), one_by_one, strict=True):
                np.testing.assert_array_equal(got, wanted)
    assert not np.array_equal(one_by_one[0], one_by_one[1]), "the mels are the same: a blind test"
    with TensorRTRunner(engine, config) as runner:
        for mel, wanted in zip(mels, one_by_one, strict=True):
            np.testing.assert_array_equal(runner.infer(mel), wanted[:, 0])


@pytest.mark.parametrize("graph", [False, True], ids=["launches", "graphs"])
def test_threads_with_a_context_each_give_the_same_bits(engine, small_vocoder, graph):
    mels = [mel_of(small_vocoder.config, 64, seed) for seed in range(4)]
    with open_contexts(engine, (1, engine.n_mels, 64), 4, graph=graph, mels=mels) as bounds:
        wanted = sounds_of(bounds, at_once=False)
        load = threads([call_of(bound) for bound in bounds], seconds=0.5)
        assert load.per_second > 0 and len(load.latencies_ms) >= 4
        for bound, sound in zip(bounds, wanted, strict=True):
            np.testing.assert_array_equal(bound.output.cpu().numpy(), sound)
        assert in_turn(bounds, seconds=0.3).per_second > 0
        for bound, sound in zip(bounds, wanted, strict=True):
            np.testing.assert_array_equal(bound.output.cpu().numpy(), sound)


def test_contexts_in_turn_may_share_their_activation_memory(engine, small_vocoder):
    mels = [mel_of(small_vocoder.config, 100, seed) for seed in range(3)]
    shape = (1, engine.n_mels, 100)
    with open_contexts(engine, shape, 3, mels=mels) as bounds:
        wanted = sounds_of(bounds, at_once=False)
    with open_contexts(engine, shape, 3, shared=True, mels=mels) as bounds:
        for _ in range(5):
            for got, sound in zip(sounds_of(bounds, at_once=False), wanted, strict=True):
                np.testing.assert_array_equal(got, sound)


@pytest.mark.alone
def test_shared_activation_memory_is_there_once(engine):
    shape = (1, engine.n_mels, 100)
    if engine.scratch_bytes < 8 << 20:
        pytest.skip("the contexts are too small to be seen")

    def taken(shared):
        torch.cuda.empty_cache()
        ledger = gpu_ledger()
        with open_contexts(engine, shape, 4, shared=shared):
            return 1e6 * ledger.note("four contexts")["change (MB)"]

    taken(False), taken(True)  # libraries load
    own, shared = taken(False), taken(True)
    assert own - shared > 2 * engine.scratch_bytes


def test_a_lock_makes_one_context_safe_for_two_threads(plan):
    row = mistakes.one_context(plan, 100, 50, True)
    assert (row["sounds"], row["wrong"], row["errors"]) == (100, 0, 0)


@pytest.mark.alone
def test_two_contexts_are_asked_for_one_profile():
    shared = mistakes.tried("one_profile", True)
    assert shared["set_optimization_profile_async"] == "True", shared
    assert shared["set_input_shape"] == "True", shared
    alone = mistakes.tried("one_profile", False)
    taken = alone.get("set_optimization_profile_async") == alone.get("set_input_shape") == "True"
    assert taken == (trt.versions.version()[0] >= 10), alone


def test_a_graph_for_each_bucket_in_every_thread(plan, small_vocoder):
    """Each worker captures its graphs before it serves, while the others serve already."""
    config = small_vocoder.config
    make = functools.partial(makers.tensorrt_runner, plan, "hifigan-small", graph=True)
    mels = [mel_of(config, frames, seed) for seed in range(6) for frames in BUCKETS]
    with makers.tensorrt_runner(plan, "hifigan-small") as plain:
        wanted = [plain.infer(mel) for mel in mels]
    with RunnerPool({"a": make, "b": make, "c": make}, warm_up=mels[: len(BUCKETS)]) as pool:
        for turn in range(3):
            for got, sound in zip(pool.map(mels, WAIT), wanted, strict=True):
                np.testing.assert_array_equal(got, sound, err_msg=f"turn {turn}")
        assert [row["deaths"] for row in pool.rows()] == [0, 0, 0], pool.rows()


def test_graphs_of_buckets_hold_what_they_are_asked_for(plan, small_vocoder):
    config = small_vocoder.config
    with makers.tensorrt_runner(plan, "hifigan-small", graph=True) as runner:
        for frames in BUCKETS * 2:
            runner.infer(mel_of(config, frames))
        assert runner.shapes == [(1, frames) for frames in BUCKETS]


def test_a_worker_that_dies_in_mid_batch_loses_no_request(plan, small_vocoder):
    config = small_vocoder.config
    good = functools.partial(makers.tensorrt_runner, plan, "hifigan-small")
    dies = functools.partial(makers.failing, good, frames=77)
    mels = [mel_of(config, frames) for frames in (50, 60, 77, 80, 90, 100) * 3]
    with good() as runner:
        wanted = [runner.infer(mel) for mel in mels]
    with RunnerPool({"a": dies, "b": good}, attempts=6, restarts=4) as pool:
        for got, sound in zip(pool.map(mels, WAIT), wanted, strict=True):
            np.testing.assert_array_equal(got, sound)


@pytest.mark.alone
def test_a_process_that_crashes_takes_only_its_own_request(plan, small_vocoder):
    config = small_vocoder.config
    good = functools.partial(makers.tensorrt_runner, plan, "hifigan-small")
    crashes = functools.partial(makers.failing, good, frames=77, way="exit")
    pool = RunnerPool({"a": functools.partial(ProcessRunner, crashes)}, attempts=1, restarts=1)
    with pool:
        first, second, third = [pool.submit(mel_of(config, f)) for f in (50, 77, 60)]
        sound = first.result(WAIT)
        with pytest.raises(PoolError, match="its process ended, status 17"):
            second.result(WAIT)
        assert third.result(WAIT).shape == (1, 60 * config.hop_length)
        with good() as runner:
            np.testing.assert_array_equal(sound, runner.infer(mel_of(config, 50)))


@pytest.mark.skipif(not environment.has("2 gpus"), reason="needs two GPUs")
def test_a_runner_for_each_gpu_gives_the_same_bits(plan, small_vocoder):
    config = small_vocoder.config
    pool = {
        gpu: functools.partial(
            makers.tensorrt_runner, plan, "hifigan-small", device=gpu, graph=True
        )
        for gpu in ("cuda:0", "cuda:1")
    }
    mels = [mel_of(config, 100, seed) for seed in range(40)]
    with makers.tensorrt_runner(plan, "hifigan-small") as runner:
        wanted = [runner.infer(mel) for mel in mels]
    with RunnerPool(pool, warm_up=mels[:1]) as serving:
        assert serving.ready(WAIT), serving.rows()
        for got, sound in zip(serving.map(mels, WAIT), wanted, strict=True):
            np.testing.assert_array_equal(got, sound)
        assert all(row["done"] > 0 for row in serving.rows())
