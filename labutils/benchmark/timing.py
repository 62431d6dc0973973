"""How long a call takes: warm-up, device events, real percentiles, times real time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from labutils import tables
from labutils.runners.base import Runner

__all__ = ["BenchmarkError", "Timing", "asking_ms", "measure", "time_call"]

_FEWEST = 3  # runs, however slow they are
_WARM_SECONDS = 0.2  # of work before a GPU counts as warm: its clocks rise from idle
_FEWEST_FOR_P99 = 100  # with fewer runs the 99th percentile is just the slowest run or two


class BenchmarkError(ValueError):
    """A measurement that can not be made as asked; the text says why."""


@dataclass(frozen=True)
class Timing:
    """What one runner took for one input, run after run.

    Attributes:
        name: of the runner.
        device: it ran on, "cpu" or "cuda".
        clock: "CUDA events" or "host clock", whichever timed `device_ms`.
        device_ms: the device's work alone, input and output on the device, ``(runs,)``.
        host_ms: a whole `infer`, with the copies to the device and back, ``(runs,)``.
        audio_seconds: of sound that one run makes, all of its batch together.
        shape: of the input, (batch, n_mels, frames).
        costs: "macs" and "bytes" of one run where they are known, see `labutils.costs`.
    """

    name: str
    device: str
    clock: str
    device_ms: np.ndarray
    host_ms: np.ndarray
    audio_seconds: float
    shape: tuple[int, int, int]
    costs: Mapping[str, float] = field(default_factory=dict)

    @property
    def median_ms(self) -> float:
        """Half of the runs were faster; the device's work alone."""
        return self.percentile(50)

    @property
    def host_median_ms(self) -> float:
        """Median of whole calls, with the copies."""
        return float(np.median(self.host_ms))

    def percentile(self, q: float) -> float:
        """The time in ms that q % of the runs did not exceed, taken from the runs themselves."""
        return float(np.percentile(self.device_ms, q))

    @property
    def times_real_time(self) -> float:
        """Seconds of sound made in one second of the device's work, by the median."""
        return self.audio_seconds / (self.median_ms / 1e3)

    def row(self, **labels: Any) -> dict[str, Any]:
        """Plain data for a table or a record; `labels` come first.

        `p99_ms` is None for fewer than 100 runs. With costs come `tflops` (two operations for a
        multiply-accumulate) and `gb_per_s`: the bytes of the unfused graph in the time of this run,
        so a backend that fuses operations may show more than its memory can do.
        """
        seconds = self.median_ms / 1e3
        row = dict(labels) | {
            "median_ms": self.median_ms,
            "p95_ms": self.percentile(95),
            "p99_ms": self.percentile(99) if len(self.device_ms) >= _FEWEST_FOR_P99 else None,
            "times_real_time": self.times_real_time,
            "host_median_ms": self.host_median_ms,
            "runs": len(self.device_ms),
        }
        if "macs" in self.costs:
            row["tflops"] = 2 * self.costs["macs"] / seconds / 1e12
        if "bytes" in self.costs:
            row["gb_per_s"] = self.costs["bytes"] / seconds / 1e9
        return row

    def __repr__(self) -> str:
        return (
            f"{self.name}: median {self.median_ms:.3g} ms ({self.clock}, {len(self.device_ms)} "
            f"runs), p95 {self.percentile(95):.3g} ms, {self.times_real_time:.4g}x real time; "
            f"with copies {self.host_median_ms:.3g} ms"
        )

    def _repr_html_(self) -> str:
        row = self.row(runner=self.name)
        return tables.table([{key: value for key, value in row.items() if value is not None}])


def measure(
    runner: Runner,
    mel: np.ndarray,
    *,
    warmup: int = 10,
    runs: int = 50,
    max_seconds: float = 5.0,
    costs: Mapping[str, float] | None = None,
) -> Timing:
    """Time a runner for one mel (batch, n_mels, frames): the same call for every backend.

    The runs go one after the other, each waiting for the one before, as requests of one listener
    do. The device's work and whole calls are timed apart, each for `runs` runs or half of
    `max_seconds`, whichever ends first, but 3 runs at least. `costs`: what
    `labutils.costs.totals` says of this model and shape. Raises MelError, RunnerError of the
    runner, BenchmarkError.
    """
    rate = getattr(runner.config, "output_sample_rate", None)
    if rate is None:
        raise BenchmarkError(f"{runner.name}: its configuration has no output_sample_rate")
    launch = runner.prepare(mel)
    limits = {"runs": runs, "max_seconds": max_seconds / 2}
    device_ms, clock = _timed(launch, runner.synchronize, runner.device, warmup=warmup, **limits)
    # infer returns when the audio is in host memory: the host's clock sees all of it.
    host_ms, _ = _timed(lambda: runner.infer(mel), lambda: None, "cpu", warmup=1, **limits)
    batch, _, frames = mel.shape
    return Timing(
        name=runner.name,
        device=runner.device,
        clock=clock,
        device_ms=device_ms,
        host_ms=host_ms,
        audio_seconds=batch * runner.config.output_length(frames) / rate,
        shape=tuple(mel.shape),
        costs=dict(costs or {}),
    )


