"""The stand-in for trtexec: builds or loads an engine, times it, tells in trtexec's own words.

python -m labutils.trt.trtexec --onnx=vocoder.onnx --minShapes=mel:1x80x32
    --optShapes=mel:1x80x400 --maxShapes=mel:1x80x1000 --saveEngine=vocoder.plan
"""

from __future__ import annotations

import dataclasses
import logging
import shlex
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from labutils import tables
from labutils.environment import MissingPackage, require
from labutils.trt import build, inspect, load_engine, timing_cache, versions
from labutils.trt.engine import Engine
from labutils.trt.source import read_onnx
from labutils.trt.trtexec import exports, flags, report, timing, traces
from labutils.trt.trtexec.graph_input import check_input, read_graph
from labutils.trt.trtexec.output import Output, tensorrt_lines
from labutils.trt.trtexec.plan import Plan, make_plan
from labutils.trt.trtexec.values import FlagError

__all__ = ["main"]

log = logging.getLogger(__name__)
_NEWEST = (11, 0, 0)  # whose flags hold where TensorRT is not installed
_PROFILE_RUNS = 10


def main(arguments: Sequence[str], write: Callable[[str], object]) -> int:
    """Do what a command line of trtexec says; every line goes to `write`. Returns 0, or 1 for a
    failure, as trtexec does.
    """
    out = Output(write)
    if flags.asks_for_help(arguments):
        rows = flags.rows(here=True)
        columns = ("flag", "the stand-in", "8.6", "10", "11")
        out.bare("The flags of this stand-in for trtexec, and what each version does with them:")
        out.bare(tables.text_table([{key: row[key] for key in columns} for row in rows]))
        return 0
    missing = None
    try:
        version = versions.version()
    except MissingPackage as error:
        missing, version = error, _NEWEST
    number = version[0] * (1000 if version[0] < 10 else 10_000) + version[1] * 100 + version[2]
    known = "is missing" if missing else f"v{number}"
    tool = f"TensorRT.trtexec [TensorRT {known}] # trtexec {shlex.join(arguments)}"
    out.bare(f"&&&& RUNNING {tool}")
    out("labutils.trt.trtexec: a stand-in for trtexec in Python, with some of its flags")
    if missing is not None:
        out(f"without TensorRT the flags are read as TensorRT {_NEWEST[0]} takes them", "W")
    try:
        plan = make_plan(flags.read(arguments, version), version)
        if missing is not None:
            raise missing
        out(f"TensorRT version: {'.'.join(map(str, version))}")
        for note in plan.notes:
            out(note, "W")
        with tensorrt_lines(out, verbose=bool(plan.values.get("verbose"))):
            _run(plan, version, out)
    except (FlagError, MissingPackage) as error:
        out(str(error), "E")
    except (ValueError, RuntimeError, OSError) as error:
        # What TensorRT, torch and the file system refuse; the debug log has where.
        log.debug("the run failed", exc_info=True)
        out(" ".join(str(error).split()), "E")
    else:
        out.bare(f"&&&& PASSED {tool}")
        return 0
    out.bare(f"&&&& FAILED {tool}")
    return 1


def _run(plan: Plan, version: tuple[int, ...], out: Output) -> None:
    torch = require("torch")
    if not torch.cuda.is_available():
        raise RuntimeError("torch finds no NVIDIA GPU: engines are built and timed on one")
    out("")
    out("=== Device Information ===")
    out(f"Selected Device: {torch.cuda.get_device_name()}")
    out("Compute Capability: {}.{}".format(*torch.cuda.get_device_capability()))
    out("")
    data = plan.load or _build(plan, version, out)
    start = time.perf_counter()
    with load_engine(data) as engine:
        out(f"Engine deserialized in {time.perf_counter() - start:g} sec.")
        shape = _shape(plan, engine)
        if plan.values.get("dumpLayerInfo") or plan.file("exportLayerInfo"):
            _layers(plan, engine, shape, out)
        if plan.values.get("skipInference"):
            out("Skipped inference phase since --skipInference is added.")
            return
        _time(plan, engine, shape, out)
        if plan.values.get("dumpProfile") or plan.file("exportProfile"):
            _profile(plan, engine, shape, out)


