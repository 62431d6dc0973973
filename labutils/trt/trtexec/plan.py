"""What a command line asks for: profiles, build options, the shape to time, and how to time it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labutils.trt.options import BuildOptions
from labutils.trt.profiles import Profile
from labutils.trt.trtexec.flags import Given
from labutils.trt.trtexec.timing import TimingOptions
from labutils.trt.trtexec.values import FlagError

__all__ = ["Plan", "make_plan"]

Shape = tuple[int, int, int]

# The three switches whose defaults TensorRT 11 turned round: on, off, default before, since 11.
_SWITCHES = {
    "transfers": ("includeDataTransfers", "noDataTransfers", True, False),
    "graph": ("useCudaGraph", "noCudaGraph", False, True),
    "spin": ("useSpinWait", "noSpinWait", False, True),
}
_FOR_BUILDING = (
    "minShapes", "maxShapes", "memPoolSize", "builderOptimizationLevel", "timingCacheFile",
    "noTF32", "fp16", "stronglyTyped", "sparsity", "profilingVerbosity",
)  # fmt: skip
_FOR_TIMING = (
    "warmUp", "iterations", "duration", "avgRuns", "percentile", "infStreams", "separateProfileRun",
    *(flag for switch in _SWITCHES.values() for flag in switch[:2]),
)  # fmt: skip
_OF_TIMING = ("exportTimes", "exportProfile", "dumpProfile")  # outputs that timing makes


@dataclass(frozen=True)
class Plan:
    """What to do, in full.

    `onnx` or `load` is given; `options` is None where no engine is built. `shape` is the input to
    time, that of --optShapes without --shapes, None for the best one of the engine's first profile;
    `input` the name that shapes were given for. `fp16` asks for FP16 beyond the graph. `values` are
    the flags as given, `notes` lines for the reader.
    """

    onnx: Path | None
    load: Path | None
    options: BuildOptions | None
    input: str | None
    shape: Shape | None
    n_mels: int | None
    fp16: bool
    timing: TimingOptions
    values: Mapping[str, Any]
    notes: tuple[str, ...]

    def file(self, flag: str) -> Path | None:
        return self.values.get(flag)


def make_plan(given: Given, version: tuple[int, ...]) -> Plan:
    """The plan of a command line that `flags.read` took.

    Raises FlagError: no or two models, no shape for a build, shapes of several inputs or band
    numbers, a shape to time outside the profile, both sides of a switch, an output for nothing
    (--saveEngine where none is built, times where nothing is timed). Flags that change nothing are
    no error, as in trtexec, which does not mention them: a note tells.
    """
    values, notes = given.values, list(given.notes)
    onnx, load = values.get("onnx"), values.get("loadEngine")
    if (onnx is None) == (load is None):
        raise FlagError("give one model: --onnx=FILE to build, or --loadEngine=FILE to time")
    for path in (onnx, load):
        if path is not None and not path.is_file():
            raise FlagError(f"no such file: {path}")
    if load is not None and "saveEngine" in values:
        raise FlagError(
            "--saveEngine has nothing to write with --loadEngine, which builds no engine: leave it "
            "out, or build with --onnx=FILE"
        )
    name, shapes = _shapes(values)
    options = _build_options(values, shapes) if onnx is not None else None
    if options is None and (idle := _given(values, _FOR_BUILDING)):
        notes.append(
            f"No effect on a loaded engine, whose kernels and types are built in: {idle}. Leave "
            "out, or build with --onnx=FILE"
        )
    shape = shapes.get("shapes") or shapes.get("optShapes")
    if (
        options is not None
        and shape is not None
        and not options.profiles[0].holds(shape[0], shape[2])
    ):
        raise FlagError(f"--shapes: {_text(shape)} lies outside the profile, {options.profiles[0]}")
    timing, told = _timing(values, version)
    if not values.get("skipInference"):
        notes += told
    elif wanted := [flag for flag in _OF_TIMING if flag in values]:
        raise FlagError(f"--{wanted[0]} has nothing to write with --skipInference")
    elif idle := _given(values, _FOR_TIMING):
        notes.append(f"No effect with --skipInference, which times nothing: {idle}")
    bands = next((shape[1] for shape in shapes.values()), None)
    fp16 = bool(values.get("fp16"))
    return Plan(onnx, load, options, name, shape, bands, fp16, timing, values, tuple(notes))


def _given(values: Mapping[str, Any], flags: Sequence[str]) -> str:
    """Those of these flags that were given, as they are written."""
    return " ".join(f"--{flag}" for flag in flags if flag in values)


def _shapes(values: Mapping[str, Any]) -> tuple[str | None, dict[str, Shape]]:
    """The one input's name, and its shape by flag."""
    flags = ("minShapes", "optShapes", "maxShapes", "shapes")
    given = {flag: values[flag] for flag in flags if flag in values}
    names = dict.fromkeys(name for name, _ in given.values())
    if len(names) > 1:
        raise FlagError(f"shapes of several inputs ({', '.join(names)}): a vocoder has one")
    bands = dict.fromkeys(shape[1] for _, shape in given.values())
    if len(bands) > 1:
        numbers = ", ".join(map(str, bands))
        raise FlagError(f"the number of mel bands is fixed, the shapes have {numbers}")
    return next(iter(names), None), {flag: shape for flag, (_, shape) in given.items()}


