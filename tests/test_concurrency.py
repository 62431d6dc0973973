"""Pools of runners, runners in processes, load, memory by steps: on the processor."""

import functools
import threading
import time

import numpy as np
import pytest
from tiny_vocoders import tiny

from labutils import vocoders
from labutils.concurrency import (
    FailingRunner,
    Ledger,
    PoolError,
    ProcessRunner,
    RunnerPool,
    command,
    experiments,
    gain,
    hunt,
    in_turn,
    knee,
    makers,
    measuring,
    memory_picture,
    room,
    services,
    threads,
    throughput_picture,
)
from labutils.concurrency.load import Load
from labutils.isolated import IsolatedError, isolated
from labutils.runners import MelError, RunnerError, TorchRunner

WAIT = 60  # seconds: a test that waits longer has found a request that nobody answers


@pytest.fixture(scope="module")
def model():
    return tiny("hifigan-small")


@pytest.fixture(scope="module")
def mels(model):
    lengths = (9, 14, 30, 11, 22, 9, 17, 25, 13, 40, 12, 19)
    return [
        vocoders.speech_like_mel(model.config.mel, n, seed=i).numpy() for i, n in enumerate(lengths)
    ]


@pytest.fixture(scope="module")
def expected(model, mels):
    with TorchRunner(model) as runner:
        return [runner.infer(mel) for mel in mels]


def runner_of(model, **when):
    return lambda: FailingRunner(TorchRunner(model), **when)


# A pool


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


# Processes

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


# Load


class SleepingLane:
    """A lane whose work takes `seconds` from the moment it is asked, beside all others."""

    def __init__(self, seconds):
        self.seconds, self.ends, self.asked = seconds, None, 0

    def enqueue(self):
        assert self.ends is None, "asked again before it was waited for"
        self.ends, self.asked = time.perf_counter() + self.seconds, self.asked + 1

    def synchronize(self):
        if self.ends is not None:
            time.sleep(max(0.0, self.ends - time.perf_counter()))
        self.ends = None


def test_one_thread_keeps_all_lanes_busy_and_waits_for_each():
    lanes = [SleepingLane(0.02) for _ in range(4)]
    load = in_turn(lanes, seconds=0.3, warmup=1)
    assert all(lane.ends is None for lane in lanes)
    asked = [lane.asked - 1 for lane in lanes]
    assert sum(asked) == len(load.latencies_ms) and max(asked) - min(asked) <= 1
    assert load.latencies_ms.min() >= 20
    assert load.calls <= len(load.latencies_ms)
    row = load.row(audio_seconds=2.0, way="x")
    assert row["way"] == "x" and row["times_real_time"] == pytest.approx(2 * row["per_second"])


def test_threads_start_together_after_their_warm_up():
    counts, seen = [0, 0, 0], set()

    def call(place):
        counts[place] += 1
        seen.add(threading.get_ident())
        time.sleep(0.01)

    load = threads([functools.partial(call, i) for i in range(3)], seconds=0.1, warmup=2)
    assert len(seen) == 3 and load.lanes == 3
    assert sum(counts) == len(load.latencies_ms) + 3 * 2
    assert all(count > 2 for count in counts)


def test_what_goes_on_after_the_end_counts_by_its_part():
    from labutils.concurrency.load import _load

    load = _load(1, [(0.0, 0.6), (0.6, 1.4), (1.2, 2.0)], 0.0, 1.0)
    assert load.calls == pytest.approx(1.5) and load.per_second == pytest.approx(1.5)


def test_a_machine_too_busy_to_begin_in_time_still_gives_a_rate():
    from labutils.concurrency.load import _load

    load = _load(2, [(1.5, 1.75), (1.5, 2.0)], 0.0, 1.0)
    assert (load.calls, load.seconds) == (1 + 0.5, 1.75)
    for _ in range(20):  # too short for a thread to begin
        load = threads([lambda: None] * 3, seconds=1e-9, warmup=0)
        assert load.per_second > 0 and len(load.latencies_ms) == 3


@pytest.mark.parametrize("warmup", [0, 1])
def test_an_error_in_a_thread_is_told_and_stops_the_others(warmup):
    def bad():
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        threads([lambda: time.sleep(0.01), bad], seconds=5, warmup=warmup)


