"""Checks of notebook 03."""

from labutils.checks.core import CheckResult, check, expect, expect_close

__all__ = ["best_batch", "bucket", "choose_format", "graph_gain"]


def _formats(**formats: tuple[float, float | None]) -> list[dict]:
    return [{"format": name, "ms": ms, "snr_db": snr} for name, (ms, snr) in formats.items()]


def choose_format(fn) -> CheckResult:
    """``fn(rows, minimum_snr)``: the fastest format that keeps the quality."""

    def usual(fn):
        rows = _formats(FP32=(20.0, None), TF32=(9.0, 78.0), FP16=(5.0, 61.0), BF16=(4.9, 42.0))
        got = fn(rows, 50.0)
        expect(
            got != "BF16", "50 dB asked for: got BF16, which has 42 dB; it is fast but too noisy"
        )
        expect(got == "FP16", f"50 dB asked for: expected FP16, got {got!r}")
        got = fn(rows, 40.0)
        expect(got == "BF16", f"40 dB asked for: expected BF16, the fastest, got {got!r}")
        got = fn(rows, 61.0)
        expect(got == "FP16", f"61 dB asked for, and FP16 has 61: that is enough; got {got!r}")

    def slow(fn):
        rows = _formats(FP32=(130.0, None), FP16=(5300.0, 56.0), BF16=(70.0, 39.0))
        got = fn(rows, 50.0)
        expect(
            got == "FP32",
            f"FP16 is the slower one here, as on a processor: expected FP32, got {got!r}; fewer "
            "bits are not always faster",
        )

    def reference(fn):
        got = fn(_formats(FP32=(20.0, None), TF32=(9.0, 78.0), FP16=(5.0, 61.0)), 90.0)
        expect(
            got == "FP32",
            f"90 dB asked for, which no other format reaches: expected FP32, got {got!r}; the "
            "reference has no SNR (None) and is always good enough",
        )

    return check(fn, usual, slow, reference, passed="first the quality, then the speed")


def best_batch(fn) -> CheckResult:
    """``fn(latency_ms, audio_seconds, limit_ms)``: the best throughput in time."""
    latency = {1: 5.0, 2: 6.0, 4: 8.0, 8: 20.0, 16: 40.0}

    def chosen(fn):
        got = fn(latency, 2.0, 30.0)
        expect(got is not None and len(got) == 2, f"expected (batch, throughput), got {got!r}")
        expect(
            got[0] != 8,
            "within 30 ms: got batch 8, the largest that fits; batch 4 makes more sound per second",
        )
        expect(got[0] != 16, "within 30 ms: got batch 16, which takes 40 ms")
        expect_close(got[0], 4, "the batch, within 30 ms")

    def throughput(fn):
        expect_close(
            fn(latency, 2.0, 30.0)[1], 1000.0, "throughput of batch 4: 8 s of sound in 8 ms",
            hint="every item of the batch is audio_seconds of sound, and a latency is in ms",
        )  # fmt: skip
        expect_close(fn(latency, 3.0, 20.0)[1], 1500.0,
                     "throughput of batch 4 with 3 s each: 12 s of sound in 8 ms")  # fmt: skip

    def limit(fn):
        expect_close(fn(latency, 2.0, 5.5)[0], 1, "the batch, within 5.5 ms")
        got = fn(latency, 2.0, 5.0)
        expect(got is not None and got[0] == 1, "batch 1 takes 5 ms, and the limit is 5 ms: that "
               f"is in time; got {got!r}")  # fmt: skip
        got = fn(latency, 2.0, 4.0)
        expect(got is None, f"no batch is ready within 4 ms: expected None, got {got!r}")

    return check(
        fn, chosen, throughput, limit, passed="throughput is bought with waiting, up to a point"
    )


def graph_gain(fn) -> CheckResult:
    """``fn(operations, launch_us, work_ms)``: times faster with a CUDA graph."""

    def bound(fn):
        expect_close(
            fn(400, 5.0, 0.5), 4.0, "400 operations of 5 us, 0.5 ms of work",
            hint="the host needs 2 ms; it launches while the device works, so times do not add up",
        )  # fmt: skip

    def free(fn):
        expect_close(
            fn(400, 5.0, 20.0), 1.0, "400 operations of 5 us, 20 ms of work",
            hint="the device is the slower one: a graph gains nothing",
        )  # fmt: skip

    def units(fn):
        expect_close(
            fn(1000, 10.0, 10.0), 1.0, "1000 operations of 10 us, 10 ms of work: just even"
        )
        expect_close(fn(1000, 12.0, 10.0), 1.2, "1000 operations of 12 us, 10 ms of work")

    return check(
        fn, bound, free, units, passed="a graph helps where launching takes longer than the work"
    )


def bucket(fn) -> CheckResult:
    """``fn(frames, buckets)``: the length that a mel is padded to."""

    def smallest(fn):
        expect_close(fn(130, [128, 256, 512]), 256, "130 frames, buckets 128, 256, 512",
                     hint="the nearest one is too short: pad a mel, never squeeze")  # fmt: skip
        expect_close(fn(3, [128, 256, 512]), 128, "3 frames, buckets 128, 256, 512")

    def edges(fn):
        expect_close(fn(256, [128, 256, 512]), 256, "256 frames fit 256 exactly")
        expect_close(
            fn(100, [512, 128, 256]), 128, "100 frames, buckets in any order: 512, 128, 256"
        )

    def too_long(fn):
        try:
            got = fn(600, [128, 256, 512])
        except ValueError:
            return
        expect(False, f"600 frames fit no bucket: expected a ValueError, got {got!r}")

    return check(fn, smallest, edges, too_long, passed="few shapes, few graphs")
