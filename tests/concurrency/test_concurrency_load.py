"""Load from lanes in turn and from threads at once: what is counted, and errors that are told."""

import functools
import threading
import time

import numpy as np
import pytest
from concurrency_parts import WAIT, SleepingLane

from labutils.concurrency import in_turn, threads
from labutils.concurrency.load import Load


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


def test_a_load_is_plain_data():
    load = Load(2, 10.0, 2.0, np.array([1.0, 2.0, 3.0]))
    assert load.row() == {"per_second": 5.0, "median_ms": 2.0, "p95_ms": pytest.approx(2.9),
                          "calls": 3}  # fmt: skip
