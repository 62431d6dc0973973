"""The three families: counts, lengths, reach, levels, and the arithmetic against another one."""

import copy
import json
import math
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from torch.nn import functional as F

from labutils import vocoders
from labutils.vocoders import PRESETS, VocoderConfig, preset, speech_like_mel

# parameters with weight norm and folded, keys likewise, frames each side, samples per frame
FACTS = {
    "melgan": (4_266_050, 4_260_257, 126, 84, 6, 256),
    "hifigan-v1": (13_936_130, 13_926_017, 234, 156, 13, 256),
    "hifigan-v2": (928_514, 925_985, 234, 156, 13, 256),
    "hifigan-v3": (1_464_322, 1_462_273, 69, 46, 11, 256),
    "gpt-sovits-v4": (14_435_329, 14_425_409, 289, 194, 12, 480),
    "bigvgan-base-24khz": (14_025_154, 14_015_041, 526, 448, 18, 256),
    "bigvgan-v2-24khz": (112_446_289, 112_414_512, 783, 667, 38, 256),
    "hifigan-small": (928_514, 925_985, 234, 156, 13, 256),
    "gpt-sovits-v4-small": (979_505, 976_953, 289, 194, 12, 480),
    "bigvgan-small": (695_885, 693_350, 783, 667, 38, 256),
}
# The same in millions as the authors and others published them.
PUBLISHED = {
    "melgan": 4.26,
    "hifigan-v1": 13.92,
    "hifigan-v2": 0.92,
    "hifigan-v3": 1.46,
    "bigvgan-v2-24khz": 112,
}
SMALL_ENOUGH = ("hifigan-v2", "hifigan-v3", "hifigan-small", "gpt-sovits-v4-small", "melgan")


def narrow(name: str) -> VocoderConfig:
    """The same layers with so few channels that a test is quick."""
    config = preset(name)
    if config.family == "melgan":
        return replace(config, ngf=2)
    return replace(config, upsample_initial_channel=32, min_channels=2)


@pytest.mark.parametrize("name", FACTS)
def test_counts(name):
    normed, folded, normed_keys, folded_keys, _, _ = FACTS[name]
    with torch.device("meta"):
        pair = [vocoders.build(preset(name), weight_norm=norm) for norm in (True, False)]
    assert [sum(p.numel() for p in m.parameters()) for m in pair] == [normed, folded]
    if name in PUBLISHED:
        assert folded / 1e6 == pytest.approx(PUBLISHED[name], rel=0.007)
    assert [len(m.state_dict()) for m in pair] == [normed_keys, folded_keys]


def test_every_preset_has_its_facts():
    assert set(FACTS) == set(PRESETS)


@pytest.mark.parametrize("name", FACTS)
def test_output_length_is_hop_times_frames(name):
    config = narrow(name)
    model = vocoders.create(config)
    assert config.hop_length == FACTS[name][-1]
    for frames in (config.min_frames, 5, 8, 21):
        with torch.inference_mode():
            audio = model(speech_like_mel(config.mel, frames, batch=2))
        assert audio.shape == (2, 1, config.hop_length * frames)
        assert config.output_length(frames) == audio.shape[-1]


@pytest.mark.parametrize("name", FACTS)
def test_receptive_field_is_as_far_as_a_nan_spreads(name):
    config = preset(name)
    assert config.receptive_field == FACTS[name][4]
    real = name in SMALL_ENOUGH
    model = vocoders.create(config if real else narrow(name))
    reach = config.receptive_field
    middle = reach + 2
    mel = speech_like_mel(config.mel, 2 * middle + 1)
    mel[:, :, middle] = math.nan
    with torch.inference_mode():
        samples = model(mel).isnan()[0, 0].nonzero()[:, 0] - middle * config.hop_length
    first, last = int(samples.min()), int(samples.max())
    assert -first <= (middle - 1) * config.hop_length  # the edges did not cut it short
    assert (first, last) == config.reach
    frames = samples.div(config.hop_length, rounding_mode="floor")
    assert max(-int(frames.min()), int(frames.max())) == reach


