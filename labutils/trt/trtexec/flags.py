"""trtexec's flags: what 8.6, 10 and 11 do with each, what replaces a dropped one, and reading them.

The states are those of trtexec's own option tables (samples/common/sampleOptions.cpp of NVIDIA's
TensorRT repository, branches release/8.6, release/10.16 and main) and of NVIDIA's pages
"Migrating trtexec Usage" from 8.x to 10.x and from 10.x to 11.x.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from labutils.trt.trtexec import values

__all__ = ["FLAGS", "VERSIONS", "Flag", "FlagError", "Given", "find_flag", "read", "rows"]

VERSIONS = (8, 10, 11)  # columns of the table: 8.6, 10 and 11
KEPT, OLD, NOTHING, GONE, LATER = "kept", "deprecated", "does nothing", "dropped", "not yet"

FlagError = values.FlagError


@dataclass(frozen=True)
class Flag:
    """One flag: what each version does with it, and how the stand-in reads it.

    `states` are those of 8.6, 10 and 11; `instead` says what to do where it was dropped or is not
    there yet; `read` turns the text after "=" into a value, None for a switch; `here` tells whether
    `python -m labutils.trt.trtexec` has the flag, `help` what it does there.
    """

    name: str
    value: str = ""
    states: tuple[str, str, str] = (KEPT, KEPT, KEPT)
    instead: str = ""
    help: str = ""
    read: Callable[[str], Any] | None = None
    here: bool = True

    def state(self, major: int) -> str:
        """What TensorRT of this major version does with it; 9 counts as 10."""
        return self.states[0 if major < 9 else 1 if major < 11 else 2]


@dataclass(frozen=True)
class Given:
    """What was given: values by the flag's name without dashes, and lines the reader should see."""

    values: dict[str, Any]
    notes: tuple[str, ...] = ()


_OLD_NETWORKS = "networks come as ONNX with an explicit batch: --onnx=FILE"
_FP16 = (
    "the types stand in the ONNX graph: write an FP16 graph with labutils.onnx_export.to_fp16 "
    "(NVIDIA's tool: ModelOpt AutoCast)"
)
_INT8 = "quantise the ONNX graph: QuantizeLinear and DequantizeLinear nodes carry the scales"
_DEFAULT_11 = "it is how trtexec measures before 11 anyway: leave it out"
_PRECISION = (KEPT, OLD, GONE)
_ADDED_IN_11 = (LATER, LATER, KEPT)
_OPT_OUT = (KEPT, KEPT, NOTHING)

