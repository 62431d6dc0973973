"""Reading, writing, resampling and loudness of sound, and the demo clips."""

import json
import math

import numpy as np
import pytest
import soundfile
import torch

from labutils import audio
from labutils.audio import AudioError

RATE = 16000


def tone(frequency=440.0, seconds=0.5, rate=RATE, peak=0.5):
    return (peak * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(
        np.float32
    )


def write(path, data, rate=RATE, subtype="PCM_16"):
    soundfile.write(path, data, rate, subtype=subtype)
    return path


@pytest.fixture
def manifest(tmp_path):
    rows = []
    for name, split, band, rate in (
        ("espeak-de", "train", 10.5, 22050),
        ("flite-en", "held-out", 8.0, 16000),
        ("cymbals", "held-out", 22.0, 48000),
    ):
        audio.save(tmp_path / f"{name}.flac", tone(seconds=0.3, rate=rate), rate)
        rows.append(
            dict(name=name, path=f"{name}.flac", sample_rate=rate, seconds=0.3, language="de")
            | dict(voice="v", synthesiser="s", licence="CC0-1.0", text="t", split=split)
            | dict(band_khz=band)
        )
    path = tmp_path / "clips.json"
    path.write_text(json.dumps({"clips": rows}))
    return path


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_save_and_load_give_back_the_samples(tmp_path, suffix):
    path = audio.save(tmp_path / "new" / f"a{suffix}", tone(), RATE)
    samples, rate = audio.load(path)
    assert rate == RATE and samples.dtype == np.float32 and samples.shape == (8000,)
    assert np.abs(samples - tone()).max() <= 1 / 32768
    assert soundfile.info(path).subtype == "PCM_16"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # no temporary file is left


def test_load_mixes_down_and_resamples(tmp_path):
    path = write(tmp_path / "stereo.wav", np.stack([tone(), np.zeros_like(tone())], axis=1))
    samples, rate = audio.load(path, 24000)
    assert rate == 24000 and samples.shape == (12000,)
    assert np.abs(samples).max() == pytest.approx(0.25, abs=0.01)


def test_load_reads_a_part(tmp_path):
    path = write(tmp_path / "ramp.wav", np.arange(RATE, dtype=np.float32) / RATE, subtype="FLOAT")
    samples, _ = audio.load(path, offset=0.25, duration=0.5)
    assert samples.shape == (8000,) and samples[0] == pytest.approx(0.25)
    assert len(audio.load(path, offset=0.9, duration=5.0)[0]) == 1600
    with pytest.raises(AudioError, match="behind the end"):
        audio.load(path, offset=1.0)
    for wrong in (0, -1.0, float("inf"), float("nan")):
        with pytest.raises(AudioError, match="duration > 0"):
            audio.load(path, duration=wrong)


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    audio.save("~/voice.wav", tone(), RATE)
    assert (tmp_path / "voice.wav").exists() and len(audio.load("~/voice.wav")[0]) == len(tone())


def test_load_refuses_by_name(tmp_path):
    with pytest.raises(AudioError, match=r"gone\.wav: no such file"):
        audio.load(tmp_path / "gone.wav")
    with pytest.raises(AudioError, match="not a file"):
        audio.load(tmp_path)
    (tmp_path / "empty.wav").touch()
    with pytest.raises(AudioError, match=r"empty\.wav: empty file"):
        audio.load(tmp_path / "empty.wav")
    (tmp_path / "text.wav").write_text("this is not sound " * 50)
    with pytest.raises(AudioError, match=r"text\.wav: not a readable WAV"):
        audio.load(tmp_path / "text.wav")
    with pytest.raises(AudioError, match=r"header\.wav: zero samples"):
        audio.load(write(tmp_path / "header.wav", np.zeros(0, np.float32)))
    broken = tone()
    broken[7] = np.nan
    with pytest.raises(AudioError, match=r"nan\.wav: 1 of 8000 samples are NaN"):
        audio.load(write(tmp_path / "nan.wav", broken, subtype="FLOAT"))
    with pytest.raises(AudioError, match=r"loud\.wav: peaks at 2, .* 6\.0 dB lower"):
        audio.load(write(tmp_path / "loud.wav", np.full(100, 2.0, np.float32), subtype="FLOAT"))


def test_a_cut_flac_is_refused(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 4 * RATE)
    path = write(tmp_path / "cut.flac", noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match=r"cut\.flac"):
        audio.load(path)


@pytest.mark.parametrize("suffix", ["mp3", "ogg"])
def test_what_a_lossy_decoder_overshoots_is_cut_off(tmp_path, suffix):
    path = tmp_path / f"square.{suffix}"
    soundfile.write(path, np.sign(tone(200.0)), RATE)
    assert np.abs(soundfile.read(path)[0]).max() > 1.0
    assert np.abs(audio.load(path)[0]).max() == 1.0


def test_save_refuses_by_name(tmp_path):
    with pytest.raises(AudioError, match=r"a\.mp3: suffix '\.mp3'"):
        audio.save(tmp_path / "a.mp3", tone(), RATE)
    with pytest.raises(AudioError, match="no subtype 'FLOAT'"):
        audio.save(tmp_path / "a.flac", tone(), RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match="NaN"):
        audio.save(tmp_path / "a.wav", np.array([0.0, np.nan]), RATE)
    for rate in (0, -5, 22050.5, float("nan"), "22050"):
        with pytest.raises(AudioError, match=f"a sample rate of {rate}; want whole Hz"):
            audio.save(tmp_path / "a.flac", tone(), rate)
    with pytest.raises(AudioError, match=r"would clip, peak 2; lower it 6\.0 dB"):
        audio.save(tmp_path / "a.wav", 4 * tone(), RATE)
    assert list(tmp_path.iterdir()) == []
    path = audio.save(tmp_path / "a.wav", 4 * tone(), RATE, limit=True)
    assert np.abs(audio.load(path)[0]).max() == pytest.approx(1.0, abs=1e-4)


def test_a_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = audio.save(tmp_path / "a.wav", tone(), RATE)
    before = path.read_bytes()

    def full_disk(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(soundfile, "write", full_disk)
    with pytest.raises(OSError, match="no space"):
        audio.save(path, tone(220.0), RATE)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_mono_takes_tensors_and_both_channel_orders():
    stereo = np.stack([tone(), 3 * tone()])
    for given in (stereo, stereo.T, torch.from_numpy(stereo)):
        assert np.allclose(audio.mono(given), 2 * tone(), atol=1e-6)
    with pytest.raises(AudioError, match="voice: int16"):
        audio.mono(np.zeros(4, np.int16), "voice")
    with pytest.raises(AudioError, match=r"shape \(1, 2, 3\)"):
        audio.mono(np.zeros((1, 2, 3)))
    with pytest.raises(AudioError, match="zero samples"):
        audio.mono(np.zeros(0))
    with pytest.raises(AudioError, match="2 of 3"):
        audio.mono(np.array([np.inf, 0.0, np.nan]))


def test_resample_keeps_the_tone_and_removes_what_would_alias():
    up = audio.resample(tone(1000.0), RATE, 48000)
    assert up.shape == (24000,) and up.dtype == np.float32
    assert np.abs(up[4000:-4000] - tone(1000.0, rate=48000)[4000:-4000]).max() < 1e-3
    down = audio.resample(tone(10000.0, rate=48000), 48000, RATE)
    assert np.abs(down[1000:-1000]).max() < 1e-4
    with pytest.raises(AudioError, match="positive"):
        audio.resample(tone(), RATE, 0)


def test_loudness_of_the_standard_tone():
    # BS.1770: a 997 Hz tone at full scale in one channel reads -3.01 LUFS.
    assert audio.loudness(tone(997.0, 2.0, 48000, 1.0), 48000) == pytest.approx(-3.01, abs=0.1)
    assert audio.loudness(np.zeros(RATE, np.float32), RATE) == -math.inf


def test_loudness_of_a_short_sound_is_measured_and_named(caplog):
    assert audio.loudness(tone(997.0, 0.2, 48000, 1.0), 48000) == pytest.approx(-3.01, abs=0.5)
    assert "shorter than the 0.4 s" in caplog.text


def test_common_gain_only_turns_down():
    assert audio.common_gain([tone(peak=0.1), tone(peak=0.9)]) == 1.0
    assert audio.common_gain([tone(peak=0.1), tone(peak=2.0)]) == pytest.approx(0.5)
    assert audio.common_gain([np.zeros(10)]) == 1.0 == audio.common_gain([])


def test_match_loudness_meets_the_softest():
    sounds = {"soft": (tone(peak=0.1), RATE), "loud": (tone(seconds=0.6, peak=0.8), RATE)}
    matched = audio.match_loudness(sounds)
    levels = [audio.loudness(*sound) for sound in matched.values()]
    assert levels[0] == pytest.approx(levels[1], abs=0.05)
    assert np.allclose(matched["soft"][0], sounds["soft"][0])
    with pytest.raises(AudioError, match="soft: would clip"):
        audio.match_loudness(sounds, target=10.0)
    with pytest.raises(AudioError, match="mute: silent"):
        audio.match_loudness({"mute": (np.zeros(RATE), RATE)})


def test_clips_by_split_and_band(manifest):
    def names(*args, **kwargs):
        return [c.name for c in audio.clips(*args, manifest=manifest, **kwargs)]

    assert names() == ["espeak-de", "flite-en", "cymbals"]
    assert names("held-out") == ["flite-en", "cymbals"]
    assert names("held-out", full_band=False) == ["flite-en"]
    assert names(full_band=True) == ["cymbals"]
    with pytest.raises(AudioError, match="unknown split 'test'; there are: train, held-out"):
        names("test")


def test_clip_by_name(manifest):
    found = audio.clip("flite-en", manifest=manifest)
    assert found.load().shape == (4800,) and found.load(24000).shape == (7200,)
    with pytest.raises(AudioError, match="no clip 'bell'; there are: espeak-de, flite-en, cymbals"):
        audio.clip("bell", manifest=manifest)


def test_a_bad_manifest_is_refused(tmp_path, manifest):
    with pytest.raises(AudioError, match="no such file"):
        audio.clips(manifest=tmp_path / "none.json")
    rows = json.loads(manifest.read_text())
    del rows["clips"][1]["licence"]
    manifest.write_text(json.dumps(rows))
    with pytest.raises(AudioError, match="clip 'flite-en': .*licence"):
        audio.clips(manifest=manifest)
    manifest.write_text("[]")
    with pytest.raises(AudioError, match='no list "clips"'):
        audio.clips(manifest=manifest)
    manifest.write_text("{")
    with pytest.raises(AudioError, match="not JSON"):
        audio.clips(manifest=manifest)


@pytest.mark.parametrize("found", audio.clips(), ids=lambda c: c.name)
def test_the_clips_are_what_the_manifest_says(found):
    samples, rate = audio.load(found.path)
    assert rate == found.sample_rate and len(samples) / rate == pytest.approx(
        found.seconds, abs=0.01
    )
    assert 0.1 < np.abs(samples).max() <= 1.0
    power = np.abs(np.fft.rfft(samples)) ** 2
    share = power[np.fft.rfftfreq(len(samples), 1 / rate) > 16000].sum() / power.sum()
    assert share > 1e-7 if found.full_band else share == 0  # 24 kHz and less hold nothing there
