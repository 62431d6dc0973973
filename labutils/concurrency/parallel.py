"""torch.nn.DataParallel, to be held against a runner for each device."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from labutils import vocoders
from labutils.baseline import trials as torch_trials
from labutils.baseline import variants

__all__ = ["data_parallel_row"]


def data_parallel_row(
    vocoder: str,
    mels: Sequence[np.ndarray],
    devices: Sequence[str],
    *,
    batch: int,
    audio_seconds: float,
) -> dict[str, Any]:
    """All mels (of one length) in batches by DataParallel in FP16: how long until all audio is in
    host memory. On one device it is the plain network."""
    row: dict[str, Any] = {"way": f"DataParallel, batches of {batch}", "GPUs": len(devices)}
    with torch_trials.noting(row), variants.backends(tf32=False, cudnn_benchmark=False):
        network = vocoders.create(vocoder).half().to(devices[0]).eval()
        if len(devices) > 1:
            network = torch.nn.DataParallel(network, device_ids=list(devices))
        parts = [
            np.concatenate(mels[start : start + batch]) for start in range(0, len(mels), batch)
        ]

        def infer(mel: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return network(torch.from_numpy(mel).to(devices[0]).half()).float().cpu().numpy()

        for mel in parts[:3]:
            infer(mel)
        begin = time.perf_counter()
        for mel in parts:
            infer(mel)
        seconds = time.perf_counter() - begin
        row |= {
            "seconds": seconds, "per_second": len(mels) / seconds,
            "times_real_time": audio_seconds / seconds,
        }  # fmt: skip
    return row
