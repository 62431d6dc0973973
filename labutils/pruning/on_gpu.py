"""Experiments of notebook 11 for a GPU: what pruning does to speed, and minutes of recovery."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from labutils import ROOT, baseline, costs, onnx_export, records, vocoders
from labutils.baseline import trials as torch_trials
from labutils.baseline import variants
from labutils.engines import trials
from labutils.engines.building import Builder, Built
from labutils.engines.candidates import PLAIN
from labutils.engines.experiments import SOURCES
from labutils.engines.graphs import fix_shape
from labutils.engines.rewrites import AS_IT_IS, rewrite
from labutils.engines.settings import Settings, settings
from labutils.engines.settings import in_time as _in_time  # the name in functions of records
from labutils.pruning import channels, judging, messages, recovery, semi_structured, unstructured
from labutils.pruning.experiments import WAYS
from labutils.records import Noted
from labutils.trt import BuildError, BuildOptions, Profile, build
from labutils.trt.engine import load_engine
from labutils.trt.inspect import layers
from labutils.trt.messages import Messages

__all__ = ["CORPUS", "PATTERNS", "recovered", "sparse", "speed", "with_pattern"]

CORPUS = "LABUTILS_CORPUS"  # environment variable: the manifest of a corpus
_TORCH = ("FP16, graph",)
_COVERS = [*WAYS, "labutils.engines.trials", "labutils.trt.build", "labutils.trt.options",
           "labutils.trt.versions", "labutils.runners.tensorrt_runner",
           "labutils.onnx_export"]  # fmt: skip

WHOLE = "2:4"
# Which convolutions of a HiFi-GAN get the pattern: by name and the blocks of a stage.
PATTERNS: dict[str, Callable[[str, int], bool]] = {
    WHOLE: lambda name, kernels: True,
    # What follows a second convolution is the residual sum, which TensorRT fuses with it.
    "2:4, first of each pair": lambda name, kernels: ".convs1." in name,
    "2:4, first stage": lambda name, kernels: (
        name.startswith("resblocks.") and int(name.split(".")[1]) < kernels
    ),
}

log = logging.getLogger(__name__)
Row = dict[str, Any]


@records.experiment("11-speed", needs=("tensorrt", "cuda"), covers=_COVERS)
def speed(vocoder: str = "hifigan-v1") -> Iterator[Noted]:
    """Zeros and narrower networks: FP16 in PyTorch (CUDA graph) and in TensorRT, batch 1.

    Random weights, which change no speed. Yields ``{"rows": [...], ...}`` after each row.
    """
    model = vocoders.create(vocoder)
    cases: list[tuple[str, Callable[[], nn.Module]]] = [("as it is", lambda: model)]
    for share in (0.5, 0.8):
        cases.append(
            (f"{share:.0%} zeros", lambda s=share: unstructured.prune_unstructured(model, s))
        )
    for keep in (0.75, 0.5, 0.25, 0.98):
        cases.append(
            (f"{keep:.0%} of the channels", lambda k=keep: channels.prune_channels(model, k))
        )
    rows: list[Row] = []
    with settings(500.0) as given, Builder(given.engines) as builder:
        begin = time.monotonic()
        for way, make in cases:
            pruned = make()
            mel = _mel(pruned, baseline.FRAMES.get(vocoder) or 400)
            row = {
                "way": way,
                "channels": pruned.config.channels[0],
                "zeros": unstructured.sparsity(pruned),
            }
            row["macs"] = costs.totals(costs.count(pruned, mel.shape[2]))["macs"]
            rows.append(row)
            with torch_trials.noting(row):
                left = _in_time(begin, given)
                chosen = [v for v in variants.GPU if v.name in _TORCH]
                taken = next(
                    trials.torch_rows(
                        pruned, chosen, [mel], device="cuda", runs=50, max_seconds=4.0
                    )
                )
                row["torch_ms"] = taken.get("median_ms")
                row |= {"torch_error": taken["error"]} if "error" in taken else {}
                onnx = _graph(pruned, AS_IT_IS, mel, given.graphs / f"speed-{len(rows)}")
                built = builder.build(onnx, _options(mel, given), seconds=left)
                made = _measured(pruned, built, mel)
                row["tensorrt_ms"] = made["median_ms"]
                for name in ("torch", "tensorrt"):
                    before, now = rows[0].get(f"{name}_ms"), row.get(f"{name}_ms")
                    row[f"{name}: times faster"] = before / now if before and now else None
                row |= {key: made[key] for key in ("engine_mb", "build_seconds", "snr_db")}
            log.info("%s", row)
            yield Noted(
                {"vocoder": vocoder, "frames": mel.shape[2], "rows": rows}, tactic_sources=SOURCES
            )


@records.experiment(
    "11-sparse", needs=("tensorrt", "cuda"),
    covers=[*_COVERS, "labutils.engines.polyphase", "labutils.pruning.messages"],
)  # fmt: skip
def sparse(vocoder: str = "hifigan-v1") -> Iterator[Noted]:
    """2:4 weights in TensorRT, FP16, with and without SPARSE_WEIGHTS; batch 1 and 8.

    With the flag, the pattern is in all layers, and in a part of them: one sparse kernel that
    crashes while the builder times it ends the build. For each engine: its time, how many layers
    TensorRT called eligible and chose a sparse kernel for (its log, and names of kernels). Random
    weights. Yields ``{"rows": [...], ...}``.
    """
    model, rows = vocoders.create(vocoder), []
    frames = baseline.FRAMES.get(vocoder) or 400
    dense, with_flag = ("dense", False), [(way, True) for way in PATTERNS]
    plan = [(AS_IT_IS, 1, *way) for way in (dense, (WHOLE, False), *with_flag)]
    for form, batch in ((AS_IT_IS, 8), ("image, polyphase", 1)):
        plan += [(form, batch, *way) for way in (dense, *with_flag[:2])]
    said: list[str] = []  # in TensorRT's words, where the flag was set
    with (
        settings(500.0) as given,
        Builder(given.engines) as kept,
        Builder(given.graphs, work=build_told) as told,
    ):
        begin = time.monotonic()
        for form, batch, way, flag in plan:
            pruned = model if way == "dense" else with_pattern(model, way)
            mel = _mel(model, frames, batch)
            row: Row = {"form": form, "batch": batch, "weights": way, "SPARSE_WEIGHTS": flag}
            rows.append(row)
            with torch_trials.noting(row):
                left = _in_time(begin, given)
                onnx = _graph(pruned, form, mel, given.graphs / f"sparse-{len(rows)}")
                builder = told if flag else kept
                built = builder.build(onnx, _options(mel, given, sparse=flag), seconds=left)
                text = built.path.with_suffix(".log").read_text("utf-8") if flag else ""
                found = messages.sparsity(text.splitlines())
                said += found.pop("said")
                row |= _measured(pruned, built, mel) | found
            log.info("%s", row)
            log_lines = [{"TensorRT says": line} for line in dict.fromkeys(said)]
            data = {"vocoder": vocoder, "frames": frames, "rows": rows, "log": log_lines}
            yield Noted(data, tactic_sources=SOURCES)


def _graph(model: nn.Module, form: str, mel: np.ndarray, files: Path) -> Path:
    """The FP16 file of a network, for mels of one shape; `files` is how its names begin."""
    files.parent.mkdir(parents=True, exist_ok=True)
    single, half, fixed = (files.with_name(f"{files.name}-{n}.onnx") for n in ("32", "16", "fixed"))
    # The polyphase form is made of pruned weights, so that its convolutions are 2:4 as well.
    onnx_export.export(rewrite(model, form), single, exporter="legacy")
    onnx_export.to_fp16(single, half)
    return fix_shape(half, fixed, mel.shape[0], mel.shape[2])


def _options(mel: np.ndarray, given: Settings, *, sparse: bool = False) -> BuildOptions:
    """Of an engine for mels of one shape."""
    batch, _, frames = mel.shape
    cache = given.timing_cache
    if sparse:  # timings of its own: those of builds without the flag must not hide sparse kernels
        cache = cache.with_name(f"{cache.name}-sparse")
    return BuildOptions((Profile.fixed(frames, batch),), sparse=sparse, timing_cache=cache)


def with_pattern(model: nn.Module, where: str) -> nn.Module:
    """A copy with 2:4 weights in all convolutions, or in a part of a HiFi-GAN: see `PATTERNS`."""
    fits = PATTERNS[where]
    kernels = len(getattr(model.config, "resblock_kernel_sizes", ())) or 1
    dense = [name for name in unstructured.convolutions(model) if not fits(name, kernels)]
    return semi_structured.prune_2_4(model, exclude=dense, transposed=True)


def build_told(onnx: Path, options: BuildOptions, folder: Path) -> Built:
    """For a Builder: an engine that is built now, with what TensorRT says of it beside the plan.

    The log is written where the build fails, too, and the error tells of a kernel that crashed:
    TensorRT's own last error is that it found no kernel.
    """
    with Messages("verbose") as said:
        try:
            made = build(onnx, options)
            plan = made.save(folder / f"{onnx.stem}.plan")
        except BuildError as error:
            crash = said.crash()
            raise BuildError(f"{crash}; then: {error}") if crash else error from None
        finally:
            lines = [" ".join(entry.text.split()) for entry in said.entries]
            (folder / f"{onnx.stem}.log").write_text("\n".join(lines), encoding="utf-8")
    return Built(plan, made.seconds)


def _measured(model: nn.Module, built: Built, mel: np.ndarray) -> Row:
    """What an engine takes, and how many of its kernels are sparse ones by their names."""
    reference = trials.reference_audio(model, mel)
    taken = trials.measure_engine(model, built, PLAIN, True, mel, reference, max_seconds=4.0)
    keys = ("median_ms", "p95_ms", "engine_mb", "build_seconds", "snr_db")
    with load_engine(built.path) as engine:
        kernels = [r["tactic"] for r in layers(engine).rows]
    sparse_kernels = sum("sparse" in kernel.lower() for kernel in kernels)
    row = {key: taken.get(key) for key in keys}
    return row | {"sparse_kernels": sparse_kernels, "layers": len(kernels)}


@records.experiment(
    "11-recovery", needs="cuda",
    covers=[*WAYS, "labutils.pruning.recovery", "labutils.training.losses"],
)  # fmt: skip
def recovered(vocoder: str = "hifigan-small", seconds: float = 40.0) -> Iterator[dict[str, Any]]:
    """Each pruning before and after `seconds` of training on the GPU, and what else might explain
    the gain: more training of the whole network, and the same small network from random weights.

    Trains on the corpus that LABUTILS_CORPUS names, else on the clips of data/speech. Yields
    ``{"dense": scores, "rows": [...], "curves": {way: points}, "corpus": name}`` after each.
    """
    model = vocoders.load(vocoder)
    config = model.config
    manifest = Path(os.environ.get(CORPUS) or ROOT / "build" / "corpus" / "speech-24k.json")
    energy = channels.energy(model, judging.speech_mel(config))
    narrow = {k: channels.prune_channels(model, k, importance=energy) for k in (0.75, 0.5)}
    half = narrow[0.5]
    cases = [
        ("75% of the channels", narrow[0.75], None, False),
        ("50% of the channels", half, None, False),
        ("50% of the channels, from a teacher", half, model, False),
        ("50% of the channels, with critics", half, None, True),
        ("the same size, random weights", vocoders.create(half.config), None, False),
        ("2:4", semi_structured.prune_2_4(model), None, False),
        ("50% zeros", unstructured.prune_unstructured(model, 0.5), None, False),
        ("80% zeros", unstructured.prune_unstructured(model, 0.8), None, False),
        ("as trained, trained on", model, None, False),
    ]
    clips = judging.held_out(8)
    data: dict[str, Any] = {"dense": judging.scores(model, clips), "rows": [], "curves": {}}
    with_corpus = manifest.is_file()
    data["corpus"] = manifest.name if with_corpus else "clips of data/speech"
    if with_corpus:
        mixture = recovery.corpus_mixture(manifest, config, device="cuda")
    else:
        mixture = recovery.clip_mixture(config, batch=16, frames=64, device="cuda")
    with settings(560.0) as given:
        begin = time.monotonic()
        for way, start, teacher, adversarial in cases:
            row: Row = {"way": way}
            data["rows"].append(row)
            with torch_trials.noting(row):
                _in_time(begin, given, seconds + 10)
                done = recovery.recover(
                    start, mixture, steps=100_000, seconds=seconds, teacher=teacher,
                    critics=recovery.Discriminators(1.0) if adversarial else None,
                    score=lambda m: judging.scores(m, clips), every=400,
                )  # fmt: skip
                first, last = done.curve[0], done.last
                row |= {"steps": last["step"], "zeros": unstructured.sparsity(done.model)}
                for name in judging.SCORES:
                    row |= {f"{name}, before": first[name], f"{name}, after": last[name]}
                data["curves"][way] = done.curve
            log.info("%s", row)
            yield data


def _mel(model: nn.Module, frames: int, batch: int = 1) -> np.ndarray:
    return vocoders.speech_like_mel(model.config.mel, frames, batch=batch).numpy()
