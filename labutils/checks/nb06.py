"""Checks of notebook 06: one inference by hand, bytes for a profile, graphs for many lengths."""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from labutils.checks.core import CheckResult, Unmet, check, expect, expect_close
from labutils.checks.rehearsal import BANDS, MOST, Rehearsal

__all__ = ["buffer_bytes", "captures", "infer"]


def infer(fn) -> CheckResult:
    """``fn(context, cuda, stream, mel, on_gpu, audio)``: the sound of one mel."""

    def one(fn):
        place = Rehearsal()
        place.expect_sound(fn, place.mel(1, 7), "a mel of (1, 4, 7)")

    def many(fn):
        place = Rehearsal()
        for shape in ((1, 12), (2, 5), (1, 20), (1, 3), (4, 20)):
            what = f"a mel of {(shape[0], BANDS, shape[1])} after others"
            place.expect_sound(fn, place.mel(*shape), what)

    def kept(fn):
        place = Rehearsal()
        first = place.expect_sound(fn, place.mel(1, 9), "the first of two sounds")
        before = np.array(first)
        place.expect_sound(fn, place.mel(1, 9), "the second of two sounds")
        expect(
            np.array_equal(before, first),
            "the second inference changed the sound of the first: what was returned is a view of "
            "the pinned memory; return a copy",
        )

    def refused(fn):
        place = Rehearsal()
        place.expect_sound(fn, place.mel(1, 20), "a mel of (1, 4, 20)")
        runs = place.context.runs
        try:
            place.call(fn, np.zeros((1, BANDS, MOST[1] + 1), np.float32))
        except ValueError:
            expect(
                place.context.runs == runs,
                "the shape was refused, but the engine ran: with the shape of the sentence before",
            )
            return
        raise Unmet(
            "(1, 4, 21) is outside the profile: set_input_shape returned False, and nobody looked; "
            "it must raise ValueError"
        )

    def failed(fn):
        place = Rehearsal()
        place.context.fails = True
        try:
            place.call(fn, place.mel(1, 5))
        except RuntimeError:
            return
        raise Unmet(
            "execute_async_v3 returned False, and nobody looked; it must raise RuntimeError"
        )

    passed = "in order, waited for, of any length, and no failure stays unseen"
    return check(fn, one, many, kept, refused, failed, passed=passed)


def _profile(batches: tuple[int, int, int], frames: tuple[int, int, int], bands: int = 80):
    return tuple((b, bands, t) for b, t in zip(batches, frames, strict=True))


def buffer_bytes(fn) -> CheckResult:
    """``fn(profiles, hop_length, itemsize)``: bytes of the input's and the output's memory."""

    def pair(got):
        expect(
            isinstance(got, (tuple, list)) and len(got) == 2,
            f"expected (bytes of the mel, bytes of the audio), got {got!r}",
        )
        return got

    def one(fn):
        profiles = [_profile((1, 1, 3), (32, 400, 1000))]
        mel, audio = pair(fn(profiles, 256, 4))
        what = "one profile up to (3, 80, 1000)"
        expect(
            audio != 3 * 1000 * 256,
            f"{what}, audio: {audio} is the number of samples; a float32 has 4 bytes",
        )
        expect(
            mel != 1 * 80 * 400 * 4, f"{what}, mel: enough for opt only; a profile goes up to max"
        )
        expect_close(mel, 3 * 80 * 1000 * 4, f"{what}, bytes of the mel")
        expect_close(audio, 3 * 1000 * 256 * 4, f"{what}, bytes of the audio",
                     hint="each frame of each item becomes hop_length samples")  # fmt: skip

    def half(fn):
        mel, audio = pair(fn([_profile((1, 1, 1), (8, 100, 512), 100)], 480, 2))
        expect_close(mel, 100 * 512 * 2, "float16, up to (1, 100, 512), bytes of the mel")
        expect_close(audio, 512 * 480 * 2, "float16, up to (1, 100, 512), bytes of the audio")

    def several(fn):
        profiles = [_profile((1, 4, 8), (32, 128, 256)), _profile((1, 1, 1), (256, 600, 1500))]
        mel, audio = pair(fn(profiles, 256, 4))
        what = "up to (8, 80, 256) or up to (1, 80, 1500)"
        expect(
            mel != 8 * 80 * 1500 * 4,
            f"{what}: no profile holds 8 items of 1500 frames; compare products, not sizes",
        )
        expect(
            mel != (8 * 256 + 1500) * 80 * 4,
            f"{what}: an inference uses one profile at a time, so the memory need not hold a sum",
        )
        expect_close(mel, 8 * 256 * 80 * 4, f"{what}, bytes of the mel")
        expect_close(audio, 8 * 256 * 256 * 4, f"{what}, bytes of the audio")
        again = pair(fn(profiles[::-1], 256, 4))
        expect_close(again[0], mel, f"{what}, the profiles in the other order, bytes of the mel")

    return check(fn, one, half, several, passed="allocated once, for the largest of all profiles")


def _captures(shapes: Sequence[tuple[int, int]], slots: int) -> int:
    held: OrderedDict[tuple[int, int], None] = OrderedDict()
    count = 0
    for shape in shapes:
        if shape not in held:
            count += 1
            if len(held) == slots:
                held.popitem(last=False)
        held[shape] = None
        held.move_to_end(shape)
    return count


def captures(fn) -> CheckResult:
    """``fn(shapes, slots)``: how many graphs are captured."""

    def told(fn, frames, slots, why):
        shapes = [(1, count) for count in frames]
        got = fn(list(shapes), slots)
        expect_close(
            got, _captures(shapes, slots), f"frames {frames}, {slots} slots, captures", hint=why
        )

    def repeats(fn):
        told(fn, [64, 64, 64], 2, "a graph that is there is replayed, not captured")
        told(fn, [64, 128, 64, 128], 2, "both graphs have room")

    def full(fn):
        told(fn, [64, 128, 256, 64], 2,
             "when 256 came there was no room, and 64 had not been used for longest")  # fmt: skip
        told(fn, [64, 128, 256], 3, "three slots hold three graphs")

    def recent(fn):
        why = "64 was used again before 256 came, so 128 goes: used last counts, not captured last"
        told(fn, [64, 128, 64, 256, 64], 2, why)
        random = np.random.default_rng(1)
        frames = [int(f) for f in random.choice([64, 96, 128, 192, 256, 384], 60)]
        told(fn, frames, 3, "the graph that was not used for longest goes")

    def batches(fn):
        got = fn([(1, 64), (2, 64), (1, 64)], 4)
        expect_close(got, 2, "(1, 64), (2, 64), (1, 64), 4 slots, captures",
                     hint="the batch is part of the shape")  # fmt: skip

    return check(fn, repeats, full, recent, batches,
                 passed="few shapes and enough slots: no listener waits for a capture")  # fmt: skip
