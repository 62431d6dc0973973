"""A small vocoder and mels of many lengths, for all tests of what runs at once."""

import pytest
from tiny_vocoders import tiny

from labutils import vocoders


@pytest.fixture(scope="module")
def model():
    return tiny("hifigan-small")


@pytest.fixture(scope="module")
def mels(model):
    """Mels of speech of many lengths."""
    lengths = (9, 14, 30, 11, 22, 9, 17, 25, 13, 40, 12, 19)
    return [
        vocoders.speech_like_mel(model.config.mel, n, seed=i).numpy() for i, n in enumerate(lengths)
    ]
