"""Steps run on the GPUs that are there: each in a process of its own, with an end in time.

One step at a time has a GPU: two builds on one take longer than one after the other, since TensorRT
times thousands of kernels and waits for the other's slice of the GPU's time after each.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from labutils import ROOT
from labutils.engines import settings
from labutils.environment import require
from labutils.remeasure.steps import Step

__all__ = ["Done", "run"]

_GRACE = 60.0  # seconds beyond its own that a step gets to end by itself
_LEAST = 45.0  # seconds: no step is begun with less left
_STOP = 20.0  # seconds from being asked to end to being ended


@dataclass(frozen=True)
class Done:
    """A step and what became of it: "done", "failed", "stopped" or "not begun", and why."""

    step: Step
    outcome: str
    seconds: float = 0.0
    why: str = ""
    log: Path | None = None


@dataclass
class _Running:
    step: Step
    process: subprocess.Popen[bytes]
    gpus: list[str]
    begun: float
    until: float
    log: Path
    stopping: float | None = None


def run(
    steps: Sequence[Step],
    save: Path,
    *,
    gpus: Sequence[str],
    seconds: float,
    logs: Path,
    poll: float = 0.5,
) -> Iterator[Done]:
    """Run the steps in their order, as many at once as there are GPUs; yields each as it ends.

    `gpus` are what CUDA_VISIBLE_DEVICES takes. Nothing is begun when `seconds` are nearly over, and
    what runs then is stopped: a step has written its record by then as far as it got. What a step
    prints goes to a file in `logs`. When the caller stops asking, all processes are ended.
    """
    logs.mkdir(parents=True, exist_ok=True)
    save.mkdir(parents=True, exist_ok=True)
    logs, save = logs.resolve(), save.resolve()  # the steps run elsewhere
    shared = {
        settings.CACHE: str(logs / "engines"),
        **os.environ,
        settings.TIMING_CACHE: str(_timing_cache(logs)),
        "LABUTILS_RECORD": str(save),
    }
    end, free = time.monotonic() + seconds, list(gpus)
    waiting: list[Step] = []
    running: list[_Running] = []
    for step in steps:  # asked once: what runs on the GPUs shall have the processor to itself
        if why := step.lacks(len(gpus)):
            yield Done(step, "not begun", why=why)
        else:
            waiting.append(step)
    try:
        while waiting or running:
            for step in list(waiting):
                left = end - time.monotonic()
                if left < _LEAST:
                    waiting.remove(step)
                    yield Done(step, "not begun", why="no time was left")
                elif step.gpus <= len(free):
                    waiting.remove(step)
                    taken, free = free[: step.gpus], free[step.gpus :]
                    running.append(_start(step, taken, save, logs, shared, left))
            for one in list(running):
                done = _look(one)
                if done:
                    running.remove(one)
                    free = [gpu for gpu in gpus if gpu in free or gpu in one.gpus]
                    yield done
            if running:
                time.sleep(poll)
    finally:
        for one in running:
            _signal(one, signal.SIGKILL)
            one.process.wait()


def _timing_cache(logs: Path) -> Path:
    """The file of TensorRT's timings that all steps share, by default in the folder of the logs."""
    return Path(os.environ.get(settings.TIMING_CACHE) or logs / "timing.cache").resolve()


def _start(
    step: Step,
    gpus: list[str],
    save: Path,
    logs: Path,
    environment: Mapping[str, str],
    left: float,
) -> _Running:
    now, seconds = time.monotonic(), min(step.seconds, left - _LEAST / 2)
    path = logs / f"{step.name.replace(' ', '-')}.log"
    with path.open("wb") as log:
        process = subprocess.Popen(
            step.command(save, seconds, logs),
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            env={**environment, "CUDA_VISIBLE_DEVICES": ",".join(gpus)},
            start_new_session=True,  # with it end the processes that it has started
        )
    return _Running(step, process, gpus, now, now + min(seconds + _GRACE, left), path)


def _look(one: _Running) -> Done | None:
    """What became of a step that has ended; None while it runs. Asks it to end when it must."""
    status, now = one.process.poll(), time.monotonic()
    if status is None:
        if one.stopping is None and now > one.until:
            one.stopping = now
            _signal(one, signal.SIGTERM)
        elif one.stopping is not None and now > one.stopping + _STOP:
            _signal(one, signal.SIGKILL)
        return None
    _signal(one, signal.SIGKILL)  # what it may have left behind
    took = now - one.begun
    if one.stopping is not None:
        return Done(one.step, "stopped", took, f"after {took:.0f} s", one.log)
    if status:
        return Done(one.step, "failed", took, f"status {status}: {_last_line(one.log)}", one.log)
    return Done(one.step, "done", took, log=one.log)


def _signal(one: _Running, number: int) -> None:
    """Send a signal to all that a step has started; what has ended is passed over."""
    for group in _groups(one.process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)


def _groups(step: int) -> set[int]:
    """The process group that a step leads, and those of all that it has started: the kernel of a
    notebook leads one of its own."""
    psutil = require("psutil")
    groups = {step}
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(step).children(recursive=True):
            with contextlib.suppress(ProcessLookupError):
                groups.add(os.getpgid(process.pid))
    return groups


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "it printed nothing"
