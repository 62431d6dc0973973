"""How much memory a call needs, and whether repeated calls keep some of it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["device_bytes", "leak_test", "memory", "process_bytes"]

_MB = 1e6


def memory(call: Callable[[], Any], *, device: str = "cpu") -> dict[str, float | None]:
    """Memory of one call in MB (10^6 bytes): the call runs once.

    Returns ``before_mb`` held before it, ``peak_mb`` held at most meanwhile, ``after_mb`` held
    after it when its result is dropped, ``reserved_mb`` that torch's allocator took from the
    device. On a GPU all four are the whole process's tensors, weights included. On the processor
    only tensors that the call itself makes are seen (0 before), and nothing is reserved (None).
    What other libraries allocate is not seen: compare `device_bytes`.
    """
    if not device.startswith("cuda"):
        with _NewTensors() as tracker:
            result = call()
            del result
            gc.collect()
            after = tracker.alive()
        peak = tracker.peak
        return {
            "before_mb": 0.0,
            "peak_mb": peak / _MB,
            "after_mb": after / _MB,
            "reserved_mb": None,
        }
    gc.collect()
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    result = call()
    torch.cuda.synchronize(device)
    peak, reserved = torch.cuda.max_memory_allocated(device), torch.cuda.memory_reserved(device)
    del result
    gc.collect()
    after = torch.cuda.memory_allocated(device)
    return {
        "before_mb": before / _MB,
        "peak_mb": peak / _MB,
        "after_mb": after / _MB,
        "reserved_mb": reserved / _MB,
    }


def leak_test(
    call: Callable[[], Any],
    runs: int = 50,
    *,
    device: str = "cpu",
    warmup: int = 3,
    read: Callable[[], int] | None = None,
    tolerance_mb: float = 0.001,
) -> dict[str, Any]:
    """Call again and again, drop the result, and see whether the memory that is held grows.

    `read` gives the bytes held now: by default torch's tensors on a GPU, on the processor tensors
    made by the calls; `process_bytes` and `device_bytes` also see other libraries, but coarsely:
    give them a tolerance of some tenths of a MB. It leaks where the level rises from the first
    quarter of the runs to the middle and on to the last, by more than `tolerance_mb` a call: one
    step, as of a cache that is filled once, is no leak.

    Returns ``levels_mb`` after each call, ``growth_mb_per_call``, ``leaks`` and a ``verdict`` in
    words. Raises ValueError for fewer than 8 runs.
    """
    if runs < 8:
        raise ValueError(f"{runs} runs can not tell a leak from a start-up cost: take 8 or more")
    if read is None and device.startswith("cuda"):

        def read() -> int:
            return torch.cuda.memory_allocated(device)  # settled by the host: no need to wait

    levels = []
    # Without the highest sum: it would be found anew at every operation of every call.
    with _NewTensors(peak=False) if read is None else nullcontext() as tracker:
        for number in range(warmup + runs):
            call()
            if number >= warmup:
                levels.append((read or tracker.alive)())
    quarter = runs // 4
    first, middle, last = levels[:quarter], levels[quarter:-quarter], levels[-quarter:]
    growth = (float(np.median(last)) - float(np.median(first))) / (runs - quarter) / _MB
    rises = max(first) < sorted(middle)[len(middle) // 2] < min(last)
    leaks = rises and growth > tolerance_mb
    verdict = f"grows by {growth:.3g} MB a call" if leaks else "steady"
    return {
        "levels_mb": [level / _MB for level in levels],
        "growth_mb_per_call": growth,
        "leaks": leaks,
        "verdict": verdict,
    }


def process_bytes() -> int:
    """Main memory that this process holds (resident set), whoever in it asked for it."""
    from labutils import environment

    return environment.require("psutil").Process().memory_info().rss


def device_bytes(device: str = "cuda") -> int:
    """Memory of a GPU that is in use, by all libraries and all processes on it."""
    free, total = torch.cuda.mem_get_info(device)
    return total - free


class _NewTensors(TorchDispatchMode):
    """Follows the storages that operations make, and their highest sum."""

    def __init__(self, peak: bool = True) -> None:
        super().__init__()
        self.peak = 0
        self._follow_peak = peak
        self._known: dict[int, tuple[Any, int]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = {_key(t) for t in _tensors((args, kwargs))}
        out = func(*args, **(kwargs or {}))
        for tensor in _tensors(out):
            if _key(tensor) not in given:  # a view or an in-place result brings no new memory
                storage = tensor.untyped_storage()
                reference = torch.multiprocessing.reductions.StorageWeakRef(storage)
                self._known[reference.cdata] = (reference, storage.nbytes())
        if self._follow_peak:
            self.peak = max(self.peak, self.alive())
        return out

    def alive(self) -> int:
        """Bytes of the storages seen that still exist."""
        self._known = {k: v for k, v in self._known.items() if not v[0].expired()}
        return sum(size for _, size in self._known.values())


def _tensors(tree: Any) -> list[torch.Tensor]:
    leaves = torch.utils._pytree.tree_leaves(tree)
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]


def _key(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata
