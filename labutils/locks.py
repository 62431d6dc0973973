"""One process at a time: an advisory lock on a file, which ends with the process that holds it."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__all__ = ["locked"]

log = logging.getLogger(__name__)


@contextmanager
def locked(
    path: Path, waiting: Callable[[], None] | None = None, *, wait: bool = True
) -> Iterator[bool]:
    """Hold the lock of a file, which is made where it is missing and stays.

    `waiting` is called once where another holds it. Gives whether the lock is really held: Windows
    has none, nor have some file systems, which is told once a folder. Files still appear whole
    there, but two processes may both do the work. Raises OSError where the file can not be made,
    BlockingIOError where another holds the lock and `wait` is False.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        yield _hold(file, path, waiting, wait)  # closing the file ends the lock


def _hold(file: IO[str], path: Path, waiting: Callable[[], None] | None, wait: bool) -> bool:
    """Lock an open file; False where that is not possible here."""
    if fcntl is None:
        return False
    how = fcntl.LOCK_EX | fcntl.LOCK_NB
    while True:
        try:
            fcntl.flock(file, how)
            return True
        except BlockingIOError:
            if not wait:
                raise
        except InterruptedError:
            raise
        except OSError as error:  # Lustre without its option "flock", network and FUSE folders
            _tell_no_locks(path.parent, error.strerror or str(error))
            return False
        if waiting is not None:
            waiting()
        how = fcntl.LOCK_EX


@functools.cache  # a folder is told of once in a process
def _tell_no_locks(folder: Path, reason: str) -> None:
    log.warning(
        "no locks in %s (%s): of several processes each may do the same work", folder, reason
    )
