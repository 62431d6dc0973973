"""Sounds that fool a score: damage that it prefers to an honest copy, or harm that only it sees.

`DAMAGED` can be heard by anybody, and at least one score takes each of them for better than a
vocoder's copy. `HARMLESS` cannot be told from the original, and at least one score calls them bad.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from labutils import metrics
from labutils.audio.signals import AudioError, mono
from labutils.show.figures import Picture, house_style, picture

__all__ = [
    "COPY",
    "DAMAGED",
    "HARMLESS",
    "Fool",
    "clicks",
    "fool",
    "matrix",
    "matrix_picture",
    "preferred",
]

COPY = "a vocoder's copy"
PHASELESS = tuple(name for name, metric in metrics.METRICS.items() if not metric.same_phase)
PREFERRED, HEARD, PLAIN = "#F6C7A0", "#BBD9EE", "#EEEEEE"  # black text is readable on each


@dataclass(frozen=True)
class Fool:
    """One recipe. `fools` are scores that it fools on ordinary speech; `why` says how."""

    name: str
    fools: tuple[str, ...]
    why: str
    recipe: Callable[[np.ndarray, int], np.ndarray]

    def __call__(self, samples: Any, sample_rate: int) -> np.ndarray:
        """The damaged sound, float32 (samples,), as long as the original.

        Raises AudioError as `signals.mono`, and for less than half a second or below 22,050 Hz.
        """
        sound = mono(samples).astype(np.float64)
        if len(sound) < sample_rate / 2 or sample_rate < 22050:
            raise AudioError(
                f"{len(sound)} samples at {sample_rate} Hz; give half a second at 22,050 Hz or more"
            )
        return self.recipe(sound, sample_rate).astype(np.float32)


def _level(sound: np.ndarray) -> float:
    return float(np.sqrt(np.mean(sound**2)))


def _time(sound: np.ndarray, rate: int) -> np.ndarray:
    return np.arange(len(sound)) / rate


def _filtered(sound: np.ndarray, rate: int, kind: str, hertz: float) -> np.ndarray:
    from scipy import signal

    sections = signal.butter(8, hertz, kind, fs=rate, output="sos")
    return signal.sosfiltfilt(sections, sound)


def _noise(sound: np.ndarray) -> np.ndarray:
    return np.random.default_rng(14).standard_normal(len(sound))


def clicks(sound: np.ndarray, rate: int, every: float = 0.5, snr: float = 24.0) -> np.ndarray:
    """One sample is wrong every `every` seconds, by so much that SNR is `snr` dB."""
    places = np.arange(round(0.3 * rate), len(sound), round(every * rate))
    clicked = sound.copy()
    clicked[places] += np.sqrt(np.sum(sound**2) / len(places) / 10 ** (snr / 10))
    return clicked


def _whistle(sound: np.ndarray, rate: int) -> np.ndarray:
    return sound + 0.3 * _level(sound) * np.sin(2 * np.pi * 9500 * _time(sound, rate))


def _hiss(sound: np.ndarray, rate: int) -> np.ndarray:
    high = _filtered(_noise(sound), rate, "highpass", 5500)
    return sound + 0.3 * _level(sound) / _level(high) * high


def _muffled(sound: np.ndarray, rate: int) -> np.ndarray:
    return _filtered(sound, rate, "lowpass", 3500)


def _pumping(sound: np.ndarray, rate: int) -> np.ndarray:
    wave = np.sin(2 * np.pi * 4 * _time(sound, rate))
    return sound * 10 ** ((6 * wave - 6) / 20)  # 0 to -12 dB, four times a second


def _flutter(sound: np.ndarray, rate: int, cents: float = 80.0, hertz: float = 6.0) -> np.ndarray:
    """The pitch swings up and down, as on a bad tape: time itself is bent, by 1.3 ms."""
    time, turn = _time(sound, rate), 2 * np.pi * hertz
    bent = time + (2 ** (cents / 1200) - 1) / turn * np.sin(turn * time)
    return np.interp(bent, time, sound)


def _holes(sound: np.ndarray, rate: int) -> np.ndarray:
    open_ = (_time(sound, rate) % 0.3 < 0.22).astype(float)
    window = np.hanning(rate // 100)  # edges of 10 ms, so that the holes themselves do not click
    return sound * np.convolve(open_, window / window.sum(), mode="same")


_DAMAGED = (
    Fool("clicks", ("log_mel_l1", "multi_resolution_stft", "mcd", "stoi"),
         "two clicks a second are in few frames, and a mean over frames forgives them", clicks),
    Fool("whistle at 9.5 kHz", ("pesq_wb", "stoi", "voicing_f1", "f0_rmse_cents", "log_mel_l1"),
         "PESQ and STOI stop below it; for a mel it is one band of eighty", _whistle),
    Fool("hiss above 5.5 kHz", ("stoi", "f0_rmse_cents"),
         "words stay clear, and STOI asks for nothing else", _hiss),
    Fool("nothing above 3.5 kHz", ("voicing_f1", "f0_rmse_cents", "stoi"),
         "pitch and words live below 3.5 kHz", _muffled),
    Fool("pumping loudness", ("mcd", "voicing_f1"),
         "MCD leaves out coefficient 0, the loudness", _pumping),
    Fool("flutter of a bad tape", ("voicing_f1",),
         "what was voiced is voiced: it only has another pitch", _flutter),
    Fool("holes of 80 ms", ("f0_rmse_cents",),
         "pitch is compared where both have one: a hole is not asked", _holes),
)  # fmt: skip
_HARMLESS = (
    Fool("upside down", ("snr_db",),
         "the waveform times -1: ears do not know which way is up, SNR does", lambda s, r: -s),
    Fool("one sample late", ("snr_db",),
         "about 0.05 ms, or a step of 1.5 cm away from the loudspeaker",
         lambda s, r: np.concatenate([s[:1], s[:-1]])),
    Fool("soft noise", ("log_mel_l1", "multi_resolution_stft"),
         "noise at -75 dB in silence moves a logarithm as much as damage in a word",
         lambda s, r: s + 10 ** (-75 / 20) * _noise(s)),
)  # fmt: skip
DAMAGED: Mapping[str, Fool] = MappingProxyType({fool.name: fool for fool in _DAMAGED})
HARMLESS: Mapping[str, Fool] = MappingProxyType({fool.name: fool for fool in _HARMLESS})


def fool(name: str, samples: Any, sample_rate: int) -> np.ndarray:
    """The sound of this name, of either kind, made of samples (samples,).

    Raises AudioError as `Fool`, and for an unknown name with those that there are.
    """
    every = {**DAMAGED, **HARMLESS}
    if name not in every:
        raise AudioError(f"no sound {name!r} that fools; there are: {', '.join(every)}")
    return every[name](samples, sample_rate)


def matrix(
    reference: Any, copy: Any, sample_rate: int, *, fools: Mapping[str, Fool] = DAMAGED
) -> list[dict]:
    """Scores against the reference of an honest copy, first, and of each fooling sound.

    Args:
        reference: the recording, (samples,) at `sample_rate` Hz.
        copy: a vocoder's copy of it, as long.

    Returns:
        ``[{"sound": name, score: value or None, …}, …]`` with the scores that do not need phase.
    """
    sounds = {COPY: copy, **{name: make(reference, sample_rate) for name, make in fools.items()}}
    return [
        {"sound": name, **metrics.compare(reference, sound, sample_rate, only=PHASELESS)}
        for name, sound in sounds.items()
    ]


def preferred(score: str, value: float | None, copy: float | None) -> bool | None:
    """Whether the score takes a sound for better than the copy; None where one is not measured."""
    if value is None or copy is None:
        return None
    return value > copy if metrics.METRICS[score].better == "higher" else value < copy


def matrix_picture(rows: Sequence[Mapping[str, Any]]) -> Picture:
    """The rows of `matrix` as a grid: which score hears which damage."""
    import matplotlib.pyplot as plt
    from matplotlib.patches import Rectangle

    copy, scores = rows[0], [name for name in rows[0] if name != "sound"]
    fooled: dict[str, list[str]] = {score: [] for score in scores}
    with house_style():
        figure, axes = plt.subplots(figsize=(9.0, 0.4 * len(rows) + 1.2))
        for y, row in enumerate(rows):
            for x, score in enumerate(scores):
                liked = preferred(score, row[score], copy[score]) if y else None
                colour = {None: PLAIN, True: PREFERRED, False: HEARD}[liked]
                axes.add_patch(Rectangle((x - 0.48, y - 0.45), 0.96, 0.9, fc=colour, ec="none"))
                axes.text(x, y, _cell(row[score], liked), ha="center", va="center")
                if liked:
                    fooled[score].append(row["sound"])
        axes.set(xlim=(-0.5, len(scores) - 0.5), ylim=(len(rows) - 0.5, -0.5))
        axes.set_xticks(range(len(scores)), [_heading(score) for score in scores])
        axes.set_yticks(range(len(rows)), [row["sound"] for row in rows])
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("orange, !: prefers the damage to the copy; blue: hears it")
    told = "; ".join(f"{score} prefers {', '.join(names)}" for score, names in fooled.items())
    return picture(figure, f"Scores of damaged sounds beside {COPY}: {told}.")


def _heading(score: str) -> str:
    arrow = (
        "\N{UPWARDS ARROW}" if metrics.METRICS[score].better == "higher" else "\N{DOWNWARDS ARROW}"
    )
    return {
        "log_mel_l1": "log-mel\nL1",
        "multi_resolution_stft": "multi-res.\nSTFT",
        "mcd": "MCD\n(dB)",
        "voicing_f1": "voicing\nF1",
        "f0_rmse_cents": "F0 error\n(cents)",
        "pesq_wb": "PESQ\nwideband",
        "stoi": "STOI\n",
    }.get(score, score) + f" {arrow}"


def _cell(value: float | None, liked: bool | None) -> str:
    if value is None:
        return "\N{EN DASH}"
    figure = f"{value:.0f}" if abs(value) >= 10 else f"{value:.2f}"
    return f"{figure} !" if liked else figure
