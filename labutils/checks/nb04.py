"""Checks of notebook 04: dynamic axes, a fair comparison, lengths to test, lengths left behind."""

import inspect

import numpy as np
import torch
from torch import nn

from labutils.checks.core import CheckResult, Unmet, check, expect, expect_close
from labutils.environment import require

__all__ = ["dynamic_shapes", "frozen_nodes", "lengths_to_test", "relative_error"]


class _TakesMel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose1d(10, 1, 8, stride=4, padding=2)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.up(mel))


class _TakesX(_TakesMel):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.up(x))


def dynamic_shapes(fn) -> CheckResult:
    """``fn(model)``: what torch.export has to know of the mel's axes."""

    def names(fn):
        for model in (_TakesMel(), _TakesX()):
            argument = next(iter(inspect.signature(model.forward).parameters))
            got = fn(model)
            expect(isinstance(got, dict), f"expected a dictionary, got {type(got).__name__}")
            expect(
                set(got) == {argument},
                f"forward({argument}): the keys are {sorted(map(str, got))}; torch.export looks "
                f"for the name of the argument, {argument!r}",
            )
            expect(isinstance(got[argument], dict), f"{argument}: expected {{axis: Dim}}")
            axes = {axis for axis, size in got[argument].items() if size is not None}
            expect(
                1 not in axes, "axis 1 is the bands: their number is part of the network's weights"
            )
            expect(0 in axes, "the batch, axis 0, is not among the axes that may change")
            expect(2 in axes, "the frames, axis 2, are not among the axes that may change")

    def exports(fn):
        model = _TakesX().eval()
        example = torch.zeros(2, 10, 37)
        try:
            program = torch.export.export(model, (example,), dynamic_shapes=fn(model))
        except Exception as error:  # torch raises many types for a specification that it dislikes
            raise Unmet(f"torch.export refuses it: {' '.join(str(error).split())[:200]}") from None
        run = program.module()
        for shape in ((1, 10, 37), (3, 10, 37), (2, 10, 12), (2, 10, 300)):
            try:
                made = tuple(run(torch.zeros(shape)).shape)
            except Exception:
                raise Unmet(f"exported with (2, 10, 37), it refuses a mel of {shape}") from None
            expect_close(made[2], 4 * shape[2], f"samples for a mel of {shape} at a hop of 4")

    return check(
        fn, names, exports, passed="any batch, any length, whatever the argument is called"
    )


