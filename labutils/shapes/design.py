"""Buckets for a distribution of lengths, scored by latencies that were recorded on a GPU.

At one length the time of a call is a line over the number of frames; on a GPU that batches it is,
nearly, a line over all frames of the batch. `Latency` is that line, read from records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from labutils import records
from labutils.records import provenance
from labutils.shapes.lengths import Lengths, frames_of

__all__ = [
    "Latency",
    "best_buckets",
    "equal_steps",
    "latency",
    "mean_ms",
    "recorded_points",
    "recorded_source",
    "score",
]

Cost = Callable[[int], float]  # frames of a call to milliseconds


@dataclass(frozen=True)
class Latency:
    """Milliseconds of a call over its frames: ``latency(200)``. Straight between what was measured.

    Below the first point it is that point, since a call costs its launches however short it is;
    above the last one the last stretch goes on. `source` says where the points come from.
    """

    frames: tuple[int, ...]
    ms: tuple[float, ...]
    source: str

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.frames, self.frames[1:], strict=False))
        if len(self.frames) < 2 or len(self.frames) != len(self.ms) or not rising:
            raise ValueError("a line needs two points or more, in rising order of frames")

    def __call__(self, frames: float) -> float:
        last, ms = self.frames[-1], self.ms[-1]
        if frames <= last:
            return float(np.interp(frames, self.frames, self.ms))
        slope = (ms - self.ms[-2]) / (last - self.frames[-2])
        return float(ms + max(0.0, slope) * (frames - last))


def recorded_points() -> dict[str, list[tuple[int, float]]]:
    """What notebook 03 recorded of HiFi-GAN V1 in FP16 as CUDA graphs: (frames of the batch, ms).

    {"one sentence": ..., "2 s, batches of 1 to 32": ...}; a kind without a record is left out.
    """
    points = {}
    launches, batches = _newest("03-launches"), _newest("03-batching")
    if launches:
        rows = [row for row in launches["data"] if row.get("graph_ms")]
        points["one sentence"] = [(row["frames"], row["graph_ms"]) for row in rows]
    if batches:
        each = batches["arguments"]["frames"]
        rows = [row for row in batches["data"]["rows"] if row.get("graph_ms")]
        points["2 s, batches of 1 to 32"] = [(each * r["batch"], r["graph_ms"]) for r in rows]
    return points


def recorded_source() -> str:
    """Where `recorded_points` come from, for a caption."""
    launches = _newest("03-launches") or _newest("03-batching")
    if launches is None:
        return "there is no record 03-launches yet"
    where = provenance.describe(launches["provenance"], needs=("cuda",))
    return f"PyTorch FP16 as CUDA graphs, recorded on {where}"


def latency() -> Latency:
    """The best recorded line there is: a TensorRT engine's, else PyTorch's of notebook 03.

    Raises RecordError where neither was recorded.
    """
    from labutils.shapes import experiments  # it needs runners, which need this package

    engine = experiments.lengths.recorded()
    rows = engine["rows"] if engine.available else []
    found = {r["frames"]: r["median_ms"] for r in rows if _is_line(r)}
    if len(found) >= 3:
        return _line(found.items(), f"one wide TensorRT engine as CUDA graphs, {engine.caption}")
    if _newest("03-launches") is None:
        raise records.RecordError("no latencies over length: record 07-lengths or 03-launches")
    points = dict(recorded_points()["one sentence"])
    longest = max(points)
    # From the batches only what lies beyond the longest sentence.
    more = recorded_points().get("2 s, batches of 1 to 32", [])
    points |= {frames: ms for frames, ms in more if frames > longest}
    return _line(points.items(), recorded_source())


def _is_line(row: Mapping[str, Any]) -> bool:
    return bool(row.get("engine") == "one wide" and row.get("graph") and row.get("median_ms"))


def _line(points: Any, source: str) -> Latency:
    frames, ms = zip(*sorted(points), strict=True)
    return Latency(tuple(frames), tuple(ms), source)


def _newest(name: str) -> dict[str, Any] | None:
    """The newest record of an experiment that a notebook defines."""
    found = []
    for path in sorted(records.RECORDS.glob(f"{name}.*.json")):
        try:
            found.append(records.read_record(path))
        except records.RecordError:
            continue
    return max(found, key=lambda record: record["provenance"]["date"], default=None)


def mean_ms(lengths: Lengths | Sequence[int], buckets: Sequence[int], ms: Cost) -> float:
    """Mean time of a call when each sentence is padded to the smallest bucket that holds it.

    Raises ValueError where a sentence does not fit.
    """
    frames, ordered = frames_of(lengths), np.array(sorted(set(buckets)))
    if ordered.size == 0 or frames.max() > ordered[-1]:
        largest = ordered[-1] if ordered.size else "none"
        raise ValueError(
            f"a sentence of {frames.max()} frames does not fit: the largest bucket is {largest}"
        )
    costs = np.array([ms(int(b)) for b in ordered])
    return float(costs[np.searchsorted(ordered, frames)].mean())


def equal_steps(longest: int, count: int) -> list[int]:
    """Buckets of equal width, the last one at `longest`: what is written down first."""
    return [round(longest * (i + 1) / count) for i in range(count)]


def best_buckets(lengths: Lengths | Sequence[int], count: int, ms: Cost) -> list[int]:
    """The `count` buckets, or fewer, with the least mean time for these sentences.

    Exact, by dynamic programming: a bucket ends at the length of some sentence, and the best way to
    serve all up to there with k buckets follows from those with k - 1. Raises ValueError for no
    bucket.
    """
    if count < 1:
        raise ValueError(f"{count} buckets: 1 or more")
    ends, counts = np.unique(frames_of(lengths), return_counts=True)
    n, below = len(ends), np.concatenate([[0], np.cumsum(counts)])
    cost = np.array([ms(int(end)) for end in ends])
    # total[j]: least sum for the first j lengths; one bucket more in every round.
    total = np.full(n + 1, np.inf)
    total[0] = 0.0
    choices: list[np.ndarray] = []
    for _ in range(min(count, n)):
        fresh, chosen = total.copy(), np.full(n + 1, -1)
        for j in range(1, n + 1):
            sums = total[:j] + (below[j] - below[:j]) * cost[j - 1]
            i = int(np.argmin(sums))
            if sums[i] < fresh[j]:
                fresh[j], chosen[j] = sums[i], i
        total = fresh
        choices.append(chosen)
    found, j = [], n
    for chosen in reversed(choices):
        if chosen[j] >= 0:
            found.append(int(ends[j - 1]))
            j = int(chosen[j])
    return sorted(found)


def score(
    lengths: Lengths | Sequence[int], designs: Mapping[str, Sequence[int]], ms: Cost
) -> list[dict[str, Any]]:
    """A row for each {name: buckets}: mean time, padding, and how much slower than exact lengths.

    "exact" is a call of each sentence's own length, which no finite number of graphs gives.
    """
    frames = frames_of(lengths)
    exact = float(np.mean([ms(int(f)) for f in frames]))
    rows = []
    for name, buckets in designs.items():
        ordered = sorted(set(buckets))
        taken = mean_ms(lengths, ordered, ms)
        made = np.array(ordered)[np.searchsorted(ordered, frames)].sum()
        rows.append({
            "design": name, "buckets": ", ".join(map(str, ordered)), "mean (ms)": taken,
            "padding (%)": 100 * (1 - float(frames.sum() / made)),
            "slower than exact lengths (%)": 100 * (taken / exact - 1),
        })  # fmt: skip
    return rows
