"""trtexec's flags, one by one: what 8.6, 10 and 11 do with each, and what replaces a dropped one.

The states are those of trtexec's own option tables (samples/common/sampleOptions.cpp of NVIDIA's
TensorRT repository, branches release/8.6, release/10.16 and main) and of NVIDIA's pages
"Migrating trtexec Usage" from 8.x to 10.x and from 10.x to 11.x.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from labutils.trt.trtexec import values

__all__ = ["DEFAULT", "FLAGS", "GONE", "KEPT", "LATER", "NOTHING", "OLD", "Flag"]

KEPT, OLD, NOTHING, GONE, LATER = "kept", "deprecated", "does nothing", "dropped", "not yet"
DEFAULT = "the default"  # it is so without the flag


@dataclass(frozen=True)
class Flag:
    """One flag: what each version does with it, and how the stand-in reads it.

    `states` are those of 8.6, 10 and 11; `instead` says what to do where it was dropped, is not
    there yet, or is not in the stand-in; `read` turns the text after "=" into a value, None for a
    switch; `here` tells whether `python -m labutils.trt.trtexec` has the flag, `help` what it does
    there.
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


_OLD_NETWORKS = "networks come as ONNX with an explicit batch: --onnx=FILE"
_FP16 = (
    "the types stand in the ONNX graph: write an FP16 graph with labutils.onnx_export.to_fp16 "
    "(NVIDIA's tool: ModelOpt AutoCast)"
)
_BF16 = "the types stand in the ONNX graph: NVIDIA's ModelOpt AutoCast writes BF16 graphs"
_INT8 = "quantise the ONNX graph: QuantizeLinear and DequantizeLinear nodes carry the scales"
_TYPED = "leave it out: networks of 11 and of this stand-in always are"
_DEFAULT_11 = "it is how trtexec measures before 11 anyway: leave it out"
_PRECISION = (KEPT, OLD, GONE)
_SINCE_10, _SINCE_11 = (LATER, KEPT, KEPT), (LATER, LATER, KEPT)
_OPT_OUT = (KEPT, KEPT, DEFAULT)

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
    Flag("--stronglyTyped", "", (LATER, KEPT, NOTHING), _TYPED,
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
    Flag("--includeDataTransfers", "", _SINCE_11, _DEFAULT_11, "time with the copies"),
    Flag("--useCudaGraph", "", _OPT_OUT, help="launch each query as a CUDA graph"),
    Flag("--noCudaGraph", "", _SINCE_11, _DEFAULT_11, "launch kernel by kernel"),
    Flag("--useSpinWait", "", _OPT_OUT, help="wait without sleeping"),
    Flag("--noSpinWait", "", _SINCE_11, _DEFAULT_11, "sleep while waiting"),
    Flag("--separateProfileRun", "", _OPT_OUT, help="always so here: profiling slows the timing"),
    Flag("--infStreams", "N", help="so many queries at once", read=values.count),
    Flag("--streams", "N", (OLD, OLD, OLD), "--infStreams=N", "as --infStreams", values.count),
    Flag("--exportTimes", "FILE", help="times of every query, JSON", read=values.path),
    Flag("--exportProfile", "FILE", help="times of every layer, JSON", read=values.path),
    Flag("--exportLayerInfo", "FILE", help="the inspector's JSON", read=values.path),
    Flag("--dumpProfile", help="print the times of every layer"),
    Flag("--dumpLayerInfo", help="print the layers"),
    Flag("--verbose", help="print all that TensorRT logs"),
    Flag("--help", help="print this table; -h does, too"),
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
    Flag("--minTiming", "N", (KEPT, GONE, GONE),
         "leave it out: TensorRT decides how often it times a kernel", here=False),
    Flag("--heuristic", "", (OLD, GONE, GONE), "--builderOptimizationLevel=2 or lower",
         here=False),
    Flag("--nativeInstanceNorm", "", (KEPT, GONE, GONE), "leave it out: it became the default",
         here=False),
    Flag("--int8", "", _PRECISION, _INT8, here=False),
    Flag("--fp8", "", _PRECISION, _INT8, here=False),
    Flag("--int4", "", (LATER, OLD, GONE), _INT8, here=False),
    Flag("--bf16", "", (LATER, OLD, GONE), _BF16, here=False),
    Flag("--best", "", _PRECISION, _FP16, here=False),
    Flag("--calib", "FILE", _PRECISION, _INT8, here=False),
    Flag("--precisionConstraints", "SPEC", _PRECISION, "types of the graph are always obeyed",
         here=False),
    Flag("--layerPrecisions", "SPEC", _PRECISION, _FP16, here=False),
    Flag("--layerOutputTypes", "SPEC", _PRECISION, _FP16, here=False),
    # Only the real tool has these.
    Flag("--directIO", "", (KEPT, OLD, OLD), here=False),
    *(
        Flag(f"--{name}", here=False)
        for name in (
            "avgTiming", "maxAuxStreams", "tacticSources", "hardwareCompatibilityLevel", "refit",
            "versionCompatible", "excludeLeanRuntime", "leanDLLPath", "inputIOFormats", "device",
            "outputIOFormats", "plugins", "staticPlugins", "dynamicPlugins", "loadInputs",
            "setPluginsToSerialize", "threads", "exposeDMA", "useManagedMemory", "idleTime",
            "sleepTime", "timeDeserialize", "timeRefit", "dumpOutput", "dumpRawBindingsToFile",
            "exportOutput", "dumpRefit", "useDLACore", "allowGPUFallback", "layerDeviceTypes",
            "preview", "persistentCacheRatio", "useRuntime", "noBuilderCache", "tempdir",
        )
    ),
    Flag("--profile", "N", _SINCE_10, "one profile: --minShapes, --optShapes, --maxShapes",
         here=False),
    Flag("--useProfile", "N", _SINCE_10, "leave it out: there is one profile", here=False),
    Flag("--maxTactics", "N", _SINCE_10, "--builderOptimizationLevel bounds the search",
         here=False),
    Flag("--refitFromOnnx", "FILE", _SINCE_10, "build a new engine: --onnx=FILE", here=False),
    *(
        Flag(f"--{name}", "", _SINCE_10, here=False)
        for name in (
            "stripWeights", "allowWeightStreaming", "weightStreamingBudget", "allocationStrategy",
            "tilingOptimizationLevel", "errorOnTimingCacheMiss", "dumpOptimizationProfile",
        )
    ),
    *(
        Flag(f"--{name}", "", _SINCE_11, here=False)
        for name in (
            "loadRefOutputs", "refPair", "accuracyAlgorithm", "accuracyThreshold", "atol", "rtol",
            "tuneBuildRoutes", "tuningSearch", "setBuildRoute",
        )
    ),
)  # fmt: skip