FLAGS: tuple[Flag, ...] = (
    Flag("--onnx", "FILE", help="the graph to build an engine from", read=values.path),
    Flag("--saveEngine", "FILE", help="write the engine", read=values.path),
    Flag("--loadEngine", "FILE", help="take this engine, build none", read=values.path),
    Flag("--minShapes", "NAME:1x80x32", help="smallest input", read=values.shape),
    Flag("--optShapes", "NAME:1x80x400", help="input to tune for", read=values.shape),
    Flag("--maxShapes", "NAME:4x80x1000", help="largest input", read=values.shape),
    Flag("--shapes", "NAME:1x80x400", help="input to time", read=values.shape),
    Flag("--memPoolSize", "workspace:MIB", help="the builder's limit", read=values.workspace),
    Flag("--builderOptimizationLevel", "0..5", help="how long to search", read=values.level),
    Flag("--timingCacheFile", "FILE", help="what was timed before", read=values.path),
    Flag("--noTF32", help="FP32 multiplications stay FP32"),
    Flag("--fp16", "", _PRECISION, _FP16, "convert the graph to FP16, then build"),
    Flag("--stronglyTyped", "", (LATER, KEPT, NOTHING), "leave it out; give --fp16 for FP16",
         "types as in the graph: always so here"),
    Flag("--sparsity", "enable|disable", help="allow 2:4 sparse kernels", read=values.sparsity),
    Flag("--profilingVerbosity", "detailed|layer_names_only", read=values.verbosity,
         help="what the engine remembers of its layers; detailed here by default"),
    Flag("--skipInference", help="build only"),
    Flag("--warmUp", "MS", help="untimed work first (200)", read=values.milliseconds),
    Flag("--iterations", "N", help="timed queries at least (10)", read=values.count),
    Flag("--duration", "S", help="and for so long at least (3)", read=values.seconds),
    Flag("--avgRuns", "N", help="queries in one line of the trace (10)", read=values.count),
    Flag("--percentile", "P1,P2", help="which percentiles (90,95,99)", read=values.percentiles),
    Flag("--noDataTransfers", "", _OPT_OUT, help="time without copies to and from the GPU"),
    Flag("--includeDataTransfers", "", _ADDED_IN_11, _DEFAULT_11, "time with the copies"),
    Flag("--useCudaGraph", "", _OPT_OUT, help="launch each query as a CUDA graph"),
    Flag("--noCudaGraph", "", _ADDED_IN_11, _DEFAULT_11, "launch kernel by kernel"),
    Flag("--useSpinWait", "", _OPT_OUT, help="wait without sleeping"),
    Flag("--noSpinWait", "", _ADDED_IN_11, _DEFAULT_11, "sleep while waiting"),
    Flag("--separateProfileRun", "", _OPT_OUT, help="always so here: profiling slows the timing"),
    Flag("--infStreams", "N", help="so many queries at once", read=values.count),
    Flag("--streams", "N", help="as --infStreams", read=values.count),
    Flag("--exportTimes", "FILE", help="times of every query, JSON", read=values.path),
    Flag("--exportProfile", "FILE", help="times of every layer, JSON", read=values.path),
    Flag("--exportLayerInfo", "FILE", help="the inspector's JSON", read=values.path),
    Flag("--dumpProfile", help="print the times of every layer"),
    Flag("--dumpLayerInfo", help="print the layers"),
    Flag("--verbose", help="print all that TensorRT logs"),
    # Dropped ones that old recipes still pass.
    Flag("--workspace", "MIB", (OLD, GONE, GONE), "--memPoolSize=workspace:MIB", here=False),
    Flag("--buildOnly", "", (OLD, GONE, GONE), "--skipInference", here=False),
    Flag("--explicitBatch", "", (NOTHING, GONE, GONE), "leave it out: the batch always is explicit",
         here=False),
    Flag("--batch", "N", (KEPT, GONE, GONE), "--shapes=NAME:NxCxT", here=False),
    Flag("--maxBatch", "N", (KEPT, GONE, GONE), "--maxShapes=NAME:NxCxT", here=False),
    Flag("--uff", "FILE", (KEPT, GONE, GONE), _OLD_NETWORKS, here=False),
    Flag("--deploy", "FILE", (KEPT, GONE, GONE), _OLD_NETWORKS, here=False),
    Flag("--model", "FILE", (KEPT, GONE, GONE), _OLD_NETWORKS, here=False),
    Flag("--output", "NAME", (KEPT, GONE, GONE), _OLD_NETWORKS, here=False),
    Flag("--minTiming", "N", (KEPT, GONE, GONE), "--avgTiming=N", here=False),
    Flag("--heuristic", "", (KEPT, GONE, GONE), "--builderOptimizationLevel=2 or lower",
         here=False),
    Flag("--nativeInstanceNorm", "", (KEPT, GONE, GONE), "leave it out: it became the default",
         here=False),
    Flag("--int8", "", _PRECISION, _INT8, here=False),
    Flag("--fp8", "", _PRECISION, _INT8, here=False),
    Flag("--int4", "", (LATER, OLD, GONE), _INT8, here=False),
    Flag("--bf16", "", (LATER, OLD, GONE), _FP16.replace("FP16", "BF16"), here=False),
    Flag("--best", "", _PRECISION, _FP16, here=False),
    Flag("--calib", "FILE", _PRECISION, _INT8, here=False),
    Flag("--precisionConstraints", "SPEC", _PRECISION, "types of the graph are always obeyed",
         here=False),
    Flag("--layerPrecisions", "SPEC", _PRECISION, _FP16, here=False),
    Flag("--layerOutputTypes", "SPEC", _PRECISION, _FP16, here=False),
    # Only the real tool has these.
    *(
        Flag(f"--{name}", here=False)
        for name in (
            "avgTiming", "maxAuxStreams", "tacticSources", "hardwareCompatibilityLevel", "refit",
            "versionCompatible", "excludeLeanRuntime", "directIO", "inputIOFormats", "device",
            "outputIOFormats", "plugins", "staticPlugins", "dynamicPlugins", "loadInputs",
            "threads", "exposeDMA", "useManagedMemory", "idleTime", "sleepTime", "timeDeserialize",
            "timeRefit", "dumpOutput", "dumpRawBindingsToFile", "exportOutput", "useDLACore",
            "allowGPUFallback", "preview", "persistentCacheRatio", "useRuntime", "help",
        )
    ),
    *(
        Flag(f"--{name}", "", (LATER, KEPT, KEPT), "nothing in 8.6", here=False)
        for name in (
            "stripWeights", "allowWeightStreaming", "tilingOptimizationLevel", "maxTactics",
            "errorOnTimingCacheMiss", "dumpOptimizationProfile", "profile", "useProfile",
            "allocationStrategy",
        )
    ),
)  # fmt: skip

