"""The mel front ends against an independent computation, and Griffin-Lim."""

from dataclasses import replace

import librosa
import numpy as np
import pytest
import scipy.signal
import torch

from labutils.mel import MelConfig, MelSpectrogram, griffin_lim
from labutils.vocoders import PRESETS, preset

FRONT_ENDS = sorted(set(PRESETS) - {"hifigan-v2", "hifigan-v3", "hifigan-small"})


def signal(rate: int, seconds: float = 0.4) -> np.ndarray:
    """A rising tone, then noise so quiet that epsilon and floor matter, then silence."""
    time = np.arange(int(rate * seconds)) / rate
    x = 0.3 * np.sin(2 * np.pi * (200 + 3000 * time) * time)
    noise = np.random.default_rng(0).standard_normal(len(x))
    x[len(x) // 3 :] = 3e-5 * noise[len(x) // 3 :]
    x[-len(x) // 6 :] = 0
    return x


def independent(x: np.ndarray, c: MelConfig) -> np.ndarray:
    """Frames by hand, scipy's window, numpy's transform, librosa's filters."""
    pad = (c.n_fft - c.hop_length) // 2
    x = np.pad(x, pad, mode="reflect")
    starts = range(0, len(x) - c.n_fft + 1, c.hop_length)
    window = scipy.signal.get_window("hann", c.win_length)
    spectrum = np.stack([np.fft.rfft(window * x[s : s + c.n_fft]) for s in starts], axis=1)
    magnitude = np.sqrt(spectrum.real**2 + spectrum.imag**2 + c.magnitude_epsilon)
    filters = librosa.filters.mel(
        sr=c.sample_rate, n_fft=c.n_fft, n_mels=c.n_mels, fmin=c.fmin, fmax=c.fmax, htk=False,
        norm="slaney", dtype=np.float64,
    )  # fmt: skip
    mel = np.maximum(filters @ magnitude, 1e-5)
    return np.log10(mel) if c.log == "log10" else np.log(mel)


# name: rate, n_fft, hop, bands, fmax, log, epsilon, as published
PUBLISHED = {
    "melgan": (22050, 1024, 256, 80, None, "log10", 0.0),
    "hifigan-v1": (22050, 1024, 256, 80, 8000, "ln", 1e-9),
    "hifigan-v2": (22050, 1024, 256, 80, 8000, "ln", 1e-9),
    "hifigan-v3": (22050, 1024, 256, 80, 8000, "ln", 1e-9),
    "gpt-sovits-v4": (32000, 1280, 320, 100, None, "ln", 1e-8),
    "bigvgan-base-24khz": (24000, 1024, 256, 100, 12000, "ln", 1e-9),
    "bigvgan-v2-24khz": (24000, 1024, 256, 100, None, "ln", 1e-9),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_settings(name):
    c = preset(name).mel
    rate, n_fft, hop, bands, fmax, log, epsilon = PUBLISHED[name]
    assert c == MelConfig(rate, n_fft, n_fft, hop, bands, 0.0, fmax, log, 1e-5, epsilon)


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_equals_an_independent_computation(name):
    c = preset(name).mel
    x = signal(c.sample_rate)
    ours = MelSpectrogram(c)(torch.from_numpy(x))
    theirs = independent(x, c)
    assert ours.dtype == torch.float64 and ours.shape == (1, *theirs.shape)
    assert np.abs(ours[0].numpy() - theirs).max() < 1e-5
    single = MelSpectrogram(c)(torch.from_numpy(x).float())
    assert single.dtype == torch.float32
    assert np.abs(single[0].numpy() - theirs).max() < 5e-3  # rounding near the floor


@pytest.mark.parametrize(
    "field, value", [("magnitude_epsilon", 1e-8), ("log", "log10"), ("fmax", 11025.0)]
)
def test_each_setting_is_heard(field, value):
    c = preset("hifigan-v1").mel
    x = torch.from_numpy(signal(c.sample_rate))
    difference = MelSpectrogram(c)(x) - MelSpectrogram(replace(c, **{field: value}))(x)
    assert difference.abs().max() > 1e-3


def test_log10_and_ln_differ_by_a_factor():
    c = preset("hifigan-v1").mel
    x = torch.from_numpy(signal(c.sample_rate))
    ln, log10 = MelSpectrogram(c)(x), MelSpectrogram(replace(c, log="log10"))(x)
    assert torch.allclose(ln, log10 * 2.302585093, atol=1e-7)
    for config, mel in ((c, ln), (replace(c, log="log10"), log10)):
        assert mel.min() == pytest.approx(config.lowest_value, abs=1e-9)
        assert config.magnitudes(mel.numpy()).min() == pytest.approx(1e-5)


@pytest.mark.parametrize("name", ["hifigan-v1", "gpt-sovits-v4"])
def test_frames_are_samples_over_hop(name):
    c = preset(name).mel
    front_end = MelSpectrogram(c)
    for samples in (c.padding + 1, 3 * c.hop_length - 1, 3 * c.hop_length, 4321):
        assert front_end(torch.zeros(2, samples)).shape == (2, c.n_mels, c.frames(samples))
        assert c.frames(samples) == samples // c.hop_length


def test_frame_rate_and_batch():
    c = preset("gpt-sovits-v4").mel
    assert c.frame_rate == 100.0
    x = torch.randn(3, 4000, generator=torch.Generator().manual_seed(0))
    front_end = MelSpectrogram(c)
    assert torch.allclose(front_end(x)[1], front_end(x[1])[0], atol=1e-5)


def test_half_precision_in_half_precision_out():
    c = preset("hifigan-v1").mel
    x = torch.from_numpy(signal(c.sample_rate))
    half = MelSpectrogram(c)(x.half())
    assert half.dtype == torch.float16
    assert (half - MelSpectrogram(c)(x.half().float())).abs().max() < 0.01


@pytest.mark.parametrize("name", ["melgan", "hifigan-v1"])
def test_gradients_are_finite_in_silence(name):
    x = torch.zeros(1, 2048, requires_grad=True)
    MelSpectrogram(preset(name).mel)(x).sum().backward()
    assert x.grad.isfinite().all()


def test_training_keeps_no_constants_in_checkpoints():
    assert not MelSpectrogram(preset("melgan").mel).state_dict()


@pytest.mark.parametrize(
    "audio, message",
    [
        (torch.zeros(1, 1, 4000), "shape"),
        (torch.zeros(4000, dtype=torch.int16), "floating point"),
        (torch.zeros(300), "too few"),
        (torch.zeros(0), "too few"),
    ],
)
def test_refuses_wrong_audio(audio, message):
    with pytest.raises(ValueError, match=message):
        MelSpectrogram(preset("hifigan-v1").mel)(audio)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"n_mels": 0}, "n_mels"),
        ({"hop_length": 256.0}, "hop_length"),
        ({"win_length": 2048}, "win_length"),
        ({"hop_length": 255}, "even"),
        ({"log": "log2"}, "log2"),
        ({"fmax": 12000.0}, "12000"),
        ({"fmin": 9000.0}, "9000"),
        ({"floor": 0.0}, "floor"),
        ({"magnitude_epsilon": -1.0}, "epsilon"),
    ],
)
def test_refuses_wrong_settings(change, message):
    with pytest.raises(ValueError, match=message):
        replace(preset("hifigan-v1").mel, **change)