def relative_error(fn) -> CheckResult:
    """``fn(reference, candidate)``: the largest difference as a fraction of the peak."""
    time = np.arange(400) / 400
    sound = (0.25 * np.sin(2 * np.pi * 5 * time)).astype(np.float32)

    def peak(fn):
        candidate = sound.copy()
        candidate[0] += 0.01  # where the sound itself is zero
        hint = "divide by the peak of the whole reference, not sample by sample"
        with np.errstate(all="ignore"):
            got = fn(sound, candidate)
        expect_close(got, 0.04, "one sample is off by 0.01, the peak is 0.25", rtol=1e-3, hint=hint)
        candidate = sound - np.float32(0.02)
        expect_close(
            fn(sound, candidate),
            0.08,
            "all samples 0.02 too low",
            rtol=1e-3,
            hint="the sign does not matter",
        )
        expect_close(fn(sound, sound), 0.0, "two equal sounds", atol=1e-12)

    def one_sample(fn):
        long = np.tile(sound, 50)[None, None]
        candidate = long.copy()
        candidate[0, 0, 777] = 0.25
        expected = np.abs(candidate - long).max() / 0.25
        expect_close(fn(long, candidate), expected, "one wrong sample in 20,000", rtol=1e-3,
                     hint="the largest difference, not a mean")  # fmt: skip

    def shapes(fn):
        pairs = [((3, 1, 400), other) for other in ((400,), (1, 1, 400), (2, 400))]
        for given, other in (*pairs, ((2, 200), (200, 2))):
            try:
                got = fn(np.ones(given), np.ones(other))
            except ValueError:
                continue
            raise Unmet(f"{given} compared with {other} gave {got}; it must raise ValueError")

    def not_a_number(fn):
        for bad in (np.nan, np.inf):
            candidate = sound.copy()
            candidate[3] = bad
            with np.errstate(all="ignore"):
                got = fn(sound, candidate)
            expect(got == np.inf, f"a candidate with {bad} in it: expected inf, got {got}")

    def half(fn):
        candidate = sound.astype(np.float16)
        expected = np.abs(candidate.astype(np.float64) - sound).max() / 0.25
        expect_close(fn(sound, candidate), expected, "a float16 candidate", rtol=1e-3)
        expected = np.abs(candidate.astype(np.float64) - candidate.astype(np.float64) * 1.001).max()
        got = fn(candidate.astype(np.float64) * 1.001, candidate)
        expect_close(got, expected / 0.25025, "a float16 candidate 0.1 % too low", rtol=1e-2)
        candidate = (1.3 * sound).astype(np.float16)  # its peak is no power of two
        lower = (candidate * np.float16(0.9)).astype(np.float16)
        wide, other = candidate.astype(np.float64), lower.astype(np.float64)
        expect_close(fn(candidate, lower), np.abs(other - wide).max() / np.abs(wide).max(),
                     "two float16 sounds", rtol=1e-5,
                     hint="results in float16 are rounded again: go to float64")  # fmt: skip

    return check(fn, peak, one_sample, shapes, not_a_number, half,
                 passed="no zero crossing, NaN or missing dimension fools it")  # fmt: skip


def lengths_to_test(fn) -> CheckResult:
    """``fn(example, shortest)``: lengths that catch every one of six broken exports."""
    broken = {
        "a file that works at the example's length only": lambda t, example, least: t != example,
        "a file that cuts off what is longer than the example": lambda t, example, least: (
            t > example
        ),
        "a file that pads what is shorter than the example": lambda t, example, least: t < example,
        "a file that fails at the shortest input": lambda t, example, least: t == least,
        "a file that wants an even number of frames": lambda t, example, least: t % 2 == 1,
        "a file that rounds down to a multiple of 8": lambda t, example, least: t % 8 != 0,
    }

    def sensible(fn):
        for example, least in ((37, 4), (100, 1), (64, 4)):
            lengths = fn(example, least)
            expect(isinstance(lengths, (list, tuple)) and len(lengths) > 0,
                   f"expected a list of lengths, got {lengths!r}")  # fmt: skip
            expect(
                all(isinstance(t, (int, np.integer)) for t in lengths),
                f"lengths are whole numbers: {lengths}",
            )
            expect(len(lengths) <= 6, f"{len(lengths)} lengths; each costs a run, six are enough")
            expect(
                min(lengths) >= least,
                f"{min(lengths)} frames, but the network takes {least} or more",
            )
            expect(
                example not in lengths,
                f"{example} frames is the example's own length: it proves nothing",
            )

    def catches(fn):
        for example, least in ((37, 4), (100, 1), (64, 4), (41, 8)):
            lengths = fn(example, least)
            for what, fails in broken.items():
                caught = any(fails(t, example, least) for t in lengths)
                where = f"example {example}, shortest {least}: with {list(lengths)}"
                expect(caught, f"{where} {what} would pass")

    return check(fn, sensible, catches, passed="six broken exports, none gets through")


