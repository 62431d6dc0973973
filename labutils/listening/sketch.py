"""A short description of a sound, by which a resumed test knows the sounds it began with.

A hash will not do: the same model computed with another number of threads differs in the last bits.
Random projections keep distances (W. Johnson and J. Lindenstrauss, 1984), so two sketches tell how
far two sounds are apart, in dB, without keeping the sounds.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["SAME_DB", "Sketch", "same", "sketch", "snr_db"]

SAME_DB = 80.0  # another number of threads gives 100 dB and more, FP16 against FP32 60 dB and less
_PROJECTIONS = 16


@dataclass(frozen=True)
class Sketch:
    """Number of samples, root mean square, and projections on fixed random signs."""

    samples: int
    level: float
    values: tuple[float, ...]


def sketch(samples: np.ndarray) -> Sketch:
    """The sketch of a sound of shape (samples,)."""
    sound = np.asarray(samples, np.float64)
    values = [float(_signs(i, len(sound)) @ sound) / math.sqrt(len(sound)) for i in _RANGE]
    return Sketch(len(sound), float(np.sqrt(np.mean(sound**2))), tuple(values))


_RANGE = range(_PROJECTIONS)


def _signs(number: int, length: int) -> np.ndarray:
    """`length` signs that are the same on every machine and with every version of numpy."""
    digest = hashlib.shake_256(f"labutils.listening {number}".encode()).digest(-(-length // 8))
    return np.unpackbits(np.frombuffer(digest, np.uint8))[:length] * 2.0 - 1.0


def snr_db(first: Sketch, second: Sketch) -> float:
    """How far apart two sounds are, as signal to noise in dB: inf if equal, within about 3 dB."""
    if first.samples != second.samples:
        return -math.inf
    noise = math.sqrt(
        sum((a - b) ** 2 for a, b in zip(first.values, second.values, strict=True)) / _PROJECTIONS
    )
    if noise == 0:
        return math.inf
    return 20 * math.log10(first.level / noise) if first.level > 0 else -math.inf


def same(first: Sketch, second: Sketch) -> bool:
    """Whether two sketches are of one sound, up to rounding."""
    return snr_db(first, second) >= SAME_DB


def from_json(data: dict[str, Any]) -> Sketch:
    return Sketch(int(data["samples"]), float(data["level"]), tuple(map(float, data["values"])))
