"""Checks of notebook 02."""

import numpy as np
import torch
from torch import nn

from labutils import benchmark
from labutils.checks.core import CheckResult, check, expect, expect_close, expect_returned

__all__ = ["intensity", "peaks", "percentile", "times_real_time"]


def percentile(fn) -> CheckResult:
    """``fn(times_ms, q)``: the smallest measured time that q % of the runs did not exceed."""

    def measured(fn):
        times = [4.0, 4.1, 4.0, 4.2, 4.1, 4.0, 4.3, 4.1, 4.2, 25.0]
        got = fn(list(times), 90)
        expect_returned(got)
        expect(
            not np.isclose(got, np.mean(times) + 1.645 * np.std(times), rtol=0.01)
            and not np.isclose(got, np.mean(times) + 1.282 * np.std(times), rtol=0.01),
            f"ten runs, q = 90: got {got:.4g} ms: a mean and a deviation describe no skewed sample",
        )
        expect(got in times, f"ten runs, q = 90: got {got!r} ms, and no run took that long")
        expect_close(got, 4.3, "nine runs of 4.0 to 4.3 ms and one of 25 ms, q = 90: ms")

    def order(fn):
        times = [9.0, 1.0, 5.0, 3.0, 7.0, 2.0, 8.0, 4.0, 10.0, 6.0]
        before = list(times)
        got = fn(times, 50)
        expect(times == before, "your function changed the caller's list of times: sort a copy")
        expect_close(got, 5.0, "1 to 10 ms in mixed order, q = 50: ms", hint="sort first")

    def edges(fn):
        tens = [float(n) for n in range(10, 0, -1)]
        expect_close(fn(tens, 90), 9.0, "1 to 10 ms, q = 90: ms",
                     hint="nine of ten did not exceed 9 ms; count from 0 with care")  # fmt: skip
        expect_close(fn(tens, 91), 10.0, "1 to 10 ms, q = 91: ms", hint="round the rank up")
        expect_close(fn(tens, 100), 10.0, "1 to 10 ms, q = 100: ms")
        expect_close(fn([3.5], 99), 3.5, "a single run of 3.5 ms, q = 99: ms")

    words = "it is a time that really happened; nothing is assumed about the shape of the rest"
    return check(fn, measured, order, edges, passed=words)


def times_real_time(fn) -> CheckResult:
    """``fn(mel_shape, hop_length, output_rate, milliseconds)``: seconds of sound per second."""

    def one(fn):
        got = fn((1, 80, 862), 256, 22050, 10.0)
        wanted = 862 * 256 / 22050 / 0.010
        expect_returned(got)
        expect(
            not np.isclose(got, 1 / wanted),
            f"10 s of speech in 10 ms: got {got:.3g}; that is the real-time factor, upside down",
        )
        expect(
            not np.isclose(got, wanted / 1e3),
            f"10 s of speech in 10 ms: got {got:.3g}; the time is in milliseconds",
        )
        expect_close(got, wanted, "(1, 80, 862), hop 256, 22,050 Hz, 10 ms: times real time",
                     hint="seconds of sound = frames * hop / rate")  # fmt: skip

    def batch(fn):
        wanted = 8 * 500 * 480 / 48000 / 0.1
        expect_close(fn((8, 100, 500), 480, 48000, 100.0), wanted,
                     "a batch of 8 with 500 frames, hop 480, 48 kHz, 100 ms: times real time",
                     hint="all eight sounds were made in that time")  # fmt: skip

    return check(fn, one, batch, passed="one unit for every network, length, batch and machine")


