"""The file of one cached engine: its lock, reading and writing it, and what killed writers left."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from labutils.locks import locked
from labutils.trt.sealed import SealError, seal, unseal
from labutils.whole_file import leavings, whole_file

__all__ = ["SUFFIX", "alone", "load", "remove_all_leavings", "store"]

_LOG = logging.getLogger("labutils.trt")
SUFFIX = ".engine"
_OLD = 3600.0  # seconds; writing an engine takes some


@contextmanager
def alone(path: Path, waiting: Callable[[], None]) -> Iterator[bool | None]:
    """Hold the lock of an engine's file; `waiting` is called once where another process has it.

    Gives whether it is held (see `locked`), or None, told in one line, where the folder can not be
    written.
    """
    with ExitStack() as stack:
        held: bool | None = None
        try:
            held = stack.enter_context(locked(_lock(path), waiting))
        except OSError as error:
            reason = error.strerror or error
            _LOG.warning("engines can not be kept in %s: %s", path.parent, reason)
        yield held


def load(
    path: Path, asked: Mapping[str, Any], *, quiet: bool = False
) -> tuple[dict[str, Any], bytes] | None:
    """Facts and plan of a file that is whole and the one that was asked for, or None.

    Any other file is told in one line, unless `quiet`.
    """
    try:
        facts, plan = unseal(path.read_bytes())
        if facts.get("asked") != asked:
            raise SealError("the engine of something else")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (SealError, OSError) as error:
        if not quiet:
            _LOG.warning("engine %s is not used (%s): it is built again", path.name, error)
        return None
    return facts, plan


def store(path: Path, facts: Mapping[str, Any], plan: bytes, held: bool | None) -> Path | None:
    """Write an engine's file, on the disk when this returns; None where that is not possible.

    `held` is what `alone` gave: where it is None, nothing is tried.
    """
    if held is None:
        return None
    _remove_leavings(path, held)
    try:
        with whole_file(path, durable=True) as temporary:
            temporary.write_bytes(seal(facts, plan))
    except OSError as error:
        _LOG.warning("engine %s was not kept: %s", path.name, error)
        return None
    return path


def remove_all_leavings(folder: Path) -> None:
    """Delete what processes that were killed while they wrote left in a folder of engines.

    What another process writes now stays.
    """
    for name in {name for name, _ in leavings(folder, f"*{SUFFIX}")}:
        with suppress(OSError):  # most often: another process has the lock
            with locked(_lock(folder / name), wait=False) as held:
                _remove_leavings(folder / name, held)


def _remove_leavings(path: Path, held: bool) -> None:
    """Delete what lies beside an engine's file under a temporary name.

    Only who has the lock writes: under the lock, it is nobody's. Without locks it has to be old.
    """
    for _, left in leavings(path.parent, path.name):
        with suppress(OSError):
            if held or time.time() - left.stat().st_mtime > _OLD:
                left.unlink()


def _lock(path: Path) -> Path:
    return path.with_name(f".{path.stem}.lock")
