"""A GPU that several processes share, quiet while one of them measures.

An engine's build leaves the GPU idle most of the time, so `python -m labutils.remeasure --share 3`
runs three steps on each GPU. What a step measures there it measures in `with quiet():`, and as long
as that lasts the other steps are stopped (SIGSTOP, with all that they have started). They notice
nothing but lost time: how long their builds took is no figure to print.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from labutils.locks import locked

__all__ = ["FOLDER", "Sharing", "quiet"]

FOLDER = "LABUTILS_SHARED_GPU"  # environment variable: the folder of a GPU that is shared
_SETTLE = 0.05  # seconds until kernels that were launched before have ended

_inside = False


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """A block in which no other step uses this GPU; waits for one that measures already.

    Does nothing on a GPU that is not shared, and inside another such block.
    """
    global _inside
    folder = os.environ.get(FOLDER)
    if not folder or _inside:
        yield
        return
    sharing = Sharing(Path(folder))
    with locked(sharing.lock):
        others = [group for group in sharing.groups() if group != os.getpgrp()]
        try:
            _inside = True
            _send(others, signal.SIGSTOP)
            time.sleep(_SETTLE)
            yield
        finally:
            _inside = False
            _send(others, signal.SIGCONT)


class Sharing:
    """The process groups that share a GPU, as files in a folder: who starts them keeps the list.

    Raises OSError where the folder can not be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = folder / "lock"

    def unless_quiet(self) -> contextlib.AbstractContextManager[bool]:
        """A block in which nobody begins to measure; gives False where somebody measures now."""
        return locked(self.lock, wait=False)

    def enter(self, group: int) -> None:
        """Add the group of a step that was started in such a block."""
        (self.folder / str(group)).touch()

    def leave(self, group: int) -> None:
        """Take out the group of a step that has ended. It may have ended while it measured: then
        nobody else would wake those that it had stopped."""
        (self.folder / str(group)).unlink(missing_ok=True)
        with self.unless_quiet() as free:
            if free:
                _send(self.groups(), signal.SIGCONT)

    def groups(self) -> list[int]:
        """The groups that are there now."""
        return [int(path.name) for path in self.folder.glob("[0-9]*")]


def _send(groups: list[int], number: int) -> None:
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)
