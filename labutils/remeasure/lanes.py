"""Steps run on the GPUs that are there: each in a process of its own, with an end in time.

With `share`, several steps run on one GPU; `labutils.benchmark.quiet` keeps them from disturbing
each other's measurements.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from labutils import ROOT
from labutils.benchmark.quiet import FOLDER, Sharing, groups_of, send
from labutils.engines import settings
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
    sharing: Sharing | None = None
    stopping: float | None = None


def run(
    steps: Sequence[Step],
    save: Path,
    *,
    gpus: Sequence[str],
    seconds: float,
    logs: Path,
    share: int = 1,
    poll: float = 0.5,
) -> Iterator[Done]:
    """Run the steps in their order, as many at once as there are GPUs; yields each as it ends.

    `gpus` are what CUDA_VISIBLE_DEVICES takes; `share` steps run on each, those that want a GPU for
    themselves excepted. Nothing is begun when `seconds` are nearly over, and what runs then is
    stopped: a step has written its record by then as far as it got. What a step prints goes to a
    file in `logs`. When the caller stops asking, all processes are ended.
    """
    logs.mkdir(parents=True, exist_ok=True)
    save.mkdir(parents=True, exist_ok=True)
    logs, save = logs.resolve(), save.resolve()  # the steps run elsewhere
    for gpu in gpus:  # what a run that was killed has left names processes of others by now
        shutil.rmtree(logs / f"gpu-{gpu}", ignore_errors=True)
    shared = {
        settings.CACHE: str(logs / "engines"),
        settings.TIMING_CACHE: str(logs / "timing.cache"),
        **os.environ,
        "LABUTILS_RECORD": str(save),
    }
    end = time.monotonic() + seconds
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
                elif taken := _free(step, gpus, running, share):
                    one = _start(step, taken, save, logs, shared, left, share)
                    if one:
                        waiting.remove(step)
                        running.append(one)
            for one in list(running):
                done = _look(one)
                if done:
                    running.remove(one)
                    yield done
            if waiting or running:
                time.sleep(poll)
    finally:
        for one in running:
            _signal(one, signal.SIGKILL)
            one.process.wait()


def _free(step: Step, gpus: Sequence[str], running: list[_Running], share: int) -> list[str]:
    """GPUs that can take a step, those with the fewest steps first; none where it has to wait."""
    used = {gpu: [one for one in running if gpu in one.gpus] for gpu in gpus}
    room = [
        gpu
        for gpu, there in used.items()
        if not there
        or (not step.alone and len(there) < share and not any(one.step.alone for one in there))
    ]
    room.sort(key=lambda gpu: len(used[gpu]))
    return room[: step.gpus] if len(room) >= step.gpus else []


def _start(
    step: Step,
    gpus: list[str],
    save: Path,
    logs: Path,
    environment: Mapping[str, str],
    left: float,
    share: int,
) -> _Running | None:
    """The step, running; None where another measures on its GPU just now."""
    now, shared = time.monotonic(), share > 1 and not step.alone
    seconds = min(step.seconds * (share if shared else 1), left - _LEAST / 2)
    path = logs / f"{step.name.replace(' ', '-')}.log"
    more = {"CUDA_VISIBLE_DEVICES": ",".join(gpus)}
    sharing = None
    if shared:
        sharing = Sharing(logs / f"gpu-{gpus[0]}")
        more[FOLDER] = str(sharing.folder)
    with sharing.unless_quiet() if sharing else contextlib.nullcontext(True) as free:
        if not free:
            return None
        with path.open("wb") as log:
            process = subprocess.Popen(
                step.command(save, seconds, logs),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env={**environment, **more},
                start_new_session=True,  # with it end the processes that it has started
            )
        if sharing:
            sharing.enter(process.pid)
    until = now + min(seconds + _GRACE, left)
    return _Running(step, process, gpus, now, until, path, sharing)


def _look(one: _Running) -> Done | None:
    """What became of a step that has ended; None while it runs. Asks it to end when it must."""
    status, now = one.process.poll(), time.monotonic()
    if status is None:
        if one.stopping is None and now > one.until:
            one.stopping = now
            _signal(one, signal.SIGTERM)
            _signal(one, signal.SIGCONT)  # it may be stopped while another measures
        elif one.stopping is not None and now > one.stopping + _STOP:
            _signal(one, signal.SIGKILL)
        return None
    _signal(one, signal.SIGKILL)  # what it may have left behind
    if one.sharing:
        one.sharing.leave(one.process.pid)
    took = now - one.begun
    if one.stopping is not None:
        return Done(one.step, "stopped", took, f"after {took:.0f} s", one.log)
    if status:
        return Done(one.step, "failed", took, f"status {status}: {_last_line(one.log)}", one.log)
    return Done(one.step, "done", took, log=one.log)


def _signal(one: _Running, number: int) -> None:
    send(groups_of(one.process.pid), number)


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "it printed nothing"
