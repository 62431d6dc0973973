"""The experiment: engines of a vocoder against its frozen baseline, all in one run."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Iterator
from typing import Any

from labutils import baseline, benchmark, records, vocoders
from labutils.baseline import variants
from labutils.engines import trials
from labutils.engines.building import Builder
from labutils.engines.candidates import PLAIN, Candidate, best_engine, plan
from labutils.engines.graphs import Graphs
from labutils.engines.settings import settings
from labutils.records import Noted
from labutils.roofline import Ceilings, ceilings
from labutils.trt import versions

__all__ = ["COVERS", "SOURCES", "measured"]

COVERS = [
    "labutils.engines.trials", "labutils.engines.candidates", "labutils.engines.graphs",
    "labutils.engines.rewrites", "labutils.engines.polyphase", "labutils.engines.snakes",
    "labutils.trt.build", "labutils.trt.options", "labutils.trt.versions",
    "labutils.runners.tensorrt_runner", "labutils.runners.engine_lanes", "labutils.onnx_export",
    benchmark.time_call,
]  # fmt: skip
SOURCES = "none: cuDNN and cuBLAS left out"

log = logging.getLogger(__name__)


@records.experiment("05-engines", needs=("tensorrt", "cuda"), covers=COVERS)
def measured(vocoder: str) -> Iterator[Noted]:
    """Engines of a preset with random weights against its frozen baseline, on 5 to 10 s of speech.

    Baseline and FP32 are measured again in the same run. Yields ``{"rows": [...], "best": {"1":
    row, "8": row}, ...}`` anew after every row; best is the fastest engine that keeps the quality.
    """
    model = vocoders.create(vocoder)
    frames = baseline.FRAMES.get(vocoder) or round(5 * model.config.mel.frame_rate)
    mels = {
        b: vocoders.speech_like_mel(model.config.mel, frames, batch=b).numpy()
        for b in baseline.BATCHES
    }
    names = {b: baseline.of(vocoder, b).get("variant", "FP16, graph") for b in mels}
    data: dict[str, Any] = {
        "vocoder": vocoder, "weights": model.weights, "frames": frames, "rows": [],
        "baseline": {str(b): name for b, name in names.items()}, "complete": False,
    }  # fmt: skip
    with settings(500.0) as given, Graphs(given.graphs) as graphs, Builder(given.engines) as make:
        steps = plan(model.config.family, weak=not versions.types_from_graph())
        for step in steps[:4]:  # made while PyTorch is measured
            graphs.ask(step.candidate(PLAIN).graph(vocoder, frames))
        roof = ceilings("cuda", dtypes=("float32", "tf32", "float16"), seconds=0.5)
        data["ceilings"] = {"tflops": dict(roof.tflops), "gb_per_s": roof.gb_per_s}
        start = time.monotonic()
        for row in _all_rows(vocoder, model, mels, names, steps, graphs, make, given):
            data["rows"].append(_with_share(row, roof))
            data["best"] = {str(b): best_engine(data["rows"], b) for b in mels}
            log.info("%s", {k: row.get(k) for k in ("variant", "batch", "median_ms", "error")})
            yield Noted(data, tactic_sources=SOURCES)
        data["complete"] = time.monotonic() - start <= given.seconds
        yield Noted(data, tactic_sources=SOURCES)


def _all_rows(vocoder, model, mels, names, steps, graphs, make, given) -> Iterator[dict[str, Any]]:
    """FP32 and the baseline in PyTorch, then the engines; the budget is that of all."""
    begin = time.monotonic()
    frames = mels[1].shape[2]

    def build(candidate: Candidate, seconds: float) -> Any:
        return trials.build_candidate(
            candidate, vocoder, frames, graphs=graphs, builder=make, seconds=seconds,
            timing_cache=given.timing_cache,
        )  # fmt: skip

    wanted = {"FP32", *names.values()}
    ways = [way for way in variants.GPU if way.name in wanted]
    for row in trials.torch_rows(
        model, ways, list(mels.values()), device="cuda", runs=50, max_seconds=5.0,
        seconds=given.seconds - (time.monotonic() - begin),
    ):  # fmt: skip
        yield row | {"is_baseline": row["variant"] == names[row["batch"]]}
    yield from trials.engine_rows(
        vocoder, steps, mels, build=build, measure=functools.partial(trials.measure_engine, model),
        references=functools.cache(lambda batch: trials.reference_audio(model, mels[batch])),
        seconds=given.seconds - (time.monotonic() - begin),
        ask=lambda candidate: graphs.ask(candidate.graph(vocoder, frames)),
    )  # fmt: skip


def _with_share(row: dict[str, Any], roof: Ceilings) -> dict[str, Any]:
    """The row with `share_of_ceiling`: its arithmetic against the most that this GPU did."""
    precision = row.get("precision") or row["variant"].partition(",")[0]
    dtype = {"FP32": "float32", "TF32": "tf32"}.get(precision, "float16")
    if row.get("tflops") is not None:
        row["share_of_ceiling"] = row["tflops"] / roof.tflops[dtype]
    return row
