"""Who is left out of a MUSHRA test, and why: post-screening as ITU-R BS.1534-3 asks.

The rules look at the hidden reference and the mid anchor alone, never at the systems under test:
leaving out listeners by how they rate those would be choosing the result.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from labutils import tables
from labutils.listening.answers import finished, mushra_answers, one_test

__all__ = ["BOUND", "MID_ANCHOR", "SHARE", "Screening", "post_screen"]

MID_ANCHOR = "anchor 7 kHz"
BOUND = 90.0
SHARE = 0.15
MILD = 0.25  # of all listeners


@dataclass(frozen=True)
class Screening:
    """Who is `kept`; who is `excluded` {listener: reason}; the counts as `rows`; `mild`: items
    whose mid anchor does not count."""

    kept: tuple[str, ...]
    excluded: dict[str, str]
    rows: tuple[dict[str, Any], ...]
    mild: tuple[str, ...] = ()

    def __repr__(self) -> str:
        head = f"{len(self.kept)} of {len(self.rows)} listeners kept"
        return "; ".join([head, *(f"{name}: {why}" for name, why in self.excluded.items())])

    def _repr_html_(self) -> str:
        word = ("screened", "warn" if self.excluded else "good")
        text = f"{len(self.kept)} of {len(self.rows)} listeners kept"
        if self.mild:
            text += f"; mid anchors that are hardly worse, not counted: {', '.join(self.mild)}"
        return tables.strip([word], text) + tables.table(list(self.rows))


def post_screen(sheets: Iterable[Any]) -> Screening:
    """Apply both rules to the finished sheets of a MUSHRA test (tests or files of answers).

    Out goes who rates the hidden reference below 90 on more than 15 % of the items, or the mid
    anchor above 90 on more than 15 % of them. An item whose mid anchor more than a quarter of all
    listeners (and more than one) rate above 90 does not count for the second rule: there the filter
    took hardly anything away. Without anchors that rule rests. With fewer than seven items one slip
    is more than 15 %.
    """
    kept, excluded, rows = [], {}, []
    done = [
        (sheet, mushra_answers(sheet)) for sheet in one_test(sheets, "mushra") if finished(sheet)
    ]
    mild = _mild(row for _, ratings in done for row in ratings)
    for sheet, ratings in done:
        reference = [r["rating"] for r in ratings if r["stimulus"] == sheet.design.reference]
        anchor = [
            r["rating"] for r in ratings if r["stimulus"] == MID_ANCHOR and r["item"] not in mild
        ]
        low = sum(rating < BOUND for rating in reference)
        high = sum(rating > BOUND for rating in anchor)
        reasons = []
        if low > SHARE * len(reference):
            reasons.append(f"hidden reference below {BOUND:g} on {low} of {len(reference)} items")
        if high > SHARE * len(anchor):
            reasons.append(f"mid anchor above {BOUND:g} on {high} of {len(anchor)} items")
        name = sheet.design.listener
        if reasons:
            excluded[name] = "; ".join(reasons)
        else:
            kept.append(name)
        rows.append(
            {
                "listener": name,
                "items": len(reference),
                "reference_below_90": low,
                "mid_anchor_above_90": high if anchor else None,
                "verdict": excluded.get(name, "kept"),
            }
        )
    return Screening(tuple(kept), excluded, tuple(rows), mild)


def _mild(ratings: Iterable[dict[str, Any]]) -> tuple[str, ...]:
    """Items whose mid anchor more than a quarter of the listeners rate above 90, two at least."""
    given: dict[str, list[float]] = {}
    for row in ratings:
        if row["stimulus"] == MID_ANCHOR:
            given.setdefault(row["item"], []).append(row["rating"])
    return tuple(
        item
        for item, heard in given.items()
        if sum(rating > BOUND for rating in heard) > max(1, MILD * len(heard))
    )
