"""Answers of one listener in a JSON-lines file: the design first, then a line for each answer.

Lines are only ever added, as given, and are on the disk when `append` returns: what a listener has
answered survives the kernel, the browser and the power supply.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labutils.listening.design import Design, DesignError, design_from_json, difference
from labutils.whole_file import whole_file

__all__ = ["AnswerFile", "StoreError", "file_name", "read"]

FORMAT = "labutils.listening 1"

log = logging.getLogger(__name__)


class StoreError(ValueError):
    """A file of answers that cannot be used, or an answer that it cannot take."""


def file_name(name: str, listener: str) -> str:
    """The name of the file of one listener: what a file system may not like becomes "-"."""
    safe = [re.sub(r"[^\w.-]+", "-", part).strip("-.") or "x" for part in (name, listener)]
    return "--".join(safe) + ".jsonl"


class AnswerFile:
    """The file of one design in `folder`, made with the first call, found again by the next one.

    Raises StoreError where the file there is damaged or belongs to another design (other sounds,
    seed or trials): its answers would be counted for sounds that nobody heard.
    """

    def __init__(self, folder: str | os.PathLike[str], design: Design) -> None:
        self.design = design
        self.path = Path(folder) / file_name(design.name, design.listener)
        self._lock = threading.Lock()
        if not self.path.exists():
            self._begin()
        stored, self._lines, self._end = _parse(self.path)
        if found := difference(stored, design):
            raise StoreError(
                f"{self.path}: this file belongs to another test: {found}. Give the new test "
                "another name, or move the file away"
            )

    def answers(self) -> list[dict[str, Any]]:
        """The answers as they were given, in order."""
        return [dict(line) for line in self._lines if "trial" in line]

    def notes(self) -> list[dict[str, Any]]:
        """Everything else that was noted on the way, such as the end of the training page."""
        return [dict(line) for line in self._lines if "note" in line]

    def append(self, trial: int, given: Mapping[str, Any]) -> dict[str, Any]:
        """Store the answer to one trial, with the time; returns the line.

        Raises StoreError for a trial out of turn: each is answered once, in order.
        """
        with self._lock:
            self._catch_up()
            expected = len(self.answers())
            if expected >= len(self.design.trials):
                raise StoreError(f"all {expected} trials are answered")
            if trial != expected:
                raise StoreError(f"an answer to trial {trial}, but trial {expected} is next")
            return self._write({"trial": trial, **given, "at": _now()})

    def note(self, text: str, **facts: Any) -> dict[str, Any]:
        """Add a line that is no answer."""
        with self._lock:
            self._catch_up()
            return self._write({"note": text, **facts, "at": _now()})

    def _begin(self) -> None:
        first = json.dumps({"format": FORMAT, "design": self.design.to_json()}, ensure_ascii=False)
        with whole_file(self.path, durable=True) as temporary:
            temporary.write_bytes(first.encode() + b"\n")

    def _catch_up(self) -> None:
        """Take in what another kernel or window has added meanwhile."""
        try:
            size = self.path.stat().st_size
        except OSError as error:
            raise StoreError(
                f"{self.path}: the file of answers is gone; make the test again"
            ) from error
        if size != self._end:
            _, self._lines, self._end = _parse(self.path)

    def _write(self, line: dict[str, Any]) -> dict[str, Any]:
        raw = json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        with open(self.path, "r+b") as file:
            file.truncate(self._end)  # a line that was cut off goes; nobody's answer was in it
            file.seek(self._end - 1)
            if file.read(1) != b"\n":
                raw = b"\n" + raw
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        self._end += len(raw)
        self._lines.append(json.loads(raw))
        return dict(self._lines[-1])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def read(path: str | os.PathLike[str]) -> AnswerFile:
    """Open the file of a test without its sounds, say to evaluate what others have sent.

    Raises StoreError: no such file, damaged, not of a listening test.
    """
    path = Path(path)
    design, lines, end = _parse(path)
    file = AnswerFile.__new__(AnswerFile)
    file.design, file.path, file._lines, file._end = design, path, lines, end
    file._lock = threading.Lock()
    return file


def _whole(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _parse(path: Path) -> tuple[Design, list[dict[str, Any]], int]:
    """Design, whole lines, and where the last whole line ends."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    parts = raw.split(b"\n")
    rest = parts.pop()
    lines: list[dict[str, Any]] = []
    for number, part in enumerate(parts, 1):
        if (line := _whole(part)) is None:
            raise StoreError(f"{path}: line {number} is damaged; mend or move the file")
        lines.append(line)
    if rest and (whole := _whole(rest)):  # only the end of the line is missing
        lines.append(whole)
        rest = b""
    if rest:
        log.warning("%s: the last line was cut off; its trial is asked again", path)
    if not lines or lines[0].get("format") != FORMAT:
        raise StoreError(f"{path}: not a file of answers (its first line is no design)")
    try:
        design = design_from_json(lines[0]["design"])
    except (KeyError, DesignError) as error:
        raise StoreError(f"{path}: its first line holds no design: {error}") from error
    answered = [line["trial"] for line in lines[1:] if "trial" in line]
    if answered != list(range(len(answered))) or len(answered) > len(design.trials):
        raise StoreError(f"{path}: its answers are not those of trials 0, 1, 2, ... in order")
    return design, lines[1:], len(raw) - len(rest)
