"""The demo clips and the scripts in data/ that make them and the training corpus."""

import json
import shutil
import subprocess
from itertools import chain

import numpy as np
import pytest
import soundfile

from labutils import DATA

FOLDER = DATA / "speech"
ROWS = json.loads((FOLDER / "clips.json").read_text(encoding="utf-8"))["clips"]
FIELDS = {"name", "path", "sample_rate", "seconds", "language", "voice", "synthesiser", "licence",
          "text", "split", "band_khz"}  # fmt: skip
each_clip = pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    """The scripts in data/ import each other by their plain names."""
    monkeypatch.syspath_prepend(str(DATA))


def variant(voice):
    """The name under which a voice is held out: espeak-ng's variants in every language."""
    return f"espeak-ng/{voice.partition('+')[2]}" if voice.startswith("espeak-ng/") else voice


def words(text):
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()


@each_clip
def test_manifest_agrees_with_the_sound(row):
    assert set(row) == FIELDS
    assert "synthetic" in row["synthesiser"] and row["licence"] and row["voice"]
    assert row["split"] in ("train", "held-out")
    samples, rate = soundfile.read(FOLDER / row["path"])
    assert samples.ndim == 1 and rate == row["sample_rate"]
    assert len(samples) / rate == pytest.approx(row["seconds"], abs=1e-3)
    assert 3 <= row["seconds"] <= 6
    assert row["band_khz"] <= rate / 2000


@each_clip
def test_sound_is_neither_clipped_nor_silent_and_fills_its_band(row):
    samples, rate = soundfile.read(FOLDER / row["path"])
    assert 0.2 < np.abs(samples).max() < 0.95
    frames = samples[: len(samples) // 480 * 480].reshape(-1, 480)
    assert np.mean(np.sqrt(np.mean(frames**2, axis=1)) > 0.01) > 0.4  # it sounds most of the time
    assert abs(samples.mean()) < 0.01
    assert np.abs(samples[:10]).max() < 0.05 and np.abs(samples[-10:]).max() < 0.05  # no click
    power = np.abs(np.fft.rfft(samples)) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / rate)
    edge = 1000 * row["band_khz"]
    under = power[(hertz > 0.75 * edge) & (hertz < 0.85 * edge)].mean()
    assert under > 1e-7 * power[hertz < 4000].mean()
    if edge < 0.9 * rate / 2:
        assert power[hertz > 1.03 * edge].mean() < 0.02 * under


def test_the_set_of_clips():
    speech = [row for row in ROWS if row["band_khz"] < 16]
    full_band = [row for row in ROWS if row["band_khz"] >= 16]
    assert len(speech) >= 12 and len(full_band) >= 3
    assert {row["sample_rate"] for row in full_band} == {48000}
    assert sum(row["split"] == "held-out" for row in speech) >= 8
    assert {"en", "cmn", "de", "es", "ru"} <= {row["language"] for row in speech}
    assert len({row["name"] for row in ROWS}) == len({row["voice"] for row in speech}) + len(
        full_band
    )
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 4_000_000
    assert {path.name for path in FOLDER.iterdir()} == {row["path"] for row in ROWS} | {
        "clips.json"
    }


def test_manifest_belongs_to_the_script():
    from make_speech import CLIPS

    stated = [(clip.name, clip.split, clip.text, clip.voice.name if clip.voice else None)
              for clip in CLIPS]  # fmt: skip
    shipped = [(row["name"], row["split"], row["text"], row["voice"] if row["text"] else None)
               for row in ROWS]  # fmt: skip
    assert stated == shipped


def test_held_out_texts_share_no_three_words_with_the_corpus():
    from sentences import load_texts

    for row in ROWS:
        if row["split"] == "held-out" and row["text"]:
            phrases = chain.from_iterable(load_texts()[row["language"]].values())
            corpus = " | ".join(" ".join(words(phrase)) for phrase in phrases)
            said = words(row["text"])
            if row["language"] == "cmn":  # no spaces: compare runs of six characters
                said, corpus, run = list("".join(said)), corpus.replace(" ", ""), 6
            else:
                run = 3
            joined = "" if row["language"] == "cmn" else " "
            runs = [joined.join(said[i : i + run]) for i in range(len(said) - run + 1)]
            assert not [r for r in runs if r in corpus], row["name"]


