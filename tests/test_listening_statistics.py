"""Statistics of listening tests: published values, hand counts, other routes through scipy."""

import itertools
import math
import warnings

import numpy as np
import pytest
import scipy.stats

from labutils import listening
from labutils.listening import DesignError, statistics
from labutils.listening.abx_statistics import binomial, power, right_needed, trials_needed

# Hollander and Wolfe (1973), page 140: three ways of rounding first base, 22 players, with ties.
# Friedman chi-squared 11.143, p 0.003805: also the example of R's friedman.test.
FIRST_BASE = [
    [5.40, 5.50, 5.55], [5.85, 5.70, 5.75], [5.20, 5.60, 5.50], [5.55, 5.50, 5.40],
    [5.90, 5.85, 5.70], [5.45, 5.55, 5.60], [5.40, 5.40, 5.35], [5.45, 5.50, 5.35],
    [5.25, 5.15, 5.00], [5.85, 5.80, 5.70], [5.25, 5.20, 5.10], [5.65, 5.55, 5.45],
    [5.60, 5.35, 5.45], [5.05, 5.00, 4.95], [5.50, 5.50, 5.40], [5.45, 5.55, 5.50],
    [5.55, 5.55, 5.35], [5.45, 5.50, 5.55], [5.50, 5.45, 5.25], [5.65, 5.60, 5.40],
    [5.70, 5.65, 5.55], [6.30, 6.30, 6.25],
]  # fmt: skip
# Hollander and Wolfe (1973), page 29: depression before and after, the example of R's wilcox.test:
# V = 40, two-sided p 0.0390625.
BEFORE = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
AFTER = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def tail(right, trials, share=0.5):
    return sum(
        math.comb(trials, k) * share**k * (1 - share) ** (trials - k)
        for k in range(right, trials + 1)
    )


@pytest.mark.parametrize(
    ("right", "trials", "p_value"),
    [
        (12, 16, 2517 / 65536),  # 1820 + 560 + 120 + 16 + 1 of 2 ** 16
        (11, 16, 6885 / 65536),
        (16, 16, 1 / 65536),
        (0, 16, 1.0),
        (5, 5, 1 / 32),
        (1, 1, 0.5),
        (0, 1, 1.0),
    ],
)
def test_binomial_tails_counted_by_hand(right, trials, p_value):
    assert binomial(right, trials).p_value == pytest.approx(p_value, rel=1e-12)


def test_the_interval_is_that_of_clopper_and_pearson():
    test = binomial(12, 16)
    assert test.low == pytest.approx(scipy.stats.beta.ppf(0.025, 12, 5))
    assert test.high == pytest.approx(scipy.stats.beta.ppf(0.975, 13, 4))
    assert tail(12, 16, test.low) == pytest.approx(0.025, rel=1e-6)
    assert 1 - tail(13, 16, test.high) == pytest.approx(0.025, rel=1e-6)
    assert test.share == 0.75
    assert binomial(16, 16).high == 1.0
    assert binomial(0, 16).heard_at_most == 0.0
    assert binomial(8, 16).heard_at_most == pytest.approx(2 * binomial(8, 16).high - 1)


def test_right_needed_against_counting():
    for trials in range(1, 120):
        for level in (0.05, 0.01, 1 / 32, 0.5, 0.25):
            found = [r for r in range(trials + 1) if tail(r, trials) < level * (1 - 1e-9)]
            assert right_needed(trials, level) == (found[0] if found else None), (trials, level)
    assert right_needed(16) == 12
    assert right_needed(4) is None
    assert right_needed(5) == 5


def test_power_and_trials_against_counting():
    assert power(16, 0.75) == pytest.approx(tail(12, 16, 0.75), rel=1e-9)
    assert power(4, 0.99) == 0.0
    assert power(16, 0.5) == pytest.approx(2517 / 65536)  # a guesser passes as often as the level
    for share in (0.6, 0.75, 0.9, 0.99):
        trials = next(n for n in itertools.count(5) if tail(right_needed(n), n, share) >= 0.8)
        assert trials_needed(share) == trials
    assert trials_needed(0.75, wanted_power=0.95) > trials_needed(0.75)
    assert trials_needed(0.75, level=0.01) > trials_needed(0.75)


@pytest.mark.parametrize(
    "call",
    [
        lambda: binomial(3, 2),
        lambda: binomial(0, 0),
        lambda: binomial(1.0, 2),
        lambda: binomial(-1, 2),
        lambda: right_needed(0),
        lambda: right_needed(16, 0.0),
        lambda: trials_needed(0.5),
        lambda: trials_needed(1.0),
        lambda: trials_needed(0.5001),
        lambda: power(0, 0.7),
    ],
)
def test_impossible_questions_are_refused(call):
    with pytest.raises(DesignError):
        call()


