"""Times of queries: when each part of a query began and ended, and the figures made from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["ROWS", "Trace", "after_warm_up", "durations", "figures", "percentile"]

# The rows of the summary, in trtexec's order.
ROWS = ("Latency", "Enqueue Time", "H2D Latency", "GPU Compute Time", "D2H Latency")


@dataclass(frozen=True)
class Trace:
    """One query, all in ms: the host's clock for `enq`, the GPU's events for the rest.

    Each pair is (start, end) since the measurement began; without copies `h2d` and `d2h` have no
    length.
    """

    enq: tuple[float, float]
    h2d: tuple[float, float]
    compute: tuple[float, float]
    d2h: tuple[float, float]

    @property
    def latency(self) -> float:
        """Copy in, compute and copy out, without waiting in between."""
        return sum(end - start for start, end in (self.h2d, self.compute, self.d2h))


def after_warm_up(traces: Sequence[Trace], warm_up_ms: float) -> list[Trace]:
    """The queries whose work began after the warm-up, in the order of their beginning."""
    ordered = sorted(traces, key=lambda trace: trace.h2d[0])
    first = next((i for i, t in enumerate(ordered) if t.compute[0] >= warm_up_ms), len(ordered))
    return ordered[first:]


def durations(traces: Sequence[Trace]) -> dict[str, np.ndarray]:
    """Milliseconds of each query for each row of the summary."""
    parts = {"Enqueue Time": "enq", "H2D Latency": "h2d", "GPU Compute Time": "compute"}
    parts["D2H Latency"] = "d2h"
    found = {"Latency": np.array([trace.latency for trace in traces])}
    for row, name in parts.items():
        pairs = np.array([getattr(trace, name) for trace in traces]).reshape(-1, 2)
        found[row] = pairs[:, 1] - pairs[:, 0]
    return found


def percentile(values: np.ndarray, q: float) -> float:
    """The value that q % of the queries did not exceed, a measured one, as trtexec takes it."""
    ordered = np.sort(values)
    # The share left out is cut to whole queries; the small term undoes what floats lose in it.
    left_out = int((1 - q / 100) * len(ordered) + 1e-9)
    return float(ordered[max(len(ordered) - 1 - left_out, 0)])


def figures(values: np.ndarray, percentiles: Sequence[float]) -> dict[str, float]:
    """min, max, mean, median and percentiles of one row, under the summary's own names."""
    return {
        "min": float(values.min()),
        "max": float(values.max()),
        "mean": float(values.mean()),
        "median": float(np.median(values)),
        **{f"percentile({q:g}%)": percentile(values, q) for q in percentiles},
    }
