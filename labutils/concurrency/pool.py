"""A queue of requests, and runners that take from it; a runner that dies takes no request along."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np

from labutils import tables
from labutils.concurrency.streams import own_stream, quiet
from labutils.runners.base import MelError, Runner, RunnerError

__all__ = ["PoolError", "RunnerPool"]

log = logging.getLogger(__name__)


class PoolError(RunnerError):
    """A request that no worker could serve, or a pool that is closed; the text says why."""


@dataclass
class _Request:
    mel: np.ndarray
    answer: Future[np.ndarray] = field(default_factory=Future)
    attempts: int = 0


@dataclass
class _Worker:
    name: str
    make: Callable[[], Runner]
    state: str = "starting"
    done: int = 0
    deaths: int = 0
    said: str = ""
    request: _Request | None = None
    thread: threading.Thread | None = None


class RunnerPool:
    """One runner for each device (or several) behind one queue: who is free takes the next mel.

    `makers` gives each worker its name and a function that makes its runner, in the worker's own
    thread; on a GPU take those of `labutils.concurrency.makers`, which keep out of each other's
    way. There each worker has a stream of its own. `warm_up` are mels that a new runner runs before
    it takes requests. Use the pool in a `with` block, or call `close`.

    A mel that the runner refuses (MelError) is its sender's fault: the sender gets the error, the
    worker goes on. After any other exception the worker counts as dead: its runner is closed, the
    request goes back to the head of the queue, and a new runner is made, at most `restarts` times
    a worker. A request that was taken `attempts` times and killed each time is not tried again: its
    sender gets PoolError. So does everybody where no worker is left. Nobody waits forever, unless a
    runner does; `ProcessRunner` has a time limit for that.

    Raises ValueError for no makers, and for numbers out of range.
    """

    def __init__(
        self,
        makers: Mapping[str, Callable[[], Runner]],
        *,
        attempts: int = 2,
        restarts: int = 2,
        warm_up: Sequence[np.ndarray] = (),
    ) -> None:
        if not makers or attempts < 1 or restarts < 0:
            raise ValueError(
                f"{len(makers)} workers, {attempts} attempts, {restarts} restarts: expected one "
                "worker or more, one attempt or more, no negative number of restarts"
            )
        self._attempts, self._restarts, self._warm_up = attempts, restarts, tuple(warm_up)
        self._changed = threading.Condition()
        self._waiting: deque[_Request] = deque()
        self._open = True
        self._workers = [_Worker(name, make) for name, make in makers.items()]
        for worker in self._workers:
            worker.thread = threading.Thread(
                target=self._live, args=(worker,), name=f"worker {worker.name}", daemon=True
            )
            worker.thread.start()

    def submit(self, mel: np.ndarray) -> Future[np.ndarray]:
        """Put a mel (batch, n_mels, frames) into the queue; the Future gives its audio.

        Raises PoolError after `close` and where no worker is left.
        """
        request = _Request(mel)
        with self._changed:
            if not self._open:
                raise PoolError("the pool is closed: make a new one")
            if not self._left():
                raise PoolError(self._why_none())
            self._waiting.append(request)
            self._changed.notify()
        return request.answer

    def infer(self, mel: np.ndarray, timeout: float | None = None) -> np.ndarray:
        """Audio (batch, samples) of one mel. Raises MelError, PoolError, TimeoutError."""
        return self.submit(mel).result(timeout)

    def map(self, mels: Sequence[np.ndarray], timeout: float | None = None) -> list[np.ndarray]:
        """Audio of each mel, in their order. Raises the first error that comes, as `infer`."""
        answers = [self.submit(mel) for mel in mels]
        return [answer.result(timeout) for answer in answers]

    def ready(self, timeout: float = 300.0) -> bool:
        """Wait until no worker is starting any more; whether all of them serve."""
        with self._changed:
            self._changed.wait_for(
                lambda: all(worker.state != "starting" for worker in self._workers), timeout
            )
            return all(worker.state == "serving" for worker in self._workers)

    def rows(self) -> list[dict[str, Any]]:
        """A row for each worker: state, requests done, deaths, and what the last death said."""
        with self._changed:
            keys = ("state", "done", "deaths", "said")
            return [{"worker": w.name} | {k: getattr(w, k) for k in keys} for w in self._workers]

    def close(self, *, cancel: bool = False, timeout: float = 60.0) -> None:
        """Finish what waits (or cancel it), then let the runners go. Harmless again.

        A runner that does not come back within `timeout` seconds is left alone, with a warning.
        """
        with self._changed:
            self._open = False
            if cancel:
                for request in self._waiting:
                    if not request.answer.cancel():  # tried before: it counts as running
                        request.answer.set_exception(
                            PoolError("the pool was closed before another worker tried this mel")
                        )
                self._waiting.clear()
            self._changed.notify_all()
        for worker in self._workers:
            worker.thread.join(timeout)
            if worker.thread.is_alive():
                log.warning("worker %s does not end", worker.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(cancel=error is not None)

    def __repr__(self) -> str:
        return tables.text_table(self.rows())

    def _repr_html_(self) -> str:
        return tables.table(self.rows())

    def _live(self, worker: _Worker) -> None:
        """All lives of a worker, one runner each."""
        for _ in range(self._restarts + 1):
            if self._one_life(worker):
                self._becomes(worker, "closed")
                break
            self._becomes(worker, "starting")
        else:
            self._becomes(worker, "gone")

    def _one_life(self, worker: _Worker) -> bool:
        """Serve with a new runner until the pool is closed; False where the runner dies before."""
        with contextlib.ExitStack() as end:
            try:
                runner = worker.make()
                end.callback(_let_go, worker.name, runner)
                with own_stream(runner.device):
                    with quiet(runner.device):
                        for mel in self._warm_up:
                            runner.infer(mel)
                    self._becomes(worker, "serving")
                    self._serve(worker, runner)
            except BaseException as error:  # whatever it was, this runner is not used again
                self._dies(worker, error)
                return False
        return True

    def _serve(self, worker: _Worker, runner: Runner) -> None:
        """Take requests until the pool is closed and none waits. Raises what kills the runner."""
        while (request := self._take(worker)) is not None:
            try:
                audio = runner.infer(request.mel)
            except MelError as error:
                request.answer.set_exception(error)
            else:
                worker.done += 1  # first: who has the answer may look at the rows
                request.answer.set_result(audio)
            self._puts_down(worker)

    def _dies(self, worker: _Worker, error: BaseException) -> None:
        """Count the death, and only then give back the request that the worker had in hand."""
        worker.deaths += 1
        worker.said = _words(error)
        log.warning("worker %s died: %s", worker.name, worker.said)
        # A graph or buffer in the traceback would keep the dead runner's memory.
        error.__traceback__ = None
        if (request := worker.request) is not None:
            self._give_back(request, error)
        self._puts_down(worker)

    def _puts_down(self, worker: _Worker) -> None:
        """The worker has nothing in hand any more; others may have waited for it to come back."""
        with self._changed:
            worker.request = None
            self._changed.notify_all()

    def _take(self, worker: _Worker) -> _Request | None:
        """The next request; waits for one, and gives None when there will be none."""
        with self._changed:
            while True:
                while self._waiting:
                    request = self._waiting.popleft()
                    request.attempts += 1
                    # One that was tried before runs already and can not be cancelled any more.
                    if request.attempts > 1 or request.answer.set_running_or_notify_cancel():
                        worker.request = request
                        return request
                # One that another worker has in hand may come back.
                if not self._open and not any(w.request for w in self._workers):
                    return None
                self._changed.wait()

    def _give_back(self, request: _Request, error: BaseException) -> None:
        """Another worker may try, or the sender is told."""
        if request.attempts < self._attempts:
            with self._changed:
                self._waiting.appendleft(request)
            return
        told = PoolError(
            f"{request.attempts} worker{'s' if request.attempts > 1 else ''} died over this mel of "
            f"{request.mel.shape}, the last one of: {_words(error)}"
        )
        request.answer.set_exception(told)

    def _becomes(self, worker: _Worker, state: str) -> None:
        with self._changed:
            worker.state = state
            while self._waiting and not self._left():
                request = self._waiting.popleft()
                if request.attempts or request.answer.set_running_or_notify_cancel():
                    request.answer.set_exception(PoolError(self._why_none()))
            self._changed.notify_all()

    def _left(self) -> bool:
        return any(worker.state in ("starting", "serving") for worker in self._workers)

    def _why_none(self) -> str:
        said = [worker.said for worker in self._workers if worker.said]
        return f"no worker is left; the last one died of: {said[-1] if said else 'nothing known'}"


def _let_go(name: str, runner: Runner) -> None:
    """Close a runner; one that can not be closed, as after some errors of CUDA, harms nobody."""
    try:
        with quiet(runner.device):
            runner.close()
    except BaseException as error:
        log.warning("the runner of worker %s was not closed: %s", name, _words(error))


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, RunnerError) and text else f"{type(error).__name__}: {text}"
