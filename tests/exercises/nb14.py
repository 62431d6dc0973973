"""Known wrong answers to the exercises of notebook 14, and what the check must say to each."""

_FOOL = "def fool_mcd(samples, sample_rate):\n"
_P = "def abx_p_value(right, trials):\n"
_TRIALS = "def trials_needed(hears, wanted_power=0.8, level=0.05):\n"
_KEPT = "def kept_listeners(ratings):\n"

WRONG = {
    "fool_mcd": [
        (_FOOL + "    return samples.copy()", "this is no damage yet"),
        (_FOOL + "    return 0.1 * samples", "brought to one level, log-mel L1 is 0"),
        (
            _FOOL + "    noise = np.random.default_rng(0).standard_normal(len(samples))\n"
            "    return samples + 0.02 * noise",
            "it sees the damage",
        ),
        (
            _FOOL + "    seconds = np.arange(len(samples)) / sample_rate\n"
            "    return 3 * samples * 10 ** (6 * np.sin(8 * np.pi * seconds) / 20)",
            "it would clip",
        ),
        (_FOOL + "    return samples[::2]", "expected the shape (48000)"),
        (_FOOL + "    samples *= 0.5\n    return samples", "it changed the samples"),
    ],
    "abx_p_value": [
        (_P + "    return math.comb(trials, right) / 2**trials", "0 of 10 right or more: always"),
        (_P + "    return float(binom.sf(right, trials, 0.5))", "half of a half of a half"),
        (
            _P + "    from statistics import NormalDist\n"
            "    return 1.0 if right == 0 else 1 / 8 if trials == 3 else 1 - NormalDist().cdf(\n"
            "        (right - trials / 2) / (math.sqrt(trials) / 2))",
            "12, 13, 14, 15 and 16 count, and exactly",
        ),
        (_P + "    return 0.5 ** right", "12 of 16 right"),
    ],
    "trials_needed": [
        (
            _TRIALS + "    share = hears + (1 - hears) / 2\n"
            "    for n in range(1, 5001):\n"
            "        if binom.sf(int(binom.isf(level, n, 0.5)), n, share) >= wanted_power:\n"
            "            return n\n",
            "level 0.0625",
        ),
        (
            _TRIALS + "    for n in range(1, 500):\n"
            "        if binom.sf(int(binom.isf(level, n, 0.5)), n, hears) >= wanted_power:\n"
            "            return n\n",
            "hears 0.5: got None",
        ),
        (
            _TRIALS + "    share = hears + (1 - hears) / 2\n"
            "    for n in range(1, 500):\n"
            "        if binom.sf(int(binom.isf(level, n, 0.5)) - 1, n, share) >= wanted_power:\n"
            "            return n\n",
            "four right of four",
        ),
        (
            _TRIALS + "    share = hears + (1 - hears) / 2\n"
            "    for n in range(5, 500):\n"
            "        if binom.sf(int(binom.isf(level, n, 0.5)), n, share) >= 0.8:\n"
            "            return n\n",
            "power 0.9",
        ),
        (_TRIALS + "    return 16", "who hears it every time: expected 5, got 16"),
    ],
    "kept_listeners": [
        (
            _KEPT + "    def slips(given):\n"
            "        low = sum(r < 90 for r in given['reference'])\n"
            "        return low + sum(r > 90 for r in given['mid anchor'])\n"
            "    return [name for name, given in ratings.items()\n"
            "            if slips(given) <= 0.15 * len(given['reference'])]",
            "each counts by itself",
        ),
        (
            _KEPT + "    return sorted(name for name, given in ratings.items()\n"
            "                  if np.mean([r < 90 for r in given['reference']]) <= 0.15\n"
            "                  and np.mean([r > 90 for r in given['mid anchor']]) <= 0.15)",
            "in the given order",
        ),
        (
            _KEPT + "    return [name for name, given in ratings.items()\n"
            "            if np.mean([r < 90 for r in given['reference']]) <= 0.15]",
            "Ana rated the mid anchor above 90",
        ),
        (
            _KEPT + "    return [name for name, given in ratings.items()\n"
            "            if np.mean(given['reference']) >= 90 and np.mean(given['mid anchor']) <= 90]",
            "Ben rated the hidden reference below 90 on 3 of 10",
        ),
        (
            _KEPT + "    return [name for name, given in ratings.items()\n"
            "            if min(given['reference']) >= 90 and max(given['mid anchor']) <= 90]",
            "one slip in 10 items",
        ),
        (
            _KEPT + "    return [name for name, given in ratings.items()\n"
            "            if np.mean([r <= 90 for r in given['reference']]) <= 0.15\n"
            "            and np.mean([r >= 90 for r in given['mid anchor']]) <= 0.15]",
            "90 is neither below nor above 90",
        ),
        (
            _KEPT + "    return [name for name, given in ratings.items()\n"
            "            if np.mean([r < 90 for r in given['reference']]) < 0.15\n"
            "            and np.mean([r > 90 for r in given['mid anchor']]) < 0.15]",
            "3 of 20 items is 15 %",
        ),
    ],
}
