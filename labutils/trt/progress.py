"""How far a build is: told to Python's logging and to a callback, even while TensorRT is silent."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

__all__ = ["Progress"]

_LOG = logging.getLogger("labutils.trt")


class Progress:
    """Tells what a build does now, with the seconds since it began.

    `name` is what is built; `callback(text, seconds)` is called at each stage, and between them
    every `interval` seconds at the most. Calls may come from several threads. What the callback
    raises in another thread is raised where the `heartbeat` block ends.
    """

    def __init__(
        self,
        name: str,
        callback: Callable[[str, float], None] | None = None,
        *,
        interval: float = 1.0,
    ) -> None:
        self.name, self.interval = name, interval
        self._callback = callback
        self._start = time.perf_counter()
        self._end: float | None = None
        self._last = 0.0
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        """Seconds since the start; once the `with` block has ended, those that it took."""
        return (self._end or time.perf_counter()) - self._start

    def stage(self, text: str) -> None:
        """Tell a stage of the build."""
        seconds = self.seconds
        with self._lock:
            self._last = seconds
        _LOG.info("%s: %s (%.1f s)", self.name, text, seconds)
        if self._callback is not None:
            self._callback(text, seconds)

    def step(self, text: str) -> None:
        """Tell one of many steps: it is passed over where the last was told a moment ago."""
        with self._lock:
            due = self.seconds - self._last >= self.interval
        if due:
            self.stage(text)

    @contextmanager
    def heartbeat(self, wanted: bool = True) -> Iterator[None]:
        """Within the block, tell "building" regularly from a thread, where that is `wanted`.

        For a TensorRT that does not tell how far it is. It works where TensorRT lets other Python
        threads run.
        """
        if not wanted:
            yield
            return
        done, errors = threading.Event(), []

        def beat() -> None:
            while not done.wait(self.interval):
                try:
                    self.stage("building")
                except BaseException as error:
                    errors.append(error)
                    return

        thread = threading.Thread(target=beat, name="build progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
        if errors:
            raise errors[0]

    def __enter__(self) -> Self:
        self._start, self._end = time.perf_counter(), None
        return self

    def __exit__(self, *unused: object) -> None:
        self._end = time.perf_counter()
