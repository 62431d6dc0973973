"""The smaller experiments: build levels, copies, and what a caller waits."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from labutils import baseline, benchmark, records, vocoders
from labutils.baseline import trials as torch_trials
from labutils.baseline import variants
from labutils.engines import latency, transfers, trials
from labutils.engines.building import Builder, build_fresh
from labutils.engines.candidates import PLAIN
from labutils.engines.experiments import COVERS, SOURCES
from labutils.engines.graphs import Graphs, GraphSpec
from labutils.engines.rewrites import AS_IT_IS
from labutils.engines.settings import in_time, settings
from labutils.records import Noted
from labutils.trt import BuildOptions, Profile, build
from labutils.trt.build_log import build_times

__all__ = ["build_levels", "build_time", "copies", "host_latency"]

log = logging.getLogger(__name__)


@records.experiment("05-build-levels", needs=("tensorrt", "cuda"), covers=COVERS)
def build_levels(vocoder: str = "hifigan-v3", frames: int = 400) -> Iterator[Noted]:
    """Seconds of a build at each optimisation level, first without and then with a timing cache
    that knows its kernels, and what the engine takes. Random weights; a network of few layers,
    since the higher levels take long. Yields ``{"rows": [...]}`` after each level."""
    model = vocoders.create(vocoder)
    mel = vocoders.speech_like_mel(model.config.mel, frames).numpy()
    rows: list[dict[str, Any]] = []
    with settings(500.0) as given, Graphs(given.graphs) as graphs:
        begin = time.monotonic()
        folder = given.graphs / "levels"
        onnx = graphs.get(GraphSpec(vocoder, AS_IT_IS, True, (1, frames)))
        reference = trials.reference_audio(model, mel)
        with Builder(folder, work=build_fresh) as make:
            # The first build of a process loads TensorRT's kernels: that belongs to no level.
            make.build(onnx, BuildOptions((Profile.fixed(frames),), optimization_level=0))
            for level in (0, 1, 2, 3, 4, 5):
                row: dict[str, Any] = {"level": level, "vocoder": vocoder, "frames": frames}
                with torch_trials.noting(row):
                    left = in_time(begin, given, 10.0)
                    options = BuildOptions(
                        (Profile.fixed(frames),), optimization_level=level,
                        timing_cache=folder / f"level{level}.cache",
                    )  # fmt: skip
                    candidate = replace(PLAIN, level=level)
                    built = make.build(onnx, options, seconds=left + 60)
                    taken = trials.measure_engine(model, built, candidate, True, mel, reference)
                    again = make.build(onnx, options, seconds=left + 60)
                    keys = ("median_ms", "engine_mb", "activation_mb", "snr_db")
                    row |= {"cold_seconds": built.seconds, "cached_seconds": again.seconds}
                    row |= {key: taken[key] for key in keys}
                rows.append(row)
                log.info("%s", row)
                yield Noted({"rows": rows}, tactic_sources=SOURCES)


@records.experiment(
    "05-build-time", needs=("tensorrt", "cuda"), covers=[*COVERS, "labutils.trt.build_log"]
)
def build_time(vocoder: str = "hifigan-small", frames: int = 400, level: int = 1) -> Noted:
    """What a build without a timing cache spends its time on; TensorRT is loaded before it starts.

    ``{"rows": [...], "seconds", "processor_seconds", ...}``: rows by kind of kernel, the seconds of
    the whole build, and those of the processor's cores together.
    """
    with settings(500.0) as given, Graphs(given.graphs) as graphs:
        onnx = graphs.get(GraphSpec(vocoder, AS_IT_IS, True, (1, frames), trained=True))
        options = BuildOptions((Profile.fixed(frames),), optimization_level=level)
        build(onnx, replace(options, optimization_level=0))
        before = time.process_time()
        built = build(onnx, options, level="verbose")
        spent = time.process_time() - before
    rows = build_times(entry.text for entry in built.messages.entries)
    facts = {"vocoder": vocoder, "frames": frames, "level": level}
    facts |= {"seconds": built.seconds, "processor_seconds": spent}
    return Noted({**facts, "rows": rows}, tactic_sources=SOURCES)


@records.experiment(
    "06-copies", needs="cuda", covers=["labutils.engines.transfers", benchmark.time_call]
)
def copies() -> list[dict[str, Any]]:
    """Copies of real mels and real audio, to the GPU and back, pageable and pinned."""
    return list(transfers.copy_rows(transfers.sizes()))


@records.experiment(
    "06-host-latency", needs=("tensorrt", "pycuda", "cuda"),
    covers=[*COVERS, "labutils.engines.latency", "labutils.runners.pycuda_runner", "labutils.cuda"],
)  # fmt: skip
def host_latency(vocoder: str = "gpt-sovits-v4") -> Iterator[Noted]:
    """Host memory to host memory: PyTorch FP32, its baseline, and an FP16 engine in every runner.

    Yields ``{"rows": [...], ...}`` after each way.
    """
    model = vocoders.create(vocoder)
    frames = baseline.FRAMES.get(vocoder) or round(5 * model.config.mel.frame_rate)
    mel = vocoders.speech_like_mel(model.config.mel, frames).numpy()
    known = {way.name: way for way in variants.GPU}
    chosen = known[baseline.of(vocoder).get("variant", "FP16, graph")]
    rows: list[dict[str, Any]] = []
    with settings(500.0) as given, Graphs(given.graphs) as graphs, Builder(given.engines) as make:
        built = trials.build_candidate(
            PLAIN, vocoder, frames, graphs=graphs, builder=make, seconds=given.seconds,
            timing_cache=given.timing_cache,
        )  # fmt: skip
        ways = {
            "PyTorch, FP32": latency.torch_runner(model, known["FP32"], mel),
            f"PyTorch, {chosen.name}": latency.torch_runner(model, chosen, mel),
            **latency.runners_of(built.path, model.config),
        }
        for row in latency.latency_rows(ways, mel):
            rows.append(row)
            log.info("%s", row)
            yield Noted({"vocoder": vocoder, "rows": rows}, tactic_sources=SOURCES)