def test_receptive_field_follows_the_settings():
    v2 = preset("hifigan-v2")
    wider = replace(v2, resblock_dilation_sizes=((1, 3, 5), (1, 3, 5), (1, 3, 25)))
    assert wider.receptive_field > v2.receptive_field
    assert replace(preset("melgan"), n_residual_layers=1).receptive_field < 6


@pytest.mark.parametrize("name", [n for n in FACTS if n != "bigvgan-v2-24khz"])
def test_random_weights_have_the_level_of_speech(name):
    config = preset(name)
    if name == "bigvgan-base-24khz":
        config = replace(config, upsample_initial_channel=256)
    check_level(vocoders.create(config, seed=3))


def test_random_weights_of_a_wide_bigvgan_v2():
    check_level(vocoders.create(replace(preset("bigvgan-v2-24khz"), upsample_initial_channel=192)))


def check_level(model):
    mel = speech_like_mel(model.config.mel, 20, seed=11)
    with torch.inference_mode():
        audio = model(mel)
    level = 20 * math.log10(audio.square().mean().sqrt())
    assert -35 < level < -10
    assert audio.abs().max() < 0.99
    assert abs(audio.mean()) < 0.02


def test_random_weights_are_seeded_and_labelled():
    config = narrow("bigvgan-v2-24khz")
    first, same, other = (vocoders.create(config, seed=s) for s in (4, 4, 5))
    assert first.weights == "random, seed 4" and not first.training
    for key, value in first.state_dict().items():
        assert torch.equal(value, same.state_dict()[key])
    assert not torch.equal(first.conv_pre.weight, other.conv_pre.weight)


def test_random_layers_all_differ():
    """Equal parameters let exporters merge layers: their speed would mean nothing."""
    model = vocoders.create(narrow("bigvgan-base-24khz"))
    values = [tuple(p.flatten().tolist()) for p in model.parameters()]
    assert len(set(values)) == len(values)


@pytest.mark.parametrize("name", ["melgan", "hifigan-v1", "gpt-sovits-v4"])
def test_speech_like_mel_is_in_the_units_of_its_front_end(name):
    config = preset(name).mel
    mel = speech_like_mel(config, 50, batch=2, seed=1)
    assert mel.shape == (2, config.n_mels, 50) and mel.dtype == torch.float32
    magnitudes = np.log(config.magnitudes(mel.numpy()))
    assert magnitudes.min() >= math.log(1e-5) - 1e-4
    assert -7 < magnitudes.mean() < -3 and magnitudes.max() < 2
    assert torch.equal(mel, speech_like_mel(config, 50, batch=2, seed=1))


# The arithmetic again, from the state dict with the authors' key names alone -------------------


def conv(x, w, name, dilation=1):
    weight = w[f"{name}.weight"]
    padding = dilation * (weight.shape[-1] - 1) // 2
    return F.conv1d(x, weight, w.get(f"{name}.bias"), padding=padding, dilation=dilation)


