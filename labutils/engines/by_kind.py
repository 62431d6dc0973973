"""Where the engines of the published sizes spend their time, by kind of layer."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from labutils import baseline, records, vocoders
from labutils.baseline import trials as torch_trials
from labutils.engines import trials
from labutils.engines.building import Builder
from labutils.engines.candidates import PLAIN, Candidate
from labutils.engines.experiments import COVERS, SOURCES
from labutils.engines.graphs import Graphs
from labutils.engines.settings import in_time, settings
from labutils.records import Noted
from labutils.trt import inspect, load_engine

__all__ = ["GROUPS", "layer_kinds", "profiled", "shares", "sums"]

# What a layer's type says of its work; the first that fits counts.
GROUPS: Mapping[str, Sequence[str]] = {
    "convolutions": ("Convolution", "Deconvolution", "Gemm", "MatrixMultiply"),
    "element by element": ("PointWise", "ElementWise", "Activation", "Unary", "Scale"),
    "numbers moved": (
        "Reformat", "Slice", "Shuffle", "Concat", "Pad", "Copy", "Gather", "Cast", "NoOp",
    ),
}  # fmt: skip

_FACTS = ("vocoder", "form", "batch", "median_ms", "snr_db")  # of a row, where it has them

log = logging.getLogger(__name__)
Row = dict[str, Any]


def _cases() -> Iterator[tuple[str, Candidate]]:
    for name in baseline.FRAMES:
        yield name, PLAIN
        if vocoders.preset(name).family == "bigvgan":
            yield name, replace(PLAIN, form="image, snakes in blocks")


@records.experiment(
    "05-layer-kinds", needs=("tensorrt", "cuda"),
    covers=[*COVERS, "labutils.engines.by_kind", "labutils.trt.inspect", "labutils.trt.layer_json"],
)  # fmt: skip
def layer_kinds() -> Iterator[Noted]:
    """The plain FP16 engine of each published size, batch 1: layers and milliseconds by their type.

    A BigVGAN also with its snakes in blocks. Milliseconds are the profiler's, which waits after
    each layer. Yields ``{"rows": [...]}`` after each engine.
    """
    rows: list[Row] = []
    with settings(300.0) as given, Graphs(given.graphs) as graphs, Builder(given.engines) as make:
        begin = time.monotonic()
        for vocoder, candidate in _cases():
            config, frames = vocoders.preset(vocoder), baseline.FRAMES[vocoder]
            row: Row = {"vocoder": vocoder, "form": candidate.form}
            with torch_trials.noting(row):
                built = trials.build_candidate(
                    candidate, vocoder, frames, graphs=graphs, builder=make,
                    seconds=in_time(begin, given, 10.0), timing_cache=given.timing_cache,
                )  # fmt: skip
                row |= profiled(built.path, vocoders.speech_like_mel(config.mel, frames).numpy())
            rows.append(row)
            log.info("%s", row)
            yield Noted({"rows": rows}, tactic_sources=SOURCES)


def profiled(plan: Path, mel: np.ndarray) -> Row:
    """{"layers", "ms", "kinds", "generations"} of an engine's file for a mel; kinds as `sums`."""
    with load_engine(plan) as engine:
        found, times = inspect.layers(engine), inspect.layer_times(engine, mel)
    whole = {"layers": len(found), "ms": sum(times.values())}
    return whole | {"kinds": sums(found, times), "generations": found.generations()}


def sums(found: inspect.Layers, times: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """{type: {"layers", "ms"}}, the most frequent type first; `times` are {layer: ms}."""
    kinds = {kind: {"layers": count, "ms": 0.0} for kind, count in found.kinds().items()}
    for layer in found.rows:
        kinds[layer["kind"]]["ms"] += times.get(layer["name"], 0.0)
    return kinds


def shares(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """For a table: per cent of each engine's time by the groups of `GROUPS`, from those rows that
    have figures; "other" is what no group names, "written" how many kernels for which generation.
    """
    shown = []
    for row in rows:
        if "kinds" not in row:
            continue
        spent = dict.fromkeys([*GROUPS, "other"], 0.0)
        for kind, taken in row["kinds"].items():
            spent[_group(kind)] += taken["ms"]
        whole = sum(spent.values()) or 1.0
        facts = {key: row[key] for key in _FACTS if key in row}
        facts["kernels"] = sum(k["layers"] for name, k in row["kinds"].items() if name != "NoOp")
        facts |= {f"{name} (%)": 100 * ms / whole for name, ms in spent.items()}
        named = ", ".join(f"{count} for {cc}" for cc, count in row["generations"].items())
        shown.append(facts | {"written": named})
    return shown


def _group(kind: str) -> str:
    return next((g for g, words in GROUPS.items() if any(w in kind for w in words)), "other")
