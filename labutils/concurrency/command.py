"""The command line: measure concurrency on a GPU and write the records of notebook 08."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from labutils.concurrency import experiments, services
from labutils.engines import runs

__all__ = ["main"]

_RECORDS = {
    "memory": ("08-memory: who holds the GPU's memory", experiments.memory),
    "contexts": ("08-contexts: throughput of 1 to 8 contexts", experiments.contexts),
    "shared": ("08-shared: what may not be shared", experiments.shared),
    "leak": ("08-leak: 1,000 inferences", services.leak),
    "devices": ("08-devices: a queue over two GPUs", services.devices),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is named; returns 0, or 1 where something could not be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m labutils.concurrency",
        description="Measure contexts, threads, memory and several GPUs.",
    )
    runs.add_records(parser, _RECORDS)
    runs.add_options(parser, seconds=400.0)
    options = parser.parse_args(arguments)
    chosen = runs.wanted(parser, options, _RECORDS)
    runs.use(options, "labutils.concurrency")
    return runs.measure_all([(made, {}) for made in chosen], options.save)
