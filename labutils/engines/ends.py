"""What it costs an FP16 engine that the ends of its graph stay FP32, beside the baseline."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from labutils import baseline, onnx_export, records, vocoders
from labutils.engines import beside
from labutils.engines.building import Builder
from labutils.engines.candidates import PLAIN, Candidate
from labutils.engines.experiments import COVERS, SOURCES
from labutils.engines.graphs import Graphs, GraphSpec, make
from labutils.engines.rewrites import AS_IT_IS
from labutils.engines.settings import settings
from labutils.records import Noted

__all__ = ["FORMS", "KEPT", "candidate", "fp32_ends", "keep", "table", "write_kept"]

KEPT = ("first and last", "first", "nothing")  # layers in FP32; the first as to_fp16 leaves it
# The fastest form of each family where all forms were compared, with branches side by side. A
# BigVGAN is left out: its builds take several times as long as these.
FORMS: Mapping[str, str] = MappingProxyType({"hifigan": "image", "melgan": AS_IT_IS})
_STREAMS = 2

Row = dict[str, Any]


def keep(kept: str, path: Path, out: Path) -> Path:
    """Write the FP16 file of an FP32 file, with the layers of `KEPT` in FP32; mel and audio are
    FP32 in each. Raises ValueError for another word."""
    if kept not in KEPT:
        raise ValueError(f"what stays FP32 is one of {', '.join(KEPT)}, not {kept!r}")
    names = {"first and last": None, "first": onnx_export.first_layers(path), "nothing": ()}
    return onnx_export.to_fp16(path, out, exclude=names[kept])


def candidate(vocoder: str, kept: str, batch: int = 1) -> Candidate:
    """The engine of a preset that keeps so much; its file is that of `write_kept`.

    Raises ValueError for a vocoder of another family than those of `FORMS`.
    """
    form = _form(vocoder)
    return replace(PLAIN, form=_label(form, kept), streams=_STREAMS, batch=batch)


def write_kept(vocoder: str, folder: Path) -> list[Path]:
    """The FP16 files of all but the default, where `graphs.make` looks for the form's file."""
    form = _form(vocoder)
    single = make(GraphSpec(vocoder, form, half=False), folder)
    others = [kept for kept in KEPT if _label(form, kept) != form]
    paths = {kept: folder / GraphSpec(vocoder, _label(form, kept)).file for kept in others}
    return [keep(kept, single, path) for kept, path in paths.items()]


def _form(vocoder: str) -> str:
    family = vocoders.preset(vocoder).family
    if family not in FORMS:
        raise ValueError(f"its ends are compared for {' and '.join(FORMS)}, not for a {family}")
    return FORMS[family]


def _label(form: str, kept: str) -> str:
    return form if kept == "first and last" else f"{form}, {kept} in FP32"


@records.experiment(
    "05-ends", needs=("tensorrt", "cuda"),
    covers=[*COVERS, "labutils.engines.ends", "labutils.engines.beside"],
)  # fmt: skip
def fp32_ends() -> Iterator[Noted]:
    """FP16 engines of three published sizes with both ends, the first layer or nothing in FP32.

    Each beside its baseline in PyTorch, batch 1 and 8, as CUDA graphs, random weights. Yields
    ``{"rows": [...]}`` after each.
    """
    rows: list[Row] = []
    with settings(400.0) as given, Graphs(given.graphs) as graphs, Builder(given.engines) as build:
        begin = time.monotonic()
        for vocoder in ("gpt-sovits-v4", "hifigan-v1", "melgan"):
            model, frames = vocoders.create(vocoder), baseline.FRAMES[vocoder]
            left = begin + given.seconds - time.monotonic()
            for row in beside.baseline_rows(model, vocoder, frames, seconds=left):
                rows.append(row)
                yield Noted({"rows": rows}, tactic_sources=SOURCES)
            write_kept(vocoder, graphs.folder)
            pairs = itertools.product(baseline.BATCHES, KEPT)
            cases = [({"in FP32": k}, candidate(vocoder, k, batch)) for batch, k in pairs]
            for row in beside.rows(
                model, vocoder, frames, cases, given=given, graphs=graphs, make=build, begin=begin
            ):
                rows.append(row)
                yield Noted({"rows": rows}, tactic_sources=SOURCES)


def table(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """For a table: each engine's ms, SNR, and how many times faster it is than the engine that
    keeps both ends and than the baseline of its batch, where the record has them."""
    shown = beside.against_baseline(rows, ["in FP32"])
    both = {(r["vocoder"], r["batch"]): r["ms"] for r in shown if r["in FP32"] == KEPT[0]}
    for row in shown:
        beside_it = both.get((row["vocoder"], row["batch"]))
        row["times faster than both ends"] = beside_it and beside_it / row["ms"]
    return shown