def _build(plan: Plan, version: tuple[int, ...], out: Output) -> bytes:
    """The engine's plan; written where --saveEngine says."""
    assert plan.options is not None and plan.onnx is not None
    options = plan.options
    level = "verbose" if plan.values.get("verbose") else "warning"
    out(f"Input build shape: {options.profiles[0]}, level {options.optimization_level}")
    source = read_graph(plan)
    if (cache := plan.file("timingCacheFile")) is not None:
        timing_cache.start_raw(cache)
    with tempfile.TemporaryDirectory() as folder:
        if plan.fp16 and version[0] < 10:  # the flag permits FP16, TensorRT chooses where
            options = dataclasses.replace(options, permit=("float16",))
        elif plan.fp16 and "float16" in source.precisions:  # types are the graph's
            out(f"--fp16: {source.name} holds FP16 already and is built as it is", "W")
        elif plan.fp16:
            from labutils.onnx_export import to_fp16

            source = read_onnx(to_fp16(plan.onnx, Path(folder) / plan.onnx.name))
            out("--fp16: the graph was converted, its first and last layers stay FP32", "W")
        out("Start building the engine.")
        built = build(source, options, level=level)
    out(f"Engine built in {built.seconds:g} sec.")
    out(f"Created engine with size: {len(built.plan) / 2**20:g} MiB")
    if path := plan.file("saveEngine"):
        built.save(path)
        out(f"Saved engine to {path}")
    return built.plan


def _shape(plan: Plan, engine: Engine) -> tuple[int, int, int]:
    """The input to time; FlagError where it is not this engine's."""
    check_input(plan, "the engine", engine.input, engine.n_mels)
    return plan.shape or engine.profiles[0].shapes(engine.n_mels)[1]


def _layers(plan: Plan, engine: Engine, shape: tuple[int, int, int], out: Output) -> None:
    text = inspect.information(engine, shape=shape)
    if path := plan.file("exportLayerInfo"):
        exports.write_layer_info(path, text)
    if plan.values.get("dumpLayerInfo"):
        out("")
        out("=== Layer Information ===")
        for row in inspect.layers(text).rows:
            out(f"{row['name']}: {row['kind']}, {row['precision']}, {row['shapes']}")


def _time(plan: Plan, engine: Engine, shape: tuple[int, int, int], out: Output) -> None:
    options = plan.timing
    size = "x".join(map(str, shape))
    for name, on in (
        ("Data transfers", options.transfers),
        ("Spin-wait", options.spin),
        ("CUDA Graph", options.graph),
    ):
        out(f"{name}: {'Enabled' if on else 'Disabled'}")
    out(f"Input binding for {engine.input} with dimensions {size} is created.")
    out("Starting inference")
    found, graph = timing.measure(engine, shape, options)
    if options.graph and not graph:
        out("The CUDA graph was left out: launched kernel by kernel.", "W")
    timed = traces.after_warm_up(found, options.warm_up_ms)
    if not timed:
        raise RuntimeError("no query began after the warm-up: give a longer --duration")
    lines = report.report(
        timed,
        warm_ups=len(found) - len(timed),
        warm_up_ms=options.warm_up_ms,
        average_of=plan.values.get("avgRuns", 10),
        percentiles=plan.values.get("percentile", (90, 95, 99)),
    )
    for severity, text in lines:
        if severity != "V" or plan.values.get("verbose"):
            out(text, severity)
    if path := plan.file("exportTimes"):
        exports.write_times(path, timed)


def _profile(plan: Plan, engine: Engine, shape: tuple[int, int, int], out: Output) -> None:
    """Time the layers in a run of its own: the profiler would slow the measurement."""
    runs = inspect.layer_runs(engine, shape, max(_PROFILE_RUNS, plan.timing.iterations))
    if path := plan.file("exportProfile"):
        exports.write_profile(path, runs)
    if plan.values.get("dumpProfile"):
        for line in ("", *report.profile_lines(runs), ""):
            out(line)