def plain_hifigan(w, config, mel, slope=0.1, last=0.01):
    x = conv(mel, w, "conv_pre")
    count = len(config.resblock_kernel_sizes)
    for i, (rate, kernel) in enumerate(
        zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True)
    ):
        weight, bias = w[f"ups.{i}.weight"], w[f"ups.{i}.bias"]
        x = F.conv_transpose1d(F.leaky_relu(x, slope), weight, bias, rate, (kernel - rate) // 2)
        total = 0
        for j, dilations in enumerate(config.resblock_dilation_sizes):
            y, block = x, f"resblocks.{i * count + j}"
            for k, d in enumerate(dilations):
                if config.resblock == "1":
                    z = conv(F.leaky_relu(y, slope), w, f"{block}.convs1.{k}", d)
                    y = y + conv(F.leaky_relu(z, slope), w, f"{block}.convs2.{k}")
                else:
                    y = y + conv(F.leaky_relu(y, slope), w, f"{block}.convs.{k}", d)
            total = total + y
        x = total / count
    return torch.tanh(conv(F.leaky_relu(x, last), w, "conv_post"))


def plain_melgan(w, config, mel, slope=0.2):
    def padded(x, name, dilation=1):
        pad = dilation * (w[f"{name}.weight"].shape[-1] - 1) // 2
        return F.conv1d(
            F.pad(x, (pad, pad), mode="reflect"),
            w[f"{name}.weight"],
            w[f"{name}.bias"],
            dilation=dilation,
        )

    x = padded(mel, "model.1")
    for i, rate in enumerate(config.ratios):
        at = 3 + 5 * i
        weight, bias = w[f"model.{at}.weight"], w[f"model.{at}.bias"]
        x = F.conv_transpose1d(F.leaky_relu(x, slope), weight, bias, rate, rate // 2)
        for j in range(3):
            name = f"model.{at + 1 + j}"
            y = padded(F.leaky_relu(x, slope), f"{name}.block.2", 3**j)
            y = padded(F.leaky_relu(y, slope), f"{name}.block.4")
            x = padded(x, f"{name}.shortcut") + y
    return torch.tanh(padded(F.leaky_relu(x, slope), "model.24"))


def plain_snake(x, w, name):
    """Up by zeros and a filter, the snake, a filter and down: on one channel after the other."""
    alpha, beta = (w[f"{name}.act.{p}"].exp()[:, None] for p in ("alpha", "beta"))
    up, down = w[f"{name}.upsample.filter"], w[f"{name}.downsample.lowpass.filter"]
    batch, channels, length = x.shape
    x = F.pad(x.reshape(-1, 1, length), (5, 5), mode="replicate")
    x = 2 * F.conv_transpose1d(x, up, stride=2)[..., 15:-15].reshape(batch, channels, 2 * length)
    x = x + torch.sin(alpha * x) ** 2 / (beta + 1e-9)
    x = F.pad(x.reshape(-1, 1, 2 * length), (5, 6), mode="replicate")
    return F.conv1d(x, down, stride=2).reshape(batch, channels, length)


def plain_bigvgan(w, config, mel):
    x = conv(mel, w, "conv_pre")
    count = len(config.resblock_kernel_sizes)
    for i, (rate, kernel) in enumerate(
        zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True)
    ):
        x = F.conv_transpose1d(
            x, w[f"ups.{i}.0.weight"], w[f"ups.{i}.0.bias"], rate, (kernel - rate) // 2
        )
        total = 0
        for j, dilations in enumerate(config.resblock_dilation_sizes):
            y, block = x, f"resblocks.{i * count + j}"
            for k, d in enumerate(dilations):
                z = conv(
                    plain_snake(y, w, f"{block}.activations.{2 * k}"), w, f"{block}.convs1.{k}", d
                )
                y = y + conv(
                    plain_snake(z, w, f"{block}.activations.{2 * k + 1}"), w, f"{block}.convs2.{k}"
                )
            total = total + y
        x = total / count
    x = conv(plain_snake(x, w, "activation_post"), w, "conv_post")
    return x.tanh() if config.use_tanh_at_final else x.clamp(-1, 1)


PLAIN = {"melgan": plain_melgan, "hifigan": plain_hifigan, "bigvgan": plain_bigvgan}


def randomised(name: str) -> torch.nn.Module:
    """A narrow float64 copy with biases and snakes far from zero and output up to ±1."""
    model = vocoders.create(narrow(name)).double()
    random = torch.Generator().manual_seed(1)
    for key, parameter in model.named_parameters():
        if key.endswith(("bias", "alpha", "beta")):
            parameter.data.add_(
                0.3 * torch.randn(parameter.shape, generator=random, dtype=torch.float64)
            )
    last = model.model[-2] if hasattr(model, "model") else model.conv_post
    last.weight.data.mul_(8)
    return model


@pytest.mark.parametrize("name", [n for n in FACTS if not n.endswith("small")])
def test_arithmetic_is_the_published_one(name):
    model = randomised(name)
    config, weights = model.config, model.state_dict()
    mel = speech_like_mel(config.mel, 9, batch=2).double()
    with torch.inference_mode():
        ours, theirs = model(mel), PLAIN[config.family](weights, config, mel)
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-9)
        assert ours.abs().max() > 0.8  # else clamp and tanh could not be told apart
        if config.family == "hifigan":
            assert not torch.allclose(
                ours, plain_hifigan(weights, config, mel, last=0.1), atol=1e-4
            )
        if config.family == "bigvgan":
            other = replace(config, use_tanh_at_final=not config.use_tanh_at_final)
            assert not torch.allclose(ours, plain_bigvgan(weights, other, mel), atol=1e-2)


