"""One input shape of an engine, bound to tensors on the GPU: enqueued again and again for timing.

Runners serve mels of any shape; this serves measurements, which want one shape and nothing around
the call.
"""

from __future__ import annotations

import logging
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from labutils.environment import require
from labutils.trt import profiles

if TYPE_CHECKING:
    import tensorrt as trt

    from labutils.trt.engine import Engine

__all__ = ["Bound", "BoundError", "checked_shape"]

log = logging.getLogger(__name__)

Shape = tuple[int, int, int]


class BoundError(RuntimeError):
    """TensorRT did not take a shape, an address or a call; the text says which."""


def checked_shape(engine: Engine, shape: Shape) -> tuple[int, int]:
    """Batch and frames of an input (batch, n_mels, frames).

    Raises BoundError for what is no such shape, and for another number of mel bands than the
    engine's.
    """
    try:
        batch, bands, frames = shape
    except (TypeError, ValueError):
        raise BoundError(f"expected a shape (batch, n_mels, frames), got {shape}") from None
    if bands != engine.n_mels:
        raise BoundError(f"this engine takes {engine.n_mels} mel bands, got {bands} in {shape}")
    return batch, frames


@dataclass
class _Held:
    """What a Bound has on the GPU, apart from it: it is let go with the last reference to it."""

    context: trt.IExecutionContext | None = None
    graph: Any = None
    input: Any = None
    output: Any = None


class Bound:
    """An execution context with its input and output on the GPU and a stream of its own.

    `shape` is the input's (batch, n_mels, frames), `profile` an index, by default the narrowest
    profile that holds the shape. `mel` fills the input (numpy array or tensor of exactly `shape`);
    without it, random numbers do. `input` and `output` are torch tensors of the engine's number
    types; the output is (batch, 1, samples). `stream` is torch's, `graph` what `capture` recorded.

    `close`, the end of a `with` block or the last reference waits for the work, then lets go: the
    graph, the context that it runs in, and the tensors whose addresses that one has.

    Raises ProfileError for a shape outside the engine's profiles, IndexError for a profile that it
    does not have, EngineError where there is no memory for a context, torch's OutOfMemoryError
    where there is none for the tensors, BoundError for a mel of another shape and where TensorRT
    refuses a shape or an address.
    """

    def __init__(
        self,
        engine: Engine,
        shape: Shape,
        *,
        profile: int | None = None,
        mel: Any = None,
    ) -> None:
        torch = require("torch")
        batch, frames = checked_shape(engine, shape)
        shape = tuple(int(size) for size in shape)
        if mel is not None:
            mel = torch.as_tensor(mel if hasattr(mel, "cpu") else np.asarray(mel))
            if tuple(mel.shape) != shape:  # torch would spread a smaller one over the input
                raise BoundError(f"the mel is {tuple(mel.shape)}, expected {shape}")
        if profile is None:
            profile = profiles.choose(engine.profiles, batch, frames)
        self._torch = torch
        self.stream = torch.cuda.Stream()
        # The context is named nowhere else: an error keeps the variables of all calls it came
        # through, and with them the GPU's memory.
        self._held = _Held()
        self._finalizer = weakref.finalize(self, _release, self.stream, self._held)
        try:
            stream = self.stream.cuda_stream
            self._held.context: trt.IExecutionContext = engine.new_context(profile, stream)
            self._bind(engine, shape, profile)
            self._fill(mel)
        except BaseException:
            self._finalizer()
            raise

    @property
    def context(self) -> trt.IExecutionContext | None:
        """TensorRT's context; None after `close`, as `graph`, `input` and `output`."""
        return self._held.context

    @property
    def graph(self) -> Any:
        return self._held.graph

    @property
    def input(self) -> Any:
        return self._held.input

    @property
    def output(self) -> Any:
        return self._held.output

    def _bind(self, engine: Engine, shape: Shape, profile: int) -> None:
        """Give the context its shape, and input and output of that shape."""
        held = self._held
        if not self._held.context.set_input_shape(engine.input, shape):
            raise BoundError(f"TensorRT refused the input shape {shape} in profile {profile}")
        missing = self._held.context.infer_shapes()
        if missing:
            raise BoundError(f"shapes are missing for {', '.join(missing)}")
        made = tuple(int(size) for size in self._held.context.get_tensor_shape(engine.output))
        held.input = self._empty(shape, engine.dtype(engine.input))
        held.output = self._empty(made, engine.dtype(engine.output))
        ends = {engine.input: held.input.data_ptr(), engine.output: held.output.data_ptr()}
        for name, address in ends.items():
            if not self._held.context.set_tensor_address(name, address):
                raise BoundError(f"TensorRT refused the address of {name}")

    def _empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        kind = self._torch.from_numpy(np.empty(0, dtype)).dtype
        return self._torch.empty(shape, dtype=kind, device="cuda")

    def _fill(self, mel: Any) -> None:
        if mel is None:
            self.input.uniform_(-1, 1)  # trtexec's random values
        else:
            self.input.copy_(mel)
        # The tensors were filled on torch's current stream.
        self.stream.wait_stream(self._torch.cuda.current_stream())

    def enqueue(self) -> None:
        """Launch one query on `stream`, as a graph after `capture`.

        Raises BoundError where TensorRT does not launch, and after `close`.
        """
        if self._held.context is None:
            raise BoundError("this Bound is closed: make a new one")
        if self._held.graph is not None:
            with self._torch.cuda.stream(self.stream):
                self._held.graph.replay()
        elif not self._held.context.execute_async_v3(self.stream.cuda_stream):
            raise BoundError("execute_async_v3 failed; TensorRT's log says why")

    def capture(self) -> bool:
        """Capture one query as a CUDA graph; False, with a warning, where the engine forbids it.

        A first query runs outside, since TensorRT initialises itself in it. Again does nothing.
        """
        if self.graph is not None:
            return True
        torch = self._torch
        self.enqueue()
        self.stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads may use the GPU meanwhile without breaking the capture.
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                self.enqueue()
        except (BoundError, RuntimeError) as error:
            log.warning("no CUDA graph, launching kernel by kernel: %s", error)
            return False
        self._held.graph = graph
        return True

    def synchronize(self) -> None:
        """Wait until all that was enqueued is done. Raises RuntimeError where a kernel failed."""
        self.stream.synchronize()

    def close(self) -> None:
        """Wait for the work, then let graph, context and tensors go. Again does nothing.

        Work that failed is told in a warning, not raised: an error before it is the one to see.
        """
        self._finalizer()

    def __enter__(self) -> Bound:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _release(stream: Any, held: _Held) -> None:
    try:
        stream.synchronize()
    except RuntimeError as error:  # after a failed kernel every call fails; all goes all the same
        log.warning("the last work on the GPU failed: %s", " ".join(str(error).split())[:200])
    held.graph = None
    held.context = None
    held.input = held.output = None
