"""What is measured, in the order of the notebooks: one command for each step."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from labutils import baseline, environment, gpu_tests
from labutils.concurrency import experiments as sharing
from labutils.concurrency import services
from labutils.engines import (
    by_kind,
    ends,
    gating,
    reflections,
    row_snakes,
    smaller,
    waiting,
    within_host,
)
from labutils.engines import experiments as engines
from labutils.engines.settings import out_of_time
from labutils.pruning import on_gpu as pruned
from labutils.quantization import on_gpu as quantized
from labutils.records import Experiment
from labutils.shapes import experiments as shapes
from labutils.workbook import select as notebooks

__all__ = ["STEPS", "Step", "select"]

_FAST = ("-p", "FAST", "True")  # of notebooks whose records are made by the steps before them


@dataclass(frozen=True)
class Step:
    """One command: `module` with `arguments`, for at most `seconds`, on so many GPUs.

    `makes` is the experiment whose record it writes, `given` its arguments. A notebook writes
    several records, under the names of its own cells; `notebook` is its number then.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    seconds: float
    makes: Experiment | None = None
    given: tuple[tuple[str, str], ...] = ()
    notebook: str = ""
    gpus: int = 1
    timed: bool = True  # takes --seconds

    def command(self, save: Path, seconds: float, folder: Path) -> list[str]:
        """The command line; a notebook's copy with outputs goes to `folder`."""
        start = [sys.executable, "-m", self.module, *self.arguments]
        if self.notebook:
            (path,) = notebooks([self.notebook])
            ends = [str(path), str(folder / path.name)]
            return [*start, *ends, "--kernel", "python3", "--cwd", str(path.parent)]
        limit = ["--seconds", f"{seconds:.0f}"] if self.timed else []
        return [*start, "--save", str(save), *limit]

    @property
    def needs(self) -> tuple[str, ...]:
        """What `environment.has` must know here."""
        return self.makes.needs if self.makes else ("cuda",)

    def lacks(self, gpus: int) -> str:
        """Why it can not run here, in a few words; empty where it can."""
        missing = [need for need in self.needs if not environment.has(need)]
        if missing:
            return f"needs {', '.join(missing)}"
        return f"needs {self.gpus} GPUs" if self.gpus > gpus else ""

    def state(self) -> str:
        """Of its record: "fresh", "in part" (the run or its time ended before its rows did),
        "stale", "missing", or "notebook", which is not looked into."""
        if self.makes is None:
            return "notebook"
        shown = self.makes.recorded(**dict(self.given))
        if not shown.available:
            return "missing"
        if shown.stale:
            return "stale"
        return "in part" if shown.broken_off or _lacks_time(shown.data) else "fresh"


def _lacks_time(data: object) -> bool:
    """Whether the data, or a row somewhere in it, says that no time was left for the rest."""
    if isinstance(data, Mapping):
        ended = data.get("complete") is False or out_of_time(data)
        return ended or any(map(_lacks_time, data.values()))
    return isinstance(data, list) and any(map(_lacks_time, data))


def _vocoders(name: str, module: str, seconds: float, made: Experiment) -> list[Step]:
    """One step for each vocoder that has a baseline."""
    return [
        Step(
            f"{name} {vocoder}", module, ("--vocoder", vocoder), seconds, made,
            (("vocoder", vocoder),),
        )
        for vocoder in baseline.FRAMES
    ]  # fmt: skip


def _notebook(number: str, seconds: float, *parameters: str) -> Step:
    return Step(f"notebook {number}", "papermill", parameters, seconds, notebook=number)


def _all() -> Iterator[Step]:
    yield _notebook("00", 120)
    yield _notebook("02", 300)
    yield _notebook("03", 400)
    yield from _vocoders("baseline", "labutils.baseline", 700, baseline.measured)
    yield Step("gpu-tests", "labutils.gpu_tests", (), 1150, gpu_tests.gpu_tests, timed=False)
    yield Step("gates", "labutils.engines", ("--gates",), 400, gating.gates)
    yield from _vocoders("engines", "labutils.engines", 1000, engines.measured)
    for name, seconds, made in (
        ("waits", 120, waiting.waits),
        ("host-copies", 60, within_host.host_copies),
        ("copies", 60, smaller.copies),
        ("host-latency", 300, smaller.host_latency),
        ("build-levels", 500, smaller.build_levels),
        ("build-time", 240, smaller.build_time),
        ("layer-kinds", 300, by_kind.layer_kinds),
        ("ends", 400, ends.fp32_ends),
        ("reflections", 300, reflections.reflected),
        ("rows", 400, row_snakes.snake_rows),
    ):
        yield Step(name, "labutils.engines", (f"--{name}",), seconds, made)
    yield _notebook("05", 600)
    yield _notebook("06", 300)
    for name, seconds, made in (
        ("lengths", 480, shapes.lengths),
        ("opt", 400, shapes.opts),
        ("graphs", 200, shapes.graphs),
        ("batches", 250, shapes.batches),
    ):
        yield Step(name, "labutils.shapes", (f"--{name}",), seconds, made)
    yield _notebook("07", 300, *_FAST)  # its own engine is of the short form
    for name, seconds, gpus, made in (
        ("contexts", 300, 1, sharing.contexts),
        ("memory", 200, 1, sharing.memory),
        ("shared", 200, 1, sharing.shared),
        ("leak", 200, 1, services.leak),
        ("devices", 300, 2, services.devices),
    ):
        yield Step(name, "labutils.concurrency", (f"--{name}",), seconds, made, gpus=gpus)
    yield _notebook("08", 300, *_FAST)
    for vocoder in ("hifigan-small", "hifigan-v1"):
        yield Step(
            f"int8 {vocoder}", "labutils.quantization", ("engines", "--vocoder", vocoder), 500,
            quantized.int8_engines, (("vocoder", vocoder),),
        )  # fmt: skip
    yield _notebook("10", 300, *_FAST)
    for name, seconds, made in (("speed", 300, pruned.speed), ("sparse", 600, pruned.sparse)):
        yield Step(name, "labutils.pruning", (f"--{name}",), seconds, made)
    yield Step("recovered", "labutils.pruning", ("--recovered",), 400, pruned.recovered)
    yield _notebook("11", 300, *_FAST)


STEPS: tuple[Step, ...] = tuple(_all())


def select(names: Sequence[str], steps: Sequence[Step] = STEPS) -> list[Step]:
    """The steps in the order of their names; a first word stands for all of its kind ("engines").

    Without names it is all of them. Raises ValueError for a name that fits none.
    """
    chosen: list[Step] = []
    for name in names:
        found = [step for step in steps if name in (step.name, step.name.split()[0])]
        if not found:
            known = ", ".join(dict.fromkeys(step.name.split()[0] for step in steps))
            raise ValueError(f"no step {name!r}; there are: {known}")
        chosen += [step for step in found if step not in chosen]
    return chosen if names else list(steps)
