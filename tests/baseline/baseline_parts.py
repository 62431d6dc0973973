"""What tests of the baseline share: rows of a record."""


def row(variant, ms, snr, batch=1, **more):
    return {
        "variant": variant, "batch": batch, "median_ms": ms, "snr_db": snr, "same_bits": False,
        "times_real_time": 1000 / ms,
    } | more  # fmt: skip
