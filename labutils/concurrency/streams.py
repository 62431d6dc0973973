"""A CUDA stream for each host thread, and CUDA graphs captured while other threads work."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from labutils.runners.torch_graph import Captured

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["capture_beside", "own_stream", "quiet"]

_CAPTURES = threading.RLock()
_WARM_UP = 3


@contextlib.contextmanager
def quiet(device: str) -> Iterator[None]:
    """Within the block no other thread captures a CUDA graph, where `device` is a GPU.

    For what waits for the whole GPU, as making and closing a runner do: CUDA forbids that while a
    graph is captured, and breaks the capture off.
    """
    with _CAPTURES if device.startswith("cuda") else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def own_stream(device: str) -> Iterator[None]:
    """A stream for this thread, where `device` is a GPU.

    On the default stream the work of all threads would stand in one line.
    """
    if not device.startswith("cuda"):
        yield
        return
    import torch

    with torch.cuda.stream(torch.cuda.Stream(torch.device(device))):
        yield


def capture_beside(forward: Callable[[Tensor], Tensor], mel: Tensor, pool: Any = None) -> Captured:
    """As `runners.torch_graph.capture_graph`, while other threads of the process use the GPU.

    By default CUDA breaks a capture off when any thread allocates or waits; here only this thread
    must not. Captures come one after the other.
    """
    import torch

    with _CAPTURES, torch.cuda.device(mel.device):
        side = torch.cuda.Stream(mel.device)
        side.wait_stream(torch.cuda.current_stream(mel.device))
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                forward(mel)
        torch.cuda.current_stream(mel.device).wait_stream(side)
        side.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool, stream=side, capture_error_mode="thread_local"):
            audio = forward(mel)
        return Captured(mel, audio, graph.replay, graph.pool())
