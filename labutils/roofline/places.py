"""Where each operation of a network lies under the roof, and what sets its floor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from labutils.benchmark.timing import BenchmarkError
from labutils.costs import LayerCost
from labutils.roofline.roof import BOUNDS, Ceilings

__all__ = ["place", "summary"]


def place(
    rows: Iterable[LayerCost],
    ceilings: Ceilings,
    *,
    dtype: str = "float32",
    times: Iterable[float] | None = None,
) -> list[dict[str, Any]]:
    """Where each operation lies under the roof: plain data, equal operations as one row.

    A row holds ``layer`` (the first of its kind), ``operation``, ``shape``, ``count``, ``macs`` and
    ``bytes`` of one, ``intensity`` (operations per byte), ``bound`` (the slowest of arithmetic,
    memory and launch), ``floor_ms`` by that bound, and with `times` (ms, one for each of `rows`)
    the median ``ms`` and ``tflops``.
    """
    rows = list(rows)
    given = [None] * len(rows) if times is None else list(times)
    if len(given) != len(rows):
        raise BenchmarkError(f"{len(given)} times for {len(rows)} operations: one each is needed")
    groups: dict[tuple[Any, ...], list[tuple[LayerCost, float | None]]] = {}
    for row, ms in zip(rows, given, strict=True):
        kind = (row.operation, row.shape, row.macs, row.bytes)
        groups.setdefault(kind, []).append((row, ms))
    return [_placed(members, ceilings, dtype) for members in groups.values()]


def _placed(
    members: list[tuple[LayerCost, float | None]], ceilings: Ceilings, dtype: str
) -> dict[str, Any]:
    first = members[0][0]
    floors = ceilings.floor_ms(first.macs, first.bytes, dtype)
    bound = max(BOUNDS, key=floors.__getitem__)
    placed = {key: asdict(first)[key] for key in ("layer", "operation", "macs", "bytes")}
    placed |= {
        "shape": list(first.shape),
        "count": len(members),
        "intensity": 2 * first.macs / first.bytes,
        "bound": bound,
        "floor_ms": floors[bound],
    }
    if members[0][1] is not None:
        placed["ms"] = float(np.median([ms for _, ms in members]))
        placed["tflops"] = 2 * first.macs / (placed["ms"] * 1e9)
    return placed


def summary(placed: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each bound: how many operations, GMAC, GB, the floor in ms and, if timed, the ms."""
    table = []
    for bound in BOUNDS:
        mine = [row for row in placed if row["bound"] == bound]
        total = {
            "bound": bound,
            "operations": sum(row["count"] for row in mine),
            "gmac": sum(row["count"] * row["macs"] for row in mine) / 1e9,
            "gb": sum(row["count"] * row["bytes"] for row in mine) / 1e9,
            "floor_ms": sum(row["count"] * row["floor_ms"] for row in mine),
        }
        if placed and "ms" in placed[0]:
            total["ms"] = sum(row["count"] * row["ms"] for row in mine)
        table.append(total)
    return table
