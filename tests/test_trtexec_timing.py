"""The measuring loop of our trtexec: its length, the order of work on the streams, its traces."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from trtexec_parts import trace

from labutils.trt.trtexec import timing, traces

# The loop


class FakeLane:
    """A lane of 1 ms queries on a clock of its own, two under way as on the GPU."""

    def __init__(self):
        self.waiting, self.now, self.queries = [], 0.0, 0

    def query(self):
        self.queries += 1
        self.waiting.append(trace(self.now, compute=0.8))
        self.now += 1.0

    def sync(self):
        return self.waiting.pop(0) if len(self.waiting) == 2 else None

    def drain(self):
        done, self.waiting = self.waiting, []
        return done


@pytest.mark.parametrize(
    ("iterations", "seconds", "least"), [(10, 0.05, 50), (80, 0.0, 80), (1, 0.0, 1)]
)
def test_the_loop_reaches_time_and_iterations_after_the_warm_up(iterations, seconds, least):
    options = timing.TimingOptions(
        True, False, False, warm_up_ms=20, iterations=iterations, seconds=seconds
    )
    lanes = [FakeLane(), FakeLane()]
    found = timing.loop(lanes, options)
    assert len(found) == sum(lane.queries for lane in lanes)
    timed = traces.after_warm_up(found, 20)
    assert all(t.compute[0] >= 20 for t in timed)
    assert 2 * least <= len(timed) <= 2 * least + 6


def test_lanes_that_are_not_in_step_have_all_their_iterations():
    late = FakeLane()
    late.now = -3.3  # more of its queries begin before the warm-up ends
    options = timing.TimingOptions(
        True, False, False, warm_up_ms=20, iterations=30, seconds=0, streams=2
    )
    found = timing.loop([FakeLane(), late], options)
    assert len(traces.after_warm_up(found, 20)) >= 60


# A lane on the GPU


class FakeGpu:
    """torch.cuda on a clock that moves 0.1 ms with everything that is asked of it.

    `journal` is what was put on streams: (stream, what it does, event). `events` are all that were
    made.
    """

    def __init__(self):
        self.now, self.journal, self.events, self.current = 0.0, [], [], None
        self.synchronize, gpu = (lambda: None), self

        class Stream:
            def wait_event(self, event):
                assert event.at is not None, "waiting for an event that is not recorded yet"
                gpu.journal.append((self, "waits", event))

            def synchronize(self):
                pass

        class Event:
            def __init__(self, enable_timing, blocking=False):
                assert enable_timing
                self.at, self.blocking, self.stream = None, blocking, None
                gpu.events.append(self)

            def record(self, stream):
                gpu.now += 0.1
                self.at, self.stream = gpu.now, stream
                gpu.journal.append((stream, "records", self))

            def synchronize(self):
                assert self.at is not None

            def elapsed_time(self, other):
                return other.at - self.at

        self.Stream, self.Event = Stream, Event

    @contextmanager
    def stream(self, stream):
        before, self.current = self.current, stream
        yield
        self.current = before

    def tensor(self):
        def copy_(other, non_blocking=False):
            if non_blocking:  # the others are made before the first query
                self.journal.append((self.current, "copies", None))

        return SimpleNamespace(shape=(1, 80, 9), dtype="float32", copy_=copy_)


class FakeBound:
    gpu, made, fails_at = None, [], None

    def __init__(self, engine, shape):
        self.stream, self.closed, self.queries = self.gpu.Stream(), False, 0
        self.input, self.output = self.gpu.tensor(), self.gpu.tensor()
        FakeBound.made.append(self)

    def synchronize(self):
        pass

    def capture(self):
        return True

    def enqueue(self):
        self.queries += 1
        self.gpu.journal.append((self.stream, "computes", None))
        if self.fails_at == self.queries:
            raise RuntimeError("enqueue failed")

    def close(self):
        self.closed = True


@pytest.fixture
def gpu(monkeypatch):
    cuda = FakeGpu()

    def empty(shape, dtype, pin_memory):
        assert pin_memory
        return cuda.tensor()

    monkeypatch.setattr(timing, "require", lambda name: SimpleNamespace(cuda=cuda, empty=empty))
    monkeypatch.setattr(timing, "Bound", FakeBound)
    monkeypatch.setattr(FakeBound, "gpu", cuda)
    FakeBound.made.clear()
    return cuda


@pytest.mark.parametrize("transfers", [True, False])
def test_every_query_on_the_gpu_becomes_one_trace(gpu, transfers):
    options = timing.TimingOptions(
        transfers, True, True, warm_up_ms=1, iterations=20, seconds=0, streams=2
    )
    found, graph = timing.measure(None, (1, 80, 9), options)
    assert graph and len(found) == sum(bound.queries for bound in FakeBound.made)
    assert len(FakeBound.made) == 2 and all(bound.closed for bound in FakeBound.made)
    for query in found:
        copy_in, copy_out = (end - start for start, end in (query.h2d, query.d2h))
        assert (copy_in > 0.05) == (copy_out > 0.05) == transfers
        assert query.h2d[1] <= query.compute[0] < query.compute[1] <= query.d2h[0]
        assert query.enq[1] >= query.enq[0]
    starts = [query.compute[0] for query in found]
    assert len(set(starts)) == len(starts)  # no query is counted twice


@pytest.mark.parametrize(
    ("transfers", "expected"),
    [
        (False, ["compute records", "compute computes", "compute records"]),
        (
            True,
            ["in records", "in copies", "in records",
             "compute waits for in", "compute records", "compute computes", "compute records",
             "out waits for compute", "out records", "out copies", "out records"],
        ),
    ],
)  # fmt: skip
def test_a_query_computes_after_its_copy_in_and_copies_out_after_that(gpu, transfers, expected):
    lane = timing.GpuLane(None, (1, 80, 9), timing.TimingOptions(transfers, False, False))
    names = {lane._copy_in: "in", lane._bound.stream: "compute", lane._copy_out: "out"}
    lane.query()
    told = [
        f"{names[stream]} {what}" + (f" for {names[event.stream]}" if what == "waits" else "")
        for stream, what, event in gpu.journal
    ]
    assert told == expected
    # What it waits for is the end of the copy or of the work, not its beginning.
    for place, (_, what, event) in enumerate(gpu.journal):
        if what == "waits":
            assert gpu.journal[place - 1][1:] == ("records", event)
            assert gpu.journal[place - 2][1] in ("copies", "computes")


def test_nothing_of_a_lane_runs_before_the_start(gpu):
    lane = timing.GpuLane(None, (1, 80, 9), timing.TimingOptions(True, False, False))
    event = gpu.Event(enable_timing=True)
    event.record(gpu.Stream())
    gpu.journal.clear()
    lane.begin(timing.Start(0.0, event))
    streams = {lane._copy_in, lane._bound.stream, lane._copy_out}
    assert len(streams) == 3
    assert {(s, what, e) for s, what, e in gpu.journal} == {(s, "waits", event) for s in streams}


@pytest.mark.parametrize("spin", [True, False])
def test_the_host_sleeps_in_its_waits_unless_it_spins(gpu, spin):
    timing.GpuLane(None, (1, 80, 9), timing.TimingOptions(True, False, spin))
    assert len(gpu.events) == 12  # two queries under way, three pairs each
    assert {event.blocking for event in gpu.events} == {not spin}


def test_a_lane_is_closed_though_a_query_fails(gpu, monkeypatch):
    monkeypatch.setattr(FakeBound, "fails_at", 3)
    with pytest.raises(RuntimeError, match="enqueue failed"):
        timing.measure(None, (1, 80, 9), timing.TimingOptions(True, False, False, streams=2))
    assert [bound.closed for bound in FakeBound.made] == [True, True]
