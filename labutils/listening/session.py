"""A test and one listener: `next` trial, `answer`, and again; for widgets and for plain code."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from labutils.listening.answers import abx_answers, checked_ratings, mushra_answers
from labutils.listening.design import (
    REFERENCE,
    AbxDesign,
    AbxTrial,
    MushraDesign,
    MushraPage,
    abx_design,
    mushra_design,
    whole,
)
from labutils.listening.sounds import Sounds, abx_sounds, mushra_sounds, sketches
from labutils.listening.store import AnswerFile, StoreError

__all__ = ["AbxTest", "MushraTest", "abx", "mushra"]


class _Session:
    """What both kinds of test share: sounds, design and the file of answers."""

    def __init__(self, design: Any, sounds: Sounds, folder: str | os.PathLike[str]) -> None:
        self.design = design
        self.sounds = sounds
        self.store = AnswerFile(folder, design)

    @property
    def path(self) -> Path:
        """The file of answers."""
        return self.store.path

    @property
    def done(self) -> bool:
        return self.next() is None

    def next(self) -> Any:
        """The trial that is to be answered now, or None after the last one."""
        answered = len(self.store.answers())
        trials = self.design.trials
        return trials[answered] if answered < len(trials) else None

    def note(self, text: str, **facts: Any) -> None:
        """Store something that is no answer, such as the end of the training page."""
        self.store.note(text, **facts)

    def notes(self) -> list[dict[str, Any]]:
        return self.store.notes()

    def _give(self, given: Mapping[str, Any], trial: int | None) -> dict[str, Any]:
        if trial is None:
            trial = len(self.store.answers())
        return self.store.append(trial, given)

    def _only_simulated(self) -> None:
        if any(not line.get("simulated") for line in self.store.answers()):
            raise StoreError(
                f"{self.path}: a person has begun this test; simulate with another `listener`"
            )

    def __repr__(self) -> str:
        done, of = len(self.store.answers()), len(self.design.trials)
        return (
            f"{type(self).__name__}({self.design.name!r}, listener {self.design.listener!r}, "
            f"{done} of {of} answered)"
        )


class AbxTest(_Session):
    """An ABX test: is X the sound A or the sound B?"""

    design: AbxDesign

    def next(self) -> AbxTrial | None:
        """The trial that is to be answered now, or None after the last one."""
        return super().next()

    def answer(
        self,
        choice: str,
        *,
        trial: int | None = None,
        seconds: float | None = None,
        plays: Mapping[str, int] | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Store "A" or "B" for the next trial; returns the stored line, on the disk by then.

        `trial` is the number that the answer was given for: one that is answered already is refused
        (StoreError), so a message that comes twice counts once. `seconds` on the trial, `plays`
        {button: times} and whatever else is stored as given.
        """
        if choice not in ("A", "B"):
            raise StoreError(f"answer {choice!r}; give 'A' or 'B'")
        given = {"choice": choice, "seconds": seconds, "plays": plays, **more}
        return self._give({k: v for k, v in given.items() if v is not None}, trial)

    def answers(self) -> list[dict[str, Any]]:
        """The answers so far, each with its item, what was right, and whether it is right."""
        return abx_answers(self.store)

    def result(self) -> Any:
        """What the answers so far say: `report.AbxReport`."""
        from labutils.listening.report import AbxReport

        return AbxReport([self.store])

    def simulate(self, listener: Any) -> Any:
        """Let a `simulate.AbxListener` answer all trials that are left; returns `result()`.

        The file says `simulated`. Raises StoreError where a person has begun it.
        """
        self._only_simulated()
        while (trial := self.next()) is not None:
            choice = listener.choose(trial, self.sounds[trial.item])
            self.answer(choice, trial=trial.number, simulated=True)
        return self.result()

    def widget(self) -> Any:
        """The test in the page: `widgets.AbxWidget`."""
        from labutils.listening.widgets import AbxWidget

        return AbxWidget(self)


