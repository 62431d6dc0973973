"""Answers as rows: what was stored blind, put together with what the design hid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from labutils.listening.design import Design, DesignError
from labutils.listening.store import StoreError

__all__ = [
    "Sheet",
    "abx_answers",
    "checked_ratings",
    "finished",
    "mushra_answers",
    "one_test",
    "rating_matrix",
]


class Sheet(Protocol):
    """A design and the stored answers to it: `store.AnswerFile`, or the `store` of a test."""

    design: Design

    def answers(self) -> list[dict[str, Any]]: ...


def abx_answers(sheet: Sheet) -> list[dict[str, Any]]:
    """A row for each answered trial: the stored line, item, right answer, and whether it is it."""
    rows = []
    for line in sheet.answers():
        trial = sheet.design.trials[line["trial"]]
        correct = line["choice"] == trial.right
        rows.append({**line, "item": trial.item, "right": trial.right, "correct": correct})
    return rows


def mushra_answers(sheet: Sheet) -> list[dict[str, Any]]:
    """A row for each stimulus of each rated page: trial, item, stimulus, rating, listener."""
    return [
        {
            "listener": sheet.design.listener,
            "trial": line["trial"],
            "item": page.item,
            "stimulus": stimulus,
            "rating": float(rating),
        }
        for line in sheet.answers()
        for page in [sheet.design.trials[line["trial"]]]
        for stimulus, rating in zip(page.order, line["ratings"], strict=True)
    ]


def checked_ratings(
    ratings: Sequence[float] | Mapping[str, float], count: int
) -> list[int | float]:
    """The ratings of a page with `count` sliders, in their order; StoreError for anything else."""
    if isinstance(ratings, Mapping):
        named = {str(key): value for key, value in ratings.items()}
        wanted = [str(i) for i in range(1, count + 1)]
        if set(named) != set(wanted):
            raise StoreError(f"ratings of {', '.join(named) or 'nothing'}; give 1 to {count}")
        ratings = [named[key] for key in wanted]
    values = list(ratings)
    if len(values) != count:
        raise StoreError(f"{len(values)} ratings; this page has {count} stimuli")
    for value in values:
        number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not 0 <= value <= 100:
            raise StoreError(f"rating {value!r}; give numbers from 0 to 100")
    return [int(v) if isinstance(v, int | np.integer) else float(v) for v in values]


def one_test(sheets: Iterable[Any], kind: str) -> list[Sheet]:
    """The sheets of the listeners of one test; a test stands for its own sheet.

    Raises DesignError: none, sheets of different tests, two of one listener.
    """
    if isinstance(sheets, str) or not isinstance(sheets, Iterable):
        raise DesignError(f"got a {type(sheets).__name__}: give a list of tests, or of files read")
    found: list[Sheet] = [getattr(sheet, "store", sheet) for sheet in sheets]
    if wrong := [sheet for sheet in found if not hasattr(sheet, "design")]:
        raise DesignError(f"{wrong[0]!r} is no test: open a file of answers with listening.read")
    if not found:
        raise DesignError("no answers: give the tests or files of at least one listener")
    first = found[0].design
    for sheet in found:
        design = sheet.design
        if design.kind != kind:
            raise DesignError(f"{design.name}: a test of kind {design.kind}, not {kind}")
        if design.name != first.name or _sounds(design) != _sounds(first):
            raise DesignError(f"{design.listener}: took another test than {first.listener}")
    listeners = [sheet.design.listener for sheet in found]
    if twice := {name for name in listeners if listeners.count(name) > 1}:
        raise DesignError(f"two sheets of {', '.join(sorted(twice))}; give one of each listener")
    return found


def _sounds(design: Design) -> dict[str, set[str]]:
    return {item: set(entries) for item, entries in design.sounds.items()}


def finished(sheet: Sheet) -> bool:
    return len(sheet.answers()) == len(sheet.design.trials)


def simulated(sheets: Iterable[Sheet]) -> bool:
    """Whether any answer came from a simulated listener."""
    return any(line.get("simulated") for sheet in sheets for line in sheet.answers())


def rating_matrix(
    sheets: Sequence[Sheet], stimuli: Sequence[str], *, over: str = "listeners"
) -> tuple[list[str], np.ndarray]:
    """Names and ratings (names, stimuli) of finished sheets.

    `over` "listeners": each listener's mean over the items. "items": each item's mean over the
    listeners, for what one listener says.
    """
    key = {"listeners": "listener", "items": "item"}[over]
    rows = [row for sheet in sheets for row in mushra_answers(sheet)]
    names = list(dict.fromkeys(row[key] for row in rows))
    cells: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        cells.setdefault((row[key], row["stimulus"]), []).append(row["rating"])
    matrix = [[float(np.mean(cells[name, stimulus])) for stimulus in stimuli] for name in names]
    return names, np.asarray(matrix, np.float64).reshape(len(names), len(stimuli))
