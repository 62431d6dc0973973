"""A runner that fails on purpose, to see what becomes of the requests around it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from labutils.runners.base import Runner

__all__ = ["WAYS", "FailingRunner"]

WAYS = ("error", "exit", "hang")


class FailingRunner(Runner):
    """Another runner, which it owns, that fails in its `at`-th inference (the first is 1).

    `way` is "error" (an exception, as after an illegal address on a GPU), "exit" (the process ends
    at once, as after a crash) or "hang". With `frames` it fails at each mel of that length instead.
    Raises ValueError for another way.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        at: int | None = None,
        frames: int | None = None,
        way: str = "error",
    ) -> None:
        if way not in WAYS:
            raise ValueError(f'way "{way}" is not one of {", ".join(WAYS)}')
        self.runner, self.at, self.frames, self.way = runner, at, frames, way
        self.name, self.config, self.device = runner.name, runner.config, runner.device
        self.max_frames, self.max_batch = runner.max_frames, runner.max_batch
        self.count = 0

    def _infer(self, mel: np.ndarray) -> np.ndarray:
        self.count += 1
        if self.count == self.at or mel.shape[2] == self.frames:
            self._fail()
        return self.runner.infer(mel)

    def _fail(self) -> None:
        if self.way == "exit":
            os._exit(17)
        if self.way == "hang":
            time.sleep(3600)
        raise RuntimeError("CUDA error: an illegal memory access was encountered (on purpose)")

    def prepare(self, mel: np.ndarray) -> Callable[[], Any]:
        """That of the runner within: only `infer` fails."""
        self._need_open()
        return self.runner.prepare(mel)

    def synchronize(self) -> None:
        self.runner.synchronize()

    def _close(self) -> None:
        self.runner.close()
