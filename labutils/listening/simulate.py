"""Simulated listeners of stated sensitivity, who take a test as a person does: trial by trial.

They show what a test can and cannot find, and let a notebook run where nobody listens. They say
nothing about how a sound sounds: what they hear is what they were told to hear.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from labutils.listening.design import ANCHORS, AbxTrial, DesignError, MushraPage

__all__ = [
    "ASSUMED_ANCHORS",
    "AbxListener",
    "Decay",
    "Measure",
    "MushraListener",
    "Threshold",
    "log_mel_difference",
]

Measure = Callable[[np.ndarray, np.ndarray], float]  # (reference, sound) -> how different

# What a simulated listener gives the anchors where nothing else is stated. An assumption.
ASSUMED_ANCHORS = dict(zip(ANCHORS, (25.0, 60.0), strict=True))


def _share(value: float, what: str) -> float:
    if not 0 <= value <= 1:
        raise DesignError(f"{what} is {value!r}; give a share from 0 to 1")
    return value


@dataclass(frozen=True)
class AbxListener:
    """Hears the difference in a share `hears` of the trials, and guesses in the others.

    `hears` is a number, or a function of the two sounds, such as `Threshold`. What is answered to a
    trial depends on `seed` and the trial alone: a test that was broken off goes on the same way.
    """

    hears: float | Measure
    seed: int = 0

    def choose(self, trial: AbxTrial, sounds: Mapping[str, np.ndarray]) -> str:
        """The answer, "A" or "B", to a trial with `sounds` {"a": samples, "b": samples}."""
        hears = self.hears(sounds["a"], sounds["b"]) if callable(self.hears) else self.hears
        draw = random.Random(f"abx listener {self.seed}, trial {trial.number}")
        if draw.random() < _share(hears, "hears"):
            return trial.right
        return draw.choice("AB")


@dataclass(frozen=True)
class MushraListener:
    """Rates each stimulus at its quality plus a slip of the hand, within 0 to 100.

    `quality`: {stimulus: 0 to 100}, where the reference is 100 and the anchors are
    `ASSUMED_ANCHORS` unless stated; or a function of (reference, stimulus) samples, such as
    `Decay`. What is less than `notices` points below 100 is not told from the reference. `spread`:
    standard deviation of a rating, in points; `offset`: how much stricter (below 0) or kinder than
    others this listener is; both shrink to a fifth towards 100, where people are sure. `misses`:
    the share of pages on which the hidden reference is taken for the worst of the other stimuli.
    """

    quality: Mapping[str, float] | Measure
    notices: float = 3.0
    spread: float = 5.0
    offset: float = 0.0
    misses: float = 0.0
    seed: int = 0

    def rate(
        self, page: MushraPage, sounds: Mapping[str, np.ndarray], reference: str
    ) -> list[float]:
        """Ratings of the page's stimuli, in the order of its sliders."""
        draw = random.Random(f"mushra listener {self.seed}, page {page.number}")
        qualities = {key: self._quality(key, sounds, reference) for key in sorted(page.order)}
        ratings = {}
        for key, quality in qualities.items():
            quality = 100.0 if quality > 100 - self.notices else quality
            near = min(1.0, 0.2 + (100 - quality) / 25)
            rating = quality + near * (draw.gauss(0.0, self.spread) + self.offset)
            ratings[key] = float(round(min(100.0, max(0.0, rating))))
        others = [rating for key, rating in ratings.items() if key != reference]
        if others and draw.random() < _share(self.misses, "misses"):
            ratings[reference] = min(others)
        return [ratings[key] for key in page.order]

    def _quality(self, key: str, sounds: Mapping[str, np.ndarray], reference: str) -> float:
        if callable(self.quality):
            return float(self.quality(sounds[reference], sounds[key]))
        known = {reference: 100.0, **ASSUMED_ANCHORS, **self.quality}
        if key not in known:
            raise DesignError(f"no quality stated for {key!r}; there are: {', '.join(known)}")
        return float(known[key])


@dataclass(frozen=True)
class Threshold:
    """The probability that a difference is heard: a half at `half`, an S-curve around it.

    1 / (1 + exp(-(difference - half) / width)), with the difference as `measure` says.
    """

    measure: Measure
    half: float
    width: float

    def __call__(self, reference: np.ndarray, sound: np.ndarray) -> float:
        steps = (self.measure(reference, sound) - self.half) / self.width
        return 1 / (1 + math.exp(-min(50.0, max(-50.0, steps))))


@dataclass(frozen=True)
class Decay:
    """A quality of 0 to 100 that falls as 100 exp(-difference / scale)."""

    measure: Measure
    scale: float

    def __call__(self, reference: np.ndarray, sound: np.ndarray) -> float:
        return 100 * math.exp(-max(0.0, self.measure(reference, sound)) / self.scale)


def log_mel_difference(sample_rate: int) -> Measure:
    """The mean difference of log-mel spectrograms, in ln: a stand-in for a listener's ear."""
    from labutils import metrics

    config = metrics.analysis_mel(sample_rate)
    return lambda reference, sound: metrics.log_mel_l1(reference, sound, config)