def test_bias_and_final_activation_of_bigvgan():
    base, v2 = (vocoders.build(narrow(n)) for n in ("bigvgan-base-24khz", "bigvgan-v2-24khz"))
    assert "conv_post.bias" in base.state_dict() and "conv_post.bias" not in v2.state_dict()
    assert preset("bigvgan-base-24khz").use_tanh_at_final
    assert not preset("bigvgan-v2-24khz").use_tanh_at_final


def test_bias_of_hifigan():
    config = narrow("hifigan-v1")
    assert "conv_post.bias" in vocoders.build(config).state_dict()
    assert "conv_post.bias" not in vocoders.build(replace(config, is_bias=False)).state_dict()


def test_keys_are_the_official_ones():
    def keys(name):
        state = vocoders.build(preset(name), weight_norm=False).state_dict()
        return {k: tuple(v.shape) for k, v in state.items()}

    melgan = keys("melgan")
    assert melgan["model.3.weight"] == (512, 256, 16) and melgan["model.24.weight"] == (1, 32, 7)
    assert melgan["model.4.block.2.weight"] == (256, 256, 3) and "model.4.shortcut.bias" in melgan
    v3 = keys("hifigan-v3")
    assert v3["ups.2.weight"] == (64, 32, 8) and v3["resblocks.8.convs.1.weight"] == (32, 32, 7)
    v4 = keys("gpt-sovits-v4")
    assert v4["ups.0.weight"] == (512, 256, 20) and v4["resblocks.14.convs2.2.bias"] == (16,)
    base = keys("bigvgan-base-24khz")
    assert base["ups.3.0.weight"] == (64, 32, 4)
    assert base["resblocks.0.activations.5.act.alpha"] == (256,)
    assert base["activation_post.downsample.lowpass.filter"] == (1, 1, 12)
    assert sum(k.endswith("filter") for k in keys("bigvgan-small")) == 218


def test_kaiser_filter():
    taps = vocoders.bigvgan.kaiser_sinc_filter(0.25, 0.3, 12)[0, 0].double().numpy()
    width = 4 * 0.3
    beta = 0.1102 * (2.285 * 5 * np.pi * width + 7.95 - 8.7)
    time = np.arange(12) - 5.5
    expected = np.kaiser(12, beta) * np.sinc(0.5 * time)
    assert np.allclose(taps, expected / expected.sum(), atol=1e-7)
    assert np.allclose(taps, taps[::-1]) and taps.sum() == pytest.approx(1)
    # Narrower transitions have less attenuation, and the two other formulas for beta.
    for half_width, beta in (
        (0.2, 0.5842 * (36.666 - 21) ** 0.4 + 0.07886 * (36.666 - 21)),
        (0.05, 0.0),
    ):
        taps = vocoders.bigvgan.kaiser_sinc_filter(0.25, half_width, 12)[0, 0].double().numpy()
        expected = np.kaiser(12, beta) * np.sinc(0.5 * time)
        assert np.allclose(taps, expected / expected.sum(), atol=1e-4)
    with pytest.raises(ValueError, match="even"):
        vocoders.bigvgan.kaiser_sinc_filter(0.25, 0.3, 11)


def test_filters_of_a_new_model_are_the_published_ones():
    model = vocoders.build(narrow("bigvgan-v2-24khz"))
    filters = [v for k, v in model.state_dict().items() if k.endswith("filter")]
    assert len(filters) == 218
    published = vocoders.bigvgan.kaiser_sinc_filter(cutoff=0.25, half_width=0.3, taps=12)
    assert all(torch.equal(f, published) for f in filters)


