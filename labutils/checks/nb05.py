"""Checks of notebook 05: flags of a profile, a trtexec log, layers that stayed in FP32."""

import re
from typing import Any

from labutils.checks.core import CheckResult, Unmet, check, expect, expect_close

__all__ = ["profile_flags", "single_precision", "times_real_time"]

_KINDS = ("--minShapes", "--optShapes", "--maxShapes")
_FLAG = re.compile(r"(--\w+)=([^:=]+):(\d+(?:x\d+)*)")


def _shapes(flags: Any) -> dict[str, tuple[int, ...]]:
    """{"--minShapes": (1, 80, 32), ...} of three flags, Unmet for anything else."""
    expect(
        isinstance(flags, (list, tuple)) and all(isinstance(flag, str) for flag in flags),
        f"expected a list of three texts, got {flags!r}",
    )
    found = {}
    for flag in flags:
        match = _FLAG.fullmatch(flag)
        if match is None:
            raise Unmet(
                f"{flag!r} is not of the form --minShapes=mel:1x80x32: name of the input, a colon, "
                "sizes with x between them, no spaces"
            )
        kind, name, sizes = match.groups()
        expect(kind in _KINDS, f"{kind} is none of {', '.join(_KINDS)}")
        expect(name == "mel", f"{flag!r}: the input of our files is called mel, not {name}")
        found[kind] = tuple(int(size) for size in sizes.split("x"))
    missing = [kind for kind in _KINDS if kind not in found]
    expect(not missing, f"no {' and no '.join(missing)}: a profile has three shapes")
    expect(len(flags) == 3, f"{len(flags)} flags, and a profile has three shapes")
    return found


def profile_flags(fn) -> CheckResult:
    """``fn(lengths, bands, batch)``: the three flags of a profile for trtexec."""
    typical = [212, 48, 305, 260, 233, 1100, 190]

    def form(fn):
        for kind, shape in _shapes(fn(list(typical), 80, 4)).items():
            text = "x".join(map(str, shape))
            expect(len(shape) == 3, f"{kind} {text}: a mel has three sizes, batch x bands x frames")
            expect(
                shape[1] == 80,
                f"{kind} {text}: the bands, 80, are the second size, and they do not change",
            )

    def ends(fn):
        shapes = _shapes(fn(list(typical), 80, 4))
        low, high = shapes["--minShapes"], shapes["--maxShapes"]
        expect(
            low[2] == 48,
            f"the shortest sentence has 48 frames; min of {low[2]} "
            + ("wastes range" if low[2] < 48 else "shuts it out"),
        )
        expect(
            high[2] == 1100,
            f"the longest sentence has 1100 frames; max of {high[2]} "
            + ("costs memory that nobody uses" if high[2] > 1100 else "shuts it out"),
        )
        expect(low[0] == 1, f"a sentence may come alone: min has a batch of {low[0]}, not 1")
        expect(high[0] == 4, f"batches of up to 4: max has a batch of {high[0]}")

    def middle(fn):
        best = _shapes(fn(list(typical), 80, 4))["--optShapes"]
        expect(
            best[2] != round(sum(typical) / len(typical)),
            f"opt of {best[2]} frames is the mean, which one long sentence has pulled up; most "
            "sentences have about 233",
        )
        expect(best[2] == 233, f"seven sentences, the middle one has 233 frames; opt has {best[2]}")
        expect(best[0] == 1, f"opt is one sentence: its batch is {best[0]}, not 1")

    def others(fn):
        for lengths, allowed in (([500], {500}), ([20, 40, 300, 310], set(range(40, 301)))):
            shapes = _shapes(fn(list(lengths), 100, 2))
            expect(shapes["--optShapes"][1] == 100, "with 100 bands the shapes still say another")
            got = shapes["--optShapes"][2]
            expect(got in allowed, f"lengths {lengths}: opt of {got} is not their median")
        given = list(typical)
        fn(given, 80, 4)
        expect(given == typical, "the list of lengths was changed: sort a copy, not the caller's")

    return check(
        fn,
        form,
        ends,
        middle,
        others,
        passed="every sentence fits, and the engine is tuned for the usual one",
    )


