"""Checks of notebook 14: a sound that fools MCD, chance in an ABX test, its size, who is kept."""

import math

import numpy as np

from labutils import audio, metrics
from labutils.checks.core import (
    CheckResult,
    Unmet,
    check,
    expect,
    expect_close,
    expect_returned,
    expect_shape,
)

__all__ = ["abx_p_value", "fool_mcd", "kept_listeners", "trials_needed"]

MOST_MCD, LEAST_L1 = 0.5, 0.3  # a vocoder's copy is worse than the one and better than the other


def fool_mcd(fn) -> CheckResult:
    """``fn(samples, sample_rate)``: damage that mel-cepstral distortion does not see."""

    def fools(fn):
        for name in ("en-slt", "cs-dita"):
            samples, rate = audio.load(audio.clip(name).path, duration=2.0)
            before = samples.copy()
            damaged = fn(samples, rate)
            expect(np.array_equal(samples, before), "it changed the samples that it was given")
            expect_shape(damaged, samples.shape, f"the damaged sound ({name})")
            damaged = np.asarray(damaged, np.float64)
            expect(np.isfinite(damaged).all(), f"{name}: NaN or infinity in the sound")
            peak = np.abs(damaged).max()
            expect(peak <= 1, f"{name}: its peak is {peak:.2f}, above full scale: it would clip")
            expect(peak > 0.01, f"{name}: its peak is {peak:.4f}: nobody hears anything at all")
            level = np.sqrt(np.mean(samples.astype(np.float64) ** 2) / np.mean(damaged**2))
            damaged = damaged * level  # louder or softer as a whole is no damage
            config = metrics.analysis_mel(rate)
            heard = metrics.log_mel_l1(samples, damaged, config)
            expect(
                heard >= LEAST_L1,
                f"{name}: brought to one level, log-mel L1 is {heard:.2f}, wanted {LEAST_L1} or "
                "more: this is no damage yet",
            )
            mcd = metrics.mcd(samples, damaged, rate)
            expect(
                mcd <= MOST_MCD,
                f"{name}: MCD is {mcd:.2f} dB, wanted {MOST_MCD} or less: it sees the damage",
            )

    return check(fn, fools, passed="plain to hear, and better than any vocoder's copy in MCD")


def abx_p_value(fn) -> CheckResult:
    """``fn(right, trials)``: how often guessing does as well or better."""

    def known(fn):
        expect_close(fn(3, 3), 1 / 8, "3 of 3 right", hint="half of a half of a half")
        expect_close(fn(0, 10), 1.0, "0 of 10 right or more: always")
        expect_close(
            fn(12, 16),
            2517 / 65536,
            "12 of 16 right",
            rtol=1e-6,
            hint="as many or more: 12, 13, 14, 15 and 16 count, and exactly",
        )

    def every(fn):
        for trials in (1, 7, 16, 40):
            for right in range(trials + 1):
                ways = sum(math.comb(trials, k) for k in range(right, trials + 1))
                expect_close(fn(right, trials), ways / 2**trials, f"{right} of {trials} right")

    return check(fn, known, every, passed="exact for every count, with nothing but coin throws")


def trials_needed(fn) -> CheckResult:
    """``fn(hears, wanted_power, level)``: the fewest trials that will show it."""
    from labutils import listening

    def certain(fn):
        expect_close(
            fn(1.0, 0.8, 0.05), 5, "trials for a listener who hears it every time",
            hint="four right of four come in 1 of 16 tests by chance, which is more than 0.05",
        )  # fmt: skip

    def known(fn):
        cases = ((0.5, 0.8, 0.05), (0.3, 0.9, 0.05), (0.7, 0.95, 0.01), (0.9, 0.8, 1 / 16))
        for hears, power, level in cases:
            wanted = listening.trials_needed(hears + (1 - hears) / 2, level, power)
            got = fn(hears, power, level)
            expect_returned(got, f"hears {hears}")
            expect_close(
                got,
                wanted,
                f"trials for who hears it in {hears:.0%} of them (power {power}, level {level})",
                hint="who does not hear it guesses, and is right half the time; and a probability "
                "that equals the level is not below it",
            )

    return check(
        fn, certain, known, passed="small differences need long tests, and you know how long"
    )


def kept_listeners(fn) -> CheckResult:
    """``fn(ratings)``: the names that stay after BS.1534-3's two rules."""
    good = [100, 98, 95, 100, 92, 97, 100, 94, 99, 96]
    anchor = [40, 55, 60, 35, 62, 48, 51, 44, 58, 39]

    def sheet(reference=None, mid=None):
        return {"reference": [*(reference or good)], "mid anchor": [*(mid or anchor)]}

    def keeps(fn, ratings, wanted, what):
        got = fn(ratings)
        expect_returned(got)
        if isinstance(got, str) or not isinstance(got, (list, tuple)):
            raise Unmet(f"expected a list of names, got {type(got).__name__}")
        expect(list(got) == wanted, f"{what}: expected {wanted}, got {list(got)}")

    def rules(fn):
        keeps(fn, {"Ana": sheet(), "Ben": sheet()}, ["Ana", "Ben"], "two careful listeners")
        deaf = sheet(reference=[85, 80, 88, *good[3:]])
        keeps(fn, {"Ana": sheet(), "Ben": deaf}, ["Ana"],
              "Ben rated the hidden reference below 90 on 3 of 10 items")  # fmt: skip
        kind = sheet(mid=[95, 92, 91, *anchor[3:]])
        keeps(fn, {"Ana": kind, "Ben": sheet()}, ["Ben"],
              "Ana rated the mid anchor above 90 on 3 of 10 items")  # fmt: skip

    def bounds(fn):
        one = sheet(reference=[0, *good[1:]])
        keeps(fn, {"Ana": one}, ["Ana"],
              "one slip in 10 items, however large, is 10 %: Ana stays")  # fmt: skip
        ninety = sheet(reference=[90] * 10, mid=[90] * 10)
        keeps(fn, {"Ana": ninety}, ["Ana"], "90 is neither below nor above 90: Ana stays")
        twenty = {"reference": [80] * 3 + [100] * 17, "mid anchor": [50] * 20}
        keeps(fn, {"Ana": twenty}, ["Ana"], "3 of 20 items is 15 %, which is not more than 15 %")
        both = sheet(reference=[80, *good[1:]], mid=[95, *anchor[1:]])
        keeps(fn, {"Ana": both}, ["Ana"], "one slip in each rule: each counts by itself, Ana stays")
        keeps(fn, {"Zoe": sheet(), "Ana": sheet()}, ["Zoe", "Ana"], "names in the given order")
        slightly = sheet(reference=[89] * 4 + [100] * 6)
        keeps(fn, {"Ana": slightly}, [], "89 on 4 of 10 items: the mean is fine, the rule is not")

    return check(fn, rules, bounds, passed="two rules, none of which looks at the systems compared")
