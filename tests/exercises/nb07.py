"""Known wrong answers to the exercises of notebook 07, and what the check must say to each."""

_PROFILES = "def profiles_of(lengths, ends):\n    made, low = [], min(lengths)\n    for high in ends:\n        inside = sorted(f for f in lengths if low <= f <= high) or [high]\n"
_NEXT = "        low = high + 1\n    return made\n"
_MEDIAN = "inside[len(inside) // 2]"

_BUCKETS = "def buckets_of(lengths, count, ms):\n    ordered = sorted(lengths)\n    longest = ordered[-1]\n"

_TOGETHER = "def together(mels, silence, run, hop_length):\n    longest = max(mel.shape[1] for mel in mels)\n    batch = np.full((len(mels), mels[0].shape[0], longest), silence, np.float32)\n"
_FILL = "    for row, mel in zip(batch, mels):\n        row[:, : mel.shape[1]] = mel\n"
_CUT = "    return [sound[: hop_length * mel.shape[1]].copy() for sound, mel in zip(run(batch), mels)]\n"

WRONG = {
    "profiles_of": [
        (
            _PROFILES + f"        made.append((inside[0], {_MEDIAN}, high))\n" + _NEXT,
            "513 frames fits no profile",
        ),
        (
            _PROFILES + f"        made.append((inside[0], {_MEDIAN}, inside[-1]))\n" + _NEXT,
            "the largest lengths must be",
        ),
        (
            _PROFILES + "        made.append((low, (low + high) // 2, high))\n" + _NEXT,
            "not of its sentences",
        ),
        (_PROFILES + "        made.append((low, high, high))\n" + _NEXT, "an end of the range"),
        (
            _PROFILES + f"        made.append((min(lengths), {_MEDIAN}, high))\n" + _NEXT,
            "inside the one before",
        ),
        (
            _PROFILES
            + "        middle = sorted(lengths)[len(lengths) // 2]\n"
            + "        made.append((low, min(max(low, middle), high), high))\n"
            + _NEXT,
            "an end of the range",
        ),
        (
            "def profiles_of(lengths, ends):\n    return [(min(lengths), sorted(lengths)[len(lengths) // 2], max(ends))]\n",
            "3 ends make 3 profiles",
        ),
        (
            _PROFILES.replace("made, low", "lengths.sort()\n    made, low")
            + f"        made.append((low, {_MEDIAN}, high))\n"
            + _NEXT,
            "sort a copy",
        ),
        (
            _PROFILES.replace(" or [high]", "")
            + f"        made.append((low, {_MEDIAN}, high))\n"
            + _NEXT,
            "IndexError",
        ),
    ],
    "buckets_of": [
        (
            _BUCKETS + "    return [round(longest * (i + 1) / count) for i in range(count)]\n",
            "longer than the best",
        ),
        (
            _BUCKETS
            + "    return [ordered[len(ordered) * (i + 1) // count - 1] for i in range(count)]\n",
            "longer than the best",
        ),
        (_BUCKETS + "    return [longest]\n", "longer than the best"),
        (_BUCKETS + "    return [round(0.95 * longest)]\n", "fits into none of"),
        (_BUCKETS + "    return [2 ** k for k in range(3, 3 + count)]\n", "fits into none of"),
        (
            _BUCKETS + "    return [32 * 2 ** k for k in range(count - 1)] + [2 * longest]\n",
            "always padding",
        ),
        (_BUCKETS + "    return sorted(set(lengths))\n", "are allowed"),
        (
            _BUCKETS
            + "    import itertools\n"
            + "    few = sorted({ordered[(len(ordered) - 1) * k // 20] for k in range(1, 20)} - {longest})\n"
            + "    def padded(chosen):\n"
            + "        return sum(min(b for b in (*chosen, longest) if b >= f) for f in ordered)\n"
            + "    best = min(itertools.combinations(few, min(count - 1, len(few))), key=padded)\n"
            + "    return [*best, longest]\n",
            "since launching takes that long",
        ),
    ],
    "together": [
        (
            "def together(mels, silence, run, hop_length):\n    return [run(mel[None])[0] for mel in mels]\n",
            "called 3 times",
        ),
        (_TOGETHER.replace("silence, np", "0.0, np") + _FILL + _CUT, "a loud noise"),
        (
            _TOGETHER + _FILL.replace("row[:, : mel.shape[1]]", "row[:, -mel.shape[1] :]") + _CUT,
            "stands before the sentence",
        ),
        (_TOGETHER + _FILL + "    return list(run(batch))\n", "expected 20, 36 and 8 samples"),
        (_TOGETHER + _FILL + _CUT.replace("hop_length * ", ""), "expected 20, 36 and 8 samples"),
        (_TOGETHER.replace(", np.float32", "") + _FILL + _CUT, "float64"),
        (_TOGETHER + _FILL + _CUT.replace(".copy()", ""), "return copies"),
        (
            "def together(mels, silence, run, hop_length):\n    mels = sorted(mels, key=lambda mel: mel.shape[1])\n"
            + _TOGETHER.partition("\n")[2]
            + _FILL
            + _CUT,
            "expected 20, 36 and 8 samples",
        ),
        (
            "def together(mels, silence, run, hop_length):\n    mels = sorted(mels, key=lambda mel: mel.shape[1])\n"
            + _TOGETHER.partition("\n")[2]
            + _FILL
            + "    sounds = run(batch)\n"
            + "    return [s[: hop_length * n].copy() for s, n in zip(sounds, (5, 9, 2))]\n",
            "another order",
        ),
        (_TOGETHER + _FILL + "    run(batch)\n", "got NoneType"),
    ],
}
