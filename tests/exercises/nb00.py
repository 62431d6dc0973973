"""Known wrong answers to the exercises of notebook 00, and what the check must say to each."""

WRONG = {
    "times_real_time": [
        (
            "def times_real_time(samples, sample_rate, seconds):\n    return seconds / (samples / sample_rate)",
            "not the other way round",
        ),
        (
            "def times_real_time(samples, sample_rate, seconds):\n    return samples / seconds",
            "48,000 samples",
        ),
        (
            "def times_real_time(samples, sample_rate, seconds):\n    return samples / 24000 / seconds",
            "made in 2 s",
        ),
        (
            "def times_real_time(samples, sample_rate, seconds):\n"
            "    return round(samples / sample_rate / seconds, 1)",
            "do not round",
        ),
    ],
}
