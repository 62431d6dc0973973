"""Engines against the baseline: TensorRT held against the fastest plain PyTorch, in one run.

python -m labutils.engines --vocoder NAME --save data/records [--seconds 500] [--cache FOLDER]

measures one vocoder on a GPU and writes the record after each row; `--gates`, `--build-levels`,
`--build-time`, `--layer-kinds`, `--ends`, `--reflections`, `--rows`, `--waits`, `--host-copies`,
`--copies` and `--host-latency` make the smaller records. What needs TensorRT or a GPU shows its
record elsewhere.
"""

from labutils.engines.by_kind import layer_kinds
from labutils.engines.candidates import best_engine
from labutils.engines.command import main
from labutils.engines.ends import fp32_ends
from labutils.engines.experiments import measured
from labutils.engines.gating import gates
from labutils.engines.reflections import reflected
from labutils.engines.results import (
    best,
    caption,
    picture,
    recorded_rows,
    summary,
)
from labutils.engines.rewrites import FORMS, image, rewrite
from labutils.engines.row_snakes import snake_rows
from labutils.engines.smaller import build_levels, build_time, copies, host_latency
from labutils.engines.waiting import waits, wake_up_ms
from labutils.engines.within_host import host_copies

__all__ = [
    "FORMS",
    "best",
    "best_engine",
    "build_levels",
    "build_time",
    "caption",
    "copies",
    "fp32_ends",
    "gates",
    "host_copies",
    "host_latency",
    "image",
    "layer_kinds",
    "main",
    "measured",
    "picture",
    "recorded_rows",
    "reflected",
    "rewrite",
    "snake_rows",
    "summary",
    "waits",
    "wake_up_ms",
]
