"""An engine on the GPU: loaded from a plan, with what it takes and gives in plain words."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np

from labutils import tables
from labutils.environment import require
from labutils.trt import refusals, versions
from labutils.trt.messages import Messages
from labutils.trt.profiles import Profile
from labutils.trt.sealed import SealError, is_sealed, unseal

__all__ = ["Engine", "EngineError", "load_engine"]

_NUMPY = {"FLOAT": np.float32, "HALF": np.float16, "INT8": np.int8, "INT32": np.int32,
          "INT64": np.int64, "BOOL": np.bool_, "UINT8": np.uint8}  # fmt: skip


class EngineError(RuntimeError):
    """An engine that can not be loaded or used; the text says why and what to do."""


class HoldsPlan(Protocol):
    """BuiltEngine and CachedEngine: whatever holds the bytes of an engine."""

    @property
    def plan(self) -> bytes: ...


class Engine:
    """A deserialized engine of a vocoder: one input (batch, n_mels, frames), one output.

    `engine` is TensorRT's ICudaEngine, `input` and `output` its tensors' names, `n_mels` the number
    of mel bands, `profiles` the shapes it takes, `plan_bytes` the size of the plan and
    `scratch_bytes` what a context allocates for activations. Use it in a `with` block or call
    `close`; contexts that are still there keep the GPU's memory until they are gone, too.
    """

    def __init__(self, engine: Any, *, runtime: Any, messages: Messages, plan_bytes: int) -> None:
        self._engine, self._runtime = engine, runtime
        self.messages = messages
        self.plan_bytes = plan_bytes
        self.input, self.output = _names(engine)
        shape = tuple(engine.get_tensor_shape(self.input))
        if len(shape) != 3 or shape[1] < 1:
            raise EngineError(
                f"no engine of a vocoder: its input {self.input} is {shape}, expected (batch, "
                "n_mels, frames) with a fixed number of mel bands"
            )
        self.n_mels = int(shape[1])
        self.scratch_bytes = versions.scratch_bytes(engine)
        self.profiles = [
            _profile(engine.get_tensor_profile_shape(self.input, i), shape)
            for i in range(engine.num_optimization_profiles)
        ]

    @property
    def engine(self) -> Any:
        """TensorRT's ICudaEngine. Raises EngineError after `close`."""
        if self._engine is None:
            raise EngineError("the engine is closed: load it again")
        return self._engine

    @property
    def closed(self) -> bool:
        return self._engine is None

    def dtype(self, name: str) -> np.dtype:
        """The numpy type of a tensor: float32 or float16 in a vocoder.

        Raises EngineError after `close`, and for a type that numpy does not have (bfloat16, FP8).
        """
        kind = self.engine.get_tensor_dtype(name).name
        if kind not in _NUMPY:
            raise EngineError(f"{name} is {kind}, which numpy does not have")
        return np.dtype(_NUMPY[kind])

    def new_context(self, profile: int = 0, stream: int = 0) -> Any:
        """An IExecutionContext with its own memory for activations, set to a profile.

        `stream` is the handle of a CUDA stream on which the profile is set; it has been waited for
        when this returns. A context belongs to one thread and one stream at a time. Raises
        IndexError for a profile that the engine does not have, EngineError where TensorRT makes no
        context (out of memory, most often).
        """
        if not 0 <= profile < len(self.profiles):
            raise IndexError(f"profile {profile}: the engine has {len(self.profiles)}")
        context = self._listening("make a context", self.engine.create_execution_context)
        if len(self.profiles) > 1 or context.active_optimization_profile != profile:
            try:
                self._listening(
                    f"use profile {profile}",
                    lambda: context.set_optimization_profile_async(profile, int(stream)),
                )
                require("torch").cuda.synchronize()
            except BaseException:
                context = None  # the error holds this frame, and with it the context's memory
                raise
        return context

    def _listening(self, what: str, call: Any) -> Any:
        """Result of a call of TensorRT; EngineError with its last error where it gave nothing."""
        known = len(self.messages.errors())
        result, reason = None, "it gave no reason"
        with self.messages:
            try:
                result = call()
            except RuntimeError as error:  # so 8.6 refuses a profile
                reason = str(error)
        if not result:
            said = self.messages.errors()[known:] or [reason]
            megabytes = self.scratch_bytes / 1e6
            raise EngineError(
                f"TensorRT can not {what}: {_line(said[-1])} (a context of this engine takes "
                f"{megabytes:.0f} MB of the GPU's memory)"
            )
        return result

    def close(self) -> None:
        """Let the engine go. Calling it again does nothing."""
        self._engine = self._runtime = None

    def __enter__(self) -> Self:
        _ = self.engine
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def rows(self) -> list[dict[str, Any]]:
        """One row a profile, for a table."""
        return [
            {"profile": i, "batch": p.batch, "frames": p.frames}
            for i, p in enumerate(self.profiles)
        ]

    def __repr__(self) -> str:
        if self.closed:
            return "<Engine, closed>"
        ends = f"{self.input} (batch, {self.n_mels}, frames) to {self.output}"
        ranges = "; ".join(map(str, self.profiles))
        return (
            f"engine: {ends}, {self.plan_bytes / 1e6:.1f} MB, "
            f"{self.scratch_bytes / 1e6:.1f} MB for activations, {ranges}"
        )

    def _repr_html_(self) -> str:
        return tables.strip([("engine", "info")], repr(self).removeprefix("engine: "))