@pytest.mark.parametrize("warmup", [0, 1])
def test_a_call_that_does_not_come_back_is_told(monkeypatch, warmup):
    monkeypatch.setattr("labutils.concurrency.load._PATIENCE", 1.0)
    end = threading.Event()
    with pytest.raises(TimeoutError, match="not all of 2 calls came back"):
        threads([lambda: None, lambda: end.wait(WAIT)], seconds=0.01, warmup=warmup)
    end.set()


def test_load_needs_callers_and_time():
    for call in (threads, in_turn):
        with pytest.raises(ValueError, match="0 callers"):
            call([])
        with pytest.raises(ValueError, match="some time"):
            call([SleepingLane(0)], seconds=0)


# Choosing


def rows_of(*speeds, way="a"):
    return [
        {"way": way, "frames": 32, "lanes": n, "per_second": v, "times_real_time": v, "p95_ms": n}
        for n, v in enumerate(speeds, 1)
    ]


def test_the_knee_is_the_fewest_lanes_near_the_best():
    rows = [*rows_of(100, 190, 236, 240, 230), {"way": "a", "lanes": 6, "error": "no memory"}]
    assert knee(rows)["lanes"] == 3
    assert knee(rows, share=1.0)["lanes"] == 4
    assert gain(rows) == pytest.approx(2.4)
    assert gain(rows[1:]) is None
    with pytest.raises(ValueError, match="no row"):
        knee([{"lanes": 1, "error": "x"}])


def test_room_is_what_a_batch_that_fills_the_gpu_gains():
    assert room(2.0, 32.0, 32) == pytest.approx(2.0)


# Memory


def test_a_ledger_tells_what_each_step_took():
    held = {"all": 100e6, "part": 0}
    ledger = Ledger({"all": lambda: held["all"], "part": lambda: held["part"]})
    held |= {"all": 150e6, "part": 20e6}
    first = ledger.note("an engine", 48e6)
    held["all"] = 130e6
    second = ledger.note("it is closed")
    assert first["change (MB)"] == 50 and first["expected (MB)"] == 48
    assert second["change (MB)"] == -20 and second["expected (MB)"] is None
    assert [row["part (MB)"] for row in ledger.rows] == [20, 20]
    alt = memory_picture(ledger.rows, whole="all (MB)").alt
    assert "an engine: +50 MB; it is closed: -20 MB" in alt
    with pytest.raises(ValueError, match="something to read"):
        Ledger({})


def test_a_hunt_follows_several_readings_at_once():
    state = {"calls": 0}

    def call():
        state["calls"] += 1

    readers = {
        "leaks": lambda: 1e9 + 5e4 * state["calls"],
        "filled once": lambda: 1e9 + (4e6 if state["calls"] > 60 else 0),
        "steady": lambda: 1e9,
    }
    found = hunt(call, 200, readers=readers, warmup=5, kept=50)
    assert state["calls"] == 205
    assert {name: row["leaks"] for name, row in found.items()} == {
        "leaks": True, "filled once": False, "steady": False
    }  # fmt: skip
    assert found["leaks"]["growth_mb_per_call"] == pytest.approx(0.05, rel=0.05)
    assert len(found["steady"]["levels_mb"]) == 50
    with pytest.raises(ValueError, match="8 or more"):
        hunt(call, 7, readers=readers)


def test_work_in_another_process_comes_back_and_its_crash_is_told():
    assert isolated("math:hypot", 3, 4) == 5
    with pytest.raises(IsolatedError, match="status 9"):
        isolated("os:_exit", 9)


# Rows and pictures


