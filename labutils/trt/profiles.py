"""Optimization profiles: the range of shapes an engine takes, and which one holds a mel."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Profile", "ProfileError", "choose"]

Shape = tuple[int, int, int]
_NAMES = ("min", "opt", "max")


class ProfileError(ValueError):
    """A shape that no profile of an engine holds; the text names the range of every profile."""


@dataclass(frozen=True)
class Profile:
    """Smallest, best and largest number of frames and batch size: Profile(frames=(32, 400, 1000)).

    TensorRT chooses its kernels for the shape in the middle (opt) and allocates for the largest.
    Raises ValueError for what is no whole number, for zero, and where min, opt, max do not rise.
    """

    frames: Shape
    batch: Shape = (1, 1, 1)

    def __post_init__(self) -> None:
        for name in ("frames", "batch"):
            object.__setattr__(self, name, _range(name, getattr(self, name)))

    @classmethod
    def fixed(cls, frames: int, batch: int = 1) -> Profile:
        """A profile of one shape only."""
        return cls((frames, frames, frames), (batch, batch, batch))

    def shapes(self, n_mels: int) -> tuple[Shape, Shape, Shape]:
        """The mel's shapes (batch, n_mels, frames): smallest, best, largest."""
        low, best, high = ((b, n_mels, t) for b, t in zip(self.batch, self.frames, strict=True))
        return low, best, high

    def holds(self, batch: int, frames: int) -> bool:
        """Whether a mel (batch, n_mels, frames) lies within the profile."""
        return (
            self.batch[0] <= batch <= self.batch[2] and self.frames[0] <= frames <= self.frames[2]
        )

    def __str__(self) -> str:
        return f"batch {_words(self.batch)}, {_words(self.frames)} frames"


def choose(profiles: Sequence[Profile], batch: int, frames: int) -> int:
    """Index of the narrowest profile that holds a mel (batch, n_mels, frames).

    Narrowest is the one with the smallest largest shape: its kernels were chosen nearest to the
    mel. Among equals the one whose best shape is nearest. Raises ProfileError where none holds it.
    """
    fitting = [i for i, profile in enumerate(profiles) if profile.holds(batch, frames)]
    if not fitting:
        known = "; ".join(str(profile) for profile in profiles) or "no profile at all"
        raise ProfileError(
            f"no profile holds batch {batch}, {frames} frames; the engine takes {known}: cut the "
            "mel, pad it, or build the engine with a wider profile"
        )

    def width(index: int) -> tuple[int, int]:
        profile = profiles[index]
        best = profile.batch[1] * profile.frames[1]
        return profile.batch[2] * profile.frames[2], abs(best - batch * frames)

    return min(fitting, key=width)


def _range(name: str, values: object) -> Shape:
    """min, opt, max as whole numbers, or ValueError with one line."""
    if isinstance(values, str) or not isinstance(values, Sequence) or len(values) != 3:
        raise ValueError(f"{name}: expected (min, opt, max), got {values!r}")
    for word, value in zip(_NAMES, values, strict=True):
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise ValueError(f"{name}: {word} is {value!r}, expected a whole number")
        if value < 1:
            raise ValueError(f"{name}: {word} is {value}, expected 1 or more")
    low, best, high = (operator.index(value) for value in values)
    if not low <= best <= high:
        raise ValueError(f"{name}: min {low}, opt {best}, max {high} do not rise")
    return low, best, high


def _words(values: Shape) -> str:
    low, best, high = values
    return str(low) if low == high else f"{low} to {high} (best at {best})"