def load_engine(plan: bytes | str | PathLike[str] | HoldsPlan) -> Engine:
    """An Engine from a plan: its bytes, a file of them or of EngineCache, or what a build gave.

    Raises EngineError for a plan from elsewhere (another version of TensorRT, another GPU), for one
    that is cut short, for a file that is not there, and without a GPU. Load only plans you trust:
    an engine is a program. Raises MissingPackage without TensorRT.
    """
    data, name = _plan_bytes(plan)
    trt = require("tensorrt")
    messages = Messages()
    with messages:
        try:
            runtime = trt.Runtime(messages.logger)
        except TypeError:  # what its constructor raises where CUDA does not start
            said = _line((messages.errors() or ["no NVIDIA GPU or driver"])[-1])
            raise EngineError(f"TensorRT does not start here: {said}") from None
        engine = runtime.deserialize_cuda_engine(data)
    if engine is None:
        raise EngineError(refusals.why_not(name, messages.errors()))
    return Engine(engine, runtime=runtime, messages=messages, plan_bytes=len(data))


def _plan_bytes(plan: Any) -> tuple[bytes, str]:
    """The plan and what to call it in a message."""
    name, data = "the plan", getattr(plan, "plan", plan)
    if isinstance(data, str | PathLike):
        path, name = Path(data), Path(data).name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise EngineError(f"no engine at {path}: {error.strerror}") from None
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"expected the bytes of a plan or a path, got {type(plan).__name__}")
    data = bytes(data)
    if is_sealed(data):
        try:
            _, data = unseal(data)
        except SealError as error:
            raise EngineError(f"{name} is damaged ({error}): build the engine again") from None
    if not data:
        raise EngineError(f"{name} is empty: build the engine again")
    return data, name


def _names(engine: Any) -> tuple[str, str]:
    trt = require("tensorrt")
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    inputs = [n for n in names if engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
    outputs = [n for n in names if n not in inputs]
    if len(inputs) != 1 or len(outputs) != 1:
        raise EngineError(
            f"no engine of a vocoder: inputs {', '.join(inputs) or 'none'}, outputs "
            f"{', '.join(outputs) or 'none'}, expected one of each"
        )
    return inputs[0], outputs[0]


def _profile(shapes: Any, fixed: tuple[int, ...]) -> Profile:
    """A profile of the input's smallest, best and largest shape; `fixed` has -1 where any fits."""
    if min(fixed) > 0:  # what TensorRT says of the range is of no use then
        return Profile.fixed(fixed[2], fixed[0])
    low, best, high = (tuple(shape) for shape in shapes)
    return Profile((low[2], best[2], high[2]), (low[0], best[0], high[0]))


def _line(text: str) -> str:
    return " ".join(text.split())[:300]
