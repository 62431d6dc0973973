"""Engines built, timed and compared one after the other: failures become rows, time has an end."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from labutils import benchmark, costs
from labutils.baseline import trials as torch_trials
from labutils.baseline import variants
from labutils.baseline.variants import Variant
from labutils.engines.building import Builder, Built
from labutils.engines.candidates import Candidate, Step, best_so_far, facts
from labutils.engines.graphs import Graphs
from labutils.metrics.scores import snr_db
from labutils.onnx_export import first_layers, last_layers
from labutils.runners import TensorRTRunner, TorchRunner
from labutils.runners.torch_runner import DTYPES
from labutils.trt import BuildOptions, load_engine

__all__ = ["build_candidate", "engine_rows", "measure_engine", "reference_audio", "torch_rows"]

_SHORTEST = 20.0  # seconds: no build is begun with less left
_GRACE = 45.0  # seconds that a build may take beyond the budget
_LONGEST = 0.4  # of the budget for one build, but not less than _PATIENCE: others wait behind it
_PATIENCE = 200.0  # seconds

Row = dict[str, Any]
Measure = Callable[[Built, Candidate, bool, np.ndarray, np.ndarray], Row]


def torch_rows(
    model: nn.Module, ways: Sequence[Variant], mels: Sequence[np.ndarray], **limits: Any
) -> Iterator[Row]:
    """The baseline's rows, measured again beside the engines; as `baseline.trials.rows`."""
    for row in torch_trials.rows(model, mels, ways, **limits):
        yield {"backend": "torch", **row}


def reference_audio(model: nn.Module, mel: np.ndarray, *, device: str = "cuda") -> np.ndarray:
    """Audio (batch, samples) of a mel in FP32 without TF32: what every SNR is taken against."""
    variants.release(device)
    with variants.backends(tf32=False), TorchRunner(model, device=device) as runner:
        return runner.infer(mel)


def build_candidate(
    candidate: Candidate,
    vocoder: str,
    frames: int,
    *,
    graphs: Graphs,
    builder: Builder,
    seconds: float,
    timing_cache: Path | None = None,
) -> Built:
    """The candidate's engine. Raises what the export or the build raised, TimeoutError."""
    begin = time.monotonic()
    onnx = graphs.get(candidate.graph(vocoder, frames), seconds)
    more: dict[str, Any] = {"timing_cache": timing_cache}
    if candidate.ends_fp32:
        ends = [n for n in (*first_layers(onnx), *last_layers(onnx)) if "Conv" in n]
        more["layer_precisions"] = dict.fromkeys(ends, "float32")
    options: BuildOptions = candidate.options(frames, **more)
    return builder.build(onnx, options, seconds=seconds - (time.monotonic() - begin))


def engine_rows(
    vocoder: str,
    steps: Sequence[Step],
    mels: Mapping[int, np.ndarray],
    *,
    references: Callable[[int], np.ndarray],
    build: Callable[[Candidate, float], Built],
    measure: Measure,
    seconds: float,
    ask: Callable[[Candidate], object] = lambda candidate: None,
) -> Iterator[Row]:
    """Rows of the engines that `steps` lead to: each eager and as CUDA graph, as they are ready.

    `mels` by batch; `references` gives the FP32 audio of a batch. `ask` is told of candidates that
    will probably come, so that their graphs can be made ahead. A failure gives one row with "error"
    in words; so does a step that would begin after `seconds`.
    """
    begin = time.monotonic()
    done: list[tuple[Candidate, Row]] = []
    seen: set[Candidate] = set()
    for i, step in enumerate(steps):
        best = best_so_far(done)
        candidate = step.candidate(best)
        if candidate is None or candidate in seen or candidate.batch not in mels:
            continue
        seen.add(candidate)
        for later in steps[i : i + 3]:
            if (next_one := later.candidate(best)) is not None:
                ask(next_one)
        mel = mels[candidate.batch]
        row: Row = {
            "backend": "tensorrt", "variant": candidate.name, "batch": candidate.batch,
            "frames": mel.shape[2], **facts(candidate), "graph": True, "tried": step.tried,
        }  # fmt: skip
        left = begin + seconds - time.monotonic()
        with torch_trials.noting(row):
            if left < _SHORTEST:
                raise RuntimeError("not measured: time")
            built = build(candidate, min(left + _GRACE, max(_PATIENCE, _LONGEST * seconds)))
            reference = references(candidate.batch)
            for graph in (True,) if step.tried else (False, True):
                name = f"{candidate.name}{', graph' if graph else ''}"
                taken = measure(built, candidate, graph, mel, reference)
                made = row | {"variant": name, "graph": graph} | taken
                if not graph:
                    yield made
            row = made
            done.append((candidate, row))
        yield row


