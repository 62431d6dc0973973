"""One input shape of an engine, bound to tensors on the GPU: enqueued again and again for timing.

Runners serve mels of any shape; this serves measurements, which want one shape and nothing around
the call.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from labutils.environment import require
from labutils.trt import profiles

if TYPE_CHECKING:
    import tensorrt as trt

    from labutils.trt.engine import Engine

__all__ = ["Bound", "BoundError", "checked_shape"]

log = logging.getLogger(__name__)


class BoundError(RuntimeError):
    """TensorRT did not take a shape, an address or a call; the text says which."""


def checked_shape(engine: Engine, shape: tuple[int, int, int]) -> tuple[int, int]:
    """Batch and frames of an input (batch, n_mels, frames).

    Raises BoundError for another number of mel bands than the engine's.
    """
    batch, bands, frames = shape
    if bands != engine.n_mels:
        raise BoundError(f"this engine takes {engine.n_mels} mel bands, got {bands} in {shape}")
    return batch, frames


class Bound:
    """An execution context with its input and output on the GPU and a stream of its own.

    `shape` is the input's (batch, n_mels, frames), `profile` an index, by default the narrowest
    profile that holds the shape. `mel` fills the input (numpy array or tensor of `shape`); without
    it, random numbers do. `input` and `output` are torch tensors, `stream` is torch's.

    Raises ProfileError for a shape outside the engine's profiles, EngineError where there is no
    memory for a context, BoundError where TensorRT refuses a shape or an address.
    """

    def __init__(
        self,
        engine: Engine,
        shape: tuple[int, int, int],
        *,
        profile: int | None = None,
        mel: Any = None,
    ) -> None:
        torch = require("torch")
        batch, frames = checked_shape(engine, shape)
        if profile is None:
            profile = profiles.choose(engine.profiles, batch, frames)
        self._torch = torch
        self.graph: Any = None
        self.stream = torch.cuda.Stream()
        context: trt.IExecutionContext = engine.new_context(
            profile=profile, stream=self.stream.cuda_stream
        )
        self.context = context
        if not context.set_input_shape(engine.input, tuple(int(size) for size in shape)):
            raise BoundError(f"TensorRT refused the input shape {shape} in profile {profile}")
        missing = context.infer_shapes()
        if missing:
            raise BoundError(f"shapes are missing for {', '.join(missing)}")
        made = tuple(int(size) for size in context.get_tensor_shape(engine.output))
        self.input = torch.empty(
            tuple(shape), dtype=self._dtype(engine.dtype(engine.input)), device="cuda"
        )
        self.output = torch.empty(
            made, dtype=self._dtype(engine.dtype(engine.output)), device="cuda"
        )
        for name, tensor in ((engine.input, self.input), (engine.output, self.output)):
            if not context.set_tensor_address(name, tensor.data_ptr()):
                raise BoundError(f"TensorRT refused the address of {name}")
        if mel is None:
            self.input.uniform_(-1, 1)  # trtexec's random values
        else:
            self.input.copy_(torch.as_tensor(np.asarray(mel) if not hasattr(mel, "cpu") else mel))
        # The tensors were filled on torch's current stream.
        self.stream.wait_stream(torch.cuda.current_stream())

    def _dtype(self, dtype: Any) -> Any:
        return self._torch.from_numpy(np.empty(0, dtype)).dtype

    def enqueue(self) -> None:
        """Launch one query on `stream`, as a graph after `capture`. Raises BoundError."""
        if self.graph is not None:
            with self._torch.cuda.stream(self.stream):
                self.graph.replay()
        elif not self.context.execute_async_v3(self.stream.cuda_stream):
            raise BoundError("execute_async_v3 failed; TensorRT's log says why")

    def capture(self) -> bool:
        """Capture one query as a CUDA graph; False, with a warning, where the engine forbids it.

        A first query runs outside, since TensorRT initialises itself in it.
        """
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
        self.graph = graph
        return True

    def synchronize(self) -> None:
        """Wait until all that was enqueued is done."""
        self.stream.synchronize()

    def close(self) -> None:
        """Wait for the work, then let context, graph and tensors go. Again does nothing."""
        if self.context is None:
            return
        self.stream.synchronize()
        self.graph = None
        self.context = None
        self.input = self.output = None

    def __enter__(self) -> Bound:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
