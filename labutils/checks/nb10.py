"""Checks of notebook 10: INT8 weights, what stays float, noises that add."""

import math

import numpy as np

from labutils.checks.core import CheckResult, check, expect, expect_close, expect_shape
from labutils.environment import require

__all__ = ["combined_snr", "quantize_weight", "stay_float"]


def quantize_weight(fn) -> CheckResult:
    """``fn(weight)``: INT8 values and a scale for each output channel."""

    def pair(fn, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        got = fn(weight.copy())
        expect(
            isinstance(got, tuple) and len(got) == 2,
            f"expected two arrays, the INT8 values and the scales, got {type(got).__name__}",
        )
        values, scales = map(np.asarray, got)
        expect(
            values.dtype == np.int8,
            f"the values are {values.dtype}, not int8: round, cut to -127 to 127, then convert",
        )
        expect_shape(values, weight.shape, "the INT8 values")
        expect(
            scales.size == len(weight),
            f"a weight of {len(weight)} output channels has {len(weight)} scales, got "
            f"{scales.size}: the output channels are axis 0",
        )
        return values, scales.reshape(-1)

    def simple(fn):
        weight = np.array([[[0.5, -1.27]], [[0.0127, -0.0064]]], np.float32)
        values, scales = pair(fn, weight)
        expect(
            abs(scales[0] - 1.27 / 128) > 1e-5,
            "the scale is largest / 128, but symmetric INT8 ends at 127 on both sides: the "
            "largest weight would not fit",
        )
        expect_close(scales, [0.01, 0.0001], "scales of channels that reach 1.27 and 0.0127",
                     rtol=1e-4, hint="largest magnitude of the channel / 127")  # fmt: skip
        expect_close(values, [[[50, -127]], [[127, -64]]], "the INT8 values")

    def rounds(fn):
        weight = np.array([[[127.0, 2.6, -2.6, 0.4]]], np.float32)
        values, _ = pair(fn, weight)
        expect_close(
            values,
            [[[127, 3, -3, 0]]],
            "127, 2.6, -2.6, 0.4 with a scale of 1",
            hint="the nearest whole number; a plain conversion cuts towards zero",
        )

    def zeros(fn):
        weight = np.zeros((2, 1, 3), np.float32)
        weight[1, 0] = [1.0, -2.0, 0.5]
        with np.errstate(all="ignore"):
            values, scales = pair(fn, weight)
        expect(
            np.isfinite(scales).all() and (scales > 0).all(),
            f"a channel of zeros: its scale is {scales[0]}, and everything is divided by it; any "
            "positive scale will do",
        )
        expect(not values[0].any(), "a channel of zeros must stay zeros")

    def close(fn):
        random = np.random.default_rng(0)
        sizes = np.array([0.01, 1.0, 0.1, 3.0, 0.0004], np.float32)
        weight = (random.normal(size=(5, 8, 3)) * sizes[:, None, None]).astype(np.float32)
        values, scales = pair(fn, weight)
        error = np.abs(values * scales[:, None, None] - weight).max(axis=(1, 2))
        worst = error / (np.abs(weight).max(axis=(1, 2)) / 127)
        expect(
            worst.max() < 0.51,
            f"the error of channel {int(worst.argmax())} is {worst.max():.2f} steps, rounding "
            "makes half a step at most",
        )

    return check(fn, simple, rounds, zeros, close, passed="each channel uses all of its 255 steps")


def stay_float(fn) -> CheckResult:
    """``fn(model)``: names of the layers that INT8 leaves out."""
    onnx = require("onnx")

    def graph(*nodes: tuple[str, str]):
        made = [
            onnx.helper.make_node(kind, [f"t{i}", f"w{i}"], [f"t{i + 1}"], name)
            for i, (kind, name) in enumerate(nodes)
        ]
        return onnx.helper.make_model(onnx.helper.make_graph(made, "vocoder", [], []))

    def names(fn, *nodes: tuple[str, str]) -> set[str]:
        got = fn(graph(*nodes))
        expect(
            isinstance(got, (list, tuple, set)) and all(isinstance(name, str) for name in got),
            f"expected a list of names, got {got!r}",
        )
        return set(got)

    def hifigan(fn):
        got = names(
            fn, ("Conv", "conv_pre/Conv"), ("LeakyRelu", "LeakyRelu"),
            ("ConvTranspose", "ups.0/ConvTranspose"), ("Conv", "resblocks.0/Conv"),
            ("Conv", "resblocks.1/Conv"), ("ConvTranspose", "ups.1/ConvTranspose"),
            ("Conv", "conv_post/Conv"), ("Tanh", "Tanh"),
        )  # fmt: skip
        wanted = {"conv_pre/Conv", "ups.0/ConvTranspose", "ups.1/ConvTranspose", "conv_post/Conv"}
        for name, why in {
            "conv_pre/Conv": "it reads the mel",
            "conv_post/Conv": "it writes the waveform",
            "ups.1/ConvTranspose": "every transposed convolution stays float",
        }.items():
            expect(name in got, f"{name} is not in the list: {why}")
        expect(not got & {"Tanh", "LeakyRelu"}, "a Tanh has no weights that could be quantised")
        expect(got == wanted, f"expected {sorted(wanted)}, got {sorted(got)}")

    def melgan(fn):
        got = names(
            fn, ("Pad", "model.0/Pad"), ("Conv", "model.1/Conv"), ("LeakyRelu", "model.2"),
            ("ConvTranspose", "model.3/ConvTranspose"), ("Conv", "model.4/Conv"),
            ("Pad", "model.5/Pad"), ("Conv", "model.6/Conv"), ("Tanh", "model.7/Tanh"),
        )  # fmt: skip
        wanted = {"model.1/Conv", "model.3/ConvTranspose", "model.6/Conv"}
        expect(
            got == wanted,
            f"MelGAN calls its layers by numbers and begins with a Pad: expected {sorted(wanted)}, "
            f"got {sorted(got)}",
        )

    return check(
        fn, hifigan, melgan, passed="found by what they are, not by what somebody called them"
    )


def combined_snr(fn) -> CheckResult:
    """``fn(snrs)``: the SNR of several independent noises together."""

    def two(fn):
        got = fn([30.0, 30.0])
        expect(got is not None, "expected a number, got None: does the function return it?")
        expect(abs(got - 15) > 1e-3, "two noises at 30 dB: 15 is the wrong half; halve the power")
        expect(abs(got - 60) > 1e-3, "two noises at 30 dB: decibels do not add, powers do")
        expect(abs(got - 30) > 1e-3, "two equal noises are louder than one: not 30 dB")
        expect(
            abs(got - (30 - 20 * math.log10(2))) > 1e-3,
            "two noises at 30 dB: 24 dB comes from adding amplitudes; of independent noises the "
            "powers add",
        )
        expect_close(got, 30 - 10 * math.log10(2), "two noises at 30 dB each", rtol=1e-6)

    def loudest(fn):
        three = -10 * math.log10(10**-1.2 + 2e-5)
        expect_close(
            fn([12.0, 50.0, 50.0]), three, "noises at 12, 50 and 50 dB", hint="the loudest decides"
        )
        expect_close(fn([-3.0]), -3.0, "one noise at -3 dB", rtol=1e-6)

    def many(fn):
        expect_close(fn([50.0] * 100), 30.0, "a hundred noises at 50 dB each", rtol=1e-6)

    def none(fn):
        got = fn([])
        expect(got == math.inf, f"no noise at all: expected infinity, got {got}")

    return check(
        fn, two, loudest, many, none, passed="a hundred quiet layers are as loud as one at 30 dB"
    )
