"""The command line: measure engines on a GPU and write the records."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from labutils import records, vocoders
from labutils.engines import experiments, settings, smaller

__all__ = ["main"]

_BUDGET = 500.0
_SMALLER = {
    "gates": ("05-gates: engines of trained vocoders against PyTorch", smaller.gates),
    "build_levels": ("05-build-levels: seconds of a build by level", smaller.build_levels),
    "copies": ("06-copies: pageable and pinned", smaller.copies),
    "host_latency": ("06-host-latency: what a caller waits", smaller.host_latency),
}

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is named; returns 0, or 1 where something could not be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m labutils.engines",
        description="Hold TensorRT engines against the PyTorch baseline, on a GPU.",
    )
    parser.add_argument("--vocoder", choices=sorted(vocoders.PRESETS), help="05-engines of it")
    for name, (words, _) in _SMALLER.items():
        parser.add_argument(f"--{name.replace('_', '-')}", action="store_true", help=words)
    parser.add_argument("--save", type=Path, required=True, help="folder for the records")
    parser.add_argument(
        "--seconds", type=float, default=_BUDGET, help="for each record: nothing begins later"
    )
    parser.add_argument("--cache", type=Path, help="folder that keeps engines for the next run")
    parser.add_argument("--timing-cache", type=Path, help="file of TensorRT's kernel timings")
    options = parser.parse_args(arguments)
    wanted = [name for name in _SMALLER if getattr(options, name)]
    if not options.vocoder and not wanted:
        parser.error("name something to measure: --vocoder NAME, or " + ", ".join(
            f"--{name.replace('_', '-')}" for name in _SMALLER
        ))  # fmt: skip
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    logging.getLogger("labutils.engines").setLevel(logging.INFO)
    os.environ[settings.SECONDS] = str(options.seconds)
    for variable, path in (
        (settings.CACHE, options.cache),
        (settings.TIMING_CACHE, options.timing_cache),
    ):
        if path is not None:
            os.environ[variable] = str(path.resolve())
    runs = [(experiments.measured, {"vocoder": options.vocoder})] if options.vocoder else []
    runs += [(_SMALLER[name][1], {}) for name in wanted]
    failed = [made.name for made, given in runs if not _measure(made, given, options.save)]
    return 1 if failed else 0


def _measure(made: records.Experiment, given: dict[str, str], folder: Path) -> bool:
    """Whether a record was written with at least one figure."""
    try:
        done = made.measure(**given, save=folder)
    except records.RecordError as error:
        log.error("%s", error)
        return False
    except Exception:  # the next record may still be made
        log.exception("%s broke off", made.name)
        return False
    log.info("%s", done.path)
    rows = done.data if isinstance(done.data, list) else done.data["rows"]
    return any("error" not in row for row in rows)