def test_loaded_filters_are_the_ones_used():
    """Official files carry the filters: the copies for each channel must follow them."""
    model = vocoders.create(narrow("bigvgan-base-24khz"))
    state = {k: v * 0.5 if k.endswith("filter") else v for k, v in model.state_dict().items()}
    model.load_state_dict(state)
    mel = speech_like_mel(model.config.mel, 6)
    with torch.inference_mode():
        assert torch.allclose(model(mel), plain_bigvgan(state, model.config, mel), atol=1e-5)


# Weight norm ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["melgan", "hifigan-v3", "gpt-sovits-v4", "bigvgan-base-24khz"])
def test_weight_norm_comes_and_goes_without_changing_the_output(name):
    plain = vocoders.create(narrow(name))
    normed = vocoders.create(narrow(name), weight_norm=True)
    mel = speech_like_mel(plain.config.mel, 6)
    assert vocoders.has_weight_norm(normed) and not vocoders.has_weight_norm(plain)
    spare = copy.deepcopy(normed)
    with torch.inference_mode():
        expected = plain(mel)
        assert torch.allclose(normed(mel), expected, atol=1e-5)
        folded = vocoders.fold_weight_norm(normed)
        assert folded is normed and not vocoders.has_weight_norm(folded)
        assert torch.allclose(folded(mel), expected, atol=1e-5)
        assert torch.allclose(spare(mel), expected, atol=1e-5)  # a copy keeps its own weight norm
    assert vocoders.has_weight_norm(spare)
    assert list(folded.state_dict()) == list(vocoders.fold_weight_norm(folded).state_dict())


def test_ends_of_gpt_sovits_v4_have_no_weight_norm():
    keys = set(vocoders.build(narrow("gpt-sovits-v4")).state_dict())
    assert {"conv_pre.weight", "conv_post.weight"} <= keys
    assert "ups.0.parametrizations.weight.original0" in keys
    assert (
        "conv_pre.parametrizations.weight.original0"
        in vocoders.build(narrow("hifigan-v1")).state_dict()
    )


def test_every_parameter_learns():
    for name in ("melgan", "hifigan-v3", "bigvgan-v2-24khz"):
        model = vocoders.create(narrow(name), weight_norm=True).train()
        model(speech_like_mel(model.config.mel, 5)).square().mean().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


# Configurations ---------------------------------------------------------------------------------

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


# Export -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dynamo", [False, True], ids=["legacy", "dynamo"])
@pytest.mark.filterwarnings("ignore")
def test_bigvgan_exports_with_both_exporters(dynamo, tmp_path):
    config = replace(
        preset("bigvgan-base-24khz"), upsample_rates=(16, 16), upsample_kernel_sizes=(32, 32),
        upsample_initial_channel=8, resblock_kernel_sizes=(3,), resblock_dilation_sizes=((1,),),
    )  # fmt: skip
    model, path = vocoders.create(config), str(tmp_path / "vocoder.onnx")
    names = {"input_names": ["mel"], "output_names": ["audio"]}
    mel = speech_like_mel(config.mel, 12, batch=2)
    if dynamo:
        sizes = {0: torch.export.Dim("batch"), 2: torch.export.Dim("frames")}
        torch.onnx.export(
            model, (mel,), path, dynamo=True, dynamic_shapes={"mel": sizes}, verbose=False, **names
        )
    else:
        axes = {"mel": {0: "batch", 2: "frames"}, "audio": {0: "batch", 2: "samples"}}
        torch.onnx.export(
            model, (mel,), path, dynamo=False, opset_version=17, dynamic_axes=axes, **names
        )
    unseen = speech_like_mel(config.mel, 31, batch=3, seed=2)
    with torch.inference_mode():
        expected = model(unseen).numpy()
    audio = onnxruntime.InferenceSession(path).run(None, {"mel": unseen.numpy()})[0]
    assert np.abs(audio - expected).max() < 2e-6
