"""What copying mels to a GPU and audio back takes, from ordinary and from page-locked memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from labutils import baseline, benchmark, vocoders

__all__ = ["copy_rows", "sizes"]


def sizes(names: Sequence[str] = tuple(baseline.FRAMES)) -> list[dict[str, Any]]:
    """The mels and the audio of the vocoders that are measured, batch 1 and 8: what and bytes."""
    rows = []
    for name in names:
        config, frames = vocoders.preset(name), baseline.FRAMES[name]
        for batch in baseline.BATCHES:
            for what, count in (
                ("mel", config.n_mels * frames),
                ("audio", config.output_length(frames)),
            ):
                rows.append({
                    "vocoder": name, "what": what, "batch": batch, "frames": frames,
                    "bytes": 4 * batch * count,
                })  # fmt: skip
    return rows


def copy_rows(
    asked: Sequence[dict[str, Any]], *, device: str = "cuda", runs: int = 100
) -> Iterator[dict[str, Any]]:
    """Times of each block of float32 in both directions: ms until it is there, and GB/s.

    Pageable memory is first copied by the host into a page-locked block of the driver's.
    """
    for block in asked:
        on_device = torch.zeros(block["bytes"] // 4, device=device)
        for pinned in (False, True):
            on_host = torch.zeros(len(on_device), pin_memory=pinned and device != "cpu")
            for direction, target, source in (
                ("to the GPU", on_device, on_host),
                ("from the GPU", on_host, on_device),
            ):

                def copy(target: torch.Tensor = target, source: torch.Tensor = source) -> None:
                    target.copy_(source, non_blocking=True)
                    if device != "cpu":
                        torch.cuda.synchronize(device)

                # The host's clock: what a caller waits, copying through the driver included.
                times = benchmark.time_call(copy, warmup=5, runs=runs, max_seconds=1)
                ms = float(np.median(times))
                yield dict(block) | {
                    "direction": direction, "memory": "pinned" if pinned else "pageable",
                    "median_ms": ms, "gb_per_s": block["bytes"] / ms / 1e6,
                }  # fmt: skip
