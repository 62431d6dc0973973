"""Experiments on a GPU: what may be shared, throughput by contexts, who holds the memory."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from labutils import costs, records, vocoders
from labutils.baseline import trials as torch_trials
from labutils.concurrency import measuring, mistakes
from labutils.engines.building import Builder, Built
from labutils.engines.graphs import Graphs, GraphSpec
from labutils.engines.settings import Settings, settings
from labutils.isolated import isolated
from labutils.records import Noted
from labutils.roofline import ceilings
from labutils.trt import BuildOptions, Profile, load_engine

__all__ = ["COVERS", "FRAMES", "SOURCES", "contexts", "memory", "plan_file", "shared"]

FRAMES = (32, 172, 862)  # a piece of a stream, a short sentence, a long one
_PROFILE = (16, 172, 862)
SOURCES = "none: cuDNN and cuBLAS left out"
_LEVEL = 1  # of the builds
COVERS = ["labutils.concurrency.contexts", "labutils.trt.bound", "labutils.trt.versions"]
_LOAD = ["labutils.concurrency.load", "labutils.concurrency.measuring"]

log = logging.getLogger(__name__)


def _built(vocoder: str, given: Settings, *, batch: int = 1, seconds: float | None = None) -> Built:
    """An FP16 engine for 16 to 862 frames, best at 172, and batches of 1 to `batch`.

    The process that builds is gone when this returns: its memory on the GPU would be seen. Raises
    BuildError, TimeoutError after `seconds` (by default those of the settings).
    """
    spec = GraphSpec(vocoder, trained=vocoder in vocoders.shipped())
    profile = Profile(_PROFILE, (1, batch, batch))
    options = BuildOptions((profile,), optimization_level=_LEVEL, timing_cache=given.timing_cache)
    limit = given.seconds if seconds is None else seconds
    with Graphs(given.graphs) as graphs, Builder(given.engines) as builder:
        return builder.build(graphs.get(spec, limit), options, seconds=limit)


@records.experiment("08-shared", needs=("tensorrt", "cuda"), covers=[*COVERS, mistakes])
def shared(vocoder: str = "hifigan-small") -> Iterator[Noted]:
    """What may be shared and what not: profiles, a context, activation memory.

    Yields {"profiles": rows, "sounds": rows}; each try in a process of its own.
    """
    found: dict[str, Any] = {"profiles": [], "sounds": []}
    for words, ask in (("not asked for", False), ("PROFILE_SHARING asked for", True)):
        found["profiles"].append({"sharing": words} | mistakes.tried("one_profile", ask))
        yield Noted(found, tactic_sources=SOURCES)
    with settings(500.0) as given:
        plan = str(plan_file(vocoder, given))
        frames, runs = 172, 200
        tries = {
            "one context, two threads": ("one_context", frames, runs, False),
            "the same with a lock": ("one_context", frames, runs, True),
            "two contexts, memory of their own, at once": ("two_contexts", frames, runs, False,
                                                           True),
            "two contexts, one block, at once": ("two_contexts", frames, runs, True, True),
            "two contexts, one block, in turn": ("two_contexts", frames, runs, True, False),
        }  # fmt: skip
        for way, (task, *arguments) in tries.items():
            found["sounds"].append({"way": way} | mistakes.tried(task, plan, *arguments))
            log.info("%s", found["sounds"][-1])
            yield Noted(found, tactic_sources=SOURCES)


def plan_file(vocoder: str, given: Settings) -> Path:
    """The file of an engine for mels one by one, which `load_engine` reads."""
    return _built(vocoder, given).path


@records.experiment("08-contexts", needs=("tensorrt", "cuda"), covers=[*COVERS, *_LOAD])
def contexts(vocoder: str = "hifigan-v1", most: int = 8) -> Iterator[Noted]:
    """1 to 8 contexts over one FP16 engine, driven in four ways, at three lengths; batches beside.

    Yields {"rows", "ceilings", ...} after each row; ceilings are times real time by arithmetic.
    """
    model = vocoders.create(vocoder)
    config = model.config
    data: dict[str, Any] = {"vocoder": vocoder, "weights": model.weights, "level": _LEVEL,
                            "rows": []}  # fmt: skip
    with settings(500.0) as given:
        begin = time.monotonic()

        def late() -> bool:
            return time.monotonic() - begin > given.seconds

        roof = ceilings("cuda", dtypes=("float16",), seconds=0.5)
        data["tflops"], data["gb_per_s"] = roof.tflops["float16"], roof.gb_per_s
        for frames in FRAMES:
            cost = costs.totals(costs.count(model, frames, dtype=torch.float16))
            floor = roof.floor_ms(cost["macs"], cost["bytes"], "float16")
            sound = 1e3 * config.output_length(frames) / config.output_sample_rate
            data.setdefault("ceilings", {})[str(frames)] = sound / floor["arithmetic"]
            data.setdefault("ceilings by memory", {})[str(frames)] = sound / floor["memory"]
        gc.collect()
        torch.cuda.empty_cache()
        counts = [count for count in (1, 2, 3, 4, 6, 8) if count <= most]
        singles = _built(vocoder, given)
        data["build_seconds"] = {"batch 1": singles.seconds}
        with load_engine(singles.path) as engine:
            data["engine_mb"] = engine.plan_bytes / 1e6
            data["activation_mb"] = engine.scratch_bytes / 1e6
            for frames in FRAMES:
                for row in measuring.context_rows(engine, config, frames, counts, late=late):
                    data["rows"].append(row)
                    if row["lanes"] == counts[-1]:
                        yield Noted(data, tactic_sources=SOURCES)
        batched: dict[str, Any] = {"way": "a batch, graph"}
        with torch_trials.noting(batched):
            left = given.seconds - (time.monotonic() - begin)
            if left < 20:
                raise RuntimeError("not measured: time")
            built = _built(vocoder, given, batch=most, seconds=left)
            data["build_seconds"][f"batch {most}"] = built.seconds
            with load_engine(built.path) as engine:
                for frames in FRAMES:
                    for row in measuring.batch_rows(engine, config, frames, counts, late=late):
                        data["rows"].append(row)
        if "error" in batched:
            data["rows"].append(batched)
        yield Noted(data, tactic_sources=SOURCES)


@records.experiment(
    "08-memory", needs=("tensorrt", "cuda"), covers=[*COVERS, "labutils.concurrency.memory"]
)
def memory(vocoder: str = "hifigan-v1", frames: int = 862) -> Noted:
    """Who holds the GPU's memory: rows of a ledger through the life of a service."""
    with settings(500.0) as given:
        plan = str(plan_file(vocoder, given))
        rows = isolated("labutils.concurrency.memory:who_holds", plan, vocoder, frames)
    return Noted(rows, tactic_sources=SOURCES)
