"""Known wrong answers to the exercises of notebook 02, and what the check must say to each."""

WRONG = {
    "percentile": [
        (
            "def percentile(times_ms, q):\n    print(sorted(times_ms)[-1])",
            "return its result",
        ),
        (
            "def percentile(times_ms, q):\n"
            "    z = {50: 0.0, 90: 1.645, 91: 1.7, 100: 9.0, 99: 2.576}[q]\n"
            "    return float(np.mean(times_ms) + z * np.std(times_ms))",
            "no skewed sample",
        ),
        (
            "def percentile(times_ms, q):\n    return float(np.percentile(times_ms, q))",
            "no run took that long",
        ),
        (
            "def percentile(times_ms, q):\n"
            "    return sorted(times_ms)[min(int(q / 100 * len(times_ms)), len(times_ms) - 1)]",
            "expected 4.3, got 25",
        ),
        (
            "def percentile(times_ms, q):\n    times_ms.sort()\n"
            "    return times_ms[math.ceil(q / 100 * len(times_ms)) - 1]",
            "sort a copy",
        ),
        (
            "def percentile(times_ms, q):\n"
            "    return sorted(times_ms)[max(0, round(q / 100 * len(times_ms)) - 1)]",
            "round the rank up",
        ),
    ],
    "times_real_time": [
        (
            "def times_real_time(mel_shape, hop_length, output_rate, milliseconds):\n"
            "    return milliseconds / 1e3 / (mel_shape[2] * hop_length / output_rate)",
            "upside down",
        ),
        (
            "def times_real_time(mel_shape, hop_length, output_rate, milliseconds):\n"
            "    return mel_shape[2] * hop_length / output_rate / (milliseconds / 1e3)",
            "all eight",
        ),
        (
            "def times_real_time(mel_shape, hop_length, output_rate, milliseconds):\n"
            "    return mel_shape[2] * hop_length / output_rate / milliseconds",
            "in milliseconds",
        ),
        (
            "def times_real_time(mel_shape, hop_length, output_rate, milliseconds):\n"
            "    batch, frames, bands = mel_shape\n"
            "    return batch * frames * hop_length / output_rate / (milliseconds / 1e3)",
            "frames * hop / rate",
        ),
    ],
    "intensity": [
        (
            "def intensity(channels_in, channels_out, kernel, length, bytes_per_value):\n"
            "    moved = (channels_in + channels_out) * length\n"
            "    moved += channels_in * channels_out * kernel\n"
            "    return channels_in * channels_out * kernel * length / (moved * bytes_per_value)",
            "two operations",
        ),
        (
            "def intensity(channels_in, channels_out, kernel, length, bytes_per_value):\n"
            "    moved = (channels_in + channels_out) * length\n"
            "    operations = 2 * channels_in * channels_out * kernel * length\n"
            "    return operations / (moved * bytes_per_value)",
            "weights have to be read",
        ),
        (
            "def intensity(channels_in, channels_out, kernel, length, bytes_per_value):\n"
            "    moved = (channels_in + channels_out) * length\n"
            "    moved += channels_in * channels_out * kernel\n"
            "    return 2 * channels_in * channels_out * kernel * length / moved",
            "two bytes a value",
        ),
        (
            "def intensity(channels_in, channels_out, kernel, length, bytes_per_value):\n"
            "    moved = (channels_in + channels_out) * length\n"
            "    moved += channels_in * channels_out * kernel\n"
            "    return 2 * channels_in * channels_out * kernel * length / (moved * 2)",
            "bytes_per_value is 4",
        ),
    ],
    "peaks": [
        (
            "def peaks(model, mels):\n    return [model(mel).abs().max() for mel in mels]",
            "the list holds tensors",
        ),
        (
            "def peaks(model, mels):\n    return [model(mel).abs().max().item() for mel in mels]",
            "autograd was on",
        ),
        (
            "def peaks(model, mels):\n    with torch.inference_mode():\n"
            "        outputs = [model(mel) for mel in mels]\n"
            "    return [output.abs().max().item() for output in outputs]",
            "at the same time",
        ),
        (
            "def peaks(model, mels):\n    with torch.inference_mode():\n"
            "        return [model(mel).max().item() for mel in mels]",
            "absolute values",
        ),
    ],
}
