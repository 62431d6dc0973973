"""The sounds of a test: checked, equally long, brought to one loudness, with anchors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from labutils.audio.signals import AudioError, mono
from labutils.listening import anchors, loudness, sketch
from labutils.listening.design import ANCHORS, DesignError

__all__ = ["Sounds", "abx_sounds", "mushra_sounds", "sketches"]

Sounds = dict[str, dict[str, np.ndarray]]  # {item: {stimulus: (samples,) float32}}


def abx_sounds(a: Any, b: Any, sample_rate: int) -> Sounds:
    """{item: {"a": samples, "b": samples}} of two sounds, or of two mappings {clip: samples}."""
    first, second = (x if isinstance(x, Mapping) else {"sound": x} for x in (a, b))
    if set(first) != set(second):
        odd = ", ".join(sorted(set(first) ^ set(second)))
        raise DesignError(f"a and b must have the same clips; {odd} is in one of them only")
    items = {item: {"a": first[item], "b": second[item]} for item in first}
    return loudness.align(_checked(items), "a", sample_rate)


def mushra_sounds(
    items: Mapping[str, Mapping[str, Any]], reference: str, sample_rate: int, with_anchors: bool
) -> Sounds:
    """The items at one loudness, with the anchors made of each reference where wanted."""
    for item, stimuli in items.items():
        if reference not in stimuli:
            raise DesignError(f"{item}: no {reference!r}; there are: {', '.join(stimuli)}")
        if with_anchors and (taken := set(stimuli) & set(ANCHORS)):
            raise DesignError(f"{item}: {', '.join(taken)} is made here; leave it out")
    sounds = _checked(items)
    if with_anchors:
        for stimuli in sounds.values():
            for name, cutoff in ANCHORS.items():
                stimuli[name] = anchors.low_pass(stimuli[reference], sample_rate, cutoff)
    return loudness.align(sounds, reference, sample_rate)


def _checked(items: Mapping[str, Mapping[str, Any]]) -> Sounds:
    sounds: Sounds = {}
    for item, stimuli in items.items():
        sounds[str(item)] = {str(k): mono(v, f"{item}/{k}") for k, v in stimuli.items()}
        lengths = {key: len(samples) for key, samples in sounds[str(item)].items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{key} {length}" for key, length in lengths.items())
            raise AudioError(
                f"{item}: sounds that are switched in step must be equally long; samples: {told}"
            )
    return sounds


def sketches(sounds: Sounds) -> dict[str, dict[str, sketch.Sketch]]:
    """What a design keeps of the sounds."""
    return {
        item: {key: sketch.sketch(samples) for key, samples in stimuli.items()}
        for item, stimuli in sounds.items()
    }