def measure_engine(
    model: nn.Module,
    built: Built,
    candidate: Candidate,
    graph: bool,
    mel: np.ndarray,
    reference: np.ndarray,
    *,
    device: str = "cuda",
    runs: int = 50,
    max_seconds: float = 5.0,
) -> Row:
    """Load an engine, time it for a mel (batch, n_mels, frames), compare it with FP32 audio.

    The row has what `Timing.row` gives (the device's work as `median_ms`), `build_seconds` and
    whether the engine was kept from before, MB of the plan, of its activations and of all that the
    GPU lost while it was loaded (`device_mb`), the streams it uses beside, and `snr_db`.
    """
    variants.release(device)
    frames, config = mel.shape[2], model.config
    more = candidate.frames(frames) - frames
    given = np.pad(mel, ((0, 0), (0, 0), (0, more)), mode="edge") if more else mel
    cost = costs.totals(
        costs.count(model, frames, batch=mel.shape[0], dtype=DTYPES[_cost_dtype(candidate)])
    )
    held = benchmark.device_bytes(device)
    engine = load_engine(built.path)
    with engine, TensorRTRunner(engine, config, device=device, graph=graph) as runner:
        launch = runner.prepare(given)
        launch()
        runner.synchronize()
        taken = benchmark.device_bytes(device) - held
        audio = runner.infer(given)[:, : config.output_length(frames)]
        limits = {"warmup": 5, "runs": runs, "max_seconds": max_seconds}
        device_ms = benchmark.time_call(launch, device=device, **limits)
        host = {"warmup": 2, "runs": 20, "max_seconds": max_seconds / 3}
        host_ms = benchmark.time_call(lambda: runner.infer(given), **host)
        sizes = {
            "engine_mb": engine.plan_bytes / 1e6,
            "activation_mb": engine.scratch_bytes / 1e6,
            "streams": int(getattr(engine.engine, "num_aux_streams", 0)),
        }
        del launch
    gc.collect()
    timing = benchmark.Timing(
        "", device, "CUDA events", device_ms, host_ms,
        audio.size / config.output_sample_rate, mel.shape, cost,
    )  # fmt: skip
    row = {key: value for key, value in timing.row().items() if key != "p99_ms"}
    sizes |= {"device_mb": taken / 1e6, "build_seconds": built.seconds, "kept": built.kept}
    return row | sizes | {"snr_db": _snr(reference, audio, config, padded=bool(more))}


def _cost_dtype(candidate: Candidate) -> str:
    return "float16" if candidate.dtype == "float16" else "float32"


def _snr(reference: np.ndarray, audio: np.ndarray, config: Any, *, padded: bool) -> float | None:
    """SNR in dB; of padded input without the end, whose sound sees the padding. None: no noise."""
    if padded:
        end = reference.shape[1] - config.hop_length * config.receptive_field
        reference, audio = reference[:, :end], audio[:, :end]
    if np.array_equal(reference, audio):
        return None
    return snr_db(reference.ravel(), audio.ravel())
