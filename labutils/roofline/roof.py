"""The ceilings of a machine: memory, arithmetic and launching, measured where you are."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from labutils import tables
from labutils.benchmark.timing import BenchmarkError, time_call
from labutils.runners.tf32 import tf32

__all__ = ["BOUNDS", "Ceilings", "ceilings"]

BOUNDS = ("arithmetic", "memory", "launch")
_DTYPES = {
    "float32": (torch.float32, False),
    "tf32": (torch.float32, True),
    "float16": (torch.float16, True),
    "bfloat16": (torch.bfloat16, True),
}


@dataclass(frozen=True)
class Ceilings:
    """The best that a machine did in three simple tasks.

    Attributes:
        device: "cpu" or "cuda".
        gb_per_s: 10^9 bytes per second, read and written, when a large block is copied.
        tflops: 10^12 operations per second of a large matrix product, for each dtype.
        launch_us: microseconds from one tiny operation to the next when many are queued.
    """

    device: str
    gb_per_s: float
    tflops: Mapping[str, float]
    launch_us: float

    def ridge(self, dtype: str) -> float:
        """Operations per byte above which arithmetic takes longer than memory."""
        return self._peak(dtype) * 1e3 / self.gb_per_s

    def floor_ms(self, macs: float, moved: float, dtype: str) -> dict[str, float]:
        """The least time in ms by each bound, for the multiply-accumulates and bytes given."""
        return {
            "arithmetic": 2 * macs / (self._peak(dtype) * 1e9),
            "memory": moved / (self.gb_per_s * 1e6),
            "launch": self.launch_us / 1e3,
        }

    def _peak(self, dtype: str) -> float:
        if dtype not in self.tflops:
            raise BenchmarkError(f"no ceiling for {dtype}; measured: {', '.join(self.tflops)}")
        return self.tflops[dtype]

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Ceilings:
        """Ceilings from a record, which holds them as a mapping of the attributes."""
        return cls(**{name: data[name] for name in cls.__dataclass_fields__})

    def rows(self) -> list[dict[str, Any]]:
        """The ceilings, and the ridge of each dtype, as rows of a table."""
        rows = [{"ceiling": "memory, copying", "value": self.gb_per_s, "unit": "GB/s"}]
        for dtype, value in self.tflops.items():
            rows.append({"ceiling": f"arithmetic, {dtype}", "value": value, "unit": "TFLOP/s"})
        rows.append({"ceiling": "launching", "value": self.launch_us, "unit": "µs an operation"})
        for dtype in self.tflops:
            unit = "operations a byte"
            rows.append({"ceiling": f"ridge, {dtype}", "value": self.ridge(dtype), "unit": unit})
        return rows

    def _repr_html_(self) -> str:
        return tables.table(self.rows())


def ceilings(
    device: str = "cpu", *, dtypes: Sequence[str] | None = None, seconds: float = 1.0
) -> Ceilings:
    """Measure the ceilings of the machine at hand, in about `seconds` a task.

    Takes the best run: a ceiling is what the machine can do, not what it usually does. `dtypes` are
    of float32, tf32, float16 and bfloat16; by default float32 on a processor and all on a GPU.
    Raises BenchmarkError for others.
    """
    on_gpu = device.startswith("cuda")
    dtypes = dtypes or (tuple(_DTYPES) if on_gpu else ("float32",))
    if unknown := set(dtypes) - set(_DTYPES):
        raise BenchmarkError(
            f"no dtype {', '.join(sorted(unknown))}: choose of {', '.join(_DTYPES)}"
        )
    limits = {"device": device, "warmup": 2, "runs": 50, "max_seconds": seconds}
    tflops = {name: _tflops(name, limits) for name in dtypes}
    return Ceilings(device, _gb_per_s(limits), tflops, _launch_us(device))


def _gb_per_s(limits: Mapping[str, Any]) -> float:
    """10^9 bytes per second, read and written, of copying what is far larger than any cache."""
    count = 2**29 if limits["device"] != "cpu" else 2**25  # of float32: 2 GB, 128 MB
    source = torch.ones(count, device=limits["device"])
    target = torch.empty_like(source)
    return float(2 * source.nbytes / time_call(lambda: target.copy_(source), **limits).min() / 1e6)


def _tflops(name: str, limits: Mapping[str, Any]) -> float:
    """10^12 operations per second of a product of two large square matrices."""
    dtype, allowed = _DTYPES[name]
    size = 8192 if limits["device"] != "cpu" else 1024
    a, b = torch.randn(2, size, size, device=limits["device"]).to(dtype)
    with tf32(allowed):
        return float(2 * size**3 / time_call(lambda: a @ b, **limits).min() / 1e9)


def _launch_us(device: str, operations: int = 2000) -> float:
    """The host's time for one tiny operation, when it does not wait for any."""
    x = torch.ones(1, device=device)
    best = float("inf")
    with torch.inference_mode():
        for _ in range(5):
            start = time.perf_counter()
            for _ in range(operations):
                torch.add(x, x)
            if x.is_cuda:
                torch.cuda.synchronize(device)
            best = min(best, time.perf_counter() - start)
    return 1e6 * best / operations
