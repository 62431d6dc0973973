"""How many contexts: where throughput stops rising, and how far it can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["gain", "knee", "room"]

Row = Mapping[str, Any]


def knee(rows: Sequence[Row], *, share: float = 0.95, key: str = "lanes") -> Row:
    """The row of the fewest lanes that reach `share` of the best throughput of all rows.

    Rows have `key` and "per_second"; those without a figure are passed over. More lanes than this
    only make everybody wait longer. Raises ValueError without figures.
    """
    known = [row for row in rows if row.get("per_second")]
    if not known:
        raise ValueError("no row has a throughput")
    best = max(row["per_second"] for row in known)
    return min((r for r in known if r["per_second"] >= share * best), key=lambda row: row[key])


def gain(rows: Sequence[Row], *, key: str = "lanes") -> float | None:
    """Best throughput of the rows over that of one lane; None where one of them is missing."""
    known = [row for row in rows if row.get("per_second")]
    alone = [row["per_second"] for row in known if row[key] == 1]
    return max(row["per_second"] for row in known) / alone[0] if alone else None


def room(alone_ms: float, batch_ms: float, batch: int) -> float:
    """How many times more could get done: the time of one call alone over the time of one item in
    a batch that fills the GPU. Work that runs side by side hardly does better than that batch."""
    return alone_ms * batch / batch_ms
