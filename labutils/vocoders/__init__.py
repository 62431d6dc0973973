"""Three families of neural vocoders: MelGAN, HiFi-GAN (with GPT-SoVITS v4) and BigVGAN."""

from labutils.vocoders.bigvgan import AntiAliasedSnake, BigVGANGenerator
from labutils.vocoders.checkpoint import (
    CheckpointError,
    load,
    load_checkpoint,
    read_metadata,
    save_checkpoint,
    shipped,
)
from labutils.vocoders.config import BigVGANConfig, HiFiGANConfig, MelGANConfig, VocoderConfig
from labutils.vocoders.hifigan import HiFiGANGenerator
from labutils.vocoders.melgan import MelGANGenerator
from labutils.vocoders.presets import PRESETS, preset
from labutils.vocoders.random_weights import build, create, speech_like_mel
from labutils.vocoders.weight_norm import add_weight_norm, fold_weight_norm, has_weight_norm

__all__ = [
    "PRESETS",
    "AntiAliasedSnake",
    "BigVGANConfig",
    "BigVGANGenerator",
    "CheckpointError",
    "HiFiGANConfig",
    "HiFiGANGenerator",
    "MelGANConfig",
    "MelGANGenerator",
    "VocoderConfig",
    "add_weight_norm",
    "build",
    "create",
    "fold_weight_norm",
    "has_weight_norm",
    "load",
    "load_checkpoint",
    "preset",
    "read_metadata",
    "save_checkpoint",
    "shipped",
    "speech_like_mel",
]