def _log(shape: str, gpu: float, *, passed: bool = True) -> str:
    """A log in the words and the order of trtexec 8.6; times around `gpu` ms."""
    head = (
        "&&&& RUNNING TensorRT.trtexec [TensorRT v8601] # trtexec --loadEngine=v2.plan\n"
        f"[11/20/2026-10:38:20] [I] Input build shape: mel=1x80x32+1x80x400+8x80x1000\n"
        f"[11/20/2026-10:38:20] [I] Input inference shape: mel={shape}\n"
        "[11/20/2026-10:38:20] [I] Iterations: 10\n"
    )
    if not passed:
        return head + (
            "[11/20/2026-10:38:24] [E] Inference set up failed\n"
            "&&&& FAILED TensorRT.trtexec [TensorRT v8601] # trtexec --loadEngine=v2.plan\n"
        )

    def row(name: str, median: float) -> str:
        return (
            f"[11/20/2026-10:38:23] [I] {name}: min = {median * 0.97:g} ms, "
            f"max = {median * 1.3:g} ms, mean = {median * 1.05:g} ms, median = {median:g} ms, "
            f"percentile(90%) = {median * 1.1:g} ms, percentile(95%) = {median * 1.2:g} ms, "
            f"percentile(99%) = {median * 1.25:g} ms\n"
        )

    return (
        head
        + f"[11/20/2026-10:38:20] [I] Input binding for mel with dimensions {shape} is created.\n"
        "[11/20/2026-10:38:23] [I] Average on 10 runs - GPU latency: 9.5 ms - Host latency: 9.6 "
        "ms (enqueue 0.5 ms)\n[11/20/2026-10:38:23] [I] === Performance summary ===\n"
        f"[11/20/2026-10:38:23] [I] Throughput: {1e3 / gpu:g} qps\n"
        + row("Latency", gpu * 1.5)
        + row("Enqueue Time", gpu * 0.6)
        + row("H2D Latency", gpu * 0.2)
        + row("GPU Compute Time", gpu)
        + row("D2H Latency", gpu * 0.3)
        + "[11/20/2026-10:38:23] [I] Total Host Walltime: 3.00116 s\n"
        "&&&& PASSED TensorRT.trtexec [TensorRT v8601] # trtexec --loadEngine=v2.plan\n"
    )


def times_real_time(fn) -> CheckResult:
    """``fn(log, hop_length, sample_rate)``: times real time from a trtexec log."""

    def one(fn):
        got, expected = fn(_log("1x80x400", 2.0), 256, 22050), 400 * 256 / 22050 / 0.002
        expect(got is not None, "a run that passed: expected a number, got None")
        for name, factor in (("Latency", 1.5), ("Enqueue Time", 0.6), ("the mean", 1.05),
                             ("H2D Latency", 0.2), ("D2H Latency", 0.3)):  # fmt: skip
            if abs(got * factor / expected - 1) < 1e-3:
                raise Unmet(f"400 frames: {got:.0f} comes from {name}, not the median of the GPU")
        expect(
            abs(got * 1000 / expected - 1) > 1e-3,
            f"400 frames in 2 ms: got {got:.4g}; the log counts in milliseconds",
        )
        expect(
            abs(got * expected - 1) > 1e-3,
            f"400 frames in 2 ms: got {got:.4g}, which is time by sound; it is the other way round",
        )
        for frames in (32, 1000):
            expect(
                abs(got / (expected * frames / 400) - 1) > 1e-3,
                f"{frames} frames is the profile's end; the run had 400",
            )
        expect_close(got, expected, "400 frames at a hop of 256 and 22050 Hz in 2 ms", rtol=1e-3)

    def batch(fn):
        got, expected = fn(_log("8x80x400", 2.0), 256, 22050), 8 * 400 * 256 / 22050 / 0.002
        expect(
            abs(got * 8 / expected - 1) > 1e-3,
            "8x80x400 holds eight sentences: they all come out of one call",
        )
        expect_close(got, expected, "a batch of 8 with 400 frames each in 2 ms", rtol=1e-3)

    def other(fn):
        got = fn(_log("2x100x500", 0.75), 480, 48000)
        expect_close(
            got,
            2 * 500 * 480 / 48000 / 0.00075,
            "two of 500 frames at a hop of 480 and 48 kHz in 0.75 ms",
            rtol=1e-3,
            hint="nothing of 80 bands, 256 or 22050 may stand in the function",
        )

    def failed(fn):
        got = fn(_log("1x80x4000", 1.0, passed=False), 256, 22050)
        expect(got is None, f"a run that FAILED has no figures: expected None, got {got}")

    return check(
        fn, one, batch, other, failed, passed="the right row, the right unit, the whole batch"
    )


