"""Checks of notebook 00."""

from labutils.checks.core import CheckResult, check, expect_close

__all__ = ["times_real_time"]


def times_real_time(fn) -> CheckResult:
    """``fn(samples, sample_rate, seconds)``: how many times faster than real time."""

    cases = (
        ((48000, 24000, 0.5), 4.0, "48,000 samples at 24 kHz, made in 0.5 s, in times real time",
         "seconds of audio over seconds of work, not the other way round"),
        ((22050, 22050, 2.0), 0.5, "1 s of audio made in 2 s", "slower than real time is below 1"),
        ((48000, 48000, 0.5), 2.0, "the same work at 48 kHz, in times real time",
         "the sample rate says how long the audio lasts"),
        ((36000, 24000, 0.4), 3.75, "1.5 s of audio made in 0.4 s", "divide, do not round"),
    )  # fmt: skip

    def right(fn):
        for given, wanted, what, hint in cases:
            expect_close(fn(*given), wanted, what, hint=hint)

    return check(fn, right, passed="seconds of audio made in one second of work")
