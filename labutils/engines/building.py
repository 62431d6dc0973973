"""Engines built in a process of their own, which can be stopped when a build takes too long."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from labutils.trt import BuildError, BuildOptions, EngineCache, build

__all__ = ["Builder", "Built", "build_fresh", "build_kept"]

log = logging.getLogger(__name__)
_START = 60.0  # seconds beyond a build's own for a new process to import and to start CUDA


@dataclass(frozen=True)
class Built:
    """A plan on disk and what it took: `seconds` of the build, `kept` says that it was there."""

    path: Path
    seconds: float
    kept: bool = False


def build_kept(onnx: Path, options: BuildOptions, folder: Path) -> Built:
    """The engine from the cache in `folder`, built now where it is not there."""
    cached = EngineCache(folder).get(onnx, options)
    if cached.path is None:
        raise BuildError(f"the engine could not be written to {folder}")
    return Built(cached.path, float(cached.facts["build_seconds"]), cached.hit)


def build_fresh(onnx: Path, options: BuildOptions, folder: Path) -> Built:
    """The engine built anew, whatever was built before."""
    built = build(onnx, options)
    name = f"{Path(onnx).stem}-level{options.optimization_level}-{time.time_ns()}.plan"
    return Built(built.save(Path(folder) / name), built.seconds)


Work = Callable[[Path, BuildOptions, Path], Built]


class Builder:
    """Builds engines one after the other in one other process; a context manager.

    TensorRT can not be told to stop on every version, a process can. It stays for all builds: the
    first one of a process loads TensorRT's kernels, which may take minutes. Nothing may be timed on
    the GPU while it builds: `build` returns when it is idle. `work` does the build there.
    """

    def __init__(self, folder: str | Path, *, work: Work = build_kept) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._work = work
        self._context = multiprocessing.get_context("spawn")  # not fork: CUDA may have started
        self._process: Any = None
        self._pipe: Any = None

    def build(
        self, onnx: str | Path, options: BuildOptions, *, seconds: float | None = None
    ) -> Built:
        """Build or read an engine. Raises BuildError with the other process's words, TimeoutError
        after `seconds`. The process is stopped then, and a new one starts with the next build:
        after a kernel that crashed, CUDA refuses everything in a process."""
        fresh = self._process is None or not self._process.is_alive()
        if fresh:
            self._start()
        try:
            self._pipe.send((Path(onnx), options))
            limit = None if seconds is None else seconds + (_START if fresh else 0.0)
            if not self._pipe.poll(limit):
                self.stop()
                raise TimeoutError(f"not built within {limit:.0f} s")
            done, answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            code = self._ended()
            raise BuildError(f"the building process ended with status {code}") from None
        if not done:
            self.stop()
            raise BuildError(answer)
        return answer

    def stop(self) -> None:
        """End the other process, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._ended()

    close = stop

    def _start(self) -> None:
        self._pipe, other = self._context.Pipe()
        self._process = self._context.Process(
            target=_serve, args=(other, self.folder, self._work), daemon=True
        )
        self._process.start()
        other.close()

    def _ended(self) -> int | None:
        """The exit status of the process, which is forgotten."""
        process, self._process = self._process, None
        self._pipe.close()
        process.join(10)
        return process.exitcode

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _serve(pipe: Any, folder: Path, work: Work) -> None:
    """The other process: build what comes through the pipe until it closes."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s builder: %(message)s")
    while True:
        try:
            onnx, options = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = (True, work(onnx, options, folder))
        except Exception as error:  # whatever it was, the measuring process makes a row of it
            words = " ".join(str(error).split())[:400]
            plain = isinstance(error, BuildError)
            answer = (False, words if plain else f"{type(error).__name__}: {words}")
        pipe.send(answer)
