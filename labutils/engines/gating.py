"""The experiment of the gate: do engines of the trained vocoders sound like PyTorch?"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labutils import audio, benchmark, evaluation, records, vocoders
from labutils.baseline import trials as torch_trials
from labutils.engines import precision, trials
from labutils.engines.building import Builder, Built
from labutils.engines.experiments import COVERS, SOURCES
from labutils.engines.graphs import Graphs, GraphSpec, fix_shape
from labutils.engines.rewrites import AS_IT_IS
from labutils.engines.settings import settings
from labutils.metrics.scores import snr_db
from labutils.records import Noted
from labutils.runners import TensorRTRunner
from labutils.trt import BuildOptions, Profile

__all__ = ["GATES", "TRAINED", "Case", "gates", "passed"]

TRAINED = ("hifigan-small", "melgan", "gpt-sovits-v4-small", "bigvgan-small")
GATES = {"FP32": 80.0, "FP16": 45.0}  # dB against torch FP32 without TF32
_CLIP, _FRAMES = "en-slt", 160

log = logging.getLogger(__name__)
Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One engine: of a trained vocoder in a form; FP16 with what stays FP32, or all of it FP32."""

    vocoder: str
    kept: str = "ends"  # as in `precision.KEPT`, or "all"
    form: str = AS_IT_IS

    @property
    def precision(self) -> str:
        return "FP32" if self.kept == "all" else "FP16"

    def spec(self, frames: int) -> GraphSpec:
        """The file that it is made of: of one shape, but open where a stage is still to be kept."""
        half = self.kept == "ends"
        shape = None if self.kept == "first stage" else (1, frames)
        return GraphSpec(self.vocoder, self.form, half, shape, trained=True)


def _cases() -> list[Case]:
    found = [Case(name, kept) for kept in ("ends", "first stage", "all") for name in TRAINED]
    found += [Case(name, form="image, polyphase") for name in TRAINED]
    ways = ("blocks", "phases")
    return found + [Case("bigvgan-small", form=f"image, snakes in {way}") for way in ways]


@records.experiment("05-gates", needs=("tensorrt", "cuda"), covers=[*COVERS, precision])
def gates(level: int = 1) -> Iterator[Noted]:
    """Do engines of trained vocoders sound like PyTorch? SNR on speech against torch FP32.

    FP16 with the ends in FP32, as `to_fp16` leaves them, and with the first stage in FP32, too.
    Yields ``{"rows": [...], "passed": bool}`` after each engine; `passed` as the function.
    """
    rows: list[Row] = []
    with settings(500.0) as given, Graphs(given.graphs) as graphs, Builder(given.engines) as make:
        begin = time.monotonic()
        mels = {name: _speech(name) for name in TRAINED}
        for case in _cases():
            graphs.ask(case.spec(mels[case.vocoder].shape[2]))
        for case in _cases():
            frames = mels[case.vocoder].shape[2]
            row: Row = {
                "vocoder": case.vocoder, "precision": case.precision, "FP32 layers": case.kept,
                "form": case.form, "level": level, "clip": _CLIP, "frames": frames,
                "bound_db": GATES[case.precision],
            }  # fmt: skip
            with torch_trials.noting(row):
                left = given.seconds - (time.monotonic() - begin)
                if left < 10:
                    raise RuntimeError("not measured: time")
                options = BuildOptions(
                    (Profile.fixed(frames),), optimization_level=level,
                    timing_cache=given.timing_cache,
                )  # fmt: skip
                onnx = _file(case, frames, graphs, given.graphs, left + 60)
                built = make.build(onnx, options, seconds=left + 60)
                row["build_seconds"] = built.seconds
                row |= _heard(case.vocoder, built, mels[case.vocoder])
                row["passed"] = row["snr_db"] >= row["bound_db"]
            rows.append(row)
            log.info("%s", row)
            yield Noted({"rows": rows, "passed": passed(rows)}, tactic_sources=SOURCES)


def passed(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether each trained vocoder has an FP32 and an FP16 engine, not rewritten, that pass."""
    good = {
        (row["vocoder"], row["precision"])
        for row in rows
        if row.get("passed") and row["form"] == AS_IT_IS
    }
    return good >= {(name, precision) for name in TRAINED for precision in GATES}


def _file(case: Case, frames: int, graphs: Graphs, folder: Path, seconds: float) -> Path:
    """The ONNX file of a case, for one mel of so many frames."""
    path = graphs.get(case.spec(frames), seconds)
    if case.kept != "first stage":
        return path
    kept = precision.keep(case.kept, path, folder / f"{case.vocoder}-{case.kept}.onnx")
    return fix_shape(kept, kept.with_stem(f"{kept.stem}-fixed"), 1, frames)


def _speech(name: str) -> np.ndarray:
    clip, config = audio.clip(_CLIP), vocoders.load(name).config
    return evaluation.log_mel(clip.load(), clip.sample_rate, config)[..., :_FRAMES]


@functools.lru_cache(maxsize=len(TRAINED))
def _torch_sound(name: str) -> np.ndarray:
    return trials.reference_audio(vocoders.load(name), _speech(name))


def _heard(name: str, built: Built, mel: np.ndarray) -> Row:
    """The SNR of an engine's sound, and what a call takes as a CUDA graph: the price of FP32."""
    with TensorRTRunner(built.path, vocoders.load(name).config, graph=True) as runner:
        snr = snr_db(_torch_sound(name).ravel(), runner.infer(mel).ravel())
        taken = benchmark.time_call(
            runner.prepare(mel), device="cuda", warmup=5, runs=50, max_seconds=2.0
        )
    return {"snr_db": snr, "median_ms": float(np.median(taken))}
