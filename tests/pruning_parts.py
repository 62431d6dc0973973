"""What tests of pruning share: presets of every kind of network, and a mel for a model."""

from labutils import vocoders

FAMILIES = ["melgan", "hifigan-v1", "hifigan-v3", "bigvgan-v2-24khz"]


def mel_for(model, frames=12, batch=2):
    return vocoders.speech_like_mel(model.config.mel, frames, batch=batch)
