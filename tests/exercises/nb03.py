"""Known wrong answers to the exercises of notebook 03, and what the check must say to each."""

_FORMATS = "def choose_format(rows, minimum_snr):\n"
_BATCH = "def best_batch(latency_ms, audio_seconds, limit_ms):\n"
_GAIN = "def graph_gain(operations, launch_us, work_ms):\n"
_BUCKET = "def bucket(frames, buckets):\n"

WRONG = {
    "choose_format": [
        (_FORMATS + "    return min(rows, key=lambda row: row['ms'])['format']", "too noisy"),
        (
            _FORMATS
            + "    good = [r for r in rows if r['snr_db'] is None or r['snr_db'] >= minimum_snr]\n"
            "    return min(good, key=lambda r: r['snr_db'] or 999)['format']",
            "not always faster",
        ),
        (
            _FORMATS
            + "    good = [r for r in rows if r['snr_db'] and r['snr_db'] >= minimum_snr]\n"
            "    return min(good, key=lambda r: r['ms'])['format'] if good else None",
            "not always faster",
        ),
        (
            _FORMATS
            + "    good = [r for r in rows if r['snr_db'] is None or r['snr_db'] >= minimum_snr]\n"
            "    good = good[1:] if len(good) > 1 else good + rows[1:]\n"
            "    return min(good, key=lambda r: r['ms'])['format']",
            "not always faster",
        ),
        (
            _FORMATS
            + "    return min((r for r in rows if r['snr_db'] >= minimum_snr), key=lambda r: r['ms'])",
            "raised TypeError",
        ),
        (
            _FORMATS
            + "    good = [r for r in rows if r['snr_db'] is None or r['snr_db'] > minimum_snr]\n"
            "    return min(good, key=lambda r: r['ms'])['format']",
            "that is enough",
        ),
    ],
    "best_batch": [
        (
            _BATCH + "    fits = [b for b, ms in latency_ms.items() if ms <= limit_ms]\n"
            "    b = max(fits)\n    return b, b * audio_seconds / latency_ms[b] * 1e3",
            "the largest that fits",
        ),
        (
            _BATCH
            + "    rate = {b: audio_seconds / ms * 1e3 for b, ms in latency_ms.items() if ms <= limit_ms}\n"
            "    b = max(rate, key=rate.get)\n    return b, rate[b]",
            "the batch, within 30 ms",
        ),
        (
            _BATCH
            + "    rate = {b: b * audio_seconds / ms for b, ms in latency_ms.items() if ms <= limit_ms}\n"
            "    b = max(rate, key=rate.get)\n    return b, rate[b]",
            "a latency is in ms",
        ),
        (
            _BATCH
            + "    rate = {b: b * audio_seconds / ms * 1e3 for b, ms in latency_ms.items()}\n"
            "    b = max(rate, key=rate.get)\n    return b, rate[b]",
            "within 5.5 ms",
        ),
        (
            _BATCH
            + "    rate = {b: b * 2 / ms * 1e3 for b, ms in latency_ms.items() if ms <= limit_ms}\n"
            "    b = max(rate, key=rate.get, default=None)\n    return b and (b, rate[b])",
            "with 3 s each",
        ),
        (
            _BATCH
            + "    rate = {b: b * audio_seconds / ms * 1e3 for b, ms in latency_ms.items() if ms < limit_ms}\n"
            "    b = max(rate, key=rate.get, default=None)\n    return b and (b, rate[b])",
            "that is in time",
        ),
    ],
    "graph_gain": [
        (_GAIN + "    return (operations * launch_us / 1e3 + work_ms) / work_ms", "do not add up"),
        (_GAIN + "    return operations * launch_us / 1e3 / work_ms", "gains nothing"),
        (_GAIN + "    return max(operations * launch_us, work_ms) / work_ms", "400 operations"),
    ],
    "bucket": [
        (_BUCKET + "    return min(buckets, key=lambda b: abs(b - frames))", "too short"),
        (_BUCKET + "    return next(b for b in buckets if b >= frames)", "in any order"),
        (
            _BUCKET + "    return min((b for b in buckets if b > frames), default=max(buckets))",
            "exactly",
        ),
        (
            _BUCKET + "    return min((b for b in buckets if b >= frames), default=max(buckets))",
            "ValueError",
        ),
    ],
}
