"""The command `python -m labutils.remeasure`."""

from __future__ import annotations

import argparse
import json
import os
import signal
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from labutils import ROOT, environment, tables
from labutils.environment import require
from labutils.remeasure import Done, Step, run, select


def main(arguments: Sequence[str] | None = None) -> int:
    """Run or list the steps; returns 1 where one failed or was stopped."""
    parser = argparse.ArgumentParser(
        prog="python -m labutils.remeasure",
        description="Measure again what needs an NVIDIA GPU, as many steps at once as it has GPUs.",
    )
    parser.add_argument("names", nargs="*", metavar="STEP", help="these steps only (see --list)")
    parser.add_argument("--list", action="store_true", help="show the steps and their records")
    parser.add_argument("--missing", action="store_true", help="leave out what is fresh and whole")
    parser.add_argument("--save", type=Path, help="folder for the records")
    parser.add_argument("--seconds", type=float, default=7200, help="in all (default 7200)")
    parser.add_argument("--gpus", help="numbers of GPUs, as 0,1 (default: all)")
    parser.add_argument("--logs", type=Path, default=ROOT / "build" / "remeasure")
    options = parser.parse_args(arguments)
    try:
        steps = select(options.names)
    except ValueError as error:
        parser.error(str(error))
    if options.missing:
        steps = [step for step in steps if step.state() != "fresh"]
    if options.list:
        print(tables.text_table([_row(step) for step in steps]))
        return 0
    if options.save is None:
        parser.error("name the folder for the records: --save data/records")
    gpus = options.gpus.split(",") if options.gpus else _gpus()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the steps end with it
    bad = 0
    for done in run(steps, options.save, gpus=gpus, seconds=options.seconds, logs=options.logs):
        print(f"{done.outcome:9} {done.seconds:5.0f} s  {done.step.name}  {done.why}", flush=True)
        _note(options.logs / "done.jsonl", done)
        bad += done.outcome in ("failed", "stopped")
    return 1 if bad else 0


def _gpus() -> list[str]:
    """The GPUs of this machine, or those that CUDA_VISIBLE_DEVICES leaves of them."""
    if not environment.has("cuda"):
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = require("torch").cuda.device_count()
    return named.split(",") if named else [str(number) for number in range(count)]


def _row(step: Step) -> dict[str, str]:
    limit = f"{step.seconds:.0f} s"
    return {"step": step.name, "record": step.state(), "at most": limit, "GPUs": str(step.gpus)}


def _note(path: Path, done: Done) -> None:
    row = asdict(done) | {"step": done.step.name, "log": str(done.log or "")}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
