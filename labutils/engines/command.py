"""The command line: measure engines on a GPU and write the records."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from labutils import vocoders
from labutils.engines import (
    by_kind,
    ends,
    experiments,
    gating,
    reflections,
    row_snakes,
    runs,
    smaller,
    waiting,
    within_host,
)

__all__ = ["main"]

_SMALLER = {
    "gates": ("05-gates: engines of trained vocoders against PyTorch", gating.gates),
    "build_levels": ("05-build-levels: seconds of a build by level", smaller.build_levels),
    "build_time": ("05-build-time: what a build spends its time on", smaller.build_time),
    "layer_kinds": ("05-layer-kinds: time by kind of layer", by_kind.layer_kinds),
    "ends": ("05-ends: what layers in FP32 cost", ends.fp32_ends),
    "reflections": ("05-reflections: MelGAN's paddings", reflections.reflected),
    "rows": ("05-rows: BigVGAN's snakes as rows", row_snakes.snake_rows),
    "waits": ("06-waits: how the host waits", waiting.waits),
    "host_copies": ("06-host-copies: within the host", within_host.host_copies),
    "copies": ("06-copies: pageable and pinned", smaller.copies),
    "host_latency": ("06-host-latency: what a caller waits", smaller.host_latency),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is named; returns 0, or 1 where something could not be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m labutils.engines",
        description="Hold TensorRT engines against the PyTorch baseline, on a GPU.",
    )
    parser.add_argument("--vocoder", choices=sorted(vocoders.PRESETS), help="05-engines of it")
    runs.add_records(parser, _SMALLER)
    runs.add_options(parser, seconds=500.0)
    options = parser.parse_args(arguments)
    chosen = runs.wanted(parser, options, _SMALLER, "--vocoder NAME")
    runs.use(options, "labutils.engines")
    large = [(experiments.measured, {"vocoder": options.vocoder})] if options.vocoder else []
    return runs.measure_all([*large, *((made, {}) for made in chosen)], options.save)
