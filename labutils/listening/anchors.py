"""The anchors of MUSHRA: the reference without what lies above 3.5 or 7 kHz.

An anchor of known, plain badness shows whether listeners use the scale alike (ITU-R BS.1534-3).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from labutils.audio.signals import AudioError, mono

__all__ = ["low_pass", "stop_band"]

ATTENUATION = 80.0  # dB in the stop band


def stop_band(cutoff: float) -> float:
    """Where the stop band begins, in Hz: a seventh above the cut-off (4 and 8 kHz)."""
    return cutoff * 8 / 7


def low_pass(samples: Any, sample_rate: int, cutoff: float) -> np.ndarray:
    """The sound (samples,) without what lies above `cutoff` Hz, equally long and in step with it.

    A symmetric Kaiser-window filter: flat within 0.01 dB up to `cutoff`, 80 dB down from
    `stop_band(cutoff)` on. Symmetric means no delay (zero phase): a delayed anchor would click when
    a listener switches.

    Raises AudioError: bad samples, or a sample rate at which the filter would take nothing away.
    """
    from scipy.signal import fftconvolve, firwin, kaiserord

    samples = mono(samples)
    stop = stop_band(cutoff)
    if not 0 < cutoff or stop > sample_rate / 2:
        raise AudioError(
            f"an anchor of {cutoff / 1000:g} kHz needs a sample rate of {2 * stop:,.0f} Hz or more,"
            f" this is {sample_rate} Hz; resample, or leave the anchors out"
        )
    taps, beta = kaiserord(ATTENUATION, 2 * (stop - cutoff) / sample_rate)
    taps |= 1  # odd: the middle tap is the present
    window = firwin(taps, (cutoff + stop) / 2, window=("kaiser", beta), fs=sample_rate)
    whole = fftconvolve(samples.astype(np.float64), window)
    return whole[taps // 2 : taps // 2 + len(samples)].astype(np.float32)
