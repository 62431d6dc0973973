"""trtexec's flags, read from a command line as one version takes them, and as a table."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from labutils.trt.trtexec import values
from labutils.trt.trtexec.flag_table import DEFAULT, FLAGS, GONE, LATER, NOTHING, OLD, Flag

__all__ = [
    "FLAGS",
    "VERSIONS",
    "Flag",
    "FlagError",
    "Given",
    "asks_for_help",
    "find_flag",
    "read",
    "rows",
]

VERSIONS = (8, 10, 11)  # columns of the table: 8.6, 10 and 11

FlagError = values.FlagError

_ALIASES = {"--streams": "--infStreams"}
_BY_NAME = {flag.name: flag for flag in FLAGS}


@dataclass(frozen=True)
class Given:
    """What was given: values by the flag's name without dashes, and lines the reader should see."""

    values: dict[str, Any]
    notes: tuple[str, ...] = ()


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Whether a command line wants the table of flags and nothing done, as one without flags."""
    return not arguments or bool({"--help", "-h"} & {*arguments})


def find_flag(name: str, version: tuple[int, ...] | None = None) -> Flag:
    """The flag of this name. Raises FlagError for one that is not in the table, with the nearest
    names, of those that `version` has."""
    if name in _BY_NAME:
        return _BY_NAME[name]
    offered = [n for n, flag in _BY_NAME.items()
               if version is None or flag.state(version[0]) not in (GONE, LATER)]  # fmt: skip
    near = difflib.get_close_matches(name, offered, n=2, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else "its flags: --help"
    raise FlagError(f"{name} is not known to this stand-in for trtexec ({hint})")


def read(arguments: Sequence[str], version: tuple[int, ...]) -> Given:
    """The flags of a command line, as TensorRT `version` takes them.

    Raises FlagError with one line: not known (names the nearest), dropped by this version (names
    what replaces it), newer than this version, not in the stand-in, without or with a wrong value.
    """
    given: dict[str, Any] = {}
    notes: list[str] = []
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not name.startswith("--"):
            raise FlagError(f'"{argument}" is no flag: write --flag=value, without a space')
        flag = find_flag(name, version)
        state = flag.state(version[0])
        number = ".".join(str(part) for part in version[:2])
        if state == GONE:
            raise FlagError(
                f"{name} was dropped: TensorRT {version[0]} no longer has it. {_do(flag)}"
            )
        if state == LATER:
            raise FlagError(f"{name} is newer than TensorRT {number}. {_do(flag)}".rstrip())
        if not flag.here:
            what = _do(flag) or "The real trtexec has it"
            raise FlagError(f"{name} is not in this stand-in for trtexec. {what}")
        if flag.read is None and equals:
            raise FlagError(f"{name} takes no value, got {argument}")
        if flag.read is not None and not text:
            raise FlagError(f"{name} needs a value: {name}={flag.value}")
        if state in (OLD, NOTHING, DEFAULT):
            what = f": {flag.instead}" if flag.instead else ""
            notes.append(f"{name} is {state} in TensorRT {number}{what}".replace("is does", "does"))
        try:
            value = flag.read(text) if flag.read else True
        except ValueError as error:
            raise FlagError(f"{name}={text}: {error}") from None
        given[_ALIASES.get(name, name).removeprefix("--")] = value
    return Given(given, tuple(notes))


def _do(flag: Flag) -> str:
    return f"Instead: {flag.instead}" if flag.instead else ""


def rows(*, here: bool | None = None) -> list[dict[str, str]]:
    """The table of flags: what 8.6, 10 and 11 do with each, what replaces a dropped one.

    `here=True` leaves only those that the stand-in has, `here=False` the others.
    """
    return [
        {
            "flag": f"{flag.name}={flag.value}" if flag.value else flag.name,
            **{f"{v}{'.6' if v == 8 else ''}": flag.state(v) for v in VERSIONS},
            "instead": flag.instead,
            "the stand-in": flag.help if flag.here else "no",
        }
        for flag in FLAGS
        if here is None or flag.here == here
    ]
