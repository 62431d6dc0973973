"""Rows of throughput: contexts by number and way, batches beside them, pools of runners."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from labutils.baseline import trials as torch_trials
from labutils.benchmark.footprint import device_bytes
from labutils.concurrency import load
from labutils.concurrency.contexts import call_of, open_contexts
from labutils.concurrency.pool import RunnerPool
from labutils.runners.base import Runner

__all__ = ["WAYS", "batch_rows", "best_of", "context_rows", "pool_row", "runner_rows"]

WAYS = {  # name: (a CUDA graph each, a host thread each)
    "one thread": (False, False),
    "a thread each": (False, True),
    "one thread, graphs": (True, False),
    "a thread each, graphs": (True, True),
}


def context_rows(
    engine: Any,
    config: Any,
    frames: int,
    counts: Sequence[int],
    *,
    ways: Mapping[str, tuple[bool, bool]] = WAYS,
    seconds: float = 1.0,
    late: Callable[[], bool] = lambda: False,
) -> Iterator[dict[str, Any]]:
    """A row for each number of contexts and each way to drive them, at batch 1.

    `per_second` inferences, `times_real_time`, latency from asking to done, and `gpu_mb` that the
    contexts took. One that fails, or that would begin when it is `late`, gives a row with "error".
    """
    shape = (1, engine.n_mels, frames)
    audio_seconds = config.output_length(frames) / config.output_sample_rate
    for way, (graph, host_threads) in ways.items():
        for count in counts:
            row: dict[str, Any] = {"way": way, "frames": frames, "lanes": count, "batch": 1}
            with torch_trials.noting(row):
                _in_time(late)
                before = _gpu_bytes()
                with open_contexts(engine, shape, count, graph=graph) as bounds:
                    row["gpu_mb"] = (_gpu_bytes() - before) / 1e6
                    if host_threads:
                        calls = [call_of(bound) for bound in bounds]
                        taken = load.threads(calls, seconds=seconds)
                    else:
                        taken = load.in_turn(bounds, seconds=seconds)
                    bounds.clear()
                row |= taken.row(audio_seconds=audio_seconds)
            yield row


def _in_time(late: Callable[[], bool]) -> None:
    if late():
        raise RuntimeError("not measured: time")


def _gpu_bytes() -> int:
    import torch

    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    return device_bytes("cuda")


def batch_rows(
    engine: Any,
    config: Any,
    frames: int,
    batches: Sequence[int],
    *,
    seconds: float = 1.0,
    late: Callable[[], bool] = lambda: False,
) -> Iterator[dict[str, Any]]:
    """One context that takes several mels at once, as a CUDA graph: rows as of `context_rows`.

    `per_second` counts mels, the latency is that of the whole batch.
    """
    audio_seconds = config.output_length(frames) / config.output_sample_rate
    for batch in batches:
        row: dict[str, Any] = {
            "way": "a batch, graph", "frames": frames, "lanes": batch, "batch": batch,
        }  # fmt: skip
        with torch_trials.noting(row):
            _in_time(late)
            before = _gpu_bytes()
            with open_contexts(engine, (batch, engine.n_mels, frames), 1, graph=True) as bounds:
                row["gpu_mb"] = (_gpu_bytes() - before) / 1e6
                taken = load.in_turn(bounds, seconds=seconds)
                bounds.clear()
            made = taken.row(audio_seconds=batch * audio_seconds)
            row |= made | {"per_second": batch * made["per_second"]}
        yield row


def runner_rows(
    make: Callable[[], Runner],
    mel: np.ndarray,
    counts: Sequence[int],
    *,
    seconds: float = 1.0,
    way: str = "a thread each",
) -> Iterator[dict[str, Any]]:
    """So many runners, each in a host thread of its own, on the same mel; for any backend."""
    frames = mel.shape[2]
    for count in counts:
        opened = [make() for _ in range(count)]
        try:
            config = opened[0].config
            calls = [lambda runner=runner: runner.infer(mel) for runner in opened]
            taken = load.threads(calls, seconds=seconds)
        finally:
            for runner in opened:
                runner.close()
        audio_seconds = len(mel) * config.output_length(frames) / config.output_sample_rate
        labels = {"way": way, "frames": frames, "lanes": count, "batch": len(mel)}
        yield taken.row(audio_seconds=audio_seconds, **labels)


def best_of(rounds: Iterable[Iterable[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Of rounds that measured the same, the row with the highest `per_second` for each place.

    For a machine with other work to do: that can only make a round slower. One round after the
    other, so that a busy minute does not hit the same row in all of them.
    """
    together = zip(*[list(rows) for rows in rounds], strict=True)
    return [dict(max(same, key=lambda row: row["per_second"])) for same in together]


def pool_row(
    makers: Mapping[str, Callable[[], Runner]],
    mels: Sequence[np.ndarray],
    *,
    audio_seconds: float,
    timeout: float = 300.0,
    **labels: Any,
) -> dict[str, Any]:
    """A pool that gets all mels at once: how long until the last audio is there.

    `audio_seconds` of all mels together. The row has what each worker did, too.
    """
    row: dict[str, Any] = dict(labels) | {"workers": len(makers)}
    with torch_trials.noting(row), RunnerPool(makers, warm_up=list(mels[:3])) as pool:
        if not pool.ready(timeout):
            said = "; ".join(r["said"] for r in pool.rows() if r["said"])
            raise RuntimeError(f"not all workers serve: {said or 'they take too long'}")
        begin = time.perf_counter()
        pool.map(mels, timeout)
        seconds = time.perf_counter() - begin
        row |= {
            "seconds": seconds, "per_second": len(mels) / seconds,
            "times_real_time": audio_seconds / seconds,
            "done": {r["worker"]: r["done"] for r in pool.rows()},
        }  # fmt: skip
    return row
