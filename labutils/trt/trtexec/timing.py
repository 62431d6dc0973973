"""The measuring loop: queries over several streams with copies, timed by CUDA events.

As trtexec does it: two queries of a stream are under way at once, so that the host launches one
while the GPU works on the other, and the copies of one overlap with the work of the other.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from labutils.environment import require
from labutils.trt.bound import Bound
from labutils.trt.trtexec.traces import Trace

if TYPE_CHECKING:
    from labutils.trt.engine import Engine

__all__ = ["GpuLane", "Lane", "Start", "TimingOptions", "loop", "measure"]

_IN_FLIGHT = 2  # queries of one stream


@dataclass(frozen=True)
class TimingOptions:
    """How to measure. The three switches are always given: TensorRT 11 changed their defaults.

    `warm_up_ms` come first and do not count; then `iterations` queries of each stream at least, and
    `seconds` at least. `transfers`: copy input and output for each query. `graph`: launch as CUDA
    graphs. `spin`: wait without sleeping.
    """

    transfers: bool
    graph: bool
    spin: bool
    warm_up_ms: float = 200.0
    iterations: int = 10
    seconds: float = 3.0
    streams: int = 1


class Lane(Protocol):
    """One stream of queries."""

    def query(self) -> None:
        """Launch a query, without waiting."""

    def sync(self) -> Trace | None:
        """Wait for the oldest query under way; None while there is room for another."""

    def drain(self) -> list[Trace]:
        """Wait for all queries under way."""


def loop(lanes: Sequence[Lane], options: TimingOptions) -> list[Trace]:
    """Run all lanes side by side until both time and iterations are reached; all their traces.

    The traces of the warm-up are among them: `traces.after_warm_up` takes them out.
    """
    traces: list[Trace] = []
    until_ms = options.warm_up_ms + 1e3 * options.seconds
    now_ms, rounds, skipped = 0.0, 0, 0
    while rounds < options.iterations + skipped or now_ms < until_ms:
        for lane in lanes:
            lane.query()
        found = [trace for lane in lanes if (trace := lane.sync()) is not None]
        traces += found
        now_ms = max([now_ms, *(trace.compute[1] for trace in found)])
        # The lanes are not in step: a round counts when all its queries began after the warm-up.
        if any(trace.compute[0] < options.warm_up_ms for trace in found):
            skipped += 1
        rounds += 1
    for lane in lanes:
        traces += lane.drain()
    return traces


@dataclass(frozen=True)
class Start:
    """The moment all times count from: on the host's clock (s) and as an event on the GPU."""

    host: float
    event: Any


class GpuLane:
    """A Lane on the GPU: one context, three CUDA streams (copy in, compute, copy out)."""

    def __init__(self, engine: Engine, shape: tuple[int, int, int], options: TimingOptions) -> None:
        torch = require("torch")
        self._bound = Bound(engine, shape)
        self._transfers = options.transfers
        self._copy_in, self._copy_out = torch.cuda.Stream(), torch.cuda.Stream()
        self._torch = torch
        bound = self._bound
        bound.synchronize()
        # Pinned memory: otherwise each copy would wait for the one before on the host.
        self._mel = torch.empty(bound.input.shape, dtype=bound.input.dtype, pin_memory=True)
        self._mel.copy_(bound.input)
        self._audio = torch.empty(bound.output.shape, dtype=bound.output.dtype, pin_memory=True)
        self.graph = bound.capture() if options.graph else False
        self._slots = [_Slot(torch, spin=options.spin) for _ in range(_IN_FLIGHT)]
        self._next = 0
        self._start: Start | None = None

    def begin(self, start: Start) -> None:
        """Count from `start`; nothing of this stream runs before it."""
        self._start = start
        for stream in (self._copy_in, self._bound.stream, self._copy_out):
            stream.wait_event(start.event)

    def query(self) -> None:
        slot, bound = self._slots[self._next], self._bound
        if self._transfers:
            slot.copied_in[0].record(self._copy_in)
            with self._torch.cuda.stream(self._copy_in):
                # Always the same mel: a copy that overlaps with the query before changes nothing.
                bound.input.copy_(self._mel, non_blocking=True)
            slot.copied_in[1].record(self._copy_in)
            bound.stream.wait_event(slot.copied_in[1])
        slot.computed[0].record(bound.stream)
        began = time.perf_counter()
        bound.enqueue()
        slot.enqueued = (began, time.perf_counter())
        slot.computed[1].record(bound.stream)
        if self._transfers:
            self._copy_out.wait_event(slot.computed[1])
            slot.copied_out[0].record(self._copy_out)
            with self._torch.cuda.stream(self._copy_out):
                self._audio.copy_(bound.output, non_blocking=True)
            slot.copied_out[1].record(self._copy_out)
        slot.active = True
        self._next = (self._next + 1) % _IN_FLIGHT

    def sync(self) -> Trace | None:
        slot = self._slots[self._next]  # the oldest, and the next to be used
        if not slot.active or self._start is None:
            return None
        last = slot.copied_out[1] if self._transfers else slot.computed[1]
        last.synchronize()
        slot.active = False
        return self._trace(slot, self._start)

    def drain(self) -> list[Trace]:
        found = []
        for _ in range(_IN_FLIGHT):
            trace = self.sync()
            self._next = (self._next + 1) % _IN_FLIGHT
            found += [trace] if trace is not None else []
        return found

    def _trace(self, slot: _Slot, start: Start) -> Trace:
        def pair(events: Sequence[Any]) -> tuple[float, float]:
            first, last = (start.event.elapsed_time(event) for event in events)
            return first, last

        began, ended = (1e3 * (moment - start.host) for moment in slot.enqueued)
        compute = pair(slot.computed)
        if not self._transfers:
            ends = ((compute[0], compute[0]), (compute[1], compute[1]))
        else:
            ends = (pair(slot.copied_in), pair(slot.copied_out))
        return Trace(enq=(began, ended), h2d=ends[0], compute=compute, d2h=ends[1])

    def close(self) -> None:
        self._copy_in.synchronize()
        self._bound.close()
        self._copy_out.synchronize()


class _Slot:
    """One query under way: its events, and when the host launched it."""

    def __init__(self, torch: Any, *, spin: bool) -> None:
        def pair() -> tuple[Any, Any]:
            # An event that blocks lets the host's thread sleep until it has come.
            one, other = (torch.cuda.Event(enable_timing=True, blocking=not spin) for _ in range(2))
            return one, other

        self.copied_in, self.computed, self.copied_out = pair(), pair(), pair()
        self.enqueued = (0.0, 0.0)
        self.active = False


def measure(
    engine: Engine, shape: tuple[int, int, int], options: TimingOptions
) -> tuple[list[Trace], bool]:
    """Traces of all queries, the warm-up's among them, and whether CUDA graphs launched them.

    Python launches what trtexec launches in C++: the enqueue time holds some microseconds of the
    interpreter, which matters for networks of well under a millisecond without a graph. Raises
    ProfileError, BoundError.
    """
    torch = require("torch")
    lanes: list[GpuLane] = []
    try:
        for _ in range(options.streams):
            lanes.append(GpuLane(engine, shape, options))
        torch.cuda.synchronize()
        main = torch.cuda.Stream()
        event = torch.cuda.Event(enable_timing=True)
        start = Start(time.perf_counter(), event)
        event.record(main)
        for lane in lanes:
            lane.begin(start)
        return loop(lanes, options), all(lane.graph for lane in lanes)
    finally:
        for lane in lanes:
            lane.close()
