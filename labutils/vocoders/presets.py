"""The vocoders by name: the published ones, and small ones of the same structure, trained here."""

from dataclasses import replace

from labutils.mel import MelConfig
from labutils.vocoders.config import BigVGANConfig, HiFiGANConfig, MelGANConfig, VocoderConfig

__all__ = ["PRESETS", "preset"]

_MEL_22K = MelConfig(
    sample_rate=22050, n_fft=1024, win_length=1024, hop_length=256, n_mels=80, fmax=8000.0
)
_MEL_24K = MelConfig(sample_rate=24000, n_fft=1024, win_length=1024, hop_length=256, n_mels=100)
_MEL_V4 = MelConfig(
    sample_rate=32000,
    n_fft=1280,
    win_length=1280,
    hop_length=320,
    n_mels=100,
    magnitude_epsilon=1e-8,
)

_MELGAN = MelGANConfig(
    sampling_rate=22050,
    mel=MelConfig(
        sample_rate=22050,
        n_fft=1024,
        win_length=1024,
        hop_length=256,
        n_mels=80,
        log="log10",
        magnitude_epsilon=0.0,
    ),
)
_V1 = HiFiGANConfig(
    sampling_rate=22050,
    mel=_MEL_22K,
    upsample_rates=(8, 8, 2, 2),
    upsample_kernel_sizes=(16, 16, 4, 4),
    upsample_initial_channel=512,
)
_V2 = replace(_V1, upsample_initial_channel=128)
_V3 = HiFiGANConfig(
    sampling_rate=22050,
    mel=_MEL_22K,
    resblock="2",
    upsample_rates=(8, 8, 4),
    upsample_kernel_sizes=(16, 16, 8),
    upsample_initial_channel=256,
    resblock_kernel_sizes=(3, 5, 7),
    resblock_dilation_sizes=((1, 2), (2, 6), (3, 12)),
)
_GPT_SOVITS_V4 = HiFiGANConfig(
    sampling_rate=48000,
    mel=_MEL_V4,
    upsample_rates=(10, 6, 2, 2, 2),
    upsample_kernel_sizes=(20, 12, 4, 4, 4),
    upsample_initial_channel=512,
    norm_ends=False,
)
_BIGVGAN_BASE = BigVGANConfig(
    sampling_rate=24000,
    mel=replace(_MEL_24K, fmax=12000.0),
    upsample_rates=(8, 8, 2, 2),
    upsample_kernel_sizes=(16, 16, 4, 4),
    upsample_initial_channel=512,
)
_BIGVGAN_V2 = BigVGANConfig(
    sampling_rate=24000,
    mel=_MEL_24K,
    upsample_rates=(4, 4, 2, 2, 2, 2),
    upsample_kernel_sizes=(8, 8, 4, 4, 4, 4),
    upsample_initial_channel=1536,
    use_tanh_at_final=False,
    use_bias_at_final=False,
)

PRESETS: dict[str, VocoderConfig] = {
    "melgan": _MELGAN,
    "hifigan-v1": _V1,
    "hifigan-v2": _V2,
    "hifigan-v3": _V3,
    "gpt-sovits-v4": _GPT_SOVITS_V4,
    "bigvgan-base-24khz": _BIGVGAN_BASE,
    "bigvgan-v2-24khz": _BIGVGAN_V2,
    "hifigan-small": _V2,
    # Narrow copies, trained here, of 2 MB: the width goes where it costs least, to the end.
    "gpt-sovits-v4-small": replace(_GPT_SOVITS_V4, upsample_initial_channel=128, min_channels=8),
    "bigvgan-small": replace(_BIGVGAN_V2, upsample_initial_channel=112, min_channels=8),
}


def preset(name: str) -> VocoderConfig:
    """The configuration of that name. Raises ValueError that lists the names for an unknown one."""
    try:
        return PRESETS[name]
    except KeyError:
        raise ValueError(f"unknown vocoder {name!r}: choose one of {', '.join(PRESETS)}") from None
