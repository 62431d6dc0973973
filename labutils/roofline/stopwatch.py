"""What each operation of a network takes on the device at hand, one by one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from labutils.costs import LayerCost, OperationCounter, module_paths

__all__ = ["layer_times"]

_SLOW_MS = 5.0  # an operation that takes longer is repeated less often
_AHEAD_CYCLES = 3_000_000  # about 1.7 ms for which a GPU waits while the host queues its work


@torch.no_grad()
def layer_times(
    model: nn.Module, mel: Tensor, *, repeats: int = 20
) -> list[tuple[LayerCost, float]]:
    """The operations of one call of ``model(mel)`` and what each of them takes alone, in ms.

    Runs where ``mel`` (batch, n_mels, frames) and the model lie, in their dtype. An operation that
    comes again with the same shapes is timed once. Each is repeated back to back on the same
    tensors, and a GPU is given all repeats at once: what is timed is the device's work without the
    pauses between operations, on tensors that may still lie in a cache. Two things follow: the sum
    is less than the time of a whole call, and a small tensor may move faster than the memory can.
    """
    stopwatch = _Stopwatch(mel.device, repeats)
    # no_grad as in `count`, so that torch takes the same operations apart.
    with module_paths(model, stopwatch), stopwatch:
        model(mel)
    return list(zip(stopwatch.rows, stopwatch.milliseconds, strict=True))


class _Stopwatch(OperationCounter):
    """Times every operation of a new kind and shape when it comes by."""

    def __init__(self, device: torch.device, repeats: int) -> None:
        super().__init__()
        self.milliseconds: list[float] = []
        self._device = device
        self._repeats = repeats
        self._known: dict[tuple[Any, ...], float] = {}

    def counted(self, row: LayerCost, func, args: tuple, kwargs: dict) -> None:
        leaves = torch.utils._pytree.tree_leaves((args, kwargs))
        kind = (str(func), *(_signature(leaf) for leaf in leaves))
        if kind not in self._known:
            timed = _on_gpu if self._device.type == "cuda" else _on_host
            in_place = row.operation.endswith("_")
            before = args[0].clone() if in_place else None
            self._known[kind] = timed(lambda: func(*args, **kwargs), self._repeats, self._device)
            if in_place:
                args[0].copy_(before)  # the repeats changed it
        self.milliseconds.append(self._known[kind])


def _signature(leaf: Any) -> Any:
    if isinstance(leaf, Tensor):
        return (tuple(leaf.shape), tuple(leaf.stride()), str(leaf.dtype))
    return str(leaf)


def _on_gpu(call: Callable[[], Any], repeats: int, device: torch.device) -> float:
    with torch.cuda.device(device):
        call()  # may choose an algorithm first
        once = _events(call, 1)
        return _events(call, repeats if once < _SLOW_MS else 3)


def _events(call: Callable[[], Any], repeats: int) -> float:
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    torch.cuda._sleep(_AHEAD_CYCLES)
    first.record()
    for _ in range(repeats):
        call()
    last.record()
    torch.cuda.synchronize()
    return first.elapsed_time(last) / repeats


def _on_host(call: Callable[[], Any], repeats: int, device: torch.device) -> float:
    start = time.perf_counter()
    call()
    once = 1e3 * (time.perf_counter() - start)
    # The quickest of a few: another program on the machine can only make it slower.
    times = [once]
    for _ in range(repeats - 1 if once < _SLOW_MS else 1):
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return min(times)
