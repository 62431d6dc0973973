"""From an ONNX graph to a TensorRT engine."""

from __future__ import annotations

import glob
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labutils import tables
from labutils.environment import require
from labutils.trt import timing_cache, versions
from labutils.trt.messages import Messages
from labutils.trt.options import BuildError, BuildOptions
from labutils.trt.progress import Progress
from labutils.trt.source import OnnxSource, read_onnx
from labutils.whole_file import whole_file

if TYPE_CHECKING:
    import tensorrt as trt

__all__ = ["BuildError", "BuildOptions", "BuiltEngine", "build"]


@dataclass(frozen=True)
class BuiltEngine:
    """What a build gave: the `plan`, an engine's bytes for this GPU and this TensorRT, and how.

    `seconds` it took; `messages` are what TensorRT said; `onnx_sha` is the SHA-256 of the graph
    it was built from, in hexadecimal.
    """

    plan: bytes
    seconds: float
    options: BuildOptions
    messages: Messages
    onnx_sha: str

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the plan, which `load_engine` and trtexec read; it appears whole or not at all."""
        path = Path(path)
        with whole_file(path, durable=True) as temporary:
            temporary.write_bytes(self.plan)
        return path

    def __repr__(self) -> str:
        ranges = "; ".join(map(str, self.options.profiles))
        return (
            f"engine of {len(self.plan) / 1e6:.1f} MB, built in {self.seconds:.1f} s at level "
            f"{self.options.optimization_level}, {ranges}"
        )

    def _repr_html_(self) -> str:
        return tables.strip([("built", "good")], repr(self)) + self.messages._repr_html_()


def build(
    onnx: str | PathLike[str] | bytes | Any,
    options: BuildOptions,
    *,
    level: str = "warning",
    progress: Callable[[str, float], None] | None = None,
) -> BuiltEngine:
    """Build an engine from an ONNX file, its bytes or an onnx.ModelProto, for the GPU in use.

    The precision is the graph's: build the file of `onnx_export.to_fp16` for FP16. cuDNN and cuBLAS
    are left out. `progress` is called with what is done now and the seconds since the start, from
    other threads too; what it raises ends the build (8.6: when TensorRT returns). `level` is what
    of TensorRT's log goes to logging ("verbose" keeps every line, too).

    Raises BuildError: for no profile, for a graph that is no vocoder, with the node's name where
    the parser refuses one, with TensorRT's last error where the build fails. Raises MissingPackage
    without TensorRT.
    """
    if not options.profiles:
        raise BuildError(
            "no profile: an engine must know its shapes; give BuildOptions(profiles=(Profile("
            "frames=(32, 400, 1000)),))"
        )
    source = read_onnx(onnx)
    require("tensorrt")
    with Messages(level) as messages, Progress(source.name, progress) as told:
        plan = _plan(source, options, messages, told)
    return BuiltEngine(plan, told.seconds, options, messages, source.sha)


def _plan(source: OnnxSource, options: BuildOptions, messages: Messages, told: Progress) -> bytes:
    """The bytes of the engine."""
    trt = require("tensorrt")
    told.stage("TensorRT starts")
    try:
        builder = trt.Builder(messages.logger)
    except TypeError:  # what its constructor raises where CUDA does not start
        said = _last(messages) or "no NVIDIA GPU or driver"
        raise BuildError(f"TensorRT does not start here: {said}") from None
    network = versions.new_network(builder)
    told.stage("reading the graph")
    parser = _parse(network, source, messages)
    config = _config(builder, network, source, options)
    cache = timing_cache.attach(config, options.timing_cache)
    monitor = versions.attach_progress(config, told.step)
    with told.heartbeat(not monitor):
        told.stage("building")
        blob = builder.build_serialized_network(network, config)
    if monitor and monitor.error is not None:
        raise monitor.error
    if blob is None:
        said = _last(messages) or 'it gave no reason; build with level="verbose" to see its log'
        raise BuildError(f"TensorRT can not build {source.name}: {said}")
    plan = bytes(blob)
    if cache is not None:
        cache.save()
    del parser  # it owns the weights that the network refers to: it had to live until here
    told.stage(f"built, {len(plan) / 1e6:.1f} MB")
    return plan


def _parse(network: trt.INetworkDefinition, source: OnnxSource, messages: Messages) -> Any:
    """The parser after it has read the graph; it must live as long as the network."""
    trt = require("tensorrt")
    parser = trt.OnnxParser(network, messages.logger)
    if not parser.parse(source.data):
        reasons = [_parser_error(parser.get_error(i), source) for i in range(parser.num_errors)]
        said = "; ".join(dict.fromkeys(reasons)) or _last(messages) or "it gave no reason"
        raise BuildError(f"{versions.tell_version()} can not read {source.name}: {said}")
    return parser


def _parser_error(error: trt.ParserError, source: OnnxSource) -> str:
    """Node, operator and reason of one error of the parser."""
    reason = " ".join(error.desc().split())[:300]
    node = source.node(error.node())
    return f"node {node}: {reason}" if node else reason


def _config(
    builder: trt.Builder,
    network: trt.INetworkDefinition,
    source: OnnxSource,
    options: BuildOptions,
) -> trt.IBuilderConfig:
    """The builder's configuration; refuses what this version can not do."""
    trt = require("tensorrt")
    config = builder.create_builder_config()
    if options.workspace_mb is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mb << 20)
    config.builder_optimization_level = options.optimization_level
    if options.aux_streams is not None:
        config.max_aux_streams = options.aux_streams
    if options.detailed:
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if options.sparse:
        config.set_flag(trt.BuilderFlag.SPARSE_WEIGHTS)
    if options.permit and versions.types_from_graph():
        raise BuildError(
            f"{versions.tell_version()} takes types from the graph, permit={options.permit} has no "
            "meaning: convert the graph with onnx_export.to_fp16"
        )
    wanted = _kept_single(network, source) | options.layer_precisions
    chosen = versions.constrain_layers(network, config, wanted)
    versions.allow_precisions(config, {*source.precisions, *options.permit, *chosen.values()})
    versions.tf32(config, options.tf32)
    versions.no_external_tactics(config, own=options.own_tactics)
    versions.share_profiles(config)
    for wanted in options.profiles:
        profile = builder.create_optimization_profile()
        low, best, high = wanted.shapes(source.n_mels)
        try:
            profile.set_shape(source.input, low, best, high)
            place = config.add_optimization_profile(profile)
        except RuntimeError as error:
            raise BuildError(f"TensorRT refuses the profile {wanted}: {error}") from None
        if place < 0:
            raise BuildError(f"TensorRT refuses the profile {wanted} for {source.name}")
    return config


def _kept_single(network: trt.INetworkDefinition, source: OnnxSource) -> dict[str, str]:
    """What computes in float32 in a graph of float16, for 8.6: FP16 that is permitted to one layer
    is permitted to all, and it would take what is faster. Later versions follow the graph."""
    if versions.types_from_graph() or not source.single:
        return {}
    layers: list[trt.ILayer] = [network.get_layer(i) for i in range(network.num_layers)]
    return {glob.escape(one.name): "float32" for one in layers if one.name in source.single}


def _last(messages: Messages) -> str:
    """TensorRT's last error in one line, or an empty text."""
    return " ".join(messages.errors()[-1].split())[:400] if messages.errors() else ""