def frozen_nodes(fn) -> CheckResult:
    """``fn(model, frames)``: nodes that hold a length made from the example's."""
    onnx = require("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto

    def graph(nodes, **constants):
        value = helper.make_tensor_value_info
        tensors = [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
        ends = [value(name, kinds.FLOAT, ("b", 1, "t")) for name in ("audio", "cut")]
        return helper.make_model(helper.make_graph(nodes, "test", ends[:1], ends[1:], tensors))

    def node(kind, inputs, name):
        return helper.make_node(kind, inputs, ["cut"], name)

    def names(got):
        expect(
            isinstance(got, (list, tuple)), f"expected a list of names, got {type(got).__name__}"
        )
        return [getattr(item, "name", item) for item in got]

    def cut(fn):
        model = graph([node("Slice", ["audio", "starts", "ends", "axes"], "trim")],
                      starts=np.array([0]), ends=np.array([9472]), axes=np.array([2]))  # fmt: skip
        got = fn(model, 37)
        expect(
            got == ["trim"],
            f"a Slice that ends at 9472 = 37 x 256: expected ['trim'], got {names(got)}",
        )
        other = names(fn(model, 41))
        expect(other == [], f"an example of 41 frames: 9472 is no multiple of 41; got {other}")

    def shape(fn):
        model = graph([node("Reshape", ["audio", "shape"], "fold")], shape=np.array([2, 1, 4736]))
        got = names(fn(model, 37))
        expect(
            got == ["fold"],
            f"a Reshape to [2, 1, 4736]: 4736 is 37 x 128; expected ['fold'], got {got}",
        )

    def zero(fn):
        model = graph([node("Reshape", ["audio", "shape"], "keep")], shape=np.array([0, 1, -1]))
        got = names(fn(model, 37))
        expect(
            got == [],
            f"a Reshape to [0, 1, -1] takes the sizes of its input, nothing is frozen; got {got}",
        )

    def to_the_end(fn):
        model = graph(
            [node("Slice", ["audio", "starts", "ends", "axes"], "rest")],
            starts=np.array([4]),
            ends=np.array([2**63 - 1]),
            axes=np.array([2]),
        )
        got = names(fn(model, 49))
        expect(
            got == [],
            "a Slice to 2**63 - 1, 'to the end', and an example of 49 frames, "
            f"(2**63 - 1 is a multiple of 49 by accident): expected [], got {got}",
        )

    def weights(fn):
        nodes = [helper.make_node("Conv", ["audio", "kernel"], ["hidden"], "conv"),
                 helper.make_node("Mul", ["hidden", "gain"], ["louder"], "gain"),
                 node("Expand", ["louder", "shape"], "grow")]  # fmt: skip
        model = graph(nodes, kernel=np.full((1, 1, 37), 74.0, np.float32), gain=np.float32(37.0),
                      shape=np.array([1, 1, 74]))  # fmt: skip
        got = names(fn(model, 37))
        expect(
            got == ["grow"],
            "a convolution and a gain with weights of 74 and 37 are no lengths: expected ['grow'], "
            f"got {got}",
        )

    def several(fn):
        nodes = [helper.make_node("Reshape", ["audio", "shape"], ["one"], "zebra"),
                 helper.make_node("Reshape", ["data", "shape"], ["two"], "fold"),
                 node("Slice", ["one", "starts", "ends", "axes"], "ant")]  # fmt: skip
        model = graph(nodes, shape=np.array([2, 1, 4736]), starts=np.array([0]),
                      ends=np.array([9472]), axes=np.array([2]), data=np.float32(74.0))  # fmt: skip
        got = names(fn(model, 37))
        expect(got == ["zebra", "fold", "ant"], "three frozen nodes, in the order of the graph: "
               f"expected ['zebra', 'fold', 'ant'], got {got}")  # fmt: skip
        model = graph([node("Reshape", ["data", "shape"], "fold")],
                      data=np.full((1, 1, 4), 74, np.float32), shape=np.array([0, -1]))  # fmt: skip
        got = names(fn(model, 37))
        expect(got == [], "a Reshape of a float32 constant of 74.0: data, no length (those "
               f"are int64); expected [], got {got}")  # fmt: skip

    return check(
        fn,
        cut,
        shape,
        zero,
        to_the_end,
        weights,
        several,
        passed="one line of NumPy, found in a graph of hundreds of nodes",
    )
