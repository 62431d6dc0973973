"""Experiments of notebook 10 that take minutes on a processor: sensitivity and calibration."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from torch import nn

from labutils import audio, evaluation, metrics, onnx_export, records, runners, vocoders
from labutils.metrics.scores import snr_db
from labutils.quantization.calibration import calibrate, segments
from labutils.quantization.layers import layers_of
from labutils.quantization.sensitivity import Score, Sensitivity, measured_one_by_one
from labutils.quantization.static import quantize

__all__ = ["COVERS", "HELD_OUT", "calibration", "rows_as_sensitivity", "score_of", "sensitivities"]

COVERS = [
    f"labutils.quantization.{part}" for part in ("calibration", "layers", "static", "sensitivity")
]
HELD_OUT = ("en-awb", "ru-nsh", "it-lp")
_SCORES = ("snr_db", "log_mel_l1", "multi_resolution_stft", "stoi", "pesq_wb")
_FRAMES = 120

log = logging.getLogger(__name__)


def score_of(model: nn.Module, mel: np.ndarray) -> Score:
    """A score for `sensitivity`: SNR in dB of a file's sound against the network's in PyTorch."""
    with runners.TorchRunner(model) as runner:
        reference = runner.infer(mel)

    def score(path: Path) -> float:
        with runners.OnnxRunner(path, model.config) as runner:
            return float(snr_db(reference.ravel(), runner.infer(mel).ravel()))

    return score


def rows_as_sensitivity(rows: Sequence[dict[str, Any]]) -> list[Sensitivity]:
    """The rows of the record "10-sensitivity" as `choose` and the picture take them."""
    return [Sensitivity(row["layer"], (row["layer"],), row["snr_db"]) for row in rows]


@records.experiment("10-sensitivity", covers=COVERS)
def sensitivities(
    vocoder: str = "hifigan-small", target: str = "onnxruntime"
) -> Iterator[list[dict[str, Any]]]:
    """Each layer alone in INT8: SNR on held-out speech against PyTorch FP32. Yields the rows.

    A phase that a rounding turns over costs one sentence 10 dB and spares the next: three count.
    """
    model = vocoders.load(vocoder)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = onnx_export.export(model, Path(folder) / "v.onnx", exporter="legacy").path
        ranges = calibrate(path, segments(audio.clips("train")[:3], model.config))
        kinds = {layer.name: layer.kind for layer in layers_of(path)}
        mels = [_speech(clip, model)[..., :100] for clip in HELD_OUT]
        score = score_of(model, np.concatenate(mels))
        for found in measured_one_by_one(path, ranges, score, target=target):
            row = {"layer": found.name, "kind": kinds[found.name], "snr_db": found.score}
            rows.append(row)
            log.info("%s", row)
            yield rows


def _speech(clip: str, model: nn.Module) -> np.ndarray:
    """The log mel of a clip without its silent beginning, `_FRAMES` frames."""
    found = audio.clip(clip)
    return evaluation.log_mel(found.load(), found.sample_rate, model.config)[..., 40 : 40 + _FRAMES]


@records.experiment("10-calibration", covers=COVERS)
def calibration(vocoder: str = "hifigan-small") -> Iterator[list[dict[str, Any]]]:
    """Calibration sets and methods, scales per tensor and per channel: what the sound loses.

    The default exclusions; medians over held-out clips, against PyTorch FP32. Yields the rows.
    """
    model = vocoders.load(vocoder)
    config, clips = model.config, audio.clips("train")[:3]
    mels = [_speech(name, model) for name in HELD_OUT]
    with runners.TorchRunner(model) as runner:
        references = [runner.infer(mel)[0] for mel in mels]
    speech = segments(clips, config)
    random = np.random.default_rng(0)
    sets: dict[str, Callable[[], list[np.ndarray]]] = {
        "speech, 1 piece": lambda: speech[1:2],
        "speech, 3 pieces of one voice": lambda: speech[:3],
        "speech, 9 pieces of three voices": lambda: speech,
        "speech, 24 pieces of three voices": lambda: segments(clips, config, per_clip=8),
        "silence": lambda: [np.full_like(speech[0], _floor(speech))],
        "random numbers": lambda: [
            random.normal(0, 1, speech[0].shape).astype(np.float32) for _ in range(9)
        ],
    }
    nine = "speech, 9 pieces of three voices"
    cases: list[tuple[str, str, dict[str, Any], bool]]
    cases = [(name, "minmax", {}, True) for name in sets]
    cases += [(nine, "entropy", {"bins": bins}, True) for bins in (128, 512)]
    cases += [(nine, "percentile", {"percentile": p}, True) for p in (99.999, 99.99, 99.9, 99.0)]
    cases += [(nine, "minmax", {}, False)]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = onnx_export.export(model, Path(folder) / "v.onnx", exporter="legacy").path
        out = Path(folder) / "int8.onnx"
        for name, method, more, per_channel in cases:
            begin = time.perf_counter()
            ranges = calibrate(path, sets[name](), method=method, **more)
            seconds = time.perf_counter() - begin
            quantize(path, out, ranges, per_channel=per_channel)
            row: dict[str, Any] = {
                "calibrated on": name,
                "method": " ".join([method, *(f"{value:g}" for value in more.values())]),
                "scales": "per channel" if per_channel else "per tensor",
                "seconds": seconds,
            }
            rows.append(row | _scores(out, model, mels, references))
            log.info("%s", rows[-1])
            yield rows


def _floor(mels: Sequence[np.ndarray]) -> float:
    """The smallest value of all mels: what silence looks like."""
    return float(min(mel.min() for mel in mels))


def _scores(path: Path, model: nn.Module, mels: Sequence[np.ndarray], references: Any) -> dict:
    """Medians over the clips; None where a score is missing."""
    rate, rows = model.config.output_sample_rate, []
    with runners.OnnxRunner(path, model.config) as runner:
        for mel, reference in zip(mels, references, strict=True):
            sound = runner.infer(mel)[0]
            rows.append(metrics.compare(reference, sound, rate, only=_SCORES))
    known = {key: [row[key] for row in rows if row[key] is not None] for key in _SCORES}
    return {key: median(values) if values else None for key, values in known.items()}
