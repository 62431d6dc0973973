"""The lines that the stand-in prints, in the form of trtexec's log; TensorRT's are among them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from labutils.trt.messages import Messages

__all__ = ["Output", "tensorrt_lines"]

_GRADES = {logging.DEBUG: "V", logging.INFO: "I", logging.WARNING: "W"}


class Output:
    """Writes lines as trtexec logs them, with date and severity."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def bare(self, line: str) -> None:
        self._write(f"{line}\n")

    def __call__(self, text: str, severity: str = "I") -> None:
        for line in text.splitlines() or [""]:
            self.bare(f"[{time.strftime('%m/%d/%Y-%H:%M:%S')}] [{severity}] {line}")


class _TensorRTLines(logging.Handler):
    """What TensorRT says, among the lines of the program."""

    def __init__(self, out: Output) -> None:
        super().__init__()
        self._out = out

    def emit(self, record: logging.LogRecord) -> None:
        said_by_tensorrt = record.module == "messages"  # labutils itself logs its progress here
        text = f"{'[TRT] ' * said_by_tensorrt}{record.getMessage()}"
        self._out(text, _GRADES.get(record.levelno, "E"))


@contextmanager
def tensorrt_lines(out: Output, *, verbose: bool) -> Iterator[None]:
    """Show the build's progress and TensorRT's warnings, with `verbose` all it says."""
    logger, handler = logging.getLogger("labutils.trt"), _TensorRTLines(out)
    before, passed_on = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
    try:
        with Messages("verbose" if verbose else "warning"):
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        logger.propagate = passed_on
