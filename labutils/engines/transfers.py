"""What copying mels to a GPU and audio back takes, from ordinary and from page-locked memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labutils import baseline, benchmark, vocoders

__all__ = ["copy_rows", "sizes"]


def sizes(names: Sequence[str] = tuple(baseline.FRAMES)) -> list[dict[str, Any]]:
    """Mels and audio of vocoders at batch 1 and 8: what, of which vocoder, how many bytes."""
    rows = []
    for name in names:
        config, frames = vocoders.preset(name), baseline.FRAMES[name]
        for batch in baseline.BATCHES:
            for what, count in (
                ("mel", config.n_mels * frames),
                ("audio", config.output_length(frames)),
            ):
                size = 4 * batch * count  # float32
                rows.append({"vocoder": name, "what": what, "batch": batch, "bytes": size})
    return sorted(rows, key=lambda row: row["bytes"])


def copy_rows(
    asked: Sequence[Mapping[str, Any]], *, device: str = "cuda", runs: int = 100
) -> Iterator[dict[str, Any]]:
    """A row for each block: ms until it is there, both directions, pageable and pinned.

    Pageable memory the driver copies in pieces through pinned memory of its own. The host's clock
    is taken: what a caller waits.
    """
    for block in asked:
        row = dict(block)
        on_device = torch.zeros(block["bytes"] // 4, device=device)
        for memory in ("pageable", "pinned"):
            pinned = memory == "pinned" and device != "cpu"
            on_host = torch.zeros(len(on_device), pin_memory=pinned)
            for direction, ends in (
                ("to", (on_device, on_host)),
                ("from", (on_host, on_device)),
            ):
                times = _times(*ends, device=device, runs=runs)
                row[f"{direction} the GPU, {memory} (ms)"] = float(np.median(times))
        yield row


def _times(target: Tensor, source: Tensor, *, device: str, runs: int) -> np.ndarray:
    def copy() -> None:
        target.copy_(source, non_blocking=True)
        if device != "cpu":
            torch.cuda.synchronize(device)

    return benchmark.time_call(copy, warmup=5, runs=runs, max_seconds=0.5)
