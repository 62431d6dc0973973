"""Sensitivity: quantise one layer at a time and ask a score what the sound lost."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labutils.quantization.calibration import Ranges
from labutils.quantization.layers import layers_of
from labutils.quantization.static import quantize

__all__ = ["Sensitivity", "Score", "measured_one_by_one", "sensitivity"]

Score = Callable[[Path], float]


@dataclass(frozen=True)
class Sensitivity:
    """What is left of the quality when `layers` alone are INT8; a higher `score` is better."""

    name: str
    layers: tuple[str, ...]
    score: float


def sensitivity(
    path: str | os.PathLike[str],
    ranges: Ranges,
    score: Score,
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    **how: Any,
) -> list[Sensitivity]:
    """Quantise each layer alone, or each of `groups` {name: layers}, and score the file.

    `score` is called with the path of a quantised file, which is gone afterwards, and gives a
    figure that is higher for better sound, such as the SNR against the float sound in dB. `how`
    goes to `quantize` (target, per_channel). Raises what `quantize` and `score` raise.
    """
    return list(measured_one_by_one(path, ranges, score, groups=groups, **how))


def measured_one_by_one(
    path: str | os.PathLike[str],
    ranges: Ranges,
    score: Score,
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    **how: Any,
) -> Iterator[Sensitivity]:
    """As `sensitivity`, but each as soon as it is measured."""
    if groups is None:
        groups = {layer.name: [layer.name] for layer in layers_of(path)}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "one.onnx"
        for name, names in groups.items():
            quantize(path, out, ranges, only=list(names), exclude=(), **how)
            yield Sensitivity(name, tuple(names), float(score(out)))