# Friedman


def test_friedman_of_a_published_example_with_ties():
    found = statistics.friedman(FIRST_BASE)
    assert found.statistic == pytest.approx(11.1429, abs=1e-4)
    assert found.p_value == pytest.approx(0.003805, abs=1e-6)
    assert found.kendalls_w == pytest.approx(11.142857 / 44, abs=1e-6)
    assert (found.listeners, found.stimuli) == (22, 3)


def test_friedman_with_few_listeners_is_exact():
    """Four listeners who agree on three stimuli: 6 of 6 ** 4 patterns, the tables' 0.0046."""
    found = statistics.friedman([[1, 2, 3]] * 4)
    assert found.p_value == pytest.approx(6 / 6**4)
    assert found.kendalls_w == pytest.approx(1.0)
    # Tables: n = 4, k = 3, chi-square 6.5 or more has 0.042.
    ratings = [[1, 2, 3], [1, 2, 3], [1, 2, 3], [2, 1, 3]]
    found = statistics.friedman(ratings)
    assert found.statistic == pytest.approx(6.5)
    assert found.p_value == pytest.approx(0.0417, abs=1e-4)


def test_friedman_with_few_listeners_and_ties_against_all_permutations():
    ratings = np.array([[80, 80, 60], [90, 70, 70], [100, 95, 95], [50, 60, 40]])

    def statistic(rows):
        return scipy.stats.friedmanchisquare(*np.array(rows).T).statistic

    orders = list(itertools.permutations(range(3)))
    observed = statistic(ratings)
    all_of_them = [
        statistic([row[list(order)] for row, order in zip(ratings, chosen, strict=True)])
        for chosen in itertools.product(orders, repeat=4)
    ]
    share = np.mean(np.array(all_of_them) >= observed - 1e-9)
    assert statistics.friedman(ratings).p_value == pytest.approx(share)


@pytest.mark.parametrize(
    ("ratings", "p_value", "words"),
    [
        ([[50, 50, 50]] * 5, 1.0, "alike"),
        ([[90, 60, 30]], None, "one listener"),
        ([[90, 60]] * 8, None, "needs three"),
        ([[90]] * 8, None, "needs three"),
    ],
)
def test_friedman_of_nothing_to_test_says_so(ratings, p_value, words):
    found = statistics.friedman(ratings)
    assert found.p_value == p_value
    assert words in found.note


# Wilcoxon, Holm, effect size


def pair(first, second):
    (found,) = statistics.pairwise(np.column_stack([first, second]), ["first", "second"])
    return found


def test_wilcoxon_of_a_published_example():
    found = pair(BEFORE, AFTER)
    assert found.p_value == pytest.approx(0.0390625, abs=1e-12)
    assert found.effect == pytest.approx((40 - 5) / 45)  # V = 40 of 45
    assert found.difference == pytest.approx(np.median(np.subtract(BEFORE, AFTER)))


@pytest.mark.parametrize("count", [1, 2, 5, 6, 9, 20, 45])
def test_wilcoxon_without_ties_is_scipys_exact_one(count):
    differences = np.random.default_rng(count).normal(0.4, 1.0, count)
    expected = scipy.stats.wilcoxon(differences, method="exact").pvalue
    assert pair(differences, np.zeros(count)).p_value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_wilcoxon_with_ties_and_zeros_against_all_patterns_of_signs(seed):
    rng = np.random.default_rng(seed)
    differences = rng.integers(-4, 8, rng.integers(3, 10)).astype(float)
    moved = differences[differences != 0]
    ranks = scipy.stats.rankdata(np.abs(moved))
    sums = np.array([ranks @ signs for signs in itertools.product((0, 1), repeat=len(moved))])
    observed = ranks[moved > 0].sum()
    tails = np.mean(sums <= observed + 1e-9), np.mean(sums >= observed - 1e-9)
    found = pair(differences, np.zeros(len(differences)))
    assert found.p_value == pytest.approx(min(1.0, 2 * min(tails)))


def test_many_listeners_with_ties_agree_with_the_normal_approximation():
    rng = np.random.default_rng(3)
    differences = rng.integers(-10, 12, 400).astype(float)
    expected = scipy.stats.wilcoxon(differences, method="approx").pvalue
    assert pair(differences, np.zeros(400)).p_value == pytest.approx(expected, rel=0.03)


