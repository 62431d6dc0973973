"""What a listener will hear, fixed before the first sound: trials, their order, what hides where.

A design depends on nothing but its arguments: the same name, listener and seed give the same order
on every machine. Another listener gets another order, as ITU-R BS.1534-3 asks.
"""

from __future__ import annotations

import operator
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from labutils.listening import sketch
from labutils.listening.sketch import Sketch

__all__ = [
    "ANCHORS",
    "MOST_STIMULI",
    "REFERENCE",
    "AbxDesign",
    "AbxTrial",
    "Design",
    "DesignError",
    "MushraDesign",
    "MushraPage",
    "abx_design",
    "design_from_json",
    "mushra_design",
]

REFERENCE = "reference"
ANCHORS = {"anchor 3.5 kHz": 3500.0, "anchor 7 kHz": 7000.0}  # cut-offs in Hz, BS.1534-3
MOST_STIMULI = 12  # on one page, hidden reference and anchors among them: BS.1534-3

Sketches = Mapping[str, Mapping[str, Sketch]]  # {item: {stimulus: sketch}}


class DesignError(ValueError):
    """A listening test that cannot be made, or answers that belong to another one."""


@dataclass(frozen=True)
class AbxTrial:
    """One trial: which sound, "a" or "b", plays as A, which as B, and which of them is X."""

    number: int  # from 0, in the order of the test
    item: str
    order: tuple[str, str]
    x: str

    @property
    def stimuli(self) -> dict[str, str]:
        """The sound behind each button."""
        return {"A": self.order[0], "B": self.order[1], "X": self.x}

    @property
    def right(self) -> str:
        """The right answer, "A" or "B"."""
        return "A" if self.x == self.order[0] else "B"


@dataclass(frozen=True)
class MushraPage:
    """One page: the stimuli, hidden reference and anchors among them, in the order of sliders."""

    number: int
    item: str
    order: tuple[str, ...]

    @property
    def stimuli(self) -> dict[str, str]:
        """The sound behind each slider, "1" to "n". The open reference is not among them."""
        return {str(i): stimulus for i, stimulus in enumerate(self.order, 1)}