_BY_NAME = {flag.name: flag for flag in FLAGS}


def find_flag(name: str, version: tuple[int, ...] | None = None) -> Flag:
    """The flag of this name. Raises FlagError where trtexec has none, with the nearest names, of
    those that `version` has."""
    if name in _BY_NAME:
        return _BY_NAME[name]
    offered = [n for n, flag in _BY_NAME.items()
               if version is None or flag.state(version[0]) not in (GONE, LATER)]  # fmt: skip
    near = difflib.get_close_matches(name, offered, n=2, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else "the flags: --help"
    raise FlagError(f"Unknown option: {name} ({hint})")


def read(arguments: Sequence[str], version: tuple[int, ...]) -> Given:
    """The flags of a command line, as TensorRT `version` takes them.

    Raises FlagError with one line: unknown (names the nearest), dropped by this version (names what
    replaces it), newer than this version, not in the stand-in, without or with a wrong value.
    """
    given: dict[str, Any] = {}
    notes: list[str] = []
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not name.startswith("--"):
            raise FlagError(f'"{argument}" is no flag: write --flag=value, without a space')
        flag = find_flag(name, version)
        state = flag.state(version[0])
        number = ".".join(str(part) for part in version[:2])
        if state == GONE:
            raise FlagError(f"{name} was dropped: TensorRT {number} has it not. {_do(flag)}")
        if state == LATER:
            raise FlagError(f"{name} is newer than TensorRT {number}. {_do(flag)}")
        if not flag.here:
            what = _do(flag) if flag.instead else "The real trtexec has it"
            raise FlagError(f"{name} is not in this stand-in for trtexec. {what}")
        if flag.read is None and equals:
            raise FlagError(f"{name} takes no value, got {argument}")
        if flag.read is not None and not text:
            raise FlagError(f"{name} needs a value: {name}={flag.value}")
        if state in (OLD, NOTHING):
            what = f": {flag.instead}" if flag.instead else ""
            notes.append(f"{name} is {state} in TensorRT {number}{what}".replace("is does", "does"))
        key = "infStreams" if name == "--streams" else name.removeprefix("--")
        try:
            given[key] = flag.read(text) if flag.read else True
        except ValueError as error:
            raise FlagError(f"{name}={text}: {error}") from None
    return Given(given, tuple(notes))


def _do(flag: Flag) -> str:
    return f"Instead: {flag.instead}"


def rows(*, here: bool | None = None) -> list[dict[str, str]]:
    """The table of flags: what 8.6, 10 and 11 do with each, what replaces a dropped one.

    `here=True` leaves only those that the stand-in has, `here=False` the others.
    """
    return [
        {
            "flag": f"{flag.name}={flag.value}" if flag.value else flag.name,
            **{f"{v}{'.6' if v == 8 else ''}": flag.state(v) for v in VERSIONS},
            "instead": flag.instead,
            "the stand-in": flag.help if flag.here else "no",
        }
        for flag in FLAGS
        if here is None or flag.here == here
    ]
