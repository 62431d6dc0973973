"""What a number of right answers in an ABX test says, and how many trials a question needs.

All exact, from the binomial distribution: a listener who hears nothing is right half the time.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from labutils.listening.design import DesignError, whole

__all__ = ["CHANCE", "LEVEL", "Binomial", "binomial", "power", "right_needed", "trials_needed"]

CHANCE = 0.5
LEVEL = 0.05
_MOST_TRIALS = 100_000


@dataclass(frozen=True)
class Binomial:
    """`right` of `trials`: what chance alone does, and what share of right answers fits.

    `p_value`: how often somebody who guesses has as many right, or more. `low` to `high`: the exact
    95 % interval of the true share of right answers (Clopper and Pearson, 1934).
    """

    right: int
    trials: int
    p_value: float
    low: float
    high: float

    @property
    def share(self) -> float:
        return self.right / self.trials

    @property
    def heard_at_most(self) -> float:
        """The largest share of trials with a heard difference that the interval allows.

        Who hears the difference in a share h of the trials and guesses in the others is right in
        h + (1 - h) / 2 of them.
        """
        return max(0.0, (self.high - CHANCE) / (1 - CHANCE))


def _share(value: float, what: str, low: float) -> None:
    if not low < value < 1:
        raise DesignError(f"{what} is {value!r}; give a number between {low:g} and 1")


def binomial(right: int, trials: int) -> Binomial:
    """The exact one-sided binomial test against guessing. Raises DesignError: impossible counts."""
    from scipy.stats import binomtest

    trials, right = whole(trials, "trials"), whole(right, "right", 0)
    if right > trials:
        raise DesignError(f"{right} right of {trials} trials")
    test = binomtest(right, trials, CHANCE, alternative="greater")
    interval = binomtest(right, trials, CHANCE).proportion_ci(0.95, method="exact")
    return Binomial(right, trials, float(test.pvalue), float(interval.low), float(interval.high))


def right_needed(trials: int, level: float = LEVEL) -> int | None:
    """The fewest right answers that guessing reaches with less than `level` probability.

    None where even all right can be chance: at 0.05 that is so below five trials.
    """
    trials = whole(trials, "trials")
    _share(level, "level", 0.0)
    needed = int(_needed(np.array([trials]), level)[0])
    return needed if needed <= trials else None


def _needed(trials: np.ndarray, level: float) -> np.ndarray:
    """`right_needed` of many; trials + 1 where none is enough."""
    from scipy.stats import binom

    # A tail that is just `level` is not below it, whatever rounding says.
    needed = binom.isf(level * (1 - 1e-12), trials, CHANCE).astype(int) + 1
    return np.minimum(needed, trials + 1)


def power(trials: int, share: float, level: float = LEVEL) -> float:
    """How often a listener who is right in a `share` of trials passes a test of `trials`."""
    trials = whole(trials, "trials")
    _share(level, "level", 0.0)
    if not 0 <= share <= 1:
        raise DesignError(f"share is {share!r}; give a number from 0 to 1")
    return float(_power(np.array([trials]), share, level)[0])


def _power(trials: np.ndarray, share: float, level: float) -> np.ndarray:
    from scipy.stats import binom

    return binom.sf(_needed(trials, level) - 1, trials, share)


def trials_needed(share: float, level: float = LEVEL, wanted_power: float = 0.8) -> int:
    """The fewest trials in which a listener who is right in a `share` passes as often as wanted.

    The power over the number of trials is a saw: one trial more may have a little less of it, as
    the bound of `right_needed` steps up.

    Raises DesignError: a share that is not above chance, or so near that nobody would listen so
    long (more than 100,000 trials).
    """
    _share(share, "share", CHANCE)
    _share(level, "level", 0.0)
    _share(wanted_power, "wanted_power", 0.0)
    for start, stop in itertools.pairwise((1, 100, 1_000, 10_000, _MOST_TRIALS + 1)):
        trials = np.arange(start, stop)
        passes = _power(trials, share, level) >= wanted_power
        if passes.any():
            return int(trials[passes.argmax()])
    raise DesignError(f"a share of {share} needs more than {_MOST_TRIALS:,} trials")
