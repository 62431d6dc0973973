"""The command line: measure engines of many lengths on a GPU and write the records."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from labutils import vocoders
from labutils.engines import runs
from labutils.shapes import experiments

__all__ = ["main"]

_RECORDS = {
    "lengths": ("07-lengths: one wide profile, three narrow ones", experiments.lengths),
    "opt": ("07-opt: the length an engine is tuned for", experiments.opts),
    "graphs": ("07-graphs: a CUDA graph for each length, or buckets", experiments.graphs),
    "batches": ("07-batches: batches of unequal sentences", experiments.batches),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is named; returns 0, or 1 where something could not be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m labutils.shapes",
        description="Measure TensorRT engines over lengths and batches, on a GPU.",
    )
    runs.add_records(parser, _RECORDS)
    parser.add_argument("--vocoder", choices=sorted(vocoders.PRESETS), default="hifigan-v1")
    parser.add_argument("--level", type=int, default=1, help="of the builder, 0 to 5")
    runs.add_options(parser, seconds=500.0)
    options = parser.parse_args(arguments)
    chosen = runs.wanted(parser, options, _RECORDS)
    runs.use(options, "labutils.shapes")
    given = {"vocoder": options.vocoder, "level": options.level}
    return runs.measure_all([(made, given) for made in chosen], options.save)
