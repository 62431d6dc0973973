"""How much gets done when many callers ask at once: host threads, or one thread and many lanes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

__all__ = ["Lane", "Load", "in_turn", "threads"]

_PATIENCE = 60.0  # seconds that a thread may take to warm up, and for its last call


class Lane(Protocol):
    """What can be asked and waited for apart, such as `labutils.trt.bound.Bound`."""

    def enqueue(self) -> None: ...

    def synchronize(self) -> None: ...


@dataclass(frozen=True)
class Load:
    """What `lanes` callers got done in `seconds`: `calls` (the last ones count by the part that lay
    within), and `latencies_ms` from asking to done, ``(calls,)``."""

    lanes: int
    calls: float
    seconds: float
    latencies_ms: np.ndarray

    @property
    def per_second(self) -> float:
        """Calls a second, all callers together."""
        return self.calls / self.seconds

    def row(self, *, audio_seconds: float | None = None, **labels: Any) -> dict[str, Any]:
        """Plain data for a table or record; `audio_seconds` of one call give times real time."""
        row = dict(labels) | {"per_second": self.per_second}
        if audio_seconds is not None:
            row["times_real_time"] = self.per_second * audio_seconds
        return row | {
            "median_ms": float(np.median(self.latencies_ms)),
            "p95_ms": float(np.percentile(self.latencies_ms, 95)),
            "calls": len(self.latencies_ms),
        }


def threads(calls: Sequence[Callable[[], Any]], *, seconds: float = 1.0, warmup: int = 2) -> Load:
    """Each call in a host thread of its own, again and again, for so many seconds.

    A call returns when its work is done. Each thread warms up first; then all start together.
    Raises ValueError without calls or time, what a call raised, and TimeoutError where one does not
    come back within a minute.
    """
    _check(len(calls), seconds)
    gate = threading.Barrier(len(calls) + 1)
    times: list[list[tuple[float, float]]] = [[] for _ in calls]
    failed: list[BaseException] = []
    end = [0.0]  # known when the gate opens

    def work(place: int) -> None:
        try:
            for _ in range(warmup):
                calls[place]()
            gate.wait()
            begin = time.perf_counter()
            while not failed:
                calls[place]()
                done = time.perf_counter()
                times[place].append((begin, done))
                begin = done
                if begin >= end[0]:  # asked last: a busy machine may let a thread begin too late
                    break
        except threading.BrokenBarrierError:
            pass  # another one failed, or hangs, while it warms up
        except BaseException as error:
            failed.append(error)
            gate.abort()

    started = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(len(calls))]
    for thread in started:
        thread.start()
    # The last to come opens the gate: this thread comes when all others wait, and sets the end.
    too_late = time.perf_counter() + _PATIENCE
    while gate.n_waiting < len(calls) and not failed and time.perf_counter() < too_late:
        time.sleep(0.0005)
    start = time.perf_counter()
    end[0] = start + seconds
    if gate.n_waiting < len(calls):
        gate.abort()
    else:
        gate.wait()
    for thread in started:
        thread.join(seconds + _PATIENCE)
    if failed:
        raise failed[0]
    if not all(times) or any(thread.is_alive() for thread in started):
        raise TimeoutError(f"not all of {len(calls)} calls came back within {_PATIENCE:g} s")
    return _load(len(calls), [pair for lane in times for pair in lane], start, seconds)


def in_turn(lanes: Sequence[Lane], *, seconds: float = 1.0, warmup: int = 2) -> Load:
    """One host thread that keeps every lane busy: wait for the oldest, ask it again, go on.

    Raises ValueError without lanes or time, and what a lane raised.
    """
    _check(len(lanes), seconds)
    for _ in range(warmup):
        for lane in lanes:
            lane.enqueue()
        for lane in lanes:
            lane.synchronize()
    times: list[tuple[float, float]] = []
    asked = [0.0] * len(lanes)
    start = time.perf_counter()
    for place, lane in enumerate(lanes):
        asked[place] = time.perf_counter()
        lane.enqueue()
    busy, place = len(lanes), 0
    while busy:
        lanes[place].synchronize()
        now = time.perf_counter()
        times.append((asked[place], now))
        if now < start + seconds:
            asked[place] = now
            lanes[place].enqueue()
        else:
            busy -= 1
        place = (place + 1) % len(lanes)
    return _load(len(lanes), times, start, seconds)


def _check(count: int, seconds: float) -> None:
    if count < 1 or seconds <= 0:
        raise ValueError(f"{count} callers for {seconds} s: expected one or more, and some time")


def _load(lanes: int, times: list[tuple[float, float]], start: float, seconds: float) -> Load:
    """The calls of a window of `seconds`; where none began in time, of the first one instead."""
    end = start + seconds
    if all(begin >= end for begin, _ in times):
        end = min(finish for _, finish in times)
    done = 0.0
    for begin, finish in times:
        if finish <= end:
            done += 1.0
        elif begin < end:
            done += (end - begin) / (finish - begin)
    return Load(lanes, done, end - start, np.array([1e3 * (f - b) for b, f in times]))
