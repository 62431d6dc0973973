"""What the command line tells experiments that is no part of a record's name: time and folders."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labutils.baseline import SECONDS

__all__ = ["CACHE", "SECONDS", "TIMING_CACHE", "Settings", "in_time", "out_of_time", "settings"]

_NO_TIME = ("not measured: time", "TimeoutError: not built")  # how such errors of rows begin
CACHE, TIMING_CACHE = "LABUTILS_ENGINES", "LABUTILS_TIMING_CACHE"  # environment variables


@dataclass(frozen=True)
class Settings:
    """`seconds` after which nothing new begins, folders of engines and graphs, timing cache."""

    seconds: float
    engines: Path
    graphs: Path
    timing_cache: Path


@contextlib.contextmanager
def settings(seconds: float) -> Iterator[Settings]:
    """The settings of the environment, else `seconds` and folders that are gone at the end."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = Path(os.environ.get(CACHE) or temporary)
        yield Settings(
            float(os.environ.get(SECONDS) or seconds),
            folder,
            Path(temporary) / "graphs",
            Path(os.environ.get(TIMING_CACHE) or folder / "timing.cache"),
        )


def in_time(begin: float, given: Settings, needed: float = 20.0) -> float:
    """The seconds that are left of a record's, which began at `begin` of time.monotonic().

    Raises RuntimeError where that is less than what is needed: the words for a row without figure.
    """
    left = given.seconds - (time.monotonic() - begin)
    if left < needed:
        raise RuntimeError("not measured: time")
    return left


def out_of_time(row: Mapping[str, Any]) -> bool:
    """Whether a row has no figure because the time of its record was over."""
    return str(row.get("error", "")).startswith(_NO_TIME)
