"""Checks of notebook 01."""

import numpy as np
import torch

from labutils.checks.core import CheckResult, check, expect, expect_close, expect_shape

__all__ = ["block_reach", "output_length", "snake", "to_natural_log"]


def to_natural_log(fn) -> CheckResult:
    """``fn(log10_mel)``: the same magnitudes in natural logarithms."""
    magnitudes = np.array([[1e-5, 0.01], [0.5, 3.0]])

    def values(fn):
        got = fn(np.log10(magnitudes))
        expect_shape(got, (2, 2), "a mel of 2 bands and 2 frames")
        expect_close(
            got,
            np.log(magnitudes),
            "natural logarithms of 1e-5, 0.01, 0.5 and 3",
            hint="ln x is log10 x times np.log(10); 2.303 is too rough",
        )

    def floor(fn):
        expect_close(
            fn(np.full((80, 3), -5.0)), np.full((80, 3), np.log(1e-5)), "silence, log10 of 1e-5"
        )

    return check(fn, values, floor, passed="one factor, 2.303, stands between speech and noise")


def output_length(fn) -> CheckResult:
    """``fn(frames, strides, kernels)``: samples that a stack of transposed convolutions makes."""

    def one(fn):
        expect_close(
            fn(10, [8], [16]),
            80,
            "one stage, stride 8, kernel 16, 10 frames: samples",
            hint="the padding is on both sides, and the first copy of the kernel is whole",
        )

    def stack(fn):
        expect_close(
            fn(100, [8, 8, 2, 2], [16, 16, 4, 4]), 25600, "HiFi-GAN V1, 100 frames: samples"
        )
        expect_close(
            fn(7, [10, 6, 2, 2, 2], [20, 12, 4, 4, 4]), 3360, "GPT-SoVITS v4, 7 frames: samples"
        )

    def odd(fn):
        expect_close(
            fn(10, [4], [7]),
            41,
            "stride 4, kernel 7, 10 frames: samples",
            hint="the product of the strides is right only where kernel minus stride is even",
        )

    return check(
        fn,
        one,
        stack,
        odd,
        passed="the length is exact, and only even differences make it frames times hop",
    )


def block_reach(fn) -> CheckResult:
    """``fn(kernel, dilations)``: samples each side that a residual block of HiFi-GAN looks at."""

    def pair(fn):
        got = fn(3, [1])
        expect(
            got != 1,
            "kernel 3, dilation 1: got 1; the second convolution of the pair looks further, too",
        )
        expect(got not in (4, 5), f"kernel 3, dilation 1: got {got}; count one side only")
        expect_close(got, 2, "kernel 3, dilation 1: samples each side")

    def block(fn):
        expect_close(
            fn(3, [1, 3, 5]),
            12,
            "kernel 3, dilations 1, 3, 5: samples each side",
            hint="convolutions in a row add their reaches; each dilation has a plain one after it",
        )
        expect_close(fn(11, [1, 3, 5]), 60, "kernel 11, dilations 1, 3, 5: samples each side")
        expect_close(fn(7, [2, 6]), 30, "kernel 7, dilations 2, 6: samples each side")

    words = "three of these side by side in each stage make most of what the NaN showed"
    return check(fn, pair, block, passed=words)


def snake(fn) -> CheckResult:
    """``fn(x, log_alpha, log_beta)``: BigVGAN's activation."""
    x = torch.linspace(-2, 2, 9)

    def plain(fn):
        zero = torch.zeros(())
        expect_close(
            fn(x, zero, zero),
            x + torch.sin(x) ** 2,
            "alpha 1 and beta 1 (their logarithms are 0)",
            hint="the sine is squared and added to x; exp(0) is 1",
        )

    def parameters(fn):
        alpha, beta = torch.tensor(0.7), torch.tensor(-0.4)
        expected = x + torch.sin(x * alpha.exp()) ** 2 / beta.exp()
        expect_close(
            fn(x, alpha, beta),
            expected,
            "log alpha 0.7 and log beta -0.4",
            hint="both are logarithms: exp() them; beta divides the square",
        )

    def channels(fn):
        alpha, beta = torch.tensor([[0.0], [0.5], [-0.5]]), torch.tensor([[1.0], [0.0], [0.3]])
        given = torch.linspace(-1, 1, 24).reshape(2, 3, 4)
        got = fn(given, alpha, beta)
        expect_shape(got, (2, 3, 4), "a batch of 2 with 3 channels and 4 samples")
        expect_close(got, given + torch.sin(given * alpha.exp()) ** 2 / beta.exp(),
                     "three channels, each with an alpha and a beta of its own")  # fmt: skip

    return check(fn, plain, parameters, channels, passed="periodic bends for periodic sounds")
