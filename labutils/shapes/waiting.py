"""What waiting for a batch costs: one GPU, requests that arrive by chance, calls of known cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from labutils.shapes.lengths import Lengths, frames_of

__all__ = ["Served", "arrivals", "serve"]


@dataclass(frozen=True)
class Served:
    """What became of a run of requests: `waited_ms` each from its arrival to its sound, and the
    batches in which they went."""

    waited_ms: np.ndarray
    batches: tuple[tuple[int, ...], ...]
    busy: float  # share of the time in which the GPU worked

    def percentile(self, q: float) -> float:
        return float(np.percentile(self.waited_ms, q))

    @property
    def mean_batch(self) -> float:
        return len(self.waited_ms) / len(self.batches)


def arrivals(count: int, per_second: float, *, seed: int = 0) -> np.ndarray:
    """Milliseconds at which requests arrive, each independent of the others (Poisson)."""
    if count < 1 or not per_second > 0:
        raise ValueError(f"{count} requests, {per_second} a second: both must be above 0")
    gaps = np.random.default_rng(seed).exponential(1e3 / per_second, count)
    return np.cumsum(gaps)


def serve(
    arrived_ms: Sequence[float] | np.ndarray,
    lengths: Lengths | Sequence[int],
    ms: Callable[[int], float],
    *,
    size: int,
    window_ms: float = 0.0,
    alike: float | None = None,
) -> Served:
    """Serve requests on one GPU, the oldest first, up to `size` in a call; a calculation.

    A call begins when the GPU is free and either the batch is full or its oldest request has waited
    `window_ms`. It takes `ms` of all its frames, each sentence padded to the longest. With `alike`
    only sentences at most so many times as long or as short as the oldest go along with it. Raises
    ValueError for a size below 1, a negative window, `alike` below 1, and arrivals that do not
    match the lengths.
    """
    times, frames = np.asarray(arrived_ms, dtype=float), frames_of(lengths)
    likely = alike is None or alike >= 1
    known = len(times) == len(frames) > 0 and np.isfinite(times).all()
    if size < 1 or not window_ms >= 0 or not likely or not known:
        raise ValueError(
            f"batches of {size}, a window of {window_ms} ms, alike {alike}, {len(times)} arrivals "
            f"of {len(frames)} sentences: expected 1 or more, 0 or more, 1 or more, times for each"
        )
    order = np.argsort(times, kind="stable")
    times, frames = times[order], frames[order]
    waited, batches, free, busy = np.zeros(len(times)), [], 0.0, 0.0
    there = np.ones(len(times), dtype=bool)  # not served yet
    while there.any():
        oldest = int(there.argmax())
        fits = there
        if alike is not None:
            ratios = frames / frames[oldest]
            fits = there & (ratios <= alike) & (ratios * alike >= 1)
        mates = oldest + np.flatnonzero(fits[oldest:])[:size]
        deadline = times[oldest] + window_ms
        if len(mates) == size:
            deadline = min(deadline, times[mates[-1]])
        begin = max(free, deadline)
        chosen = mates[times[mates] <= begin]
        took = ms(int(len(chosen) * frames[chosen].max()))
        free, busy = begin + took, busy + took
        waited[order[chosen]] = free - times[chosen]
        there[chosen] = False
        batches.append(tuple(int(i) for i in order[chosen]))
    return Served(waited, tuple(batches), float(busy / (free - times[0])))
