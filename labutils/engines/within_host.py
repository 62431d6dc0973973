"""A copy from one array of the host to another, as a runner makes it before and after the GPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from labutils import records

__all__ = ["SIZES", "copy_ms", "host_copies"]

SIZES = (24_000, 50_000, 240_000)  # values: a mel of two seconds and one of five, its sound


def copy_ms(copy: Callable[[], object], tries: int = 50, pause: float = 0.002) -> np.ndarray:
    """Milliseconds of a copy, ``(tries,)``. For `pause` seconds before each one the host is busy
    and torch's other threads are not, as while it spins for a GPU."""
    times = []
    for _ in range(tries):
        begin = time.perf_counter() + pause
        while (now := time.perf_counter()) < begin:
            pass
        copy()
        times.append(1e3 * (time.perf_counter() - now))
    return np.array(times)


@records.experiment("06-host-copies", covers=["labutils.engines.within_host"])
def host_copies() -> list[dict[str, Any]]:
    """Float32 values from one array to another: by NumPy, by torch in one thread, by torch in all.

    Gives rows of {"values", "by", "threads", "median (ms)", "p95 (ms)"}. Torch's number of threads
    is as before afterwards.
    """
    rows, threads = [], torch.get_num_threads()
    ways = [(_numpy, 1), *((_torch, count) for count in dict.fromkeys((1, threads)))]
    try:
        for size in SIZES:
            for made, count in ways:
                torch.set_num_threads(count)
                copy = made(size)
                copy()
                median, late = np.percentile(copy_ms(copy), [50, 95])
                by = "NumPy" if made is _numpy else "torch"
                row = {"values": size, "by": by, "threads": count}
                rows.append(row | {"median (ms)": float(median), "p95 (ms)": float(late)})
    finally:
        torch.set_num_threads(threads)
    return rows


def _numpy(size: int) -> Callable[[], object]:
    source, target = np.ones(size, np.float32), np.zeros(size, np.float32)
    return lambda: np.copyto(target, source)


def _torch(size: int) -> Callable[[], object]:
    source, target = torch.ones(size), torch.zeros(size)
    return lambda: target.copy_(source)
