"""The only place that knows how TensorRT 8.6, 10 and 11 differ.

8.6 chooses types itself among those that flags permit, 10 and 11 take them from the graph. 8.6 asks
for an explicit batch, has no progress monitor, uses cuDNN and cuBLAS unless told not to, and gives
an optimization profile to one context only unless it may share them.
"""

from __future__ import annotations

import fnmatch
import platform
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from labutils import environment
from labutils.environment import require
from labutils.environment.packages import release_parts
from labutils.records.provenance import tensorrt_library
from labutils.trt.options import BuildError

if TYPE_CHECKING:
    import tensorrt as trt

__all__ = [
    "allow_precisions",
    "attach_progress",
    "constrain_layers",
    "context_without_memory",
    "lend_memory",
    "machine_facts",
    "new_network",
    "no_external_tactics",
    "scratch_bytes",
    "share_profiles",
    "tell_version",
    "tf32",
    "types_from_graph",
    "version",
]

_FLAGS = {"float16": "FP16", "int8": "INT8"}
_TYPES = {"float32": "FLOAT", "float16": "HALF", "int8": "INT8"}


def version() -> tuple[int, int, int]:
    """Version of TensorRT's Python package: (8, 6, 1). Raises MissingPackage without it."""
    trt = require("tensorrt")
    major, minor, patch, *_ = (*release_parts(trt.__version__), 0, 0, 0)
    return major, minor, patch


def tell_version() -> str:
    """The version in words: "TensorRT 8.6.1 (library 8.6.0)", where the library is another."""
    number, library = ".".join(map(str, version())), tensorrt_library()
    return f"TensorRT {number}" + (f" (library {library})" if library not in (None, number) else "")


def machine_facts() -> dict[str, str]:
    """What an engine is bound to: TensorRT's versions, and the GPU that torch uses now.

    `tensorrt`, `library`, `gpu`, `capability` ("9.0") and `system`. Raises MissingPackage without
    TensorRT, BuildError without a GPU.
    """
    number = ".".join(map(str, version()))
    if not environment.has("cuda"):
        raise BuildError("an engine is made for one GPU, and torch finds no NVIDIA GPU here")
    cuda = require("torch").cuda
    return {
        "tensorrt": number,
        "library": tensorrt_library() or number,
        "gpu": cuda.get_device_name(),
        "capability": ".".join(map(str, cuda.get_device_capability())),
        "system": f"{platform.system()} {platform.machine()}",
    }


def types_from_graph() -> bool:
    """Whether networks are strongly typed (10, 11): the types of the ONNX graph are obeyed."""
    return version()[0] >= 10


def new_network(builder: trt.Builder) -> trt.INetworkDefinition:
    """An empty network with explicit batch, strongly typed where TensorRT can."""
    trt = require("tensorrt")
    flags, bits = trt.NetworkDefinitionCreationFlag, 0
    if hasattr(flags, "EXPLICIT_BATCH"):  # 8.6 needs it, 10 ignores it, 11 has it no more
        bits |= 1 << int(flags.EXPLICIT_BATCH)
    if hasattr(flags, "STRONGLY_TYPED") and version()[0] < 11:  # 11 always is
        bits |= 1 << int(flags.STRONGLY_TYPED)
    return builder.create_network(bits)


def allow_precisions(config: trt.IBuilderConfig, dtypes: set[str]) -> None:
    """Permit "float16" and "int8" on 8.6, which refuses them in a graph otherwise.

    Later versions take the types from the graph: nothing to do.
    """
    if types_from_graph():
        return
    trt = require("tensorrt")
    for dtype, flag in _FLAGS.items():
        if dtype in dtypes:
            config.set_flag(getattr(trt.BuilderFlag, flag))


def constrain_layers(
    network: trt.INetworkDefinition, config: trt.IBuilderConfig, wanted: Mapping[str, str]
) -> dict[str, str]:
    """Give layers a precision on 8.6: `wanted` maps names or patterns to types, later ones win.

    Returns the type of each layer that was found. Raises BuildError where types come from the
    graph (10, 11), and for a pattern that fits no layer.
    """
    if not wanted:
        return {}
    if types_from_graph():
        raise BuildError(
            f"{tell_version()} takes types from the graph: instead of layer_precisions use "
            "onnx_export.to_fp16 with exclude=[...] and build that file"
        )
    trt = require("tensorrt")
    layers: list[trt.ILayer] = [network.get_layer(i) for i in range(network.num_layers)]
    chosen: dict[str, str] = {}
    for pattern, dtype in wanted.items():
        fits = [layer.name for layer in layers if fnmatch.fnmatchcase(layer.name, pattern)]
        if not fits:
            some = ", ".join(layer.name for layer in layers[:6])
            raise BuildError(f"no layer is called {pattern!r}; names here: {some}, …")
        chosen |= dict.fromkeys(fits, dtype)
    for layer in layers:
        if layer.name in chosen:
            _constrain(layer, getattr(trt.DataType, _TYPES[chosen[layer.name]]))
    # Not obeyed at all costs: where a layer has no such kernel TensorRT warns and takes another.
    config.set_flag(getattr(trt.BuilderFlag, "PREFER_PRECISION_CONSTRAINTS", None))
    return chosen


def _constrain(layer: Any, dtype: Any) -> None:
    """Set the type that a layer computes in, and for float32 the type of its output, too."""
    outputs = [layer.get_output(i) for i in range(layer.num_outputs)]
    places = [i for i, tensor in enumerate(outputs) if tensor.dtype.name in {"FLOAT", "HALF"}]
    if not places or layer.type.name == "CONSTANT":  # shape arithmetic keeps its types
        return
    layer.precision = dtype
    for i in places if dtype.name == "FLOAT" else ():
        layer.set_output_type(i, dtype)


def tf32(config: trt.IBuilderConfig, on: bool) -> None:
    """Whether float32 convolutions may use TF32; TensorRT's own default is yes."""
    trt = require("tensorrt")
    if on:
        config.set_flag(trt.BuilderFlag.TF32)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)


def no_external_tactics(config: trt.IBuilderConfig, *, own: bool = False) -> None:
    """Leave cuDNN and cuBLAS out on 8.6, as 10 and 11 do by default.

    With `own`, TensorRT's edge mask and JIT convolutions stay in, as they do in 10 and 11.
    """
    if version()[0] >= 10:
        return
    trt = require("tensorrt")
    sources = trt.TacticSource
    kept = (sources.EDGE_MASK_CONVOLUTIONS, sources.JIT_CONVOLUTIONS) if own else ()
    config.set_tactic_sources(sum(1 << int(source) for source in kept))


def share_profiles(config: trt.IBuilderConfig) -> None:
    """Let several contexts use one profile at once: 8.6 wants to be asked, later versions do it."""
    trt = require("tensorrt")
    feature = getattr(trt.PreviewFeature, "PROFILE_SHARING_0806", None)
    if version()[0] < 10 and feature is not None:
        config.set_preview_feature(feature, True)


def scratch_bytes(engine: trt.ICudaEngine) -> int:
    """Device memory that a context of this engine needs for activations, in bytes."""
    if hasattr(engine, "device_memory_size_v2"):  # 10, 11
        return int(engine.device_memory_size_v2)
    return int(engine.device_memory_size)


def context_without_memory(engine: trt.ICudaEngine) -> trt.IExecutionContext:
    """A context that gets its memory for activations by `lend_memory`, or None."""
    trt = require("tensorrt")
    strategy = getattr(trt, "ExecutionContextAllocationStrategy", None)
    if strategy is None:  # 8.6
        return engine.create_execution_context_without_device_memory()
    return engine.create_execution_context(strategy.USER_MANAGED)


def lend_memory(context: trt.IExecutionContext, pointer: int, nbytes: int) -> None:
    """Give a context device memory of `scratch_bytes`; it stays yours and must outlive its use."""
    if hasattr(context, "set_device_memory"):  # 10, 11
        context.set_device_memory(int(pointer), int(nbytes))
    else:
        context.device_memory = int(pointer)


def attach_progress(config: trt.IBuilderConfig, callback: Callable[[str], None]) -> Any:
    """Have `callback` told each step of a build; it is called from threads of TensorRT.

    Returns the monitor, which must live as long as `config`, or False on 8.6, which has none. What
    the callback raises ends the build; it is kept as the monitor's `error`.
    """
    trt = require("tensorrt")
    if not hasattr(trt, "IProgressMonitor"):
        return False

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.error: BaseException | None = None
            self.steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str, num_steps: int) -> None:
            self.steps[phase_name] = int(num_steps)
            self._tell(phase_name)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return self._tell(f"{phase_name}: {int(step) + 1} of {self.steps.get(phase_name, 0)}")

        def phase_finish(self, phase_name: str) -> None:
            self.steps.pop(phase_name, None)

        def _tell(self, text: str) -> bool:
            """Whether to go on: an exception must not pass through TensorRT's own code."""
            if self.error is None:
                try:
                    callback(text)
                except BaseException as error:
                    self.error = error
            return self.error is None

    monitor = Monitor()
    config.progress_monitor = monitor
    return monitor
