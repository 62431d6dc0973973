"""Mels of unequal length in one shape: filled up with silence, run, cut; and what that wastes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = [
    "FILLS",
    "bucket",
    "cut",
    "group",
    "pad",
    "padded_share",
    "silence",
    "stack",
    "waste",
]

FILLS = ("silence", "zero", "edge")  # zero and edge only to show what they do


def silence(config: Any) -> float:
    """The value of a silent mel band: the logarithm of the floor, of a vocoder's configuration.

    Not 0: in a log mel that is a loud band.
    """
    return float(config.mel.lowest_value)


def bucket(frames: int, buckets: Sequence[int]) -> int:
    """The smallest bucket that holds so many frames. Raises ValueError where none does."""
    fitting = [b for b in buckets if b >= frames]
    if not fitting:
        raise ValueError(f"{frames} frames do not fit: the largest bucket is {max(buckets)}")
    return min(fitting)


def pad(mel: np.ndarray, frames: int, config: Any, *, fill: str = "silence") -> np.ndarray:
    """A mel (..., n_mels, frames) made longer at its end; float32.

    `fill`: "silence", or, to hear why not, "zero" or "edge" (its last frame again and again).
    Raises ValueError for another word and for a mel that is longer than that.
    """
    if fill not in FILLS:
        raise ValueError(f'fill "{fill}" is not one of {", ".join(FILLS)}')
    more = frames - mel.shape[-1]
    if more < 0:
        raise ValueError(f"a mel of {mel.shape[-1]} frames does not fit into {frames}")
    ends = [(0, 0)] * (mel.ndim - 1) + [(0, more)]
    if fill == "edge":
        return np.pad(mel, ends, mode="edge").astype(np.float32, copy=False)
    value = silence(config) if fill == "silence" else 0.0
    return np.pad(mel, ends, constant_values=value).astype(np.float32, copy=False)


def stack(
    mels: Sequence[np.ndarray], config: Any, *, frames: int | None = None, batch: int | None = None
) -> np.ndarray:
    """Mels (n_mels, frames) of unequal length as one (batch, n_mels, frames), ends silent.

    `frames` and `batch` may ask for more than is needed: the rows that nobody asked for are silent,
    too. Raises ValueError for no mel and for mels that do not fit.
    """
    if not mels:
        raise ValueError("no mels to put into a batch")
    longest = max(mel.shape[-1] for mel in mels)
    frames, batch = frames or longest, batch or len(mels)
    if frames < longest or batch < len(mels):
        raise ValueError(
            f"{len(mels)} mels of up to {longest} frames do not fit into a batch of {batch} with "
            f"{frames} frames"
        )
    shape = (batch, mels[0].shape[-2], frames)
    stacked = np.full(shape, silence(config), dtype=np.float32)
    for row, mel in zip(stacked, mels, strict=False):
        row[:, : mel.shape[-1]] = mel
    return stacked


def cut(audio: np.ndarray, frames: Sequence[int], config: Any) -> list[np.ndarray]:
    """Each row of audio (batch, samples) without what its padding made; copies."""
    lengths = [config.output_length(f) for f in frames]
    return [row[:length].copy() for row, length in zip(audio, lengths, strict=False)]


def group(lengths: Sequence[int], size: int, *, by_length: bool = True) -> list[list[int]]:
    """Indices of the sentences of each batch of `size` at the most.

    By length, sentences of about the same length share a batch, and the batch that is not full
    holds the shortest; otherwise in the order in which they came. Raises ValueError for a size
    below 1.
    """
    if size < 1:
        raise ValueError(f"batches of {size}: 1 or more")
    order = list(range(len(lengths)))
    if not by_length:
        return [order[i : i + size] for i in range(0, len(order), size)]
    order.sort(key=lambda i: (lengths[i], i))
    first = len(order) % size
    starts = [*([0] if first else []), *range(first, len(order), size)]
    return [order[a:b] for a, b in zip(starts, [*starts[1:], len(order)], strict=False)]


def waste(lengths: Sequence[int], buckets: Sequence[int]) -> float:
    """Share (0 to 1) of all computed frames that are padding, one sentence a call."""
    used = sum(lengths)
    made = sum(bucket(frames, buckets) for frames in lengths)
    return 1 - used / made


def padded_share(lengths: Sequence[int], batches: Sequence[Sequence[int]]) -> float:
    """As `waste`, for batches of indices, each as long as its longest sentence."""
    used = sum(lengths[i] for batch in batches for i in batch)
    made = sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)
    return 1 - used / made
