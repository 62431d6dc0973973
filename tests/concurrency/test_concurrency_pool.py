"""Pools of runners: every request is answered once, whatever becomes of the workers."""

import threading
import time

import numpy as np
import pytest
from concurrency_parts import WAIT, runner_of

from labutils.concurrency import FailingRunner, PoolError, RunnerPool
from labutils.runners import MelError, RunnerError, TorchRunner


@pytest.fixture(scope="module")
def expected(model, mels):
    with TorchRunner(model) as runner:
        return [runner.infer(mel) for mel in mels]


def test_a_pool_gives_each_sender_the_sound_of_its_own_mel(model, mels, expected):
    with RunnerPool({"a": runner_of(model), "b": runner_of(model)}, warm_up=mels[:1]) as pool:
        assert pool.ready(WAIT)
        for got, wanted in zip(pool.map(mels * 4, WAIT), expected * 4, strict=True):
            np.testing.assert_array_equal(got, wanted)
        rows = pool.rows()
    assert sum(row["done"] for row in rows) == 4 * len(mels)
    assert [row["deaths"] for row in rows] == [0, 0]
    assert {row["state"] for row in pool.rows()} == {"closed"}


def test_a_mel_that_is_refused_is_its_senders_affair(model, mels, expected):
    with RunnerPool({"a": runner_of(model)}) as pool:
        bad = pool.submit(np.zeros((1, 3, 9), np.float32))
        good = pool.submit(mels[0])
        with pytest.raises(MelError, match="mel bands"):
            bad.result(WAIT)
        np.testing.assert_array_equal(good.result(WAIT), expected[0])
        assert pool.rows()[0]["deaths"] == 0


def test_a_worker_that_dies_in_the_middle_loses_no_request(model, mels, expected):
    made = []

    def once():
        made.append(1)
        return runner_of(model, at=3 if len(made) == 1 else None)()

    with RunnerPool({"a": once, "b": runner_of(model)}) as pool:
        answers = [pool.submit(mel) for mel in mels * 3]
        for answer, wanted in zip(answers, expected * 3, strict=True):
            np.testing.assert_array_equal(answer.result(WAIT), wanted)
        row = pool.rows()[0]
    assert row["deaths"] == 1 and "illegal memory access" in row["said"]
    assert len(made) == 2, "the worker goes on with a new runner"


def test_a_mel_that_kills_every_worker_is_reported_and_the_others_are_served(model, mels, expected):
    poison = mels[4].shape[2]  # no other mel has this length
    makers_ = {"a": runner_of(model, frames=poison), "b": runner_of(model, frames=poison)}
    with RunnerPool(makers_, attempts=2, restarts=2) as pool:
        answers = [pool.submit(mel) for mel in mels]
        with pytest.raises(PoolError, match=f"2 workers died over this mel .*{poison}"):
            answers[4].result(WAIT)
        for i, answer in enumerate(answers):
            if i != 4:
                np.testing.assert_array_equal(answer.result(WAIT), expected[i])
        assert sum(row["deaths"] for row in pool.rows()) == 2


def test_who_has_an_answer_finds_it_counted(model, mels):
    """The callback runs in the worker's thread, at the moment when the answer is there."""
    poison, rows = mels[4].shape[2], {}
    with RunnerPool({"a": runner_of(model, frames=poison)}, attempts=1) as pool:
        for name, mel in (("served", mels[0]), ("killed", mels[4])):
            answer = pool.submit(mel)
            answer.add_done_callback(lambda _, name=name: rows.update({name: pool.rows()[0]}))
            assert (answer.exception(WAIT) is None) == (name == "served")
    assert (rows["served"]["done"], rows["served"]["deaths"]) == (1, 0)
    assert (rows["killed"]["done"], rows["killed"]["deaths"]) == (1, 1)
    assert "illegal memory access" in rows["killed"]["said"]


def test_a_runner_that_can_not_be_closed_hides_no_cause_and_ends_no_worker(model, mels, caplog):
    class Stuck(FailingRunner):
        def _close(self):
            raise RuntimeError("can not free")

    def stuck():
        return Stuck(TorchRunner(model), at=2)

    with RunnerPool({"a": stuck}, attempts=1) as pool:
        assert pool.submit(mels[0]).exception(WAIT) is None
        with pytest.raises(PoolError, match="illegal memory access"):
            pool.infer(mels[1], WAIT)
        assert pool.submit(mels[2]).exception(WAIT) is None, "a new runner serves"
    (row,) = pool.rows()
    assert (row["state"], row["done"], row["deaths"]) == ("closed", 2, 1)
    assert "illegal memory access" in row["said"]
    assert caplog.text.count("worker a was not closed: RuntimeError: can not free") == 2


