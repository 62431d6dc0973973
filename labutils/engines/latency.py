"""What a caller waits: mel in host memory to audio in host memory, by every runner."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from torch import nn

from labutils import benchmark
from labutils.baseline import trials as torch_trials
from labutils.baseline import variants
from labutils.baseline.variants import Variant
from labutils.metrics.scores import snr_db
from labutils.runners.base import Runner

__all__ = ["latency_rows", "runners_of", "torch_runner"]


def torch_runner(model: nn.Module, variant: Variant, mel: np.ndarray) -> Callable[[], Runner]:
    """A way of `latency_rows`: a variant of PyTorch on the GPU."""
    return lambda: variants.build(model, variant, device="cuda", mel=mel)


def runners_of(plan: Any, config: Any) -> dict[str, Callable[[], Runner]]:
    """The ways to run one engine, in the order in which they are told."""
    from labutils.runners import PycudaRunner, TensorRTRunner

    return {
        "TensorRT, pycuda, pageable": lambda: PycudaRunner(plan, config, pinned=False),
        "TensorRT, pycuda, pinned": lambda: PycudaRunner(plan, config),
        "TensorRT, torch": lambda: TensorRTRunner(plan, config),
        "TensorRT, torch, graph": lambda: TensorRTRunner(plan, config, graph=True),
    }


def latency_rows(
    ways: Mapping[str, Callable[[], Runner]],
    mel: np.ndarray,
    *,
    tf32: bool = False,
    device: str = "cuda",
    runs: int = 100,
    max_seconds: float = 6.0,
) -> Iterator[dict[str, Any]]:
    """A row for each way: `host_ms` of whole calls (median, 95th percentile), `device_ms` of the
    GPU's work alone, `overhead_ms` between them, the first call's seconds, SNR against the first
    way. A way that fails gives a row with "error"."""
    reference: np.ndarray | None = None
    for name, make in ways.items():
        row: dict[str, Any] = {"way": name, "batch": mel.shape[0], "frames": mel.shape[2]}
        with torch_trials.noting(row), variants.backends(tf32=tf32):
            variants.release(device)
            begin = time.perf_counter()
            with make() as runner:
                sound = runner.infer(mel)
                row["first_call_seconds"] = time.perf_counter() - begin
                limits = {"runs": runs, "max_seconds": max_seconds}
                host = benchmark.time_call(lambda r=runner: r.infer(mel), warmup=5, **limits)
                launch = runner.prepare(mel)
                work = benchmark.time_call(launch, device=device, warmup=5, **limits)
                del launch
            reference = sound if reference is None else reference
            same = np.array_equal(reference, sound)
            row |= {
                "host_ms": float(np.median(host)), "p95_ms": float(np.percentile(host, 95)),
                "device_ms": float(np.median(work)),
                "overhead_ms": float(np.median(host) - np.median(work)),
                "snr_db": None if same else snr_db(reference.ravel(), sound.ravel()),
            }  # fmt: skip
        yield row
