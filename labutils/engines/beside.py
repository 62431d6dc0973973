"""Engines of one network beside each other and its baseline: built, timed, compared in one run."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from labutils import baseline, vocoders
from labutils.baseline import trials as torch_trials
from labutils.baseline import variants
from labutils.engines import by_kind, trials
from labutils.engines.building import Builder
from labutils.engines.candidates import Candidate
from labutils.engines.graphs import Graphs
from labutils.engines.rewrites import AS_IT_IS
from labutils.engines.settings import Settings, in_time

__all__ = ["against_baseline", "baseline_rows", "rows"]

log = logging.getLogger(__name__)
Row = dict[str, Any]


def rows(
    model: nn.Module,
    vocoder: str,
    frames: int,
    cases: Iterable[tuple[Mapping[str, Any], Candidate]],
    *,
    given: Settings,
    graphs: Graphs,
    make: Builder,
    begin: float,
    layers: bool = False,
) -> Iterator[Row]:
    """A row for each case, which is (what the row says of it, the candidate).

    What a call takes as a CUDA graph in ms, and SNR in dB against FP32 in PyTorch; with `layers`
    also where the time goes, as `by_kind.profiled`. A failure, and a case that comes when the time
    is over, has "error" in place of figures. `begin`: time.monotonic() when the record began.
    """

    @functools.cache
    def sounds(batch: int) -> tuple[np.ndarray, np.ndarray]:
        mel = vocoders.speech_like_mel(model.config.mel, frames, batch=batch).numpy()
        return mel, trials.reference_audio(model, mel)

    for facts, candidate in cases:
        row: Row = {"vocoder": vocoder, **facts, "batch": candidate.batch}
        with torch_trials.noting(row):
            built = trials.build_candidate(
                candidate, vocoder, frames, graphs=graphs, builder=make,
                seconds=in_time(begin, given, 10.0), timing_cache=given.timing_cache,
            )  # fmt: skip
            mel, reference = sounds(candidate.batch)
            taken = trials.measure_engine(model, built, candidate, True, mel, reference)
            row |= {key: taken[key] for key in ("median_ms", "p95_ms", "snr_db")}
            if layers:
                row |= by_kind.profiled(built.path, mel)
        log.info("%s", row)
        yield row


def baseline_rows(model: nn.Module, vocoder: str, frames: int, *, seconds: float) -> Iterator[Row]:
    """The rows of the frozen baseline of each batch, measured again, in so many seconds."""
    end = time.monotonic() + seconds
    for batch in baseline.BATCHES:
        name = baseline.of(vocoder, batch).get("variant", "FP16, graph")
        ways = [way for way in variants.GPU if way.name == name]
        mel = vocoders.speech_like_mel(model.config.mel, frames, batch=batch).numpy()
        for row in trials.torch_rows(
            model, ways, [mel], device="cuda", runs=50, max_seconds=3.0,
            seconds=end - time.monotonic(),
        ):  # fmt: skip
            yield {"vocoder": vocoder, **row}


def against_baseline(rows: Sequence[Mapping[str, Any]], facts: Sequence[str]) -> list[Row]:
    """For a table: the `facts` of each row that has figures, its ms and SNR, and how many times
    faster it is than the baseline of its vocoder and batch (None where that one has none)."""
    timed = [row for row in rows if row.get("median_ms") is not None]
    torch = {(r["vocoder"], r["batch"]): r["median_ms"] for r in timed if _is_baseline(r)}
    shown = []
    for row in timed:
        if not _is_baseline(row):
            key, ms = (row["vocoder"], row["batch"]), row["median_ms"]
            made = {"vocoder": key[0], "batch": key[1], **{fact: row.get(fact) for fact in facts}}
            times = torch[key] / ms if key in torch else None
            made |= {"ms": ms, "times faster than the baseline": times, "SNR (dB)": row["snr_db"]}
            shown.append(made)
    return shown


def _is_baseline(row: Mapping[str, Any]) -> bool:
    return row.get("backend") == "torch" and row.get("form", AS_IT_IS) == AS_IT_IS
