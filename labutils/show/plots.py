"""Pictures of sound: waveform, spectrogram, mel spectrogram.

Notebooks reach these through `labutils.show`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from labutils.audio.signals import AudioError, mono
from labutils.show.figures import COLOUR_MAP, COLOURS, Picture, house_style

__all__ = [
    "RANGE_DB",
    "check_sounds",
    "compare_spectrograms",
    "magnitudes",
    "mel_picture",
    "peak_magnitude",
    "relative_db",
    "spectrogram",
    "waveform",
]

NO_DATA = "#D9D9D9"  # grey, above half of the sample rate
RANGE_DB = 80.0
WIDTH = 9.0  # inches: 900 pixels of the page


def waveform(samples: Any, sample_rate: int, ax: Any = None, title: str = "") -> Any:
    """Draw sound (samples,) against seconds, at full scale -1 to 1: a Picture, or `ax` if given."""
    samples = mono(samples, title or "sound")
    seconds = len(samples) / sample_rate
    columns = 1800
    with _canvas(ax, (WIDTH, 2.2)) as canvas:
        if len(samples) > 4 * columns:  # what a screen can show: the extremes of each column
            parts = np.array_split(samples, columns)
            times = np.linspace(0, seconds, columns)
            low, high = [p.min() for p in parts], [p.max() for p in parts]
            canvas.fill_between(times, low, high, linewidth=0.6, color=COLOURS[0])
        else:
            times = np.arange(len(samples)) / sample_rate
            canvas.plot(times, samples, linewidth=1.0, color=COLOURS[0])
        top = max(1.05, float(np.abs(samples).max()))
        canvas.set(xlabel="time (s)", ylabel="amplitude", xlim=(0, seconds), ylim=(-top, top))
        canvas.set_title(title)
    return _shown(canvas, ax, f"Waveform of {title or 'the sound'}, {seconds:.1f} s")


def spectrogram(
    samples: Any,
    sample_rate: int,
    ax: Any = None,
    title: str = "",
    fmax: float | None = None,
    *,
    reference: float | None = None,
    colour_bar: bool = True,
) -> Any:
    """Draw the spectrogram of sound (samples,): a Picture, or `ax` if given.

    The colours run from -80 to 0 dB below `reference`, an amplitude as `peak_magnitude` gives it;
    without one, below the loudest point. `fmax` in Hz: the top of the picture, grey above half of
    `sample_rate`.
    """
    with _canvas(ax, (WIDTH, 3.2)) as canvas:
        image = _draw_spectrogram(canvas, samples, sample_rate, title, fmax, reference)
        canvas.set(xlabel="time (s)", ylabel="frequency (kHz)")
        if colour_bar:
            _colour_bar(image, canvas)
    return _shown(canvas, ax, f"Spectrogram of {title or 'the sound'}")


def compare_spectrograms(
    sounds: Mapping[str, tuple[Any, int]],
    *,
    fmax: float | None = None,
    columns: int | None = None,
    height: float | None = None,
) -> Picture:
    """Draw the spectrograms of {title: (samples, sample_rate)} with the same axes and colours.

    0 dB is the loudest point of all of them. `fmax` in Hz, else half of the highest sample rate.
    `height` of one row in inches.
    """
    from matplotlib.figure import Figure

    checked = check_sounds(sounds)
    columns = columns or (1 if len(checked) < 4 else 2)
    rows = -(-len(checked) // columns)
    height = height or (1.9 if columns == 1 else 2.3)
    fmax = fmax or max(rate for _, rate in checked.values()) / 2
    reference = max(peak_magnitude(*sound) for sound in checked.values())
    longest = max(len(samples) / rate for samples, rate in checked.values())
    with house_style():
        figure = Figure(figsize=(WIDTH, 0.5 + height * rows), layout="constrained")
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for ax, (title, sound) in zip(grid.flat, checked.items(), strict=False):
            image = _draw_spectrogram(ax, *sound, title, fmax, reference)
            ax.set(xlim=(0, longest), facecolor=NO_DATA)
        shown = list(grid.flat)[: len(checked)]
        for ax in list(grid.flat)[len(checked) :]:
            ax.set_visible(False)
        for ax in grid[:, 0]:
            ax.set_ylabel("frequency (kHz)")
        for ax in shown[-columns:]:  # the lowest of each column
            ax.set_xlabel("time (s)")
            ax.tick_params(labelbottom=True)
        _colour_bar(image, list(grid.flat))
    return Picture(figure, f"Spectrograms of {', '.join(checked)}, with the same axes and colours")


def mel_picture(
    log_mel: Any,
    config: Any,
    ax: Any = None,
    title: str = "",
    *,
    limits: tuple[float, float] | None = None,
) -> Any:
    """Draw a log mel spectrogram of a MelConfig: a Picture, or `ax` if given.

    `log_mel`: (n_mels, frames), or (1, n_mels, frames) as `MelSpectrogram` gives it for one sound.
    The colours show the values themselves (`config.log`: ln or log10), over `limits`, else from the
    lowest to the highest: a mel made for another vocoder is seen to lie elsewhere.

    Raises AudioError: not (n_mels, frames) of this configuration, NaN.
    """
    import librosa

    if hasattr(log_mel, "detach"):
        log_mel = log_mel.detach().cpu().float().numpy()
    log_mel = np.asarray(log_mel)
    if log_mel.ndim == 3 and log_mel.shape[0] == 1:
        log_mel = log_mel[0]
    if log_mel.ndim != 2 or log_mel.shape[0] != config.n_mels or log_mel.shape[1] == 0:
        raise AudioError(f"mel of shape {log_mel.shape}; give ({config.n_mels}, frames)")
    if not np.isfinite(log_mel).all():
        raise AudioError("mel with NaN or infinite values")
    low, high = limits or (float(log_mel.min()), float(log_mel.max()))
    seconds = log_mel.shape[1] * config.hop_length / config.sample_rate
    fmax = config.highest
    centres = librosa.mel_frequencies(config.n_mels + 2, fmin=config.fmin, fmax=fmax)
    hertz = [f for f in (0, 500, 1000, 2000, 4000, 8000, 16000) if config.fmin <= f <= fmax]
    heights = np.interp(hertz, centres, np.arange(config.n_mels + 2) - 0.5)
    with _canvas(ax, (WIDTH, 3.2)) as canvas:
        image = canvas.imshow(
            log_mel, origin="lower", aspect="auto", cmap=COLOUR_MAP, vmin=low, vmax=high,
            extent=(0, seconds, 0, config.n_mels), interpolation="nearest",
        )  # fmt: skip
        canvas.set(xlabel="time (s)", ylabel="mel band (kHz)")
        canvas.set_yticks(heights.clip(0, config.n_mels), [f"{f / 1000:g}" for f in hertz])
        canvas.set_title(title)
        canvas.grid(False)
        canvas.figure.colorbar(image, ax=canvas, label=f"{config.log} mel", pad=0.01)
    return _shown(canvas, ax, f"Mel spectrogram of {title or 'the sound'}")


def check_sounds(sounds: Mapping[str, tuple[Any, int]]) -> dict[str, tuple[np.ndarray, int]]:
    """Check {title: (samples, sample_rate)} and mix each down. Raises AudioError by title."""
    checked = {}
    for title, sound in sounds.items():
        if not isinstance(sound, tuple) or len(sound) != 2 or np.ndim(sound[1]) != 0:
            raise AudioError(f"{title}: give a pair (samples, sample_rate)")
        checked[title] = (mono(sound[0], title), int(sound[1]))
    if not checked:
        raise AudioError("no sounds; give {title: (samples, sample_rate)}")
    return checked


def magnitudes(samples: np.ndarray, sample_rate: int, columns: int = 1200) -> np.ndarray:
    """STFT magnitudes (bins, about `columns`): Hann window of about 40 ms (a power of two).

    Scaled so that a sine of amplitude a gives a/2: sounds of different rates can be compared.
    """
    import librosa

    n_fft = 2 ** round(np.log2(0.04 * sample_rate))
    hop = max(n_fft // 16, -(-len(samples) // columns))
    window = np.hanning(n_fft + 1)[:-1]
    return np.abs(librosa.stft(samples, n_fft=n_fft, hop_length=hop, window=window)) / window.sum()


def peak_magnitude(samples: np.ndarray, sample_rate: int) -> float:
    """The loudest point of the spectrogram, as an amplitude; 0 for silence."""
    return float(magnitudes(samples, sample_rate).max())


def relative_db(magnitude: np.ndarray, reference: float) -> np.ndarray:
    """Magnitudes in dB below `reference`, cut off at -80."""
    floor = 10 ** (-RANGE_DB / 20)
    return 20 * np.log10(np.clip(magnitude / (reference or 1.0), floor, 1.0))


def _draw_spectrogram(ax, samples, sample_rate, title, fmax, reference):
    samples = mono(samples, title or "sound")
    magnitude = magnitudes(samples, sample_rate)
    decibels = relative_db(magnitude, magnitude.max() if reference is None else reference)
    image = ax.imshow(
        decibels, origin="lower", aspect="auto", cmap=COLOUR_MAP, vmin=-RANGE_DB, vmax=0,
        extent=(0, len(samples) / sample_rate, 0, sample_rate / 2000), interpolation="antialiased",
    )  # fmt: skip
    ax.set_title(title)
    ax.set(ylim=(0, (fmax or sample_rate / 2) / 1000), facecolor=NO_DATA)
    ax.grid(False)
    return image


def _colour_bar(image: Any, axes: Any) -> None:
    figure = image.axes.figure
    figure.colorbar(
        image, ax=axes, label="level (dB, loudest = 0)", pad=0.01, ticks=range(-80, 1, 20)
    )


@contextmanager
def _canvas(ax: Any, size: tuple[float, float]) -> Iterator[Any]:
    """The given axes; or new ones, in the house style while the block draws on them."""
    if ax is not None:
        yield ax
        return
    from matplotlib.figure import Figure

    with house_style():
        yield Figure(figsize=size, layout="constrained").subplots()


def _shown(canvas: Any, ax: Any, alt: str) -> Any:
    return ax if ax is not None else Picture(canvas.figure, alt)
