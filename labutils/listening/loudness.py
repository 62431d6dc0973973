"""One gain per item: all items at one loudness, and nothing done to differences within an item."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from labutils.audio.signals import AudioError, common_gain, match_loudness

__all__ = ["align", "gains"]

Sounds = Mapping[str, Mapping[str, np.ndarray]]


def gains(sounds: Sounds, reference: str, sample_rate: int) -> dict[str, float]:
    """The gain of each item {item: {stimulus: samples}}, from the loudness of its reference.

    The softest reference (ITU-R BS.1770, in LUFS) sets the level, so that nothing is turned up. All
    stimuli of an item get its gain: a stimulus that is too loud or too soft has that fault, and
    listeners are to hear it. Where a stimulus would clip, everything goes down together.

    Raises AudioError: a silent reference.
    """
    references = {item: stimuli[reference] for item, stimuli in sounds.items()}
    for item, samples in references.items():
        if not samples.any():
            raise AudioError(f"{item}/{reference}: silent, it has no loudness to align")
    matched = match_loudness({item: (s, sample_rate) for item, s in references.items()})
    found = {
        item: float(np.abs(matched[item][0]).max() / np.abs(samples).max())
        for item, samples in references.items()
    }
    lowered = common_gain(
        samples * found[item] for item, stimuli in sounds.items() for samples in stimuli.values()
    )
    return {item: gain * lowered for item, gain in found.items()}


def align(sounds: Sounds, reference: str, sample_rate: int) -> dict[str, dict[str, np.ndarray]]:
    """The same sounds with the `gains` of their items, float32."""
    found = gains(sounds, reference, sample_rate)
    return {
        item: {key: samples * np.float32(found[item]) for key, samples in stimuli.items()}
        for item, stimuli in sounds.items()
    }
