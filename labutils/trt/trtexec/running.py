"""Running trtexec from Python: the real one where there is one, else the stand-in."""

from __future__ import annotations

import os
import queue
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from labutils.environment import tool
from labutils.trt.trtexec import flags, summary

__all__ = ["TrtexecRun", "find", "run"]


@dataclass(frozen=True)
class TrtexecRun:
    """One run: `tool` that ran ("trtexec" or "labutils.trt.trtexec"), `text` that it printed,
    `status` with which it ended (0 for success) and `summary`, what the text says.
    """

    arguments: tuple[str, ...]
    tool: str
    text: str
    status: int
    summary: summary.TrtexecSummary

    @property
    def passed(self) -> bool:
        """Whether it ended with status 0 and its log does not say otherwise."""
        return self.status == 0 and self.summary.passed is not False

    def __repr__(self) -> str:
        return f"{self.tool} {shlex.join(self.arguments)}\n{self.summary!r}"

    def _repr_html_(self) -> str:
        log = (
            f"<details><summary>all {len(self.text.splitlines())} lines of {escape(self.tool)}"
            f"</summary><pre>{escape(self.text)}</pre></details>"
        )
        return self.summary._repr_html_() + log


def find() -> Path | None:
    """The real trtexec, on the PATH or where NVIDIA's packages put it; None without it.

    pip installs none: it comes with the tar and deb packages and the containers.
    """
    return tool("trtexec")


def run(
    arguments: Sequence[str],
    *,
    real: bool | None = None,
    timeout: float | None = None,
    show: Callable[[str], object] | None = None,
) -> TrtexecRun:
    """Run trtexec with flags such as ["--onnx=vocoder.onnx", "--optShapes=mel:1x80x400"].

    `real` chooses: True the real tool, False the stand-in, None the real one where there is one.
    `show` gets each line as it comes, without its end: show=print. The stand-in tells every second
    how far a build is, and then calls it from other threads, too. What `show` raises ends the real
    tool at once; the stand-in first finishes what it does.

    A run that fails is no exception: see `passed` and `summary.errors`. Raises FileNotFoundError
    for real=True without trtexec, TimeoutError after `timeout` seconds (the real tool only).
    """
    arguments = tuple(str(argument) for argument in arguments)
    program = find() if real is not False else None
    if program is None and real:
        raise FileNotFoundError("no trtexec here: pip brings none, NVIDIA's tar, deb and images do")
    show = show or (lambda line: None)
    if program is None:
        (text, status), name = _stand_in(arguments, show), "labutils.trt.trtexec"
    else:
        command = [os.fspath(program), *arguments]
        (text, status), name = _real(command, show, timeout), "trtexec"
    runs = summary.parse_all(text)
    # Some ways of tuning run trtexec in trtexec: the last verdict is that of the whole.
    said = runs[-1] if runs else summary.TrtexecSummary(command=shlex.join(arguments))
    if said.passed is None and not (status == 0 and flags.asks_for_help(arguments)):
        why = "it ended" if runs else "no log of trtexec: it ended"
        said.errors.append(f"{why} with status {status} and without a verdict, PASSED or FAILED")
        said.passed = False
    elif status != 0 and said.passed:
        said.errors.append(f"it ended with status {status} after it had said PASSED")
    return TrtexecRun(arguments, name, text, status, said)


def _stand_in(arguments: Sequence[str], show: Callable[[str], object]) -> tuple[str, int]:
    """What the stand-in printed, and its status."""
    # Only a run needs what the program needs; names and logs can be read without it.
    from labutils.trt.trtexec.program import main

    lines: list[str] = []
    refused: list[Exception] = []

    def write(text: str) -> None:
        lines.append(text)
        try:
            for line in () if refused else text.splitlines():
                show(line)
        except Exception as error:  # must not pass through TensorRT, which may have logged this
            refused.append(error)

    status = main(arguments, write)
    if refused:
        raise refused[0]
    return "".join(lines), status


def _real(
    command: Sequence[str], show: Callable[[str], object], timeout: float | None
) -> tuple[str, int]:
    """What a program printed, and its status. It is stopped where anything goes wrong here."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    lines: list[str] = []
    coming: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        assert process.stdout is not None
        try:
            with process.stdout:
                for line in process.stdout:
                    coming.put(line)
        finally:
            coming.put(None)

    # A thread reads, so that the time is over when it is over, though no line comes.
    threading.Thread(target=read, name="trtexec's lines", daemon=True).start()
    end = None if timeout is None else time.monotonic() + timeout

    def left() -> float | None:
        return None if end is None else max(end - time.monotonic(), 0.0)

    try:
        while (line := coming.get(timeout=left())) is not None:
            lines.append(line)
            show(line.rstrip("\n"))
        return "".join(lines), process.wait(left())
    except (queue.Empty, subprocess.TimeoutExpired):
        raise TimeoutError(f"trtexec was stopped after {timeout:g} s") from None
    finally:
        process.kill()  # does nothing where it has ended
        process.wait()
