"""The command line: measure concurrency on a GPU and write the records of notebook 08."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from labutils import records
from labutils.concurrency import experiments, services
from labutils.engines import settings

__all__ = ["main"]

_RUNS = {
    "memory": ("08-memory: who holds the GPU's memory", experiments.memory),
    "contexts": ("08-contexts: throughput of 1 to 8 contexts", experiments.contexts),
    "shared": ("08-shared: what may not be shared", experiments.shared),
    "leak": ("08-leak: 1,000 inferences", services.leak),
    "devices": ("08-devices: a queue over two GPUs", services.devices),
}

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is named; returns 0, or 1 where something could not be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m labutils.concurrency",
        description="Measure contexts, threads, memory and several GPUs.",
    )
    for name, (words, _) in _RUNS.items():
        parser.add_argument(f"--{name}", action="store_true", help=words)
    parser.add_argument("--save", type=Path, required=True, help="folder for the records")
    parser.add_argument(
        "--seconds", type=float, default=400.0, help="for each record: nothing begins later"
    )
    parser.add_argument("--cache", type=Path, help="folder that keeps engines for the next run")
    parser.add_argument("--timing-cache", type=Path, help="file of TensorRT's kernel timings")
    options = parser.parse_args(arguments)
    wanted = [name for name in _RUNS if getattr(options, name)]
    if not wanted:
        parser.error("name something to measure: " + ", ".join(f"--{name}" for name in _RUNS))
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    logging.getLogger("labutils.concurrency").setLevel(logging.INFO)
    os.environ[settings.SECONDS] = str(options.seconds)
    for variable, path in (
        (settings.CACHE, options.cache),
        (settings.TIMING_CACHE, options.timing_cache),
    ):
        if path is not None:
            os.environ[variable] = str(path.resolve())
    failed = [name for name in wanted if not _measure(_RUNS[name][1], options.save)]
    return 1 if failed else 0


def _measure(made: records.Experiment, folder: Path) -> bool:
    """Whether a record was written."""
    try:
        done = made.measure(save=folder)
    except records.RecordError as error:
        log.error("%s", error)
        return False
    except Exception:  # the next record may still be made
        log.exception("%s broke off", made.name)
        return False
    log.info("%s", done.path)
    return True
