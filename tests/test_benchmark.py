"""Timing and memory: what is counted, what is thrown away, what is refused. No time is asserted."""

import itertools
import mmap
import time
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from labutils import benchmark
from labutils.benchmark import BenchmarkError, Timing, footprint
from labutils.benchmark import timing as clocks
from labutils.runners import MelError, Runner, RunnerError
from labutils.runners.tf32 import tf32


@dataclass(frozen=True)
class TinyConfig:
    n_mels: int = 3
    hop_length: int = 4
    output_sample_rate: int | None = 100

    def output_length(self, frames):
        return frames * self.hop_length


class CountingRunner(Runner):
    """Does nothing but count how it is used."""

    def __init__(self, config=None):
        self.name, self.config, self.device = "counting", config or TinyConfig(), "cpu"
        self.launched = self.waited = self.inferred = 0

    def prepare(self, mel):
        self._need_open()
        self._checked(mel)
        return self._launch

    def _launch(self):
        self.launched += 1

    def synchronize(self):
        self.waited += 1

    def _infer(self, mel):
        self.inferred += 1
        return np.zeros((mel.shape[0], self.config.output_length(mel.shape[2])), np.float32)

    def _close(self):
        pass


def mel(batch=2, frames=25):
    return np.zeros((batch, 3, frames), np.float32)


def timing(device_ms, host_ms=(1.0,), **kwargs):
    facts = {"name": "x", "device": "cpu", "clock": "host clock", "audio_seconds": 2.0}
    facts |= {"shape": (1, 3, 25)} | kwargs
    return Timing(device_ms=np.array(device_ms, float), host_ms=np.array(host_ms, float), **facts)


def test_warm_up_runs_are_made_but_not_counted():
    runner = CountingRunner()
    result = benchmark.measure(runner, mel(), warmup=4, runs=7)
    assert len(result.device_ms) == len(result.host_ms) == 7
    assert runner.launched == runner.waited == 4 + 7  # every run is waited for
    assert runner.inferred == 1 + 7


def test_the_sound_of_a_whole_batch_counts():
    result = benchmark.measure(CountingRunner(), mel(batch=2, frames=25), runs=3)
    assert result.audio_seconds == pytest.approx(2 * 25 * 4 / 100)
    assert result.shape == (2, 3, 25) and result.clock == "host clock"


def test_slow_calls_stop_at_the_time_limit_but_not_before_three_runs(monkeypatch):
    clock = itertools.count(0, 10)  # every look at the clock is 10 s later
    monkeypatch.setattr(clocks.time, "perf_counter", lambda: next(clock))
    calls = []
    times = benchmark.time_call(lambda: calls.append(0), warmup=10, runs=50, max_seconds=1)
    assert len(times) == 3
    assert len(calls) == 1 + 3  # the warm-up stops, too


