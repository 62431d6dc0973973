"""What TensorRT says while it works: kept, and handed on to Python's logging."""

from __future__ import annotations

import functools
import logging
import threading
import weakref
from collections.abc import Iterable
from html import escape
from types import TracebackType
from typing import Any, NamedTuple, Self

from labutils.environment import require

__all__ = ["Message", "Messages"]

# TensorRT's severities, the gravest first, and the levels of Python's logging.
_LEVELS = {
    "internal_error": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "verbose": logging.DEBUG,
}
# What CUDA calls the end of a kernel; the process can use the GPU no more after it.
_CRASHES = (
    "illegal memory access", "misaligned address", "illegal instruction",
    "unspecified launch failure",
)  # fmt: skip
_LOG = logging.getLogger("labutils.trt")
_WORDS = 160  # characters of a line that `crash` quotes
_LISTENERS: weakref.WeakSet[Messages] = weakref.WeakSet()
_LOCK = threading.RLock()  # TensorRT logs from threads of its own


class Message(NamedTuple):
    """One line of TensorRT's log: "internal_error", "error", "warning", "info" or "verbose"."""

    severity: str
    text: str


class Messages:
    """Collects TensorRT's messages while it listens: in a `with` block, or once `.logger` was read.

    `level` is what goes on to logging.getLogger("labutils.trt"): "error", "warning", "info" or
    "verbose". Errors, warnings and information are kept in any case, the many verbose lines only
    with level="verbose".

    TensorRT uses one logger in a process, the first that it was given. So `.logger` is the same
    object for all Messages, it lives as long as the process, and each Messages hears everything
    that is said while it listens. Raises ValueError for another level.
    """

    def __init__(self, level: str = "warning") -> None:
        if level not in _LEVELS:
            raise ValueError(f"level {level!r} is not one of {', '.join(_LEVELS)}")
        self.level = level
        self.entries: list[Message] = []

    @property
    def logger(self) -> Any:
        """TensorRT's ILogger of this process. Raises MissingPackage without TensorRT."""
        logger = _logger()
        self.listen()
        return logger

    def listen(self) -> Self:
        """Hear what is said from now on."""
        with _LOCK:
            _LISTENERS.add(self)
        return self

    def stop(self) -> None:
        """Hear no more; what was said is kept."""
        with _LOCK:
            _LISTENERS.discard(self)

    def errors(self) -> list[str]:
        """The texts of errors, in the order in which they came."""
        return [m.text for m in self.entries if m.severity in {"internal_error", "error"}]

    def warnings(self) -> list[str]:
        """The texts of warnings, in the order in which they came."""
        return [m.text for m in self.entries if m.severity == "warning"]

    def crash(self) -> str:
        """In one line, which kernel crashed while a builder timed it; empty where none did.

        With level="verbose" it names the layer and the last kernel that was timed before ("Timing
        Runner: conv1 (CaskConvolution[0x80000009])", "Tactic Name: sm80_... Time: 0.02").
        """
        texts = [entry.text for entry in self.entries]
        ends = ((i, end) for i, text in enumerate(texts) for end in _CRASHES if end in text)
        place, end = next(ends, (0, ""))
        if not end:
            return ""
        told = [f"a kernel crashed while TensorRT timed it ({end})"]
        for mark in ("Timing Runner:", "Tactic Name:"):
            last = next((text for text in reversed(texts[:place]) if mark in text), None)
            told += [" ".join(last.split()).strip("- ")[:_WORDS]] if last else []
        return "; ".join(told)

    def text(self) -> str:
        """All that was kept, one message a line, each with its severity."""
        return "\n".join(f"[{m.severity}] {m.text}" for m in self.entries)

    def __enter__(self) -> Self:
        return self.listen()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __len__(self) -> int:
        return len(self.entries)

    def __bool__(self) -> bool:
        return True  # empty Messages are Messages, too

    def __repr__(self) -> str:
        return (
            f"{len(self.entries)} messages of TensorRT, {len(self.errors())} errors, "
            f"{len(self.warnings())} warnings"
        )

    def _repr_html_(self) -> str:
        lines = escape(self.text(), quote=False) or "nothing was said"
        return (
            f"<details><summary>{escape(repr(self))}</summary>"
            f'<pre style="white-space: pre-wrap; margin: 4px 0">{lines}</pre></details>'
        )


def dispatch(severity: str, text: str) -> None:
    """Hand one message to all that listen and, once, to logging. Never raises."""
    severity = severity.lower()
    grade = _LEVELS.get(severity, logging.INFO)
    with _LOCK:
        listeners = list(_LISTENERS)
        for listener in listeners:
            if severity != "verbose" or listener.level == "verbose":
                listener.entries.append(Message(severity, text))
    if grade >= _threshold(listeners):
        _LOG.log(grade, "%s", text)


def _threshold(listeners: Iterable[Messages]) -> int:
    """The lowest level that a listener wants in the log; errors are told though nobody listens."""
    return min((_LEVELS[m.level] for m in listeners), default=logging.WARNING)


@functools.cache
def _logger() -> Any:
    """The one logger that TensorRT gets in this process. It is never freed: TensorRT keeps it."""
    trt = require("tensorrt")

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            try:
                dispatch(severity.name, msg)
            except Exception:  # an exception must not pass through TensorRT's own code
                _LOG.exception("a message of TensorRT was lost")

    return Logger()
