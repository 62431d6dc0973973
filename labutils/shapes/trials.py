"""What the experiments measure, for any runner: time over length, requests one after the other,
batches of unequal sentences. Tested on the processor; the records are of a GPU."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from labutils import benchmark, vocoders
from labutils.metrics.scores import snr_db
from labutils.runners.base import Runner
from labutils.shapes import padding

__all__ = ["batch_row", "facts", "length_rows", "mels_of", "request_row", "sound_of"]

Row = dict[str, Any]


def mels_of(config: Any, frames: Sequence[int]) -> list[np.ndarray]:
    """A mel (n_mels, frames) of each length, all cut from one that is as long as the longest."""
    whole = vocoders.speech_like_mel(config.mel, max(frames)).numpy()[0]
    return [np.ascontiguousarray(whole[:, :f]) for f in frames]


def length_rows(
    runner: Runner,
    frames: Sequence[int],
    *,
    device: str = "cuda",
    runs: int = 50,
    max_seconds: float = 1.0,
) -> Iterator[Row]:
    """A row for each length: `median_ms` and `p95_ms` of the device's work, batch 1."""
    for mel in mels_of(runner.config, frames):
        launch = runner.prepare(mel[None])
        taken = benchmark.time_call(
            launch, device=device, warmup=5, runs=runs, max_seconds=max_seconds
        )
        del launch
        yield {
            "frames": mel.shape[1], "median_ms": float(np.median(taken)),
            "p95_ms": float(np.percentile(taken, 95)),
        }  # fmt: skip


def request_row(
    runner: Runner, mels: Sequence[np.ndarray], *, device: str = "cuda", passes: int = 3
) -> Row:
    """Requests one after the other, from host memory to host memory, each waited for.

    The first pass meets every shape for the first time: "first pass, …". The others are taken
    together. `memory_mb` is what the GPU lost until the end.
    """
    gpu = device.startswith("cuda")
    held = benchmark.device_bytes(device) if gpu else 0
    times = []
    for _ in range(passes):
        taken = []
        for mel in mels:
            start = time.perf_counter()
            runner.infer(mel[None])
            taken.append(1e3 * (time.perf_counter() - start))
        times.append(taken)
    later = np.concatenate(times[1:])
    lost = (benchmark.device_bytes(device) - held) / 1e6 if gpu else None
    return {
        "requests": len(mels), "first pass (s)": sum(times[0]) / 1e3,
        "first pass, slowest (ms)": max(times[0]), "median (ms)": float(np.median(later)),
        "p95 (ms)": float(np.percentile(later, 95)), "slowest (ms)": float(later.max()),
        "mean (ms)": float(later.mean()), "memory (MB)": lost,
    }  # fmt: skip


def batch_row(
    run: Callable[[Sequence[np.ndarray]], list[np.ndarray]],
    mels: Sequence[np.ndarray],
    config: Any,
    *,
    expected: Sequence[np.ndarray] | None = None,
    passes: int = 5,
) -> tuple[Row, list[np.ndarray]]:
    """Many sentences at once, host to host: seconds for all, times real time, and the sounds.

    With `expected`, the sounds of single calls, the row has the SNR of the worst sentence: of the
    whole, and without the end that hears the padding.
    """
    run(mels)  # every shape once
    taken = []
    for _ in range(passes):
        start = time.perf_counter()
        sounds = run(mels)
        taken.append(time.perf_counter() - start)
    seconds = statistics.median(taken)
    sound = sum(len(s) for s in sounds) / config.output_sample_rate
    row: Row = {"sentences": len(mels), "ms": 1e3 * seconds, "times real time": sound / seconds}
    if expected is not None:
        end = config.receptive_field * config.hop_length
        row["worst SNR (dB)"] = _worst(expected, sounds, 0)
        row["worst SNR before the end (dB)"] = _worst(expected, sounds, end)
    return row, sounds


def _worst(expected: Sequence[np.ndarray], sounds: Sequence[np.ndarray], end: int) -> float | None:
    """The least SNR of any sentence without so many samples at its end; None: all are equal."""
    ratios = []
    for reference, sound in zip(expected, sounds, strict=True):
        kept = len(reference) - end
        if kept > 0 and not np.array_equal(reference[:kept], sound[:kept]):
            ratios.append(snr_db(reference[:kept], sound[:kept]))
    return min(ratios, default=None)


def sound_of(
    runner: Runner, size: int, *, by_length: bool
) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
    """Batches of `size`, each padded to its longest sentence, on a runner of any shape."""

    def run(mels: Sequence[np.ndarray]) -> list[np.ndarray]:
        lengths = [mel.shape[1] for mel in mels]
        found: dict[int, np.ndarray] = {}
        for chosen in padding.group(lengths, size, by_length=by_length):
            sounds = runner.infer(padding.stack([mels[i] for i in chosen], runner.config))
            cut = padding.cut(sounds, [lengths[i] for i in chosen], runner.config)
            found |= dict(zip(chosen, cut, strict=True))
        return [found[i] for i in range(len(mels))]

    return run


def facts(engine: Any, built: Any) -> Row:
    """Of an engine: MB of its plan and of its activations, its profiles, seconds of its build."""
    return {
        "engine (MB)": engine.plan_bytes / 1e6, "activations (MB)": engine.scratch_bytes / 1e6,
        "build (s)": built.seconds, "from the cache": built.kept,
        "profiles": "; ".join(str(profile) for profile in engine.profiles),
    }  # fmt: skip
