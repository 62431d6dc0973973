"""A runner in a process of its own: it may crash or hang, and only it is lost."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from typing import Any

import numpy as np

from labutils.runners.base import MelError, Runner, RunnerError

__all__ = ["ProcessRunner"]


class ProcessRunner(Runner):
    """The runner that `make()` gives, in another Python process, behind the same interface.

    `make` has to travel there: a function of a module, or a functools.partial of one
    (`labutils.concurrency.makers`), not a function of a notebook. Mels and audio go through a pipe.
    An inference that takes more than `timeout` seconds ends the process; so do a crash of a library
    and a kill by the system. Each is a RunnerError here, and this runner is of no use after it.
    `device` is "cpu" whatever the other process uses: seen from here, nothing is on a GPU.

    Raises RunnerError where the other process can not make the runner within `start_timeout`.
    """

    def __init__(
        self,
        make: Callable[[], Runner],
        *,
        timeout: float = 60.0,
        start_timeout: float = 300.0,
        name: str | None = None,
    ) -> None:
        self.name, self._timeout = name or "a runner in another process", timeout
        context = multiprocessing.get_context("spawn")  # not fork: CUDA may have started here
        self._pipe, other = context.Pipe()
        self._process: Any = context.Process(target=_serve, args=(other, make), daemon=True)
        self._process.start()
        other.close()
        facts = self._answer(start_timeout)
        self.config, self.device = facts["config"], "cpu"
        self.max_frames, self.max_batch = facts["max_frames"], facts["max_batch"]
        self.name = name or f"{facts['name']}, process {self.pid}"

    @property
    def pid(self) -> int:
        """The number of the other process. Raises RunnerError where it has ended."""
        if self._process is None:
            raise RunnerError(f"{self.name} has ended: make a new runner")
        return self._process.pid

    def _infer(self, mel: np.ndarray) -> np.ndarray:
        _ = self.pid
        try:
            self._pipe.send(mel)
        except OSError:  # it ended between two requests
            raise self._ended() from None
        return self._answer(self._timeout)

    def _answer(self, seconds: float) -> Any:
        try:
            answer = self._pipe.recv() if self._pipe.poll(seconds) else None
        except (EOFError, OSError):
            raise self._ended() from None
        except BaseException:  # interrupted: the late answer would be taken for the next mel's
            self._end()
            raise
        if answer is None:
            self._end()
            raise RunnerError(f"{self.name}: no answer within {seconds:g} s, so it was ended")
        kind, value = answer
        if kind == "mel":
            raise MelError(value)
        if kind == "error":
            raise RunnerError(value)
        return value

    def _end(self) -> None:
        self._process.kill()
        self._ended()

    def _ended(self) -> RunnerError:
        process, self._process = self._process, None
        self._pipe.close()
        if process is None:
            return RunnerError(f"{self.name} has ended: make a new runner")
        process.join(10)
        return RunnerError(f"{self.name}: its process ended, {_status(process.exitcode)}")

    def prepare(self, mel: np.ndarray) -> Callable[[], np.ndarray]:
        """As Runner.prepare, except that the copies through the pipe are in it."""
        self._need_open()
        checked = self._checked(mel)
        return lambda: self._infer(checked)

    def synchronize(self) -> None:
        """Nothing to wait for: an answer is complete when it comes."""

    def _close(self) -> None:
        if self._process is None:
            return
        try:
            self._pipe.send(None)
        except OSError:
            pass
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
        self._ended()


def _status(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            pass
    return f"status {code}"


def _serve(pipe: Any, make: Callable[[], Runner]) -> None:
    """The other process: one answer for each mel until None comes or the pipe closes."""
    try:
        runner = make()
    except Exception as error:
        pipe.send(("error", f"no runner: {_words(error)}"))
        return
    facts = {key: getattr(runner, key)
             for key in ("name", "config", "max_frames", "max_batch")}  # fmt: skip
    with runner:
        pipe.send(("ready", facts))
        while True:
            try:
                mel = pipe.recv()
            except (EOFError, OSError):
                return
            if mel is None:
                return
            try:
                answer = ("audio", runner.infer(mel))
            except MelError as error:
                answer = ("mel", str(error))
            except Exception as error:
                answer = ("error", _words(error))
            pipe.send(answer)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