class MushraTest(_Session):
    """A MUSHRA test: how good is each stimulus beside the reference, 0 to 100?"""

    design: MushraDesign

    def next(self) -> MushraPage | None:
        """The page that is to be rated now, or None after the last one."""
        return super().next()

    def answer(
        self,
        ratings: Sequence[float] | Mapping[str, float],
        *,
        trial: int | None = None,
        seconds: float | None = None,
        plays: Mapping[str, int] | None = None,
        **more: Any,
    ) -> dict[str, Any]:
        """Store the ratings of the next page, 0 to 100; returns the stored line.

        `ratings`: one for each slider, in their order, or {slider "1" to "n": rating}. The rest as
        in `AbxTest.answer`.
        """
        page = self.next()
        values = checked_ratings(ratings, len((page or self.design.trials[-1]).order))
        given = {"ratings": values, "seconds": seconds, "plays": plays, **more}
        return self._give({k: v for k, v in given.items() if v is not None}, trial)

    def answers(self) -> list[dict[str, Any]]:
        """The ratings so far: a row for each stimulus of each page that is answered."""
        return mushra_answers(self.store)

    def result(self) -> Any:
        """What the answers so far say: `mushra_report.MushraReport`."""
        from labutils.listening.mushra_report import MushraReport

        return MushraReport([self.store])

    def simulate(self, listener: Any) -> Any:
        """Let a `simulate.MushraListener` rate all pages that are left; returns `result()`.

        The file says `simulated`. Raises StoreError where a person has begun it.
        """
        self._only_simulated()
        while (page := self.next()) is not None:
            sounds = self.sounds[page.item]
            ratings = listener.rate(page, sounds, self.design.reference)
            self.answer(ratings, trial=page.number, simulated=True)
        return self.result()

    def widget(self) -> Any:
        """The test in the page: `widgets.MushraWidget`."""
        from labutils.listening.widgets import MushraWidget

        return MushraWidget(self)


def abx(
    a: Any,
    b: Any,
    *,
    name: str,
    folder: str | os.PathLike[str],
    listener: str = "you",
    trials: int = 16,
    seed: int = 0,
    sample_rate: int,
    names: Sequence[str] = ("a", "b"),
) -> AbxTest:
    """An ABX test of two sounds (samples,), or of two mappings {clip: samples} with equal clips.

    The answers stand in a file in `folder`; called again with the same arguments, the test goes on
    where the listener stopped. All trials are drawn beforehand from `seed` and `listener`.

    Raises AudioError (samples that cannot be used, of unequal length), DesignError (arguments),
    StoreError (the file belongs to another test).
    """
    sample_rate = whole(sample_rate, "sample_rate")
    sounds = abx_sounds(a, b, sample_rate)
    design = abx_design(
        sketches(sounds),
        name=name,
        listener=listener,
        trials=trials,
        seed=seed,
        sample_rate=sample_rate,
        names=names,
    )
    return AbxTest(design, sounds, folder)


def mushra(
    items: Mapping[str, Mapping[str, Any]],
    *,
    name: str,
    folder: str | os.PathLike[str],
    reference: str = REFERENCE,
    listener: str = "you",
    seed: int = 0,
    sample_rate: int,
    anchors: bool = True,
) -> MushraTest:
    """A MUSHRA test of {item: {stimulus: samples}}, each item with the same stimuli.

    The stimulus `reference` is played openly and stands hidden among the others. With `anchors`,
    low-passed references join them (3.5 and 7 kHz). The file of answers, and what is raised, as for
    `abx`.
    """
    sample_rate = whole(sample_rate, "sample_rate")
    sounds = mushra_sounds(items, reference, sample_rate, anchors)
    design = mushra_design(
        sketches(sounds),
        name=name,
        listener=listener,
        seed=seed,
        sample_rate=sample_rate,
        reference=reference,
    )
    return MushraTest(design, sounds, folder)