@pytest.mark.parametrize("name", ["melgan", "gpt-sovits-v4"])
def test_griffin_lim_keeps_time_and_spectrum(name):
    c = preset(name).mel
    rate, length = c.sample_rate, 24 * c.hop_length
    time = np.arange(length) / rate
    x = 0.3 * np.sin(2 * np.pi * 440 * time) * (time > 0.5 * length / rate)
    mel = MelSpectrogram(c)(torch.from_numpy(x))[0].numpy()
    y = griffin_lim(mel, c, iterations=12)
    assert y.shape == (length,) and y.dtype == np.float32
    assert np.array_equal(y, griffin_lim(mel, c, iterations=12))
    # The tone starts in the middle: a shift by the padding would move it by more than a hop.
    energy = np.cumsum(y.astype(float) ** 2)
    assert abs(np.searchsorted(energy, 0.5 * energy[-1]) - 0.75 * length) < c.hop_length
    again = MelSpectrogram(c)(torch.from_numpy(y).double())[0].numpy()
    loud = mel > mel.max() - 4 * (1 if c.log == "ln" else 0.4343)
    assert np.abs(again - mel)[loud].mean() < 0.35


def test_griffin_lim_refuses_a_wrong_shape():
    with pytest.raises(ValueError, match=r"\(80, frames\)"):
        griffin_lim(np.zeros((100, 4)), preset("melgan").mel)
    with pytest.raises(ValueError, match="frames"):
        griffin_lim(np.zeros((80, 0)), preset("melgan").mel)