def test_nobody_waits_for_a_pool_without_workers(model, mels):
    gate = threading.Event()

    def broken():
        gate.wait(WAIT)
        raise RunnerError("no GPU here")

    pool = RunnerPool({"a": broken, "b": broken}, restarts=1)
    answers = [pool.submit(mel) for mel in mels]
    gate.set()
    for answer in answers:
        with pytest.raises(PoolError, match="no worker is left; .*no GPU here"):
            answer.result(WAIT)
    assert not pool.ready(WAIT) and [row["deaths"] for row in pool.rows()] == [2, 2]
    with pytest.raises(PoolError, match="no worker is left"):
        pool.submit(mels[0])
    pool.close()


def test_the_last_life_ends_with_requests_in_the_queue(model, mels):
    with RunnerPool({"a": runner_of(model, at=2)}, attempts=9, restarts=1) as pool:
        answers = [pool.submit(mel) for mel in mels]
        answers[0].result(WAIT)
        states = [answer.exception(WAIT) for answer in answers]
    # Two lives, one inference each before the second kills.
    assert sum(state is None for state in states) == 2
    assert all(isinstance(state, PoolError) for state in states if state is not None)


def test_closing_finishes_what_waits_and_cancelling_does_not(model, mels, expected):
    slow = threading.Event()

    def held():
        slow.wait(WAIT)
        return TorchRunner(model)

    pool = RunnerPool({"a": held})
    answers = [pool.submit(mel) for mel in mels]
    slow.set()
    pool.close()
    for answer, wanted in zip(answers, expected, strict=True):
        np.testing.assert_array_equal(answer.result(0), wanted)
    with pytest.raises(PoolError, match="closed"):
        pool.submit(mels[0])
    pool.close()

    slow.clear()
    other = RunnerPool({"a": held})
    answers = [other.submit(mel) for mel in mels]
    threading.Timer(0.2, slow.set).start()
    other.close(cancel=True)
    assert all(answer.cancelled() for answer in answers)


def test_a_sender_may_change_its_mind(model, mels):
    slow = threading.Event()

    def held():
        slow.wait(WAIT)
        return TorchRunner(model)

    with RunnerPool({"a": held}) as pool:
        first, second = pool.submit(mels[0]), pool.submit(mels[1])
        assert first.cancel()
        slow.set()
        assert second.result(WAIT).shape[0] == 1
        assert pool.rows()[0]["done"] == 1


def test_a_request_that_was_given_back_is_answered_when_the_pool_is_cancelled(model, mels):
    again, made = threading.Event(), []

    def dies_then_waits():
        made.append(1)
        if len(made) > 1:
            again.wait(WAIT)
        return FailingRunner(TorchRunner(model), at=1)

    pool = RunnerPool({"a": dies_then_waits}, attempts=3, restarts=3)
    answer = pool.submit(mels[0])
    while len(made) < 2:
        time.sleep(0.001)
    threading.Timer(0.1, again.set).start()
    pool.close(cancel=True)
    with pytest.raises(PoolError, match="closed before another worker tried"):
        answer.result(0)


def test_closing_waits_for_what_a_worker_may_give_back(model, mels, expected):
    """A healthy worker with nothing to do stays as long as another one has a request in hand."""
    asked, go, lock = threading.Event(), threading.Event(), threading.Lock()

    class Held(FailingRunner):
        def _infer(self, mel):
            with lock:
                first = not asked.is_set()
                asked.set()
            if first:
                go.wait(WAIT)
                raise RuntimeError("died late")
            return super()._infer(mel)

    def make():
        return Held(TorchRunner(model))

    pool = RunnerPool({"a": make, "b": make}, attempts=3, restarts=0)
    assert pool.ready(WAIT)
    answer = pool.submit(mels[0])
    assert asked.wait(WAIT)
    threading.Timer(0.2, go.set).start()
    pool.close()
    np.testing.assert_array_equal(answer.result(0), expected[0])
    assert sorted(row["state"] for row in pool.rows()) == ["closed", "gone"]


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"restarts": -1}])
def test_pools_that_make_no_sense(model, wrong):
    with pytest.raises(ValueError, match="expected one worker"):
        RunnerPool({"a": runner_of(model)}, **wrong)
    with pytest.raises(ValueError, match="0 workers"):
        RunnerPool({})
