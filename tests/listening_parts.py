"""What tests of listening tests share: noise like speech, a worse copy of it, tests of the two."""

import numpy as np

from labutils import listening

RATE = 22050


def voice(seed=0, seconds=1.0, rate=RATE):
    """Noise with speech's slope of about -6 dB per octave, peak below 0.5."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal(round(seconds * rate)))
    spectrum /= np.maximum(1, np.arange(len(spectrum)) * (rate / 2 / len(spectrum)) / 200)
    sound = np.fft.irfft(spectrum)
    return (0.4 * sound / np.abs(sound).max()).astype(np.float32)


def with_noise(sound, db, seed=9):
    noise = np.random.default_rng(seed).standard_normal(len(sound))
    level = np.sqrt(np.mean(sound**2)) * 10 ** (-db / 20)
    return (sound + level * noise).astype(np.float32)


CLIPS = {f"clip {i}": voice(i) for i in range(4)}
WORSE = {name: with_noise(sound, 20) for name, sound in CLIPS.items()}


def make_abx(folder, **more):
    given = {"name": "int8", "folder": folder, "sample_rate": RATE, "trials": 16} | more
    return listening.abx(given.pop("a", CLIPS), given.pop("b", WORSE), **given)


def make_mushra(folder, **more):
    items = {name: {"reference": CLIPS[name], "int8": WORSE[name]} for name in CLIPS}
    given = {"name": "systems", "folder": folder, "sample_rate": RATE} | more
    return listening.mushra(given.pop("items", items), **given)
