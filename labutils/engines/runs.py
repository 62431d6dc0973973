"""What the commands that measure engines share: their options, and one record after the other."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from labutils import records
from labutils.engines import settings

__all__ = ["add_options", "add_records", "measure_all", "use", "wanted"]

log = logging.getLogger(__name__)

Named = Mapping[str, tuple[str, records.Experiment]]  # {option: (words of help, experiment)}


def add_records(parser: argparse.ArgumentParser, named: Named) -> None:
    """An option for each record."""
    for name, (words, _) in named.items():
        parser.add_argument(_option(name), action="store_true", help=words)


def add_options(parser: argparse.ArgumentParser, *, seconds: float) -> None:
    """Where records and engines go, and how long a record may take."""
    parser.add_argument("--save", type=Path, required=True, help="folder for the records")
    parser.add_argument(
        "--seconds", type=float, default=seconds, help="for each record: nothing begins later"
    )
    parser.add_argument("--cache", type=Path, help="folder that keeps engines for the next run")
    parser.add_argument("--timing-cache", type=Path, help="file of TensorRT's kernel timings")


def wanted(
    parser: argparse.ArgumentParser, options: argparse.Namespace, named: Named, *others: str
) -> list[records.Experiment]:
    """The experiments that were named; an error of the parser where nothing was.

    `others` are further options, as the user writes them, that name something to measure.
    """
    chosen = [made for name, (_, made) in named.items() if getattr(options, name)]
    if not chosen and not any(getattr(options, o.split()[0].lstrip("-")) for o in others):
        parser.error("name something to measure: " + ", ".join([*others, *map(_option, named)]))
    return chosen


def use(options: argparse.Namespace, logger: str) -> None:
    """Log what goes on, and tell the experiments their limits through the environment."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    for name in (logger, __name__):
        logging.getLogger(name).setLevel(logging.INFO)
    if options.seconds:
        os.environ[settings.SECONDS] = str(options.seconds)
    for variable, name in ((settings.CACHE, "cache"), (settings.TIMING_CACHE, "timing_cache")):
        if path := getattr(options, name, None):
            os.environ[variable] = str(path.resolve())


def measure_all(runs: Iterable[tuple[records.Experiment, Mapping[str, Any]]], folder: Path) -> int:
    """Measure each experiment with its arguments; 0, or 1 where one gave no figure."""
    failed = [made.name for made, given in runs if not _measure(made, given, folder)]
    return 1 if failed else 0


def _measure(made: records.Experiment, given: Mapping[str, Any], folder: Path) -> bool:
    """Whether a record was written, with at least one figure where it has rows."""
    try:
        done = made.measure(**given, save=folder)
    except records.RecordError as error:
        log.error("%s", error)
        return False
    except Exception:  # the next record may still be made
        log.exception("%s broke off", made.name)
        return False
    log.info("%s", done.path)
    rows = done.data if isinstance(done.data, list) else done.data.get("rows")
    return rows is None or any("error" not in row for row in rows)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
