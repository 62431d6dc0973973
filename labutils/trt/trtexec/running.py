"""Running trtexec from Python: the real one where there is one, else the stand-in."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from labutils.environment import tool
from labutils.trt.trtexec import summary

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
        return self.status == 0

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
    arguments: Sequence[str], *, real: bool | None = None, timeout: float | None = None
) -> TrtexecRun:
    """Run trtexec with flags such as ["--onnx=vocoder.onnx", "--optShapes=mel:1x80x400"].

    `real` chooses: True the real tool, False the stand-in, None the real one where there is one. A
    run that fails is no exception: see `passed` and `summary.errors`. Raises FileNotFoundError for
    real=True without trtexec, TimeoutError after `timeout` seconds (the real tool only).
    """
    arguments = tuple(str(argument) for argument in arguments)
    program = find() if real is not False else None
    if program is None and real:
        raise FileNotFoundError("no trtexec here: pip brings none, NVIDIA's tar, deb and images do")
    if program is None:
        # Only a run needs what the program needs; names and logs can be read without it.
        from labutils.trt.trtexec.program import main

        lines: list[str] = []
        status = main(arguments, lines.append)
        text, name = "".join(lines), "labutils.trt.trtexec"
    else:
        try:
            done = subprocess.run(
                [os.fspath(program), *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=timeout,
            )
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"trtexec was stopped after {timeout:g} s") from None
        status, text, name = done.returncode, done.stdout, "trtexec"
    runs = summary.parse_all(text)
    said = runs[0] if len(runs) == 1 else summary.TrtexecSummary(command=shlex.join(arguments))
    if status != 0 and said.passed is None:
        said.errors.append(f"it ended with status {status} and without a verdict")
        said.passed = False
    return TrtexecRun(arguments, name, text, status, said)
