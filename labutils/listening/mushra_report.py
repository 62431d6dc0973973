"""What the listeners of a MUSHRA test said: medians, intervals, and which differences hold."""

from __future__ import annotations

from collections.abc import Container, Iterable
from functools import cached_property
from typing import Any

import numpy as np

from labutils import tables
from labutils.listening import pictures, statistics
from labutils.listening.abx_statistics import LEVEL
from labutils.listening.answers import rating_matrix
from labutils.listening.design import ANCHORS
from labutils.listening.report import Report, p_text, percent
from labutils.listening.screening import Screening, post_screen
from labutils.show.figures import Picture

__all__ = ["MushraReport"]

Row = dict[str, Any]


class MushraReport(Report):
    """Medians, means with bootstrap intervals, and which differences hold.

    The listeners are what repeats; with a single one, the items are, and nothing is said of other
    listeners. `screen` leaves out whom `post_screen` excludes. `seed` draws the bootstrap.
    """

    kind = "mushra"

    def __init__(self, sheets: Iterable[Any], *, screen: bool = False, seed: int = 0) -> None:
        super().__init__(sheets)
        self.seed = seed
        self.screening: Screening | None = post_screen(self.sheets) if screen else None
        if self.screening:
            kept = self.screening.kept
            self.finished = [sheet for sheet in self.finished if sheet.design.listener in kept]

    def _progress(self) -> str:
        out = self.screening.excluded if self.screening else {}
        left = [
            f"{sheet.design.listener}: {len(sheet.answers())} of {len(sheet.design.trials)}"
            for sheet in self.sheets
            if sheet not in self.finished and sheet.design.listener not in out
        ]
        lines = [f"not finished, not counted: {', '.join(left)}"] if left else []
        lines += [f"screened out: {name} ({why})" for name, why in out.items()]
        return "; ".join(lines)

    @property
    def over(self) -> str:
        """What the rows of `ratings` are: "listeners", or "items" of a single listener."""
        return "listeners" if len(self.finished) > 1 else "items"

    @property
    def stimuli(self) -> list[str]:
        """Reference first, then the stimuli as given, the anchors last."""
        first = self.design.reference
        return [first, *(name for name in self.design.stimuli if name != first)]

    @cached_property
    def ratings(self) -> np.ndarray:
        """Mean ratings, (listeners, stimuli) or (items, stimuli), as `over` says."""
        return rating_matrix(self.finished, self.stimuli, over=self.over)[1]

    @cached_property
    def rows(self) -> list[Row]:
        """A row for each stimulus: median, quartiles, mean and the mean's 95 % interval."""
        rows = []
        for name, values in zip(self.stimuli, self.ratings.T, strict=True):
            if not len(values):
                break
            low, high = np.percentile(values, [25, 75])
            interval = statistics.bootstrap_interval(values, seed=self.seed) or (None, None)
            rows.append(
                {
                    "stimulus": name,
                    "median": float(np.median(values)),
                    "quartile_1": float(low),
                    "quartile_3": float(high),
                    "mean": float(values.mean()),
                    "low": interval[0],
                    "high": interval[1],
                }
            )
        return rows

    @cached_property
    def friedman(self) -> statistics.Friedman | None:
        """Whether the systems differ at all; None before a listener has finished.

        Without the hidden reference and the anchors: those differ by design.
        """
        if not self.finished:
            return None
        ratings, _ = self._without({self.design.reference, *ANCHORS})
        return statistics.friedman(ratings, seed=self.seed)

    @cached_property
    def pairs(self) -> list[statistics.Pair]:
        """Every pair of stimuli, anchors left out: they are there for the scale."""
        if not self.finished:
            return []
        return statistics.pairwise(*self._without(ANCHORS))

    def _without(self, left_out: Container[str]) -> tuple[np.ndarray, list[str]]:
        """The ratings of the other stimuli, and their names."""
        kept = [i for i, name in enumerate(self.stimuli) if name not in left_out]
        return self.ratings[:, kept], [self.stimuli[i] for i in kept]

    @property
    def summary(self) -> str:
        if not self.finished:
            return "no listener has finished; the result stays hidden until then"
        count, items = len(self.finished), len(self.design.trials)
        if count == 1:
            return (
                f"one listener over {items} items: the intervals are those of the items, and say "
                "nothing of how others would rate"
            )
        held = [pair for pair in self.pairs if pair.p_holm < LEVEL]
        text = f"{count} listeners, {items} items; "
        text += f"{len(held)} of {len(self.pairs)} pairs differ (Holm, {percent(LEVEL)})"
        test = self.friedman
        if test is not None and test.p_value is not None:
            text += f"; Friedman p {p_text(test.p_value)}, W = {test.kendalls_w:.2f}"
        return text

    def _repr_html_(self) -> str:
        word = ("rated", "info") if self.finished else ("not finished", "quiet")
        text = self._strip(*word, self.summary) + tables.table([_shown(r) for r in self.rows])
        return text + tables.table([_pair_row(pair) for pair in self.pairs])

    def picture(self) -> Picture:
        """Every rating, the medians with quartiles, and the means with their intervals."""
        return pictures.mushra_picture(self.rows, self.ratings, self.over, self.simulated)


def _shown(row: Row) -> Row:
    """A row of the report as it is read."""
    return {
        "stimulus": row["stimulus"],
        "median": round(row["median"], 1),
        "quartiles": f"{row['quartile_1']:.1f} to {row['quartile_3']:.1f}",
        "mean": round(row["mean"], 1),
        "95 % interval of the mean": (
            None if row["low"] is None else f"{row['low']:.1f} to {row['high']:.1f}"
        ),
    }


def _pair_row(pair: statistics.Pair) -> Row:
    row = {
        "pair": f"{pair.first} against {pair.second}",
        "median_difference": f"{pair.difference:+.1f}",
        "p": p_text(pair.p_value),
        "p_holm": p_text(pair.p_holm),
        "effect": f"{pair.effect:+.2f}",
    }
    return {**row, "note": pair.note} if pair.note else row
