"""Measure what notebook 11 shows: python -m labutils.pruning --speed --save data/records."""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

from labutils.engines import settings
from labutils.pruning import experiments, on_gpu

_RUNS = {
    "every_vocoder": ("11-every-vocoder, on a processor, a minute", experiments.every_vocoder),
    "miniature": ("11-miniature-recovery, on a processor, two minutes", experiments.miniature),
    "library": ("11-library, needs torch-pruning", experiments.library),
    "speed": ("11-speed, needs TensorRT", on_gpu.speed),
    "sparse": ("11-sparse, needs TensorRT", on_gpu.sparse),
    "recovered": ("11-recovery, needs a GPU", on_gpu.recovered),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m labutils.pruning", description=__doc__)
    for name, (words, _) in _RUNS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", action="store_true", help=words)
    parser.add_argument("--save", type=Path, required=True, help="folder for the records")
    parser.add_argument("--seconds", type=float, help="for each record of a GPU: its budget")
    parser.add_argument("--corpus", type=Path, help="manifest for the recovery on a GPU")
    options = parser.parse_args()
    wanted = [name for name in _RUNS if getattr(options, name)]
    if not wanted:
        parser.error("name something to measure: " + ", ".join(f"--{n}" for n in _RUNS))
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    logging.getLogger("labutils.pruning").setLevel(logging.INFO)
    if options.seconds:
        os.environ[settings.SECONDS] = str(options.seconds)
    if options.corpus:
        os.environ[on_gpu.CORPUS] = str(options.corpus.resolve())
    for name in wanted:
        done = _RUNS[name][1].measure(save=options.save)
        logging.getLogger("labutils.pruning").info("%s", done.path)


if __name__ == "__main__":
    main()
