"""The experiment on a GPU: TensorRT engines with INT8 against FP16 and FP32, all in one run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from labutils import audio, benchmark, evaluation, metrics, onnx_export, records, vocoders
from labutils.baseline import trials as torch_trials
from labutils.baseline import variants
from labutils.engines.building import Builder, Built
from labutils.engines.experiments import SOURCES
from labutils.engines.settings import settings
from labutils.engines.trials import reference_audio
from labutils.quantization import experiments
from labutils.quantization.calibration import calibrate, segments
from labutils.quantization.layers import layers_of, network_costs
from labutils.quantization.mixed import choose, combined_snr
from labutils.quantization.static import default_exclusions, placement, quantize
from labutils.records import Noted
from labutils.runners import TensorRTRunner
from labutils.trt import BuildOptions, Profile, inspect, load_engine, versions

__all__ = ["BUDGET", "TRAINED", "int8_engines", "variants_of"]

TRAINED = ("hifigan-small", "melgan", "gpt-sovits-v4-small", "bigvgan-small")
BUDGET = 30.0  # dB, of the mixed variant
_CLIP, _FRAMES = "en-slt", 400
_SCORES = ("snr_db", "log_mel_l1", "multi_resolution_stft", "stoi", "pesq_wb")
_COVERS = [
    *experiments.COVERS, "labutils.quantization.mixed", "labutils.trt.build",
    "labutils.trt.options", "labutils.trt.versions", "labutils.runners.tensorrt_runner",
    "labutils.onnx_export", benchmark.time_call,
]  # fmt: skip

log = logging.getLogger(__name__)
Maker = Callable[[Path], Path]


@records.experiment("10-int8-engines", needs=("tensorrt", "cuda"), covers=_COVERS)
def int8_engines(vocoder: str = "hifigan-small", level: int = 3) -> Iterator[Noted]:
    """Engines of one vocoder, one clip of speech, as CUDA graphs: FP32, FP16, and ways to INT8.

    Names of `TRAINED` have trained weights; others are random, and say something of speed only.
    Yields ``{"rows": [...], "weights": "trained" | "random", ...}`` after each engine. A way that
    can not be built is a row with "error".
    """
    trained = vocoder in TRAINED
    model = vocoders.load(vocoder) if trained else vocoders.create(vocoder)
    clip = audio.clip(_CLIP)
    mel = evaluation.log_mel(clip.load(), clip.sample_rate, model.config)[..., :_FRAMES]
    mel = np.ascontiguousarray(mel)
    data: dict[str, Any] = {
        "vocoder": vocoder, "weights": "trained" if trained else "random", "frames": mel.shape[2],
        "level": level, "clip": _CLIP, "rows": [],
        "rest": "FP32" if versions.types_from_graph() else "FP16",
    }  # fmt: skip
    with settings(500.0) as given, Builder(given.engines) as make:
        begin = time.monotonic()
        given.graphs.mkdir(parents=True, exist_ok=True)
        path = onnx_export.export(model, given.graphs / "fp32.onnx", exporter="legacy").path
        reference = reference_audio(model, mel)
        for number, (name, (maker, int8)) in enumerate(variants_of(vocoder, model, path).items()):
            row: dict[str, Any] = {"variant": name, "int8_layers": None}
            with torch_trials.noting(row):
                left = given.seconds - (time.monotonic() - begin)
                if left < 20:
                    raise RuntimeError("not measured: time")
                onnx = maker(given.graphs / f"{number}.onnx")
                row["int8_layers"] = sum(r["weight"] for r in placement(onnx))
                built = make.build(onnx, _options(mel, level, int8, given.timing_cache),
                                   seconds=left + 45)  # fmt: skip
                row |= _measured(model, built, mel, reference, trained)
            data["rows"].append(row)
            log.info("%s", row)
            yield Noted(data, tactic_sources=SOURCES)


def _options(mel: np.ndarray, level: int, int8: bool, cache: Path) -> BuildOptions:
    # 8.6 chooses the types of what is not quantised itself, where it is permitted to; later
    # versions take them from the graph, and there is no flag.
    permit = ("float16",) if int8 and not versions.types_from_graph() else ()
    return BuildOptions(
        (Profile.fixed(mel.shape[2]),), optimization_level=level, permit=permit, timing_cache=cache
    )


def variants_of(vocoder: str, model: nn.Module, path: Path) -> dict[str, tuple[Maker, bool]]:
    """{variant: (what writes its ONNX file, whether it holds INT8)}, of a float32 file.

    "mixed" comes from the record of the sensitivities, where there is one.
    """
    layers = layers_of(path)
    mels = segments(audio.clips("train")[:3], model.config)
    ranges = calibrate(path, mels)
    transposed = [n for n in default_exclusions(layers) if _kind(layers, n) != "ConvTranspose"]

    def int8(used: Any = ranges, **how: Any) -> tuple[Maker, bool]:
        return (lambda out: quantize(path, out, used, target="tensorrt", **how)), True

    made: dict[str, tuple[Maker, bool]] = {
        "FP32": (lambda out: path, False),
        "FP16": (lambda out: onnx_export.to_fp16(path, out), False),
        "INT8": int8(),
        "INT8, per tensor": int8(per_channel=False),
        "INT8, transposed too": int8(exclude=transposed),
        "INT8, transposed too, per tensor": int8(exclude=transposed, per_channel=False),
        "INT8 everywhere": int8(exclude=()),
    }
    if vocoder in TRAINED:  # says nothing of speed, and takes minutes for a large network
        made["INT8, percentile"] = int8(calibrate(path, mels, method="percentile"))
    found = experiments.sensitivities.recorded(vocoder=vocoder, target="tensorrt")
    if found:
        rows = [r for r in found if r["layer"] not in set(default_exclusions(layers))]
        scores = {row["layer"]: row["snr_db"] for row in rows}
        choice = choose(
            experiments.rows_as_sensitivity(rows),
            budget=BUDGET,
            measure=lambda names: combined_snr(scores[name] for name in names),
            work=network_costs(model, layers),
        )
        if choice.layers:
            name = f"INT8, mixed for {BUDGET:g} dB"
            made[name] = int8(only=list(choice.layers), exclude=())
    return made


def _kind(layers: Any, name: str) -> str:
    return next(layer.kind for layer in layers if layer.name == name)


def _measured(
    model: nn.Module, built: Built, mel: np.ndarray, reference: np.ndarray, trained: bool
) -> dict[str, Any]:
    """What an engine takes, what its layers compute in, and what its sound is worth."""
    variants.release("cuda")
    config, engine = model.config, load_engine(built.path)
    with engine, TensorRTRunner(engine, config, graph=True) as runner:
        launch = runner.prepare(mel)
        launch()
        runner.synchronize()
        limits = {"warmup": 5, "runs": 50, "max_seconds": 5.0}
        taken = float(np.median(benchmark.time_call(launch, device="cuda", **limits)))
        sound = runner.infer(mel)
        del launch
        sizes = {"engine_mb": engine.plan_bytes / 1e6, "build_seconds": built.seconds}
        counts = inspect.layers(engine).precisions()
    rate = config.output_sample_rate
    wanted = _SCORES if trained else _SCORES[:1]  # the others want speech
    scores = metrics.compare(reference[0], sound[0], rate, only=wanted)
    seconds = sound.shape[1] / rate
    finite = {k: v for k, v in scores.items() if v is None or np.isfinite(v)}
    speed = {"median_ms": taken, "times_real_time": 1e3 * seconds / taken}
    return speed | finite | sizes | {"layers by precision": _words(counts)}


def _words(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in counts.items())