def intensity(fn) -> CheckResult:
    """``fn(channels_in, channels_out, kernel, length, bytes_per_value)``: operations per byte."""

    def wanted(cin, cout, k, n, size):
        return 2 * cin * cout * k * n / (size * (cin * n + cin * cout * k + cout * n))

    def half_precision(fn):
        case = (256, 256, 3, 6896, 2)
        got, right = fn(*case), wanted(*case)
        what = "256 to 256 channels, kernel 3, 6,896 values long, FP16: operations per byte"
        expect_returned(got)
        expect(
            not np.isclose(got, right / 2, rtol=1e-3),
            f"{what}: got {got:.4g}, half of it; a multiply-accumulate is two operations",
        )
        without = 2 * 256 * 256 * 3 * 6896 / (2 * 2 * 256 * 6896)
        expect(
            not np.isclose(got, without, rtol=1e-4),
            f"{what}: got {got:.4g}; the weights have to be read, too",
        )
        expect(
            not np.isclose(got, right * 2, rtol=1e-3),
            f"{what}: got {got:.4g}, twice the right answer; FP16 takes two bytes a value",
        )
        expect_close(got, right, what, rtol=1e-4, hint="values in, weights, values out")

    def others(fn):
        case = (32, 32, 11, 220672, 4)
        expect_close(fn(*case), wanted(*case),
                     "32 to 32 channels, kernel 11, 220,672 values long, FP32: operations per byte",
                     rtol=1e-4, hint="bytes_per_value is 4 here")  # fmt: skip
        case = (80, 512, 7, 1, 2)
        expect_close(fn(*case), wanted(*case),
                     "80 to 512 channels, kernel 7, one value long: operations per byte", rtol=1e-4,
                     hint="for one value nearly all bytes are weights")  # fmt: skip

    words = "wide layers have hundreds of operations for a byte, narrow ones a handful"
    return check(fn, half_precision, others, passed=words)


class _Watched(nn.Module):
    """A little network that remembers whether autograd was on."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv1d(4, 32, 3, padding=1)
        with torch.no_grad():
            nn.init.constant_(self.layer.weight, 0.05)
            nn.init.zeros_(self.layer.bias)
        self.grad = False

    def forward(self, mel):
        self.grad = self.grad or torch.is_grad_enabled()
        return self.layer(mel)


def peaks(fn) -> CheckResult:
    """``fn(model, mels)``: the loudest value of each output, holding on to nothing."""

    def mels(count):
        return [torch.full((1, 4, 1000), float(number + 1)) for number in range(count)]

    def wanted(count):
        return [4 * 3 * 0.05 * (number + 1) for number in range(count)]

    def values(fn):
        model, given = _Watched(), mels(3)
        kept = []
        used = benchmark.memory(lambda: kept.append(fn(model, given)))
        got = kept[0]
        expect(isinstance(got, list), f"expected a list, got {type(got).__name__}")
        expect(len(got) == 3, f"three mels: expected 3 peaks, got {len(got)}")
        if any(isinstance(peak, torch.Tensor) for peak in got):
            mb = used["after_mb"]
            expect(False, f"the list holds tensors, which keep {mb:.3g} MB alive: expected floats")
        expect_close(got, wanted(3), "peaks of three outputs", rtol=1e-4,
                     hint="the largest absolute value of each output")  # fmt: skip
        expect(
            not model.grad,
            "autograd was on: it keeps every operation for a backward pass that never comes",
        )

    def loudest(fn):
        quiet = [-mel for mel in mels(2)]
        expect_close(fn(_Watched(), quiet), wanted(2), "peaks of two outputs below zero", rtol=1e-4,
                     hint="a peak may be negative: take absolute values")  # fmt: skip

    def memory(fn):
        few, many = (
            benchmark.memory(lambda count=count: fn(_Watched(), mels(count)))["peak_mb"]
            for count in (2, 20)
        )
        # The mels themselves are made in the call, too: 16 kB each, an output is 128 kB.
        grown = (many - few) / 18
        expect(grown < 0.1, f"each further mel needs {grown:.3g} MB more at the same time: let go "
                            "of an output before you make the next one")  # fmt: skip

    words = "twenty outputs need no more memory than two"
    return check(fn, values, loudest, memory, passed=words)
