"""A GPU that several processes share, quiet while one of them measures.

An engine's build leaves the GPU idle most of the time, so `python -m labutils.remeasure --share 3`
runs three steps on each GPU. What a step measures there it measures in `with quiet():`, and as long
as that lasts the other steps are stopped (SIGSTOP, with all that they have started). They notice
nothing but lost time: how long their builds took is no figure to print. What the GPU itself took is
undisturbed; a host that waits for it was seen to go on up to 8 ms late while others have a context
on the same GPU, so steps that measure a host's time want the GPU for themselves.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from labutils.environment import require
from labutils.locks import locked

__all__ = ["FOLDER", "Sharing", "groups_of", "is_shared", "quiet", "send"]

FOLDER = "LABUTILS_SHARED_GPU"  # environment variable: the folder of a GPU that is shared
_SETTLE = 0.05  # seconds until kernels that were launched before have ended

_inside = False


def is_shared() -> bool:
    """Whether other steps have this GPU, too."""
    return bool(os.environ.get(FOLDER))


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
        steps = [groups_of(step) for step in sharing.steps()]
        others = {group for groups in steps if os.getpgrp() not in groups for group in groups}
        try:
            _inside = True
            send(others, signal.SIGSTOP)
            time.sleep(_SETTLE)
            yield
        finally:
            _inside = False
            send(others, signal.SIGCONT)


class Sharing:
    """The steps that share a GPU, as files in a folder: who starts them keeps the list.

    A step has the number of its first process, which leads a process group. Raises OSError where
    the folder can not be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = folder / "lock"

    def unless_quiet(self) -> contextlib.AbstractContextManager[bool]:
        """A block in which nobody begins to measure; gives False where somebody measures now."""
        return locked(self.lock, wait=False)

    def enter(self, step: int) -> None:
        """Add a step that was started in such a block."""
        (self.folder / str(step)).touch()

    def leave(self, step: int) -> None:
        """Take out a step that has ended. It may have ended while it measured: then nobody else
        would wake those that it had stopped."""
        (self.folder / str(step)).unlink(missing_ok=True)
        with self.unless_quiet() as free:
            if free:
                for other in self.steps():
                    send(groups_of(other), signal.SIGCONT)

    def steps(self) -> list[int]:
        """The steps that are there now."""
        return [int(path.name) for path in self.folder.glob("[0-9]*")]


def groups_of(step: int) -> set[int]:
    """The process group that a step leads, and those of all that it has started: the kernel of a
    notebook leads one of its own."""
    psutil = require("psutil")
    groups = {step}
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(step).children(recursive=True):
            with contextlib.suppress(ProcessLookupError):
                groups.add(os.getpgid(process.pid))
    return groups


def send(groups: set[int], number: int) -> None:
    """Send a signal to process groups; one that has ended is passed over."""
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)