def test_means_that_differ_by_rounding_are_ties():
    first = np.array([0.1 + 0.2, 0.7, 0.9, 0.3])
    assert pair(first, [0.3, 0.7, 0.9, 0.1 * 3]).p_value == 1.0
    ratings = np.column_stack([first, [0.3, 0.7, 0.9, 0.1 * 3], first])
    assert "alike" in statistics.friedman(ratings).note
    # 0.3 - 0.2 and 0.4 - 0.3 are one difference, which arithmetic makes two.
    assert pair([0.3, 0.3], [0.2, 0.4]).effect == 0.0
    assert pair([0.4, 0.2, 0.5, 0.6, 0.7], [0.3, 0.3, 0, 0, 0]).p_value == 6 / 2**5


def test_pairs_that_cannot_reach_a_level_say_so():
    alone = pair([80.0], [70.0])
    assert (alone.p_value, alone.effect) == (1.0, 1.0)
    assert "p cannot be below 1" in alone.note
    five = pair([80.0, 81, 82, 83, 84], [70.0, 70, 70, 70, 70])
    assert five.p_value == pytest.approx(1 / 16)
    assert "0.062" in five.note
    six = pair([80.0, 81, 82, 83, 84, 85], [70.0] * 6)
    assert six.p_value == pytest.approx(1 / 32)
    assert six.note == ""
    equal = pair([50.0] * 9, [50.0] * 9)
    assert (equal.p_value, equal.effect, equal.difference) == (1.0, 0.0, 0.0)
    assert "no two ratings differ" in equal.note


def test_holm_by_hand():
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.6, 0.7]) == [1.0, 1.0]
    assert statistics.holm([0.02]) == [0.02]
    assert statistics.holm([]) == []


def test_pairwise_takes_every_pair_once_and_corrects_for_their_number():
    ratings = np.random.default_rng(0).normal([90, 80, 50], 3, (12, 3))
    found = statistics.pairwise(ratings, ["a", "b", "c"])
    assert [(p.first, p.second) for p in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert all(p.effect == 1.0 and p.difference > 0 for p in found)
    assert [p.p_holm for p in found] == pytest.approx([3 * 2 / 2**12] * 3)
    with pytest.raises(DesignError, match="3 columns of ratings, but 2 names"):
        statistics.pairwise(ratings, ["a", "b"])


@pytest.mark.parametrize("ratings", [[1, 2, 3], [[]], [[1, math.nan]], np.zeros((2, 2, 2))])
def test_ratings_that_are_no_table_are_refused(ratings):
    with pytest.raises(DesignError):
        statistics.friedman(ratings)


# Bootstrap


def test_bootstrap_is_that_of_its_seed_and_near_the_normal_interval():
    values = np.random.default_rng(0).normal(70, 10, 60)
    low, high = statistics.bootstrap_interval(values)
    half = 1.96 * values.std() / math.sqrt(60)
    assert low == pytest.approx(values.mean() - half, abs=0.2)
    assert high == pytest.approx(values.mean() + half, abs=0.2)
    assert statistics.bootstrap_interval(values) == (low, high)
    assert statistics.bootstrap_interval(values, seed=1) != (low, high)
    wide = statistics.bootstrap_interval(values, level=0.99)
    assert wide[0] < low < high < wide[1]


def test_bootstrap_of_a_median_against_all_resamples():
    values = [10.0, 20.0, 40.0, 80.0]
    medians = np.sort([np.median(drawn) for drawn in itertools.product(values, repeat=4)])
    low, high = statistics.bootstrap_interval(values, np.median)
    assert (low, high) == tuple(np.percentile(medians, [2.5, 97.5]))


def test_bootstrap_of_one_value_and_of_equal_values():
    assert statistics.bootstrap_interval([70.0]) is None
    assert statistics.bootstrap_interval([70.0, 70.0]) == (70.0, 70.0)
    for values in ([], [math.nan, 1.0], [[1.0], [2.0]]):
        with pytest.raises(DesignError):
            statistics.bootstrap_interval(values)


def test_the_public_names_are_there():
    for name in listening.__all__:
        assert hasattr(listening, name), name


def test_counts_of_any_integer_type_and_nothing_else():
    assert binomial(np.int64(12), np.int32(16)) == binomial(12, 16)
    assert right_needed(np.int64(16)) == 12
    for wrong in (12.0, "12", True, None):
        with pytest.raises(DesignError, match="right is .*; give a whole number from 0 on"):
            binomial(wrong, 16)
    with pytest.raises(DesignError, match="share is 2; give a number from 0 to 1"):
        power(16, 2)
