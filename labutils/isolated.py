"""Work in a Python process of its own: its memory is nobody else's, and a crash ends only it."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from typing import Any

from labutils import ROOT

__all__ = ["IsolatedError", "isolated"]


class IsolatedError(RuntimeError):
    """The other process failed or did not end; the text has its last words."""


def isolated(task: str, *arguments: Any, timeout: float = 300.0) -> Any:
    """Run a function "package.module:function" in a new Python, give back what it returns.

    Arguments and result are plain data. Raises IsolatedError.
    """
    command = [sys.executable, "-m", "labutils.isolated", task, json.dumps(arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=ROOT)
    except subprocess.TimeoutExpired:
        raise IsolatedError(f"{task} did not end within {timeout:g} s") from None
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1][:300]
        raise IsolatedError(f"its process ended with status {done.returncode}: {last}")
    return json.loads(lines[-1])


def _main(task: str, arguments: str) -> None:
    module, _, name = task.partition(":")
    result = getattr(importlib.import_module(module), name)(*json.loads(arguments))
    sys.stdout.write("\n" + json.dumps(result) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _main(*sys.argv[1:])