def test_held_out_voices_are_nowhere_in_the_corpus():
    from make_corpus import FULLBAND_PLAN, SPEECH_PLAN, Part, requests_for
    from sentences import load_texts
    from voices import HELD_OUT

    unheard = {variant(row["voice"]) for row in ROWS if row["split"] == "held-out"} & HELD_OUT
    assert len(unheard) >= 4
    assert not HELD_OUT & {part.source for part in SPEECH_PLAN + FULLBAND_PLAN}
    texts, held_out = load_texts(), {row["text"] for row in ROWS if row["split"] == "held-out"}
    rng = np.random.default_rng(0)
    for _ in range(400):
        for request in requests_for(Part("espeak-ng", 1), texts, rng):
            assert variant(request.voice.name) not in HELD_OUT
            assert request.text not in held_out
    with pytest.raises(KeyError):
        requests_for(Part("flite/awb", 1), texts, rng)


def test_held_out_is_held_to_even_where_a_list_forgets(monkeypatch):
    import make_corpus
    from sentences import load_texts

    monkeypatch.setattr(make_corpus, "ESPEAK_VARIANTS", ("Denis", "m3"))
    texts, rng = load_texts(), np.random.default_rng(1)
    for _ in range(20):
        requests = make_corpus.requests_for(make_corpus.Part("espeak-ng", 1), texts, rng)
        assert {variant(request.voice.name) for request in requests} == {"espeak-ng/m3"}


def test_train_clips_use_voices_and_phrases_of_the_corpus():
    from make_corpus import SPEECH_PLAN
    from sentences import load_texts
    from voices import ESPEAK_VARIANTS

    sources = {part.source for part in SPEECH_PLAN}
    for row in ROWS:
        if row["split"] == "train":
            assert row["voice"] in sources or row["voice"].partition("+")[2] in ESPEAK_VARIANTS
            phrases = chain.from_iterable(load_texts()[row["language"]].values())
            rest = " ".join(words(row["text"]))
            for phrase in sorted(phrases, key=len, reverse=True):
                rest = rest.replace(" ".join(words(phrase)), "")
            assert not rest.strip(), row["name"]


def test_same_seed_same_requests_other_seed_others():
    from make_corpus import Part, requests_for
    from sentences import load_texts

    texts, part = load_texts(), Part("flite/rms", 1)
    first, second, other = (
        requests_for(part, texts, np.random.default_rng(seed)) for seed in ([1, 2], [1, 2], [1, 3])
    )
    assert first == second != other
    assert len({request.text for request in first}) > 6


def test_extended_band_starts_at_the_edge_and_leaves_the_rest():
    from fullband import extend_band

    rng = np.random.default_rng(3)
    spectrum = np.fft.rfft(rng.standard_normal(48000))
    hertz = np.fft.rfftfreq(48000, 1 / 48000)
    narrow = np.fft.irfft(spectrum * (hertz < 8000)).astype(np.float32) * 0.1
    wide = extend_band(narrow, 48000, 7800, rng)
    before, after = np.abs(np.fft.rfft(narrow)) ** 2, np.abs(np.fft.rfft(wide)) ** 2
    assert len(wide) == len(narrow) and wide.dtype == np.float32
    low = (hertz > 100) & (hertz < 5500)
    assert after[low].sum() == pytest.approx(before[low].sum(), rel=0.02)
    level = [10 * np.log10(after[(hertz > f) & (hertz < f + 2000)].mean() / before[low].mean())
             for f in (9000, 14000, 20000)]  # fmt: skip
    assert level[0] > level[1] > level[2] > -40 and level[0] < 3


