"""Runners in processes of their own: the same sound, and what is said when such a process ends."""

import functools

import numpy as np
import pytest
from concurrency_parts import WAIT

from labutils import vocoders
from labutils.concurrency import PoolError, ProcessRunner, RunnerPool, makers
from labutils.runners import MelError, RunnerError

SMALL = functools.partial(makers.torch_runner, "hifigan-small", threads=1)


def small_mel(frames=8):
    return vocoders.speech_like_mel(vocoders.preset("hifigan-small").mel, frames).numpy()


def test_a_runner_in_another_process_sounds_the_same_and_its_end_is_told():
    with ProcessRunner(functools.partial(makers.failing, SMALL, at=3, way="exit")) as runner:
        with SMALL() as here:
            np.testing.assert_allclose(
                runner.infer(small_mel()), here.infer(small_mel()), atol=1e-5
            )
        with pytest.raises(MelError, match="expected 80 mel bands"):
            runner.infer(np.zeros((1, 3, 8), np.float32))
        assert runner.device == "cpu" and runner.config.n_mels == 80
        runner.infer(small_mel())
        with pytest.raises(RunnerError, match="its process ended, status 17"):
            runner.infer(small_mel())
        with pytest.raises(RunnerError, match="has ended: make a new runner"):
            runner.infer(small_mel())


def test_a_process_that_hangs_is_ended():
    make = functools.partial(makers.failing, SMALL, at=1, way="hang")
    with ProcessRunner(make, timeout=1.0) as runner:
        process = runner._process
        with pytest.raises(RunnerError, match="no answer within 1 s"):
            runner.infer(small_mel())
        assert not process.is_alive()


def test_an_interrupted_wait_leaves_no_late_answer_for_the_next_mel(monkeypatch):
    with ProcessRunner(SMALL) as runner:
        process, pipe = runner._process, runner._pipe

        class Interrupted:
            send, close = pipe.send, pipe.close

            def poll(self, seconds):
                raise KeyboardInterrupt

        monkeypatch.setattr(runner, "_pipe", Interrupted())
        with pytest.raises(KeyboardInterrupt):
            runner.infer(small_mel())
        assert not process.is_alive()
        with pytest.raises(RunnerError, match="has ended: make a new runner"):
            runner.infer(small_mel())


def test_a_process_without_a_runner_says_why():
    with pytest.raises(RunnerError, match="no runner: .*nothing-like-it"):
        ProcessRunner(functools.partial(makers.torch_runner, "nothing-like-it"))


def test_a_pool_survives_a_process_that_dies_in_mid_batch():
    make = functools.partial(makers.failing, SMALL, frames=13, way="exit")
    pool = RunnerPool({"a": functools.partial(ProcessRunner, make)}, attempts=1, restarts=1)
    with pool:
        answers = [pool.submit(small_mel(frames)) for frames in (8, 13, 9)]
        assert answers[0].result(WAIT).shape == (1, 8 * 256)
        with pytest.raises(PoolError, match="status 17"):
            answers[1].result(WAIT)
        assert answers[2].result(WAIT).shape == (1, 9 * 256)