def test_the_clock_is_read_after_the_work_is_done(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(clocks.time, "perf_counter", lambda: now[0])
    runner = CountingRunner()

    def synchronize():
        now[0] += 0.5  # the device is busy for half a second after the launch

    runner.synchronize = synchronize
    result = benchmark.measure(runner, mel(), warmup=1, runs=4, max_seconds=100)
    assert result.device_ms == pytest.approx([500.0] * 4)


def test_asking_does_not_count_the_work(monkeypatch):
    now, order = [0.0], []

    def call():
        order.append("call")
        now[0] += 0.002

    def synchronize():
        order.append("wait")
        now[0] += 0.5

    monkeypatch.setattr(clocks.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(clocks, "_synchronizer", lambda device: synchronize)
    assert benchmark.asking_ms(call, device="cuda", runs=3) == pytest.approx([2.0] * 3)
    assert order == ["wait", "call"] * 3 + ["wait"]  # an empty queue before each, and at the end


def test_bad_requests_are_refused():
    for wrong in ({"runs": 0}, {"warmup": -1}, {"max_seconds": 0}):
        with pytest.raises(BenchmarkError, match="one run or more"):
            benchmark.time_call(lambda: None, **wrong)
    with pytest.raises(BenchmarkError, match="no output_sample_rate"):
        benchmark.measure(CountingRunner(TinyConfig(output_sample_rate=None)), mel())
    with pytest.raises(MelError, match="3 mel bands"):
        benchmark.measure(CountingRunner(), np.zeros((1, 5, 9), np.float32))
    closed = CountingRunner()
    closed.close()
    with pytest.raises(RunnerError, match="closed"):
        benchmark.measure(closed, mel())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named():
    with pytest.raises(BenchmarkError, match='"cuda:1" is not here'):
        benchmark.time_call(lambda: None, device="cuda:1")


def test_percentiles_are_taken_from_the_runs():
    skewed = [1.0] * 94 + [10.0] * 6
    result = timing(skewed)
    assert result.median_ms == 1.0 and result.percentile(90) == 1.0
    assert result.percentile(95) == 10.0 and result.percentile(99) == 10.0
    normal = np.mean(skewed) + 1.645 * np.std(skewed)
    assert abs(result.percentile(95) - normal) > 4  # mean + z * deviation is no percentile


def test_times_real_time_divides_by_the_median_of_the_device():
    assert timing([4.0, 5.0, 600.0], host_ms=[50.0]).times_real_time == pytest.approx(2.0 / 0.005)


def test_rows_are_plain_and_say_only_what_is_known():
    row = timing([2.0] * 50, host_ms=[3.0, 5.0, 4.0]).row(vocoder="x", batch=1)
    assert list(row)[:2] == ["vocoder", "batch"]
    assert row["host_median_ms"] == 4.0 and row["runs"] == 50
    assert row["p99_ms"] is None  # 50 runs know nothing of the slowest in a hundred
    assert "tflops" not in row and "gb_per_s" not in row
    assert all(type(v) in (str, int, float, type(None)) for v in row.values())
    assert timing([2.0] * 100).row()["p99_ms"] == 2.0


def test_rates_count_two_operations_for_a_multiply_accumulate():
    row = timing([2.0], costs={"macs": 3e9, "bytes": 8e6}).row()
    assert row["tflops"] == pytest.approx(2 * 3e9 / 2e-3 / 1e12)
    assert row["gb_per_s"] == pytest.approx(8e6 / 2e-3 / 1e9)


def test_a_timing_shows_itself():
    result = timing([2.0] * 3)
    assert "1000x real time" in repr(result) and "3 runs" in repr(result)
    assert "<table" in result._repr_html_() and "p99" not in result._repr_html_()


def test_work_on_another_stream_is_noticed():
    assert clocks._work_after(events=[0.02] * 5, unseen=[3.0] * 5)
    assert not clocks._work_after(events=[3.0] * 5, unseen=[0.005] * 5)
    assert not clocks._work_after(events=[0.01] * 5, unseen=[0.02] * 5)  # only the call itself


# Memory

WEIGHT = torch.ones(1000, 1000)  # 4 MB


def test_memory_sees_the_peak_and_what_stays():
    kept = []

    def call():
        with torch.no_grad():
            twice = WEIGHT * 2
            kept.append((twice * 3)[:1])  # a view keeps the whole storage

    found = benchmark.memory(call)
    assert found["peak_mb"] == pytest.approx(8.0) and found["after_mb"] == pytest.approx(4.0)
    assert found["before_mb"] == 0 and found["reserved_mb"] is None


def test_memory_drops_the_result_and_sees_in_place_work_as_nothing():
    assert benchmark.memory(lambda: WEIGHT * 2)["after_mb"] == 0
    with torch.no_grad():
        assert benchmark.memory(lambda: WEIGHT.mul_(1.0).view(-1))["peak_mb"] == 0


def test_a_graph_that_is_kept_is_a_leak():
    layer = torch.nn.Linear(1000, 1000)
    losses = []

    def with_graph():
        losses.append(layer(torch.ones(500, 1000)).sigmoid().sum())

    def without():
        with torch.inference_mode():
            losses.append(layer(torch.ones(500, 1000)).sigmoid().sum())

    leaky = benchmark.leak_test(with_graph, 12)
    assert leaky["leaks"] and leaky["growth_mb_per_call"] == pytest.approx(4.0, rel=0.01)
    assert "grows by 4" in leaky["verdict"] and len(leaky["levels_mb"]) == 12
    fine = benchmark.leak_test(without, 12)
    assert not fine["leaks"] and fine["verdict"] == "steady"


def levels(values):
    return iter(values).__next__


@pytest.mark.parametrize(
    ("values", "leaks"),
    [
        ([1e6 * n for n in range(20)], True),
        ([5e6 + 1e6 * (n % 3) for n in range(20)], False),  # up and down
        ([5e6] * 5 + [9e6] * 15, False),  # one step that stays: a cache
        ([5e6] * 10 + [9e6] * 10, False),
        ([5e6] * 15 + [9e6] * 5, False),
        ([1e6 * (n // 4) for n in range(20)], True),  # every fourth call keeps something
        ([5e6] * 19 + [9e6], False),  # one spike
        ([100 * n for n in range(20)], False),  # below the tolerance
    ],
)
def test_a_leak_is_told_from_noise(values, leaks):
    found = benchmark.leak_test(lambda: None, 20, warmup=0, read=levels(values))
    assert found["leaks"] is leaks


def test_the_warm_up_of_a_leak_test_does_not_count():
    calls = []
    found = benchmark.leak_test(lambda: calls.append(0), 8, warmup=3, read=lambda: len(calls))
    assert found["levels_mb"][0] == 4e-6 and len(calls) == 11
    with pytest.raises(ValueError, match="8 or more"):
        benchmark.leak_test(lambda: None, 7)


def test_process_bytes_sees_memory_that_is_used():
    before = footprint.process_bytes()
    with mmap.mmap(-1, 80_000_000) as block:  # memory of its own, not what numpy freed before
        block.write(b"x" * len(block))
        assert footprint.process_bytes() - before > 0.8 * len(block)


def test_tf32_comes_back_as_it_was():
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    with pytest.raises(ZeroDivisionError), tf32(not before[0]):
        assert torch.backends.cuda.matmul.allow_tf32 is torch.backends.cudnn.allow_tf32
        assert torch.backends.cuda.matmul.allow_tf32 is not before[0]
        raise ZeroDivisionError
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before


def test_a_measurement_takes_as_long_as_its_runs_say():
    seen = benchmark.time_call(lambda: time.sleep(0.002), warmup=1, runs=5)
    assert (seen >= 1.9).all()