def test_extended_band_moves_a_tone_as_a_tone():
    from fullband import extend_band

    rng = np.random.default_rng(4)
    tone = 0.3 * np.sin(2 * np.pi * 6500 * np.arange(48000) / 48000)
    wide = extend_band(tone + 0.001 * rng.standard_normal(48000), 48000, 7800, rng)[4800:-4800]
    power = np.abs(np.fft.rfft(wide * np.hanning(len(wide)))) ** 2
    power[: int(8000 * len(wide) / 48000)] = 0
    peak = int(power.argmax())
    hertz = 48000 / len(wide)
    assert (peak * hertz - 6500) % (4 * 48000 / 1024) == pytest.approx(0, abs=2 * hertz)
    near = power[peak - 180 : peak + 180]  # 225 Hz to each side: hop rate and its sidebands
    assert power[peak - 4 : peak + 5].sum() > 0.9 * near.sum()


@pytest.mark.parametrize("kind", ["noise", "bursts", "tones"])
def test_full_band_sounds_reach_the_top_octave(kind):
    import fullband

    for seed in range(3):
        sound = getattr(fullband, kind)(48000, 0.5, np.random.default_rng(seed))
        assert len(sound) == 24000 and np.abs(sound).max() == pytest.approx(1, abs=1e-3)
        power = np.abs(np.fft.rfft(sound)) ** 2
        assert power[8000:].max() > 1e-9 * power.max()  # 16 kHz and above


def test_midi_numbers_of_variable_length():
    from fullband import _variable_length

    assert [_variable_length(n).hex() for n in (0, 127, 128, 8192, 480)] == [
        "00", "7f", "8100", "c000", "8360"]  # fmt: skip


def test_level_and_trim():
    from synthesisers import set_level, trim

    tone = np.concatenate([np.zeros(24000), np.sin(np.arange(24000) * 0.1) * 0.01, np.zeros(24000)])
    cut = trim(tone, 24000)
    assert len(cut) == pytest.approx(24000 * 1.24, rel=0.01)
    loud = set_level(cut, -20.0)
    assert np.abs(loud).max() == pytest.approx(0.1 * np.sqrt(2), rel=0.03)
    assert np.abs(set_level(cut, 6.0)).max() == pytest.approx(0.9)
    assert not trim(np.zeros(10), 24000).any()


def test_missing_synthesisers_are_named(monkeypatch, tmp_path, capsys):
    import make_speech
    import synthesisers

    monkeypatch.setattr(synthesisers.shutil, "which", lambda name: None)
    assert make_speech.main(["--folder", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        "error: en-slt: festival is not installed: sudo apt-get install festival\n"
    )
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(synthesisers.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(synthesisers, "FESTIVAL_VOICES", tmp_path)
    assert make_speech.main(["--folder", str(tmp_path)]) == 1
    assert "sudo apt-get install festvox-us-slt-hts" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_a_clip_made_again_is_the_shipped_one():
    from make_speech import CLIPS, make_clip

    wanted = next(clip for clip in CLIPS if clip.name == "es-anika")
    pcm, row = make_clip(wanted)
    shipped, _ = soundfile.read(FOLDER / row["path"], dtype="int16")
    version = subprocess.run(["espeak-ng", "--version"], capture_output=True, text=True).stdout
    if "1.51" in version:
        assert len(pcm) == len(shipped)
        assert np.abs(pcm.astype(int) - shipped).max() <= 2
    else:  # another version speaks a little differently
        assert len(pcm) == pytest.approx(len(shipped), rel=0.15)


def test_shards_hold_what_the_manifest_says(tmp_path, monkeypatch):
    import make_corpus

    monkeypatch.setattr(make_corpus, "SHARD_BYTES", 20_000)
    rng = np.random.default_rng(0)
    items = [({"voice": "v", "synthesiser": "s", "text": str(i)},
              rng.integers(-9999, 9999, 6000 + i).astype(np.int16)) for i in range(7)]  # fmt: skip
    make_corpus._pack("tiny", items, 24000, tmp_path)
    manifest = json.loads((tmp_path / "tiny.json").read_text())
    assert len(manifest["shards"]) > 1
    assert {path.name for path in tmp_path.iterdir()} == {*manifest["shards"], "tiny.json"}
    for entry, (_, samples) in zip(manifest["utterances"], items, strict=True):
        found, rate = soundfile.read(tmp_path / entry["shard"], start=entry["start"],
                                     frames=entry["length"], dtype="int16")  # fmt: skip
        assert rate == 24000 and np.array_equal(found, samples)
