"""Statistics of ratings that are not normally distributed: bounded by 0 and 100, and skewed.

Everything takes `ratings`, (listeners, stimuli): the listener is what repeats, not the click, since
ratings of one listener hang together.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from labutils.listening.design import DesignError

__all__ = [
    "Friedman",
    "Pair",
    "bootstrap_interval",
    "friedman",
    "holm",
    "pairwise",
    "rank_biserial",
]

RESAMPLES = 9999
_FEW = 10  # scipy: the chi-square approximation of Friedman's test wants more listeners than this


@dataclass(frozen=True)
class Friedman:
    """Whether listeners rank the stimuli alike: W is 0 for no agreement, 1 for the same order.

    `statistic` and `p_value` are None where there is nothing to test; `note` says why, or how the
    p-value was made.
    """

    listeners: int
    stimuli: int
    statistic: float | None
    p_value: float | None
    kendalls_w: float | None
    note: str


@dataclass(frozen=True)
class Pair:
    """Two stimuli against each other; positive numbers speak for `first`.

    `difference`: the median over listeners, in points. `p_value` (Wilcoxon, two-sided) and
    `p_holm`, corrected for the number of pairs. `effect`: matched-pairs rank-biserial correlation,
    -1 to 1 (D. Kerby, 2014).
    """

    first: str
    second: str
    difference: float
    p_value: float
    p_holm: float
    effect: float
    note: str


def _ratings(ratings: Any) -> np.ndarray:
    array = np.asarray(ratings, np.float64)
    if array.ndim != 2 or 0 in array.shape:
        raise DesignError(f"ratings of shape {array.shape}; give (listeners, stimuli)")
    if not np.isfinite(array).all():
        raise DesignError("ratings with NaN; leave out listeners who have not rated everything")
    return np.round(array, 9)  # means that differ by rounding are ties


def bootstrap_interval(
    values: Any,
    statistic: Callable[..., Any] = np.mean,
    *,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float] | None:
    """The percentile bootstrap interval of a statistic of (listeners,) values, drawn from `seed`.

    None for one value: nobody knows how another listener would have rated. Below about ten values
    the interval is too narrow, as any bootstrap.
    """
    from scipy.stats import bootstrap

    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise DesignError("values must be a row of finite numbers")
    if len(values) == 1:
        return None
    if np.ptp(values) == 0:  # scipy warns of data without spread
        return float(values[0]), float(values[0])
    found = bootstrap(
        (values,),
        statistic,
        confidence_level=level,
        n_resamples=RESAMPLES,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def friedman(ratings: Any, *, seed: int = 0) -> Friedman:
    """Friedman's test of (listeners, stimuli) ratings, with Kendall's W as its effect size.

    With ten listeners or fewer the p-value is by permutation within each listener, since the usual
    chi-square is off there.
    """
    from scipy.stats import friedmanchisquare, permutation_test, rankdata

    array = _ratings(ratings)
    n, k = array.shape
    if k < 3:
        return Friedman(n, k, None, None, None, f"{k} stimuli; Friedman's test needs three")
    if n < 2:
        return Friedman(n, k, None, None, None, "one listener: there is no agreement to test")
    ranks = rankdata(array, axis=1)
    if np.ptp(ranks) == 0:
        return Friedman(n, k, 0.0, 1.0, 0.0, "all stimuli are rated alike")
    found = friedmanchisquare(*array.T)
    statistic, p_value = float(found.statistic), float(found.pvalue)
    note = "chi-square approximation"
    if n <= _FEW:

        def spread(*columns: np.ndarray, axis: int) -> np.ndarray:
            # Ties stay with their listener, so Friedman's statistic grows with this alone.
            return sum(column.sum(axis=axis) ** 2 for column in columns)

        p_value = permutation_test(
            tuple(ranks.T),
            spread,
            permutation_type="samples",
            alternative="greater",
            n_resamples=RESAMPLES,
            vectorized=True,
            rng=np.random.default_rng(seed),
        ).pvalue
        note = f"by permutation: {n} listeners are too few for the chi-square approximation"
    return Friedman(n, k, statistic, float(p_value), statistic / (n * (k - 1)), note)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number by Holm's step-down method (S. Holm, 1979)."""
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected.tolist()


def rank_biserial(differences: Any) -> float:
    """(W+ - W-) / (W+ + W-) of paired differences, zeros left out; 0.0 where all are zero."""
    from scipy.stats import rankdata

    values = np.round(np.asarray(differences, np.float64), 9)
    values = values[values != 0]
    if not len(values):
        return 0.0
    ranks = rankdata(np.abs(values))
    return float((ranks * np.sign(values)).sum() / ranks.sum())


def pairwise(ratings: Any, names: Sequence[str]) -> list[Pair]:
    """Every pair of stimuli by Wilcoxon's signed-rank test, corrected by Holm over all pairs.

    Exact, with ties as without: over all patterns of signs. Listeners without a difference are left
    out, as Wilcoxon did.
    """
    array = _ratings(ratings)
    if array.shape[1] != len(names):
        raise DesignError(f"{array.shape[1]} columns of ratings, but {len(names)} names")
    found = []
    for i, j in itertools.combinations(range(len(names)), 2):
        differences = np.round(array[:, i] - array[:, j], 9)
        found.append((i, j, differences, *_wilcoxon(differences)))
    corrected = holm([p for _, _, _, p, _ in found])
    return [
        Pair(names[i], names[j], float(np.median(d)), p, adjusted, rank_biserial(d), note)
        for (i, j, d, p, note), adjusted in zip(found, corrected, strict=True)
    ]


def _wilcoxon(differences: np.ndarray) -> tuple[float, str]:
    """The p-value of (listeners,) differences, and what to know of it."""
    from scipy.stats import rankdata

    moved = differences[differences != 0]
    n = len(moved)
    if n == 0:
        return 1.0, "no two ratings differ"
    # Doubled ranks are whole numbers with ties, too: the distribution of their sum, over all
    # patterns of signs, is built up rank by rank. scipy is exact only without ties.
    ranks = np.rint(2 * rankdata(np.abs(moved))).astype(int)
    ways = np.zeros(ranks.sum() + 1)
    ways[0] = 1.0
    for rank in ranks:
        shifted = np.zeros_like(ways)
        shifted[rank:] = ways[: len(ways) - rank]
        ways = (ways + shifted) / 2
    positive = int(ranks[moved > 0].sum())
    tail = min(ways[: positive + 1].sum(), ways[positive:].sum())
    note = ""
    if n < 6:
        least = 2 / 2**n
        note = f"{n} of {len(differences)} differ: p cannot be below {least:.2g}"
    return float(min(1.0, 2 * tail)), note
