"""Checks of notebook 07: profiles of ranges, buckets scored by records, mels in one call."""

from typing import Any

import numpy as np

from labutils.checks.core import CheckResult, check, expect
from labutils.shapes import design, lengths

__all__ = ["buckets", "profiles", "together"]

_ENOUGH = 1.03  # times the mean time of the best buckets there are


def profiles(fn) -> CheckResult:
    """``fn(lengths, ends)``: one (min, opt, max) for each range of lengths."""
    spoken = [300, 60, 90, 70, 110, 700, 260, 64, 600, 340, 129]
    ends = [128, 512, 1024]

    def asked(fn, given: list[int], limits: list[int]) -> list[tuple[int, int, int]]:
        got = fn(list(given), list(limits))
        expect(
            isinstance(got, (list, tuple)) and all(np.shape(p) == (3,) for p in got),
            f"expected a list of (min, opt, max), got {got!r}",
        )
        expect(
            len(got) == len(limits),
            f"{len(limits)} ends make {len(limits)} profiles; there are {len(got)}",
        )
        for low, best, high in got:
            expect(
                low <= best <= high,
                f"min {low}, opt {best}, max {high} do not rise: TensorRT refuses that",
            )
        return [tuple(int(v) for v in p) for p in got]

    def covered(fn):
        got = asked(fn, spoken, ends)
        found = [p[2] for p in got]
        expect(found == ends, f"the largest lengths must be {ends}, got {found}")
        expect(
            got[0][0] <= min(spoken),
            f"the shortest sentence has {min(spoken)} frames, the first min is {got[0][0]}",
        )
        for before, after in zip(got, got[1:], strict=False):
            hole = before[2] + 1
            expect(
                after[0] <= hole,
                f"a sentence of {hole} frames fits no profile: one ends at {before[2]}, the next "
                f"begins at {after[0]}. Tomorrow's sentences have other lengths than yesterday's",
            )
            expect(
                after[0] >= before[2],
                f"the profile up to {after[2]} begins at {after[0]}, inside the one before, which "
                f"ends at {before[2]}: narrow is what makes it good",
            )

    def tuned(fn):
        wanted = {128: 70, 512: 300, 1024: 650}
        for low, best, high in asked(fn, spoken, ends):
            inside = sorted(f for f in spoken if f <= high and (f >= low or high == 128))
            allowed = {inside[(len(inside) - 1) // 2], inside[len(inside) // 2], wanted[high]}
            middle = (low + high) // 2
            hint = ""
            if best in (high, low):
                hint = ": that is an end of the range, where few sentences are"
            elif abs(best - middle) <= 1:
                hint = ": that is the middle of the range, not of its sentences"
            elif best == sorted(spoken)[len(spoken) // 2]:
                hint = ": that is the median of all sentences, not of those in the range"
            expect(
                best in allowed,
                f"{low} to {high} frames: opt is {best}, the sentences there are "
                f"{', '.join(map(str, inside))}{hint}",
            )

    def empty(fn):
        got = asked(fn, [40, 50, 60], [64, 512])
        expect(got[0][1] == 50, f"sentences of 40, 50, 60 up to 64 frames: opt is {got[0][1]}")
        given = [90, 20, 50]
        fn(given, [64, 128])
        expect(given == [90, 20, 50], "the list of lengths was changed: sort a copy")

    return check(
        fn, covered, tuned, empty,
        passed="no gap, and each range is tuned for the sentences that fall into it",
    )  # fmt: skip


def _two_kinds(seed: int) -> list[int]:
    """Answers of a word or two, and now and then a paragraph."""
    random = np.random.default_rng(seed)
    short, long = random.integers(20, 90, 160), random.integers(560, 1000, 40)
    return [int(f) for f in random.permutation(np.concatenate([short, long]))]


def buckets(fn) -> CheckResult:
    """``fn(lengths, count, ms)``: at most `count` buckets with a small mean time."""

    def asked(fn, given: Any, count: int, ms: Any) -> list[int]:
        got = fn(list(given), count, ms)
        expect(
            isinstance(got, (list, tuple)) and all(hasattr(b, "__index__") for b in got),
            f"expected a list of whole numbers of frames, got {got!r}",
        )
        got = sorted({int(b) for b in got})
        expect(got, "no bucket at all")
        expect(len(got) <= count, f"{len(got)} buckets, {count} are allowed: {got}")
        expect(
            got[-1] >= max(given),
            f"the longest sentence has {max(given)} frames and fits into none of {got}",
        )
        expect(
            got[-1] == max(given),
            f"the largest bucket is {got[-1]}, the longest sentence {max(given)}: the rest is "
            "always padding",
        )
        return got

    def close(fn, given: Any, count: int, ms: Any, words: str) -> None:
        got = asked(fn, given, count, ms)
        best = design.best_buckets(given, count, ms)
        mine, least = (design.mean_ms(given, found, ms) for found in (got, best))
        expect(
            mine <= _ENOUGH * least,
            f"{words}: {got} takes {100 * (mine / least - 1):.0f} % longer than the best {count} "
            f"buckets; up to {100 * (_ENOUGH - 1):.0f} % count as good",
        )

    def plain(fn):
        asked(fn, [100, 20, 60], 2, float)
        close(fn, [10] * 50 + [100] * 5, 2, float, "50 sentences of 10 frames, 5 of 100")
        asked(fn, [30, 30], 4, float)

    def frames(fn):
        close(
            fn, _two_kinds(1), 4, float,
            "short answers and paragraphs, each frame costs the same",
        )  # fmt: skip

    def launches(fn):
        drawn = lengths.log_normal(300, 86.1, median=1.8, seed=5).frames
        close(
            fn, drawn, 3, lambda f: max(f, 250),
            "calls below 250 frames all cost the same, since launching takes that long",
        )  # fmt: skip

    def recorded(fn):
        line = design.latency()
        close(fn, _two_kinds(3), 4, line, "short answers and paragraphs, recorded latencies")
        drawn = lengths.log_normal(300, 86.1, seed=7).frames
        close(fn, drawn, 4, line, "sentences of a reading voice, recorded latencies")

    return check(
        fn, plain, frames, launches, recorded,
        passed="within a few per cent of the best there are, by latencies recorded on a GPU",
    )  # fmt: skip


def together(fn) -> CheckResult:
    """``fn(mels, silence, run, hop_length)``: several mels in one call, each sound cut."""
    quiet, hop = -11.5, 4

    def mels(*frames: int) -> list[np.ndarray]:
        return [np.full((3, f), float(i + 1), np.float32) for i, f in enumerate(frames)]

    def asked(fn, given: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        calls: list[np.ndarray] = []

        def run(batch):
            expect(
                isinstance(batch, np.ndarray) and batch.ndim == 3,
                f"run takes (batch, bands, frames), got {np.shape(batch)}",
            )
            calls.append(np.array(batch))
            marked = batch[:, 0] + np.arange(batch.shape[2]) / 1000
            return np.repeat(marked, hop, axis=1)

        kept = [mel.copy() for mel in given]
        got = fn(given, quiet, run, hop)
        expect(
            isinstance(got, (list, tuple)), f"expected a list of sounds, got {type(got).__name__}"
        )
        same = all(np.array_equal(a, b) for a, b in zip(kept, given, strict=True))
        expect(same, "the caller's mels were changed: fill a new array")
        return [np.asarray(sound) for sound in got], calls

    def one_call(fn):
        _, calls = asked(fn, mels(5, 9, 2))
        expect(calls, "run was never called")
        expect(len(calls) == 1, f"three sentences: run was called {len(calls)} times, not once")
        expect(
            calls[0].shape == (3, 3, 9),
            f"three mels of 5, 9 and 2 frames: the batch has the shape {calls[0].shape}, expected "
            "(3, 3, 9)",
        )
        expect(
            calls[0].dtype == np.float32,
            f"the batch is {calls[0].dtype}; engines take float32, or convert at every call",
        )

    def silent(fn):
        _, calls = asked(fn, mels(5, 9, 2))
        rows = [row for row in calls[0] if (row == 1).any()]  # whoever sorts may do so
        expect(rows, "the first mel is not in the batch")
        first = rows[0]
        expect(
            not (first[:, :4] == quiet).any(),
            "the silence stands before the sentence: sound would come later, and be cut off",
        )
        expect((first[:, :5] == 1).all(), "the first frames of a row are not the mel's")
        rest = first[:, 5:]
        expect((rest != 0).any(), "the padding is 0, which in a log mel is a loud noise")
        expect(np.allclose(rest, quiet), f"the padding is {rest.flat[0]:g}, silence is {quiet}")

    def cut(fn):
        got, _ = asked(fn, mels(5, 9, 2))
        expect(len(got) == 3, f"three mels, {len(got)} sounds")
        sizes = [sound.size for sound in got]
        expect(
            sizes == [20, 36, 8],
            f"5, 9 and 2 frames at {hop} samples a frame: expected 20, 36 and 8 samples, got "
            f"{', '.join(map(str, sizes))}",
        )
        expect(all(sound.ndim == 1 for sound in got), "each sound has one dimension: its samples")
        numbers = [int(sound[0]) for sound in got]
        expect(numbers == [1, 2, 3], f"the sounds come back in another order: {numbers}")

    def copies(fn):
        got, _ = asked(fn, mels(4, 1))
        expect(
            all(sound.base is None or sound.base.size <= sound.size for sound in got),
            "the sounds are views of the whole batch: as long as one is kept, all stay in memory; "
            "return copies",
        )

    return check(
        fn, one_call, silent, cut, copies,
        passed="one call, silence at the end, each sound as long as its mel",
    )  # fmt: skip
