"""What must not be shared, tried out: contexts, profiles, activation memory. For a GPU.

Each function is for `isolated`, since TensorRT may take its process along.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from labutils.concurrency.contexts import open_contexts, sounds_of
from labutils.environment import require
from labutils.isolated import IsolatedError, isolated
from labutils.trt import Messages, Profile, load_engine, versions

if TYPE_CHECKING:
    import tensorrt as trt

__all__ = ["one_context", "one_profile", "tried", "two_contexts"]

_BANDS = 80
_LONGEST = 420  # characters of what TensorRT said


def one_profile(shared: bool) -> dict[str, Any]:
    """What a second context says that wants the profile of the first, in a graph of one node.

    `shared` asks TensorRT 8.6 to let contexts share profiles; later versions do it by themselves.
    """
    torch, trt, said = require("torch"), require("tensorrt"), Messages(level="error")
    builder = trt.Builder(said.logger)
    network = versions.new_network(builder)
    parser = trt.OnnxParser(network, said.logger)
    if not parser.parse(_one_node()):
        raise RuntimeError("the parser refused a graph of one node")
    config = builder.create_builder_config()
    versions.no_external_tactics(config)
    if shared:
        versions.share_profiles(config)
    profile = builder.create_optimization_profile()
    low, best, high = Profile((8, 16, 32)).shapes(_BANDS)
    profile.set_shape("mel", low, best, high)
    config.add_optimization_profile(profile)
    plan = bytes(builder.build_serialized_network(network, config))
    runtime = trt.Runtime(said.logger)
    engine = runtime.deserialize_cuda_engine(plan)
    first: trt.IExecutionContext = engine.create_execution_context()
    second: trt.IExecutionContext = engine.create_execution_context()
    stream = torch.cuda.Stream()
    row: dict[str, Any] = {
        "profile of the first": first.active_optimization_profile,
        "of the second": None if second is None else second.active_optimization_profile,
    }
    if second is not None:
        row["set_optimization_profile_async"] = _answer(
            lambda: second.set_optimization_profile_async(0, stream.cuda_stream)
        )
        stream.synchronize()
        row["set_input_shape"] = _answer(lambda: second.set_input_shape("mel", low))
    row["the log"] = " ".join(" / ".join(dict.fromkeys(said.errors())).split())[:_LONGEST]
    return row


def _one_node() -> bytes:
    """An ONNX graph that maps a mel of any length to as many numbers."""
    onnx = require("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    shape = (1, _BANDS, "frames")
    ends = [helper.make_tensor_value_info(name, kind, shape) for name in ("mel", "audio")]
    node = helper.make_node("Tanh", ["mel"], ["audio"], "Tanh")
    graph = helper.make_graph([node], "one node", ends[:1], ends[1:])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return made.SerializeToString()


def _answer(call: Callable[[], Any]) -> str:
    try:
        return str(call())
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def one_context(plan: str, frames: int, runs: int, locked: bool) -> dict[str, Any]:
    """Two threads with one context, each with its own stream, mel and audio.

    Counts the sounds that are not bit by bit what the same mel gives alone. With `locked` a lock
    keeps the threads apart from setting the addresses to the end of the work.
    """
    torch = require("torch")
    with load_engine(plan) as engine, Messages(level="error") as said:
        context: trt.IExecutionContext = engine.new_context()
        mels = _mels(engine, frames, 2)
        hop = _hop(context, engine, frames)
        sounds = [torch.zeros((1, 1, hop * frames), device="cuda") for _ in mels]
        streams = [torch.cuda.Stream() for _ in mels]
        lock = threading.Lock() if locked else _NoLock()
        torch.cuda.synchronize()

        def run(place: int) -> np.ndarray:
            with lock:
                context.set_input_shape(engine.input, tuple(mels[place].shape))
                context.set_tensor_address(engine.input, mels[place].data_ptr())
                context.set_tensor_address(engine.output, sounds[place].data_ptr())
                if not context.execute_async_v3(streams[place].cuda_stream):
                    raise RuntimeError("execute_async_v3 returned False")
                streams[place].synchronize()
            return sounds[place].cpu().numpy()

        right = [run(place).copy() for place in range(2)]
        wrong, failed = [0, 0], [0, 0]

        def work(place: int) -> None:
            for _ in range(runs):
                try:
                    sound = run(place)
                except RuntimeError:
                    failed[place] += 1
                    continue
                wrong[place] += not np.array_equal(sound, right[place])

        threads = [threading.Thread(target=work, args=(place,)) for place in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        words = " ".join(" / ".join(dict.fromkeys(said.errors())).split())[:_LONGEST]
        return {"sounds": 2 * runs, "wrong": sum(wrong), "errors": sum(failed), "the log": words}


class _NoLock:
    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


def two_contexts(plan: str, frames: int, runs: int, shared: bool, at_once: bool) -> dict[str, Any]:
    """Two contexts, on one block of activation memory or on two, run at once or in turn.

    As CUDA graphs, whose launch takes no time: launched kernel by kernel, short inferences would
    hardly overlap.
    """
    with load_engine(plan) as engine, Messages(level="error") as said:
        mels = [mel.cpu().numpy() for mel in _mels(engine, frames, 2)]
        shape = (1, engine.n_mels, frames)
        with open_contexts(engine, shape, 2, graph=True, shared=shared, mels=mels) as bounds:
            right = sounds_of(bounds, at_once=False)
            wrong = 0
            for _ in range(runs):
                heard = sounds_of(bounds, at_once=at_once)
                wrong += sum(not np.array_equal(a, b) for a, b in zip(right, heard, strict=True))
        words = " ".join(" / ".join(dict.fromkeys(said.errors())).split())[:_LONGEST]
        return {"sounds": 2 * runs, "wrong": wrong, "errors": 0, "the log": words}


def _mels(engine: Any, frames: int, count: int) -> list[Any]:
    """Mels that differ, on the GPU in the engine's own type."""
    torch = require("torch")
    kind = torch.from_numpy(np.empty(0, engine.dtype(engine.input))).dtype
    made = torch.Generator().manual_seed(0)
    shape = (1, engine.n_mels, frames)
    return [(torch.randn(shape, generator=made) - 4.0).to("cuda", kind) for _ in range(count)]


def _hop(context: Any, engine: Any, frames: int) -> int:
    context.set_input_shape(engine.input, (1, engine.n_mels, frames))
    context.infer_shapes()
    return int(context.get_tensor_shape(engine.output)[2]) // frames


def tried(task: str, *arguments: Any, timeout: float = 200.0) -> dict[str, Any]:
    """What a function of this module returns in a process of its own, or how that ended."""
    try:
        return isolated(f"{__name__}:{task}", *arguments, timeout=timeout)
    except IsolatedError as error:
        return {"the process": str(error)}
