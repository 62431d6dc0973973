"""Configurations of vocoders: the authors' files, the presets, and what is refused."""

import json
from dataclasses import replace

import pytest

from labutils import vocoders
from labutils.vocoders import PRESETS, VocoderConfig, preset

OFFICIAL_HIFIGAN = {
    "resblock": "1", "num_gpus": 0, "batch_size": 16, "learning_rate": 0.0002, "adam_b1": 0.8,
    "adam_b2": 0.99, "lr_decay": 0.999, "seed": 1234, "upsample_rates": [8, 8, 2, 2],
    "upsample_kernel_sizes": [16, 16, 4, 4], "upsample_initial_channel": 128,
    "resblock_kernel_sizes": [3, 7, 11], "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3,
    5]], "segment_size": 8192, "num_mels": 80, "num_freq": 1025, "n_fft": 1024, "hop_size": 256,
    "win_size": 1024, "sampling_rate": 22050, "fmin": 0, "fmax": 8000, "fmax_for_loss": None,
    "num_workers": 4, "dist_config": {"world_size": 1},
}  # fmt: skip
OFFICIAL_BIGVGAN = OFFICIAL_HIFIGAN | {
    "upsample_rates": [4, 4, 2, 2, 2, 2], "upsample_kernel_sizes": [8, 8, 4, 4, 4, 4],
    "upsample_initial_channel": 1536, "use_tanh_at_final": False, "use_bias_at_final": False,
    "activation": "snakebeta", "snake_logscale": True, "num_mels": 100, "sampling_rate": 24000,
    "fmax": None, "mpd_reshapes": [2, 3, 5, 7, 11],
}  # fmt: skip
OFFICIAL_V4 = {
    "initial_channel": 100, "resblock": "1", "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]], "upsample_rates": [10, 6, 2, 2,
    2], "upsample_initial_channel": 512, "upsample_kernel_sizes": [20, 12, 4, 4, 4],
    "gin_channels": 0, "is_bias": True, "output_sampling_rate": 48000, "total_upsampling": 480,
    "mel": {"sampling_rate": 32000, "n_fft": 1280, "win_size": 1280, "hop_size": 320, "num_mels":
    100, "fmin": 0, "fmax": None, "center": False},
}  # fmt: skip
OFFICIAL_MELGAN = {
    "n_mel_channels": 80, "ngf": 32, "n_residual_layers": 3, "ratios": [8, 8, 2, 2],
    "sampling_rate": 22050, "n_fft": 1024, "hop_length": 256, "win_length": 1024, "mel_fmin": 0.0,
    "mel_fmax": None, "log": "log10", "log_floor": 1e-5, "batch_size": 16, "lr": 1e-4,
}  # fmt: skip


@pytest.mark.parametrize("name", PRESETS)
def test_json_round_trip(name):
    config = preset(name)
    assert VocoderConfig.from_json(config.to_json()) == config
    assert type(config).from_json(json.loads(config.to_json())) == config
    assert hash(config) == hash(VocoderConfig.from_json(config.to_json()))


@pytest.mark.parametrize(
    "official, name",
    [
        (OFFICIAL_HIFIGAN, "hifigan-v2"),
        (OFFICIAL_BIGVGAN, "bigvgan-v2-24khz"),
        (OFFICIAL_V4, "gpt-sovits-v4"),
        (OFFICIAL_MELGAN, "melgan"),
    ],
)
def test_reads_official_settings(official, name):
    assert VocoderConfig.from_json(json.dumps(official)) == preset(name)


def test_official_bigvgan_without_flags_has_tanh_and_bias():
    short = {k: v for k, v in OFFICIAL_BIGVGAN.items() if not k.startswith("use_")}
    config = VocoderConfig.from_json(short)
    assert config.use_tanh_at_final and config.use_bias_at_final


def test_gpt_sovits_v4_widens_the_band():
    config = preset("gpt-sovits-v4")
    assert (config.mel.sample_rate, config.mel.hop_length) == (32000, 320)
    assert (config.output_sample_rate, config.hop_length) == (48000, 480)


@pytest.mark.parametrize(
    "source, message",
    [
        ("{", "not JSON"),
        ("[]", "object"),
        ({}, "no vocoder"),
        ({"family": "wavenet"}, "wavenet"),
        (OFFICIAL_HIFIGAN | {"resblock": "3"}, "resblock"),
        (OFFICIAL_HIFIGAN | {"upsample_kernel_sizes": [16, 16, 4]}, "same length"),
        (OFFICIAL_HIFIGAN | {"upsample_kernel_sizes": [16, 15, 4, 4]}, "exact"),
        (OFFICIAL_HIFIGAN | {"upsample_rates": [8, 8, 2, 4]}, "in step|keep step"),
        (OFFICIAL_HIFIGAN | {"resblock_kernel_sizes": [3, 7, 10]}, "odd"),
        (OFFICIAL_MELGAN | {"ngf": 0}, "run out"),
        ({k: v for k, v in OFFICIAL_HIFIGAN.items() if k != "n_fft"}, "n_fft"),
        (
            {k: v for k, v in OFFICIAL_HIFIGAN.items() if k != "upsample_initial_channel"},
            "upsample_initial_channel",
        ),
        (OFFICIAL_BIGVGAN | {"activation": "snake"}, "snakebeta"),
        (OFFICIAL_BIGVGAN | {"resblock": "2"}, "resblock"),
        (OFFICIAL_V4 | {"gin_channels": 256}, "gin_channels"),
        (OFFICIAL_MELGAN | {"ratios": [8, 8, 4, 1]}, "ratios"),
        (json.loads(preset("melgan").to_json()) | {"widht": 3}, "widht"),
    ],
)
def test_refuses_wrong_settings(source, message):
    with pytest.raises(ValueError, match=message) as error:
        VocoderConfig.from_json(source)
    assert "\n" not in str(error.value)


def test_a_class_insists_on_its_family():
    with pytest.raises(ValueError, match="hifigan, not of bigvgan"):
        vocoders.BigVGANConfig.from_json(OFFICIAL_HIFIGAN)


def test_unknown_preset_lists_the_names():
    with pytest.raises(ValueError, match="hifigan-v9.*melgan.*bigvgan-small"):
        preset("hifigan-v9")


def test_small_presets_keep_the_structure():
    assert preset("hifigan-small") == preset("hifigan-v2")
    for name, full in (
        ("gpt-sovits-v4-small", "gpt-sovits-v4"),
        ("bigvgan-small", "bigvgan-v2-24khz"),
    ):
        small, full = preset(name), preset(full)
        widths = {"upsample_initial_channel": full.upsample_initial_channel, "min_channels": 1}
        assert replace(small, **widths) == full
        assert small.channels[-1] >= 6
