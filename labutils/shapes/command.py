"""The command line: measure engines of many lengths on a GPU and write the records."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labutils import records, vocoders
from labutils.engines import settings
from labutils.shapes import experiments

__all__ = ["main"]

_RECORDS = {
    "lengths": ("07-lengths: one wide profile, three narrow ones", experiments.lengths),
    "opt": ("07-opt: the length an engine is tuned for", experiments.opts),
    "graphs": ("07-graphs: a CUDA graph for each length, or buckets", experiments.graphs),
    "batches": ("07-batches: batches of unequal sentences", experiments.batches),
}

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is named; returns 0, or 1 where something could not be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m labutils.shapes",
        description="Measure TensorRT engines over lengths and batches, on a GPU.",
    )
    for name, (words, _) in _RECORDS.items():
        parser.add_argument(f"--{name}", action="store_true", help=words)
    parser.add_argument("--vocoder", choices=sorted(vocoders.PRESETS), default="hifigan-v1")
    parser.add_argument("--level", type=int, default=1, help="of the builder, 0 to 5")
    parser.add_argument("--save", type=Path, required=True, help="folder for the records")
    parser.add_argument(
        "--seconds", type=float, default=500.0, help="for each record: nothing begins later"
    )
    parser.add_argument("--cache", type=Path, help="folder that keeps engines for the next run")
    parser.add_argument("--timing-cache", type=Path, help="file of TensorRT's kernel timings")
    options = parser.parse_args(arguments)
    wanted = [name for name in _RECORDS if getattr(options, name)]
    if not wanted:
        parser.error("name something to measure: " + ", ".join(f"--{name}" for name in _RECORDS))
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    logging.getLogger("labutils.shapes").setLevel(logging.INFO)
    os.environ[settings.SECONDS] = str(options.seconds)
    for variable, path in (
        (settings.CACHE, options.cache),
        (settings.TIMING_CACHE, options.timing_cache),
    ):
        if path is not None:
            os.environ[variable] = str(path.resolve())
    given = {"vocoder": options.vocoder, "level": options.level}
    failed = [name for name in wanted if not _measure(_RECORDS[name][1], given, options.save)]
    return 1 if failed else 0


def _measure(made: records.Experiment, given: dict[str, Any], folder: Path) -> bool:
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
    return any("error" not in row for row in done["rows"])