def time_call(
    call: Callable[[], Any],
    *,
    device: str = "cpu",
    warmup: int = 10,
    runs: int = 50,
    max_seconds: float = 5.0,
) -> np.ndarray:
    """Milliseconds of each run of any call, ``(runs,)``, after `warmup` calls that do not count.

    On a GPU ("cuda", "cuda:1") events time the work on torch's current stream, and each run waits
    for the one before. Stops early after `max_seconds`, but not before 3 runs. Raises
    BenchmarkError.
    """
    synchronize = _synchronizer(device)
    return _timed(call, synchronize, device, warmup=warmup, runs=runs, max_seconds=max_seconds)[0]


def asking_ms(call: Callable[[], Any], *, device: str = "cpu", runs: int = 10) -> np.ndarray:
    """Milliseconds until each call returns, ``(runs,)``, whether or not its work is done.

    On a GPU this is the host's time for launching, with an empty queue before each call: what a
    clock says that does not wait.
    """
    synchronize = _synchronizer(device)
    times = []
    for _ in range(runs):
        synchronize()
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    synchronize()
    return np.array(times)


def _synchronizer(device: str) -> Callable[[], None]:
    if not device.startswith("cuda"):
        return lambda: None
    import torch

    return lambda: torch.cuda.synchronize(device)


def _timed(
    call: Callable[[], Any],
    synchronize: Callable[[], None],
    device: str,
    *,
    warmup: int,
    runs: int,
    max_seconds: float,
) -> tuple[np.ndarray, str]:
    """Milliseconds of each run and the name of the clock that took them."""
    if runs < 1 or warmup < 0 or max_seconds <= 0:
        raise BenchmarkError(
            f"{runs} runs after {warmup} warm-up calls within {max_seconds} s: expected one run "
            "or more, no negative warm-up and some seconds"
        )
    on_gpu = device.startswith("cuda")
    if on_gpu:
        import torch

        if not torch.cuda.is_available():
            raise BenchmarkError(f'device "{device}" is not here: torch finds no NVIDIA GPU')
    _warm_up(call, synchronize, warmup, _WARM_SECONDS if on_gpu and warmup else 0.0, max_seconds)
    wall, events, unseen = [], [], []
    begin = time.perf_counter()
    while len(wall) < runs:
        if len(wall) >= _FEWEST and time.perf_counter() - begin > max_seconds:
            break
        start = time.perf_counter()
        if on_gpu:
            with torch.cuda.device(device):
                first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                first.record()
                call()
                last.record()
            last.synchronize()
            seen = time.perf_counter()
            synchronize()
            unseen.append(1e3 * (time.perf_counter() - seen))
            events.append(first.elapsed_time(last))
        else:
            call()
            synchronize()
        wall.append(1e3 * (time.perf_counter() - start))
    if on_gpu and not _work_after(events, unseen):
        return np.array(events), "CUDA events"
    return np.array(wall), "host clock"


def _work_after(events: list[float], unseen: list[float]) -> bool:
    """Whether work went on after the last event: a backend with a stream of its own.

    Events see torch's current stream only; the host's clock, read after synchronize, sees it all.
    """
    return bool(np.median(unseen) > max(0.05, 0.25 * np.median(events)))


def _warm_up(
    call: Callable[[], Any],
    synchronize: Callable[[], None],
    calls: int,
    seconds: float,
    max_seconds: float,
) -> None:
    """Run `calls` calls and at least so many seconds; not much longer than `max_seconds`."""
    begin, done = time.perf_counter(), 0
    while done < calls or time.perf_counter() - begin < seconds:
        call()
        synchronize()
        done += 1
        if time.perf_counter() - begin > max_seconds:
            return
