"""Measure what notebook 11 shows: python -m labutils.pruning --speed --save data/records."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from labutils.engines import runs
from labutils.pruning import experiments, on_gpu

_RUNS = {
    "every_vocoder": ("11-every-vocoder, on a processor, a minute", experiments.every_vocoder),
    "miniature": ("11-miniature-recovery, on a processor, two minutes", experiments.miniature),
    "library": ("11-library, needs torch-pruning", experiments.library),
    "speed": ("11-speed, needs TensorRT", on_gpu.speed),
    "sparse": ("11-sparse, needs TensorRT", on_gpu.sparse),
    "recovered": ("11-recovery, needs a GPU", on_gpu.recovered),
}


def main() -> int:
    """Measure what is named; returns 0, or 1 where something could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m labutils.pruning", description=__doc__)
    runs.add_records(parser, _RUNS)
    parser.add_argument("--save", type=Path, required=True, help="folder for the records")
    parser.add_argument("--seconds", type=float, help="for each record of a GPU: its budget")
    parser.add_argument("--corpus", type=Path, help="manifest for the recovery on a GPU")
    options = parser.parse_args()
    chosen = runs.wanted(parser, options, _RUNS)
    runs.use(options, "labutils.pruning")
    if options.corpus:
        os.environ[on_gpu.CORPUS] = str(options.corpus.resolve())
    return runs.measure_all([(made, {}) for made in chosen], options.save)


if __name__ == "__main__":
    raise SystemExit(main())