@dataclass(frozen=True)
class AbxDesign:
    """An ABX test of one listener. `names` are what "a" and "b" are called once all is answered."""

    kind: ClassVar[str] = "abx"
    name: str
    listener: str
    seed: int
    sample_rate: int
    names: tuple[str, str]
    sounds: Sketches
    trials: tuple[AbxTrial, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data; `design_from_json` makes the same design of it."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class MushraDesign:
    """A MUSHRA test of one listener; `stimuli` in the order in which they were given."""

    kind: ClassVar[str] = "mushra"
    name: str
    listener: str
    seed: int
    sample_rate: int
    reference: str
    stimuli: tuple[str, ...]
    sounds: Sketches
    trials: tuple[MushraPage, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data; `design_from_json` makes the same design of it."""
        return {"kind": self.kind, **asdict(self)}


Design = AbxDesign | MushraDesign


def _random(kind: str, name: str, listener: str, seed: int) -> random.Random:
    # A text as seed: Python hashes it with SHA-512, the same in every process.
    return random.Random(f"{kind}|{seed}|{name}|{listener}")


def whole(value: Any, what: str, least: int = 1) -> int:
    """`value` as an int, whatever integer type it has. Raises DesignError, with `what` it is."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < least:
        raise DesignError(f"{what} is {value!r}; give a whole number from {least} on")
    return number


def _check(name: str, listener: str) -> None:
    for what, text in (("name", name), ("listener", listener)):
        if not isinstance(text, str) or not text.strip():
            raise DesignError(f"{what} is {text!r}; give the test and the listener a name")


def abx_design(
    sounds: Sketches,
    *,
    name: str,
    listener: str,
    trials: int,
    seed: int,
    sample_rate: int,
    names: Sequence[str] = ("a", "b"),
) -> AbxDesign:
    """An ABX test of `sounds` {item: {"a": sketch, "b": sketch}}.

    The items come equally often (within one) and in random order. X and the places of A and B are
    drawn by a fair coin for each trial: nothing that a listener has heard before helps to guess.

    Raises DesignError: no item, no trial, no name.
    """
    _check(name, listener)
    trials = whole(trials, "trials")
    if not sounds:
        raise DesignError("no sounds: give two to compare")
    names = tuple(map(str, names))
    if len(names) != 2 or names[0] == names[1]:
        raise DesignError(f"names are {names}; give two different ones, of a and of b")
    draw = _random("abx", name, listener, seed)
    items: list[str] = []
    while len(items) < trials:
        items += draw.sample(list(sounds), len(sounds))
    items = items[:trials]
    draw.shuffle(items)
    rows = tuple(
        AbxTrial(number, item, draw.choice([("a", "b"), ("b", "a")]), draw.choice("ab"))
        for number, item in enumerate(items)
    )
    return AbxDesign(name, listener, seed, sample_rate, names, sounds, rows)


def mushra_design(
    sounds: Sketches,
    *,
    name: str,
    listener: str,
    seed: int,
    sample_rate: int,
    reference: str = REFERENCE,
) -> MushraDesign:
    """A MUSHRA test of `sounds` {item: {stimulus: sketch}}: a page for each item, in random order.

    On a page the stimuli, hidden reference and anchors among them, stand in an order of their own.

    Raises DesignError: items with different stimuli, no reference, more than 12 stimuli, no name.
    """
    _check(name, listener)
    if not sounds:
        raise DesignError("no items: give {item: {stimulus: samples}}")
    stimuli = tuple(next(iter(sounds.values())))
    for item, here in sounds.items():
        if set(here) != set(stimuli):
            missing = sorted(set(here) ^ set(stimuli))
            raise DesignError(f"{item}: {', '.join(missing)} is not in every item; make them alike")
    if reference not in stimuli:
        raise DesignError(f"no stimulus {reference!r}; there are: {', '.join(stimuli)}")
    if not 2 <= len(stimuli) <= MOST_STIMULI:
        raise DesignError(
            f"{len(stimuli)} stimuli on a page; a listener can rate 2 to {MOST_STIMULI} "
            "(hidden reference and anchors counted)"
        )
    draw = _random("mushra", name, listener, seed)
    pages = tuple(
        MushraPage(number, item, tuple(draw.sample(stimuli, len(stimuli))))
        for number, item in enumerate(draw.sample(list(sounds), len(sounds)))
    )
    return MushraDesign(name, listener, seed, sample_rate, reference, stimuli, sounds, pages)


def design_from_json(data: Mapping[str, Any]) -> Design:
    """The design that `to_json` wrote. Raises DesignError for anything else."""
    try:
        fields = {key: value for key, value in data.items() if key != "kind"}
        fields["sounds"] = {
            item: {stimulus: sketch.from_json(entry) for stimulus, entry in entries.items()}
            for item, entries in data["sounds"].items()
        }
        kind, trial = {"abx": (AbxDesign, AbxTrial), "mushra": (MushraDesign, MushraPage)}[
            data["kind"]
        ]
        fields["trials"] = tuple(
            trial(**{**entry, "order": tuple(entry["order"])}) for entry in data["trials"]
        )
        for key in ("names", "stimuli"):
            if key in fields:
                fields[key] = tuple(fields[key])
        return kind(**fields)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DesignError(f"not a design of a listening test: {error!r}") from error


def difference(stored: Design, wanted: Design) -> str:
    """What sets two designs apart, in one line; "" for the same test with the same sounds."""
    if stored.kind != wanted.kind:
        return f"it holds a test of kind {stored.kind}, not {wanted.kind}"
    for key, value in asdict(wanted).items():
        if key in ("sounds", "trials"):
            continue
        if (there := asdict(stored)[key]) != value:
            return f"its {key} is {there!r}, not {value!r}"
    if (before := _sound_names(stored)) != (now := _sound_names(wanted)):
        changed = ", ".join(f"{item}/{key}" for item, key in sorted(before ^ now))
        return f"its sounds are others: {changed}"
    for item, entries in wanted.sounds.items():
        for key, entry in entries.items():
            if not sketch.same(stored.sounds[item][key], entry):
                return f"its sound {item}/{key} was another one"
    if stored.trials != wanted.trials:
        return f"its {len(stored.trials)} trials are others than these {len(wanted.trials)}"
    return ""


def _sound_names(design: Design) -> set[tuple[str, str]]:
    return {(item, key) for item, entries in design.sounds.items() for key in entries}