def _build_options(values: Mapping[str, Any], shapes: Mapping[str, Shape]) -> BuildOptions:
    best = shapes.get("optShapes")
    if best is None and ("minShapes" in shapes or "maxShapes" in shapes):
        raise FlagError("--minShapes and --maxShapes need --optShapes between them")
    best = best or shapes.get("shapes")
    if best is None:
        raise FlagError(
            "no shape to build for: --minShapes=mel:1x80x32 --optShapes=mel:1x80x400 "
            "--maxShapes=mel:1x80x1000, or --optShapes alone for a single shape"
        )
    triple = (shapes.get("minShapes", best), best, shapes.get("maxShapes", best))
    try:
        profile = Profile(
            frames=tuple(shape[2] for shape in triple), batch=tuple(shape[0] for shape in triple)
        )
    except ValueError as error:
        raise FlagError(f"--minShapes, --optShapes, --maxShapes: {error}") from None
    return BuildOptions(
        profiles=(profile,),
        tf32=not values.get("noTF32", False),
        workspace_mb=values.get("memPoolSize"),
        optimization_level=values.get("builderOptimizationLevel", 3),
        timing_cache=values.get("timingCacheFile"),
        sparse=values.get("sparsity", False),
        detailed=values.get("profilingVerbosity", True),
    )


def _timing(values: Mapping[str, Any], version: tuple[int, ...]) -> tuple[TimingOptions, list[str]]:
    """How to measure, with the defaults of this version, and what to say of these."""
    switches, silent = {}, []
    for key, (on, off, before, since) in _SWITCHES.items():
        if on in values and off in values:
            raise FlagError(f"--{on} and --{off}: give one of them")
        default = since if version[0] >= 11 else before
        if on not in values and off not in values and version[0] >= 11:
            silent.append(f"--{on if default else off}")
        switches[key] = default if on not in values and off not in values else on in values
    notes = []
    if silent:
        notes.append(
            f"Defaults that TensorRT 11 turned round are in use: {' '.join(silent)}. Give them, or "
            "their opposites, to compare with figures of 8.6 or 10"
        )
    streams = values.get("infStreams", 1)
    if streams > 1:
        notes.append("With several streams trust the throughput, not the latency of one query")
    timing = TimingOptions(
        **switches,
        warm_up_ms=values.get("warmUp", 200.0),
        iterations=values.get("iterations", 10),
        seconds=values.get("duration", 3.0),
        streams=streams,
    )
    return timing, notes


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape))