def test_rows_of_contexts_hold_errors_and_the_memory_that_was_taken(monkeypatch, model):
    opened = []

    class Fake:
        def __init__(self, engine, shape, count, graph=False):
            if count == 3:
                raise RuntimeError("no memory for a context")
            opened.append((shape, count, graph))
            self.lanes = [SleepingLane(0.001) for _ in range(count)]

        def __enter__(self):
            return self.lanes

        def __exit__(self, *error):
            return None

    taken = iter(range(0, 10**9, 10**6))
    monkeypatch.setattr(measuring, "open_contexts", Fake)
    monkeypatch.setattr(measuring, "_gpu_bytes", lambda: next(taken))
    engine = type("Engine", (), {"n_mels": 10})()
    ways = {"one": (False, False), "each": (True, True)}
    rows = list(measuring.context_rows(engine, model.config, 20, (1, 3), ways=ways, seconds=0.02))
    assert [(row["way"], row["lanes"]) for row in rows] == [
        ("one", 1), ("one", 3), ("each", 1), ("each", 3)
    ]  # fmt: skip
    assert rows[1]["error"].endswith("no memory for a context") and rows[0]["gpu_mb"] == 1.0
    assert opened == [((1, 10, 20), 1, False), ((1, 10, 20), 1, True)]
    late = list(
        measuring.context_rows(engine, model.config, 20, (1,), ways=ways, late=lambda: True)
    )
    assert all("not measured: time" in row["error"] for row in late)
    batch = list(measuring.batch_rows(engine, model.config, 20, (1, 4), seconds=0.02))
    assert opened[-1] == ((4, 10, 20), 1, True)
    calls = batch[1]["calls"]
    # The last call counts by its part.
    assert 4 * (calls - 1) / 0.02 < batch[1]["per_second"] <= 4 * calls / 0.02 * 1.0001


def test_rows_of_runners_and_pools(model, mels):
    rows = list(measuring.runner_rows(lambda: TorchRunner(model), mels[0], (1, 2), seconds=0.05))
    assert [row["lanes"] for row in rows] == [1, 2] and all(r["per_second"] > 0 for r in rows)
    make = {"a": runner_of(model), "b": runner_of(model)}
    row = measuring.pool_row(make, mels, audio_seconds=3.0, way="x")
    assert row["workers"] == 2 and row["seconds"] > 0
    assert sum(row["done"].values()) == len(mels)
    assert row["times_real_time"] == pytest.approx(3.0 / row["seconds"])

    def broken():
        raise RunnerError("no GPU here")

    row = measuring.pool_row({"a": broken}, mels, audio_seconds=3.0)
    assert "no GPU here" in row["error"] and "seconds" not in row


def test_the_best_of_several_rounds_counts_row_by_row():
    rounds = iter([iter(rows_of(10, 30, 20)), iter(rows_of(15, 12, 21))])
    assert [row["per_second"] for row in measuring.best_of(rounds)] == [15, 30, 21]
    with pytest.raises(ValueError):
        measuring.best_of([rows_of(1), rows_of(1, 2)])


def test_the_picture_tells_its_knee():
    rows = [
        *rows_of(100, 190, 236, 240),
        *rows_of(100, 110, 111, way="b"),
        {"way": "b", "frames": 32, "lanes": 4, "error": "x"},
    ]
    drawn = throughput_picture(rows, ceilings={32: 300.0}, title="t")
    assert "best with a, 240 times real time; the knee is at 3" in drawn.alt
    assert "base64" in drawn._repr_html_()
    assert throughput_picture([], title="none").alt == "none."
    far = throughput_picture(rows, ceilings={32: 9000.0})
    assert any("9,000" in text.get_text() for ax in far.axes for text in ax.texts)


def test_experiments_say_what_they_need_and_the_command_names_them(tmp_path, capsys):
    every = (
        experiments.shared, experiments.contexts, experiments.memory, services.leak,
        services.devices,
    )  # fmt: skip
    for made in every:
        assert "tensorrt" in made.needs and made.name.startswith("08-")
    assert services.devices.needs == ("tensorrt", "2 gpus")
    with pytest.raises(SystemExit):
        command.main(["--save", str(tmp_path)])
    assert "--contexts" in capsys.readouterr().err
    if services.devices.missing():
        assert command.main(["--devices", "--save", str(tmp_path)]) == 1
        assert list(tmp_path.iterdir()) == []


def test_a_load_is_plain_data():
    load = Load(2, 10.0, 2.0, np.array([1.0, 2.0, 3.0]))
    assert load.row() == {"per_second": 5.0, "median_ms": 2.0, "p95_ms": pytest.approx(2.9),
                          "calls": 3}  # fmt: skip
