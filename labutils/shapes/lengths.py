"""How long sentences are: frames of the shipped clips, or drawn from a stated distribution."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from labutils import audio, tables

__all__ = ["Lengths", "clips", "log_normal", "measured"]


@dataclass(frozen=True)
class Lengths:
    """Frames of many sentences, in the order in which they came. `source` says whose they are.

    Raises ValueError where there is none, and for frames that are no whole numbers above 0.
    """

    frames: tuple[int, ...]
    frame_rate: float
    source: str

    def __post_init__(self) -> None:
        checked = tuple(_whole(f) for f in self.frames)
        if not checked:
            raise ValueError("no lengths: give one sentence at least")
        if not self.frame_rate > 0:
            raise ValueError(f"frame rate {self.frame_rate}: frames a second, above 0")
        object.__setattr__(self, "frames", checked)

    @property
    def seconds(self) -> np.ndarray:
        """Of each sentence, ``(sentences,)``."""
        return np.array(self.frames) / self.frame_rate

    def quantile(self, share: float) -> int:
        """The length, in frames, that this share (0 to 1) of the sentences does not exceed."""
        ordered = sorted(self.frames)
        return ordered[min(len(ordered) - 1, max(0, int(np.ceil(share * len(ordered))) - 1))]

    def row(self) -> dict[str, object]:
        """For a table: the shortest, the middle, the longest, in frames and seconds."""
        marks = {"shortest": 0.0, "median": 0.5, "95 % are below": 0.95, "longest": 1.0}
        found = {key: self.quantile(share) for key, share in marks.items()}
        words = {key: f"{f} ({f / self.frame_rate:.1f} s)" for key, f in found.items()}
        return {"whose": self.source, "sentences": len(self.frames)} | words

    def __len__(self) -> int:
        return len(self.frames)

    def __repr__(self) -> str:
        return tables.text_table([self.row()])

    def _repr_html_(self) -> str:
        return tables.table([self.row()])


def clips(frame_rate: float) -> Lengths:
    """The spoken clips of data/speech, at a vocoder's frames a second."""
    found = [clip.seconds for clip in audio.clips() if clip.text]
    frames = tuple(max(1, round(seconds * frame_rate)) for seconds in found)
    return Lengths(frames, frame_rate, "the clips of data/speech")


def log_normal(
    count: int,
    frame_rate: float,
    *,
    median: float = 3.0,
    spread: float = 0.65,
    shortest: float = 0.3,
    longest: float = 11.8,
    seed: int = 0,
) -> Lengths:
    """Sentences whose logarithm of length is normal: many of middle length, few that are long.

    `median`, `shortest` and `longest` are seconds; what is drawn outside is drawn again. `spread`
    is the standard deviation of the natural logarithm: two thirds lie between median / e^spread and
    median * e^spread. The same seed gives the same sentences. Raises ValueError for no sentences
    and for a range that does not hold the median.
    """
    if count < 1 or not 0 < shortest < median < longest or not spread > 0:
        raise ValueError(
            f"{count} sentences of {shortest} to {longest} s around {median} s, spread {spread}: "
            "one sentence or more, the median inside the range, a spread above 0"
        )
    random = np.random.default_rng(seed)
    drawn: list[float] = []
    while len(drawn) < count:
        more = median * np.exp(spread * random.standard_normal(2 * count))
        drawn += [float(s) for s in more if shortest <= s <= longest]
    frames = tuple(max(1, round(s * frame_rate)) for s in drawn[:count])
    return Lengths(frames, frame_rate, f"log-normal around {median:g} s, seed {seed}")


def measured(seconds: Iterable[float], frame_rate: float, source: str = "yours") -> Lengths:
    """Your own sentences, by their seconds. Raises ValueError for one that is not above 0."""
    frames = []
    for s in seconds:
        if not 0 < s < math.inf:
            raise ValueError(f"a sentence of {s} seconds: expected a number above 0")
        frames.append(max(1, round(s * frame_rate)))
    return Lengths(tuple(frames), frame_rate, source)


def _whole(frames: object) -> int:
    if isinstance(frames, bool) or not hasattr(frames, "__index__"):
        raise ValueError(f"{frames!r} frames: expected a whole number")
    number = int(frames)  # type: ignore[call-overload]
    if number < 1:
        raise ValueError(f"{number} frames: expected 1 or more")
    return number


def frames_of(lengths: Lengths | Sequence[int]) -> np.ndarray:
    """Frames as an array of whole numbers, whatever held them."""
    found = lengths.frames if isinstance(lengths, Lengths) else lengths
    return np.array([_whole(f) for f in found], dtype=np.int64)
