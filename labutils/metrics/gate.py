"""The quality gate: bounds on scores, each with its reason. What has not passed does not count."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from labutils import tables

__all__ = ["QualityGate", "Row", "Verdict"]


@dataclass(frozen=True)
class Row:
    """One bound and what came of it; `value` is None where the score was not measured."""

    metric: str
    value: float | None
    bound: str
    passed: bool
    reason: str


@dataclass(frozen=True)
class Verdict:
    """What a gate says of one set of scores: true if every bound held.

    In a test, `assert gate(scores)` fails with the names of the bounds that did not.
    """

    gate: str
    rows: tuple[Row, ...]

    def __bool__(self) -> bool:
        return all(row.passed for row in self.rows)

    @property
    def failures(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if not row.passed)

    def _summary(self) -> str:
        held = len(self.rows) - len(self.failures)
        return f"{self.gate}: {held} of {len(self.rows)} bounds hold"

    def __repr__(self) -> str:
        failed = [
            f"{r.metric} {_text(r.value)}, wanted {r.bound}: {r.reason}" for r in self.failures
        ]
        return "; ".join([f"{self._summary()}", *failed])

    def _repr_html_(self) -> str:
        word = ("passed", "good") if self else ("failed", "bad")
        rows = [
            {
                "score": row.metric,
                "measured": _text(row.value),
                "bound": row.bound,
                "verdict": tables.badge(*(("passed", "good") if row.passed else ("failed", "bad"))),
                "reason": row.reason,
            }
            for row in self.rows
        ]
        return tables.strip([word], self._summary()) + tables.table(rows, html_columns=["verdict"])


@dataclass(frozen=True)
class QualityGate:
    """Bounds {metric: (low, high)}, None where a side is open, and {metric: reason} for each.

    Call it with scores, such as `metrics.compare` gives: the `Verdict` is true if each score lies
    within its bound. A score that is missing, None or NaN fails: what was not measured has not
    passed.

    Raises ValueError: no bounds, a bound without a reason, a low end above its high end.
    """

    name: str
    bounds: Mapping[str, tuple[float | None, float | None]]
    reasons: Mapping[str, str]

    def __post_init__(self) -> None:
        if not self.bounds:
            raise ValueError(f"gate {self.name!r} has no bounds: it would pass anything")
        for metric, (low, high) in self.bounds.items():
            ends = [end for end in (low, high) if end is not None]
            if not ends or any(math.isnan(end) for end in ends) or ends != sorted(ends):
                raise ValueError(f"gate {self.name!r}: bound of {metric} is {low} to {high}")
            if not self.reasons.get(metric):
                raise ValueError(f"gate {self.name!r}: bound of {metric} has no reason")
        if unknown := set(self.reasons) - set(self.bounds):
            raise ValueError(
                f"gate {self.name!r}: reason without bound: {', '.join(sorted(unknown))}"
            )

    def __call__(self, scores: Mapping[str, float | None]) -> Verdict:
        """The verdict on {metric: value}; scores without a bound are not looked at."""
        rows = []
        for metric, (low, high) in self.bounds.items():
            value = scores.get(metric)
            passed = value is not None  # NaN is on no side of a bound, so it fails
            passed = passed and (low is None or value >= low) and (high is None or value <= high)
            rows.append(Row(metric, value, _bound(low, high), passed, self.reasons[metric]))
        return Verdict(self.name, tuple(rows))


def _bound(low: float | None, high: float | None) -> str:
    if low is None:
        return f"at most {high:g}"
    if high is None:
        return f"at least {low:g}"
    return f"{low:g} to {high:g}"


def _text(value: float | None) -> str:
    return "not measured" if value is None else tables.format_number(float(value))
