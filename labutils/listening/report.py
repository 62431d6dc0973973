"""What the listeners of an ABX test said: in a sentence, in a table and in a picture.

A test that is not finished has no result: who looks at the count and stops when it is good finds
what chance put there.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from labutils import tables
from labutils.listening import pictures, statistics
from labutils.listening.abx_statistics import LEVEL, Binomial, binomial, right_needed
from labutils.listening.answers import abx_answers, finished, one_test, simulated
from labutils.show.figures import Picture

__all__ = ["AbxReport", "Report"]

Row = dict[str, Any]


class Report:
    """The sheets (tests or files of answers) of one test, and which of them are finished."""

    kind: str

    def __init__(self, sheets: Iterable[Any]) -> None:
        self.sheets = one_test(sheets, self.kind)
        self.finished = [sheet for sheet in self.sheets if finished(sheet)]
        self.simulated = simulated(self.sheets)

    @property
    def design(self) -> Any:
        """The design of the first listener; the others differ in the order alone."""
        return self.sheets[0].design

    def _progress(self) -> str:
        """Who has not finished, in words."""
        left = [
            f"{sheet.design.listener}: {len(sheet.answers())} of {len(sheet.design.trials)}"
            for sheet in self.sheets
            if sheet not in self.finished
        ]
        return f"not finished, not counted: {', '.join(left)}" if left else ""

    def _strip(self, word: str, kind: str, text: str) -> str:
        badges = [("simulated", "warn")] if self.simulated else []
        return tables.strip([*badges, (word, kind)], text, self._progress())

    @property
    def summary(self) -> str:
        """The result in one sentence."""
        raise NotImplementedError

    def __repr__(self) -> str:
        head = "simulated listeners: " if self.simulated else ""
        parts = [part for part in (self.summary, self._progress()) if part]
        return head + "; ".join(parts)


class AbxReport(Report):
    """How many were right, and what guessing would do. `level` is what counts as heard."""

    kind = "abx"

    def __init__(self, sheets: Iterable[Any], *, level: float = LEVEL) -> None:
        super().__init__(sheets)
        self.level = level

    @cached_property
    def result(self) -> Binomial | None:
        """All finished listeners together; None before one has finished."""
        counts = [_right(sheet) for sheet in self.finished]
        if not counts:
            return None
        return binomial(sum(right for right, _ in counts), sum(trials for _, trials in counts))

    @property
    def heard(self) -> bool:
        """Whether the difference was heard: guessing does as well less often than `level`."""
        return self.result is not None and self.result.p_value < self.level

    @cached_property
    def rows(self) -> list[Row]:
        """A row for each finished listener; p-values of several are corrected by Holm."""
        tests = [(sheet.design.listener, binomial(*_right(sheet))) for sheet in self.finished]
        corrected = statistics.holm([test.p_value for _, test in tests])
        rows = []
        for (listener, test), p_holm in zip(tests, corrected, strict=True):
            row = {
                "listener": listener,
                "right": test.right,
                "trials": test.trials,
                "needed": right_needed(test.trials, self.level),
                "p": test.p_value,
            }
            rows.append({**row, "p_holm": p_holm} if len(tests) > 1 else row)
        return rows

    @property
    def by_item(self) -> list[Row]:
        """Right answers for each clip, over all finished listeners: where to listen again."""
        rows = [row for sheet in self.finished for row in abx_answers(sheet)]
        items = sorted({row["item"] for row in rows})
        found = {item: [row["correct"] for row in rows if row["item"] == item] for item in items}
        return [{"item": i, "right": sum(r), "trials": len(r)} for i, r in found.items()]

    @property
    def summary(self) -> str:
        test = self.result
        if test is None:
            return "no listener has finished; the result stays hidden until then"
        pair = " and ".join(self.design.names)
        head = f"{test.right} of {test.trials} right between {pair}"
        chance = f"by guessing, that or better comes in {percent(test.p_value)} of tests"
        if self.heard:
            return f"{head}: the difference was heard ({chance})"
        if right_needed(test.trials, self.level) is None:
            return f"{head}: {test.trials} trials cannot tell hearing from guessing; take 16"
        return (
            f"{head}: no difference was shown ({chance}). That is no proof that there is none: a "
            f"listener who hears it in up to {percent(test.heard_at_most)} of trials fits as well"
        )

    def _repr_html_(self) -> str:
        word = ("heard", "info") if self.heard else ("not shown", "quiet")
        word = word if self.result else ("not finished", "quiet")
        rows = [
            {k: p_text(v) if k in ("p", "p_holm") else v for k, v in r.items()} for r in self.rows
        ]
        return self._strip(*word, self.summary) + tables.table(rows)

    def picture(self) -> Picture:
        """What guessing gives, and where the listeners are."""
        return pictures.abx_picture(self.rows, self.level, self.simulated)


def _right(sheet: Any) -> tuple[int, int]:
    rows = abx_answers(sheet)
    return sum(row["correct"] for row in rows), len(rows)


def percent(share: float) -> str:
    """A share in percent, with two digits where it is small."""
    if 0 < share < 0.001:
        return "under 0.1 %"
    return f"{100 * share:.2g} %" if share < 0.095 else f"{100 * share:.0f} %"


def p_text(p_value: float) -> str:
    """A p-value with three decimals; what is smaller needs no more."""
    return "under 0.001" if p_value < 0.001 else f"{p_value:.3f}"