def _layer(name: str, kind: str, reads: list[str], writes: list[str]) -> dict[str, Any]:
    def tensors(formats: list[str]) -> list[dict[str, Any]]:
        return [
            {"Name": f"t{i}", "Dimensions": [1, 32, 400, 1], "Format/Datatype": text}
            for i, text in enumerate(formats)
        ]

    return {"Name": name, "LayerType": kind, "Inputs": tensors(reads), "Outputs": tensors(writes)}


_SINGLE = "Row major linear FP32"
_WIDE = "Channel major FP32 format where channel % 4 == 0"
_HALF = "Channel major FP16 format where channel % 8 == 0"
_ROWS = "Row major linear FP16 format"


def single_precision(fn) -> CheckResult:
    """``fn(info)``: names of the layers that compute in FP32, from the inspector's JSON."""

    def names(fn, *layers: dict[str, Any]) -> list[str]:
        got = fn({"Layers": list(layers), "Bindings": ["mel", "audio"]})
        expect(isinstance(got, (list, tuple)), f"expected a list of names, got {got!r}")
        return list(got)

    first = _layer("conv_pre/Conv", "CaskConvolution", [_SINGLE], [_WIDE])
    middle = _layer("ups.0/Conv + LeakyRelu", "CaskDeconvolutionV2", [_HALF], [_HALF])

    def plain(fn):
        got = names(fn, first, middle)
        expect("ups.0/Conv + LeakyRelu" not in got, "a layer from FP16 to FP16 is in the list")
        expect(got == ["conv_pre/Conv"],
               "one layer from FP32 to FP32 and one from FP16 to FP16: expected "
               f"['conv_pre/Conv'], got {got}; several format texts hold FP32")  # fmt: skip

    def reformats(fn):
        into = _layer("Reformatting CopyNode for Input Tensor 0 to ups.0/Conv", "Reformat",
                      [_WIDE], [_HALF])  # fmt: skip
        turn = _layer("Reformatting CopyNode for Input Tensor 0 to conv_pre/Conv", "Reformat",
                      [_SINGLE], [_WIDE])  # fmt: skip
        got = names(fn, turn, first, into, middle)
        expect(got == ["conv_pre/Conv"],
               "a Reformat layer only rearranges numbers, it computes nothing: expected "
               f"['conv_pre/Conv'], got {got}")  # fmt: skip
        view = _layer("(Unnamed Layer* 5) [Shuffle]", "NoOp", [_SINGLE], [_SINGLE])
        got = names(fn, view, first, middle)
        expect(got == ["conv_pre/Conv"],
               "a NoOp layer is another view of the same numbers, it computes nothing: expected "
               f"['conv_pre/Conv'], got {got}")  # fmt: skip

    def mixed(fn):
        end = _layer("conv_post/Conv", "CaskConvolution", [_ROWS], [_SINGLE])
        total = _layer("Add_1", "PointWiseV2", [_SINGLE, _ROWS], [_SINGLE])
        empty = _layer("weights", "Constant", [], [_SINGLE])
        got = names(fn, end, total, empty)
        expect("weights" not in got, "a layer without inputs is a constant, it computes nothing")
        expect(
            got == [],
            f"a layer that reads or writes any FP16 is not FP32 throughout: expected [], got {got}",
        )
        both = _layer("Add_2", "PointWiseV2", [_SINGLE, _WIDE], [_SINGLE])
        got = names(fn, both, first)
        expect(got == ["Add_2", "conv_pre/Conv"], f"two FP32 layers in their order: got {got}")

    def names_only(fn):
        try:
            got = fn({"Layers": ["conv_pre/Conv", "ups.0/Conv + LeakyRelu"], "Bindings": ["mel"]})
        except ValueError:
            return
        except (TypeError, AttributeError, KeyError) as error:
            raise Unmet(
                "an engine without detailed verbosity has names in place of layers: raise "
                f"ValueError and say so; this ends in {type(error).__name__}"
            ) from None
        raise Unmet(f"an engine that tells names only gave {got}; it must raise ValueError")

    return check(
        fn,
        plain,
        reformats,
        mixed,
        names_only,
        passed="what computes in FP32, without what only rearranges numbers",
    )
