"""Several execution contexts over one engine, each with its stream, its mel and its audio."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from labutils.environment import require
from labutils.trt import versions
from labutils.trt.bound import Bound
from labutils.trt.engine import Engine, EngineError

if TYPE_CHECKING:
    import tensorrt as trt

__all__ = ["LentEngine", "call_of", "open_contexts", "sounds_of"]


class LentEngine:
    """An Engine whose contexts all work in one block of activation memory.

    Only one of them may run at a time: nobody checks it, and the sound of two that ran at once is
    wrong without an error. The block lives as long as this object.
    """

    def __init__(self, engine: Engine) -> None:
        torch = require("torch")
        self._engine = engine
        self.scratch = torch.empty(max(1, engine.scratch_bytes), dtype=torch.uint8, device="cuda")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def new_context(self, profile: int = 0, stream: int = 0) -> Any:
        """As Engine.new_context, on the lent memory. Raises EngineError."""
        context: trt.IExecutionContext | None = versions.context_without_memory(self.engine)
        if context is None:
            raise EngineError("TensorRT made no context; its log says why")
        versions.lend_memory(context, self.scratch.data_ptr(), self.scratch.numel())
        if context.active_optimization_profile != profile:
            if not context.set_optimization_profile_async(profile, int(stream)):
                raise EngineError(f"TensorRT refused profile {profile}; its log says why")
            require("torch").cuda.synchronize()
        return context


@contextlib.contextmanager
def open_contexts(
    engine: Engine,
    shape: tuple[int, int, int],
    count: int,
    *,
    graph: bool = False,
    shared: bool = False,
    mels: Sequence[np.ndarray] = (),
) -> Iterator[list[Bound]]:
    """`count` contexts for mels of `shape` (batch, n_mels, frames) on the current GPU.

    With `graph` each has captured its launch as a CUDA graph. With `shared` they work in one block
    of activation memory: run them one after the other. `mels` are the inputs, else random numbers.
    Raises EngineError, BoundError where TensorRT refuses, RuntimeError where no graph is captured.
    """
    source: Any = LentEngine(engine) if shared else engine
    with contextlib.ExitStack() as stack:
        opened = []
        for place in range(count):
            mel = mels[place] if place < len(mels) else None
            bound = stack.enter_context(Bound(source, shape, mel=mel))
            if graph and not bound.capture():
                raise RuntimeError(f"no CUDA graph of {shape}")
            bound.synchronize()
            opened.append(bound)
        yield opened


def call_of(bound: Bound) -> Any:
    """A call that returns when the inference is done, for a host thread."""

    def call() -> None:
        bound.enqueue()
        bound.synchronize()

    return call


def sounds_of(bounds: Sequence[Bound], *, at_once: bool) -> list[np.ndarray]:
    """Audio of an inference of each context: one after the other, or all before any wait."""
    for bound in bounds:
        bound.output.fill_(float("nan"))  # an output that nobody wrote is seen
    require("torch").cuda.synchronize()
    for bound in bounds:
        bound.enqueue()
        if not at_once:
            bound.synchronize()
    for bound in bounds:
        bound.synchronize()
    return [bound.output.cpu().numpy() for bound in bounds]
