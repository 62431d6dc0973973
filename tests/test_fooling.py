"""Every fooling sound fools what it claims to fool, and something else hears it."""

import numpy as np
import pytest

from labutils import audio, metrics
from labutils.audio.signals import AudioError
from labutils.environment import has
from labutils.metrics import fooling

RATE = 24000
SPEECH = audio.load(audio.clip("en-slt").path)[0][: 2 * RATE]
# What a vocoder trained for minutes reaches on this clip: a score that takes damage for better is
# fooled, however much better the next checkpoint is.
COPY = {
    "log_mel_l1": 0.25,
    "multi_resolution_stft": 0.9,
    "mcd": 1.2,
    "voicing_f1": 0.97,
    "f0_rmse_cents": 40.0,
    "pesq_wb": 2.6,
    "stoi": 0.97,
}
# What nobody hears should not be worse than this; SNR as the gate of notebook 14 has it.
STRICT = {"snr_db": 40.0, "log_mel_l1": 0.05, "multi_resolution_stft": 0.2}


def scores_of(name):
    return metrics.compare(SPEECH, fooling.fool(name, SPEECH, RATE), RATE)


@pytest.mark.parametrize("name", fooling.DAMAGED)
def test_a_damaged_sound_fools_what_it_says_and_another_score_hears_it(name):
    scores, fool = scores_of(name), fooling.DAMAGED[name]
    claimed = [s for s in fool.fools if s != "pesq_wb" or has("pesq")]
    for score in claimed:
        assert fooling.preferred(score, scores[score], COPY[score]), (score, scores[score])
    assert not all(fooling.preferred(s, scores[s], COPY[s]) in (True, None) for s in COPY)


@pytest.mark.parametrize("name", fooling.HARMLESS)
def test_a_harmless_sound_alarms_what_it_says(name):
    scores = scores_of(name)
    for score in fooling.HARMLESS[name].fools:
        low = metrics.METRICS[score].better == "higher"
        assert scores[score] < STRICT[score] if low else scores[score] > STRICT[score]
    assert scores["stoi"] > 0.999
    assert scores["pesq_wb"] is None or scores["pesq_wb"] > 4.4


def test_every_score_is_fooled_by_something():
    fooled = {s for f in (*fooling.DAMAGED.values(), *fooling.HARMLESS.values()) for s in f.fools}
    assert fooled == set(metrics.METRICS)


@pytest.mark.parametrize("name", [*fooling.DAMAGED, *fooling.HARMLESS])
def test_a_sound_keeps_its_length_and_is_made_the_same_way_each_time(name):
    first, second = (fooling.fool(name, SPEECH, RATE) for _ in range(2))
    assert first.dtype == np.float32 and first.shape == SPEECH.shape
    assert np.array_equal(first, second) and not np.array_equal(first, SPEECH)
    assert np.abs(first).max() < 1


@pytest.mark.parametrize("snr", [24.0, 41.0])
def test_clicks_have_the_snr_that_is_asked_for(snr):
    clicked = fooling.clicks(SPEECH.astype(np.float64), RATE, every=1.0, snr=snr)
    assert metrics.snr_db(SPEECH, clicked.astype(np.float32)) == pytest.approx(snr, abs=0.01)
    assert np.count_nonzero(clicked != SPEECH) == 2


def test_flutter_moves_pitch_and_nothing_else_by_much():
    fluttered = fooling.fool("flutter of a bad tape", SPEECH, RATE)
    assert 40 < metrics.f0_rmse_cents(SPEECH, fluttered, RATE) < 75  # 80 cents / sqrt 2 is 57


def test_preferred_knows_which_way_a_score_runs():
    assert fooling.preferred("stoi", 0.9, 0.8) and not fooling.preferred("stoi", 0.8, 0.9)
    assert fooling.preferred("mcd", 1.0, 2.0) and not fooling.preferred("mcd", 2.0, 1.0)
    assert fooling.preferred("pesq_wb", None, 2.0) is None


def test_the_matrix_begins_with_the_copy_and_its_picture_says_who_is_fooled():
    some = {name: fooling.DAMAGED[name] for name in ("whistle at 9.5 kHz", "hiss above 5.5 kHz")}
    rows = fooling.matrix(SPEECH, 0.9 * SPEECH + 1e-3, RATE, fools=some)
    assert [row["sound"] for row in rows] == [fooling.COPY, *some]
    assert "snr_db" not in rows[0]
    rows[0] |= COPY
    rows[1]["pesq_wb"] = None
    picture = fooling.matrix_picture(rows)
    assert "stoi prefers whistle at 9.5 kHz, hiss above 5.5 kHz" in picture.alt
    texts = {text.get_text() for text in picture.axes[0].texts}
    assert "\N{EN DASH}" in texts and "1.00 !" in texts and "0.90" in texts


@pytest.mark.parametrize(
    ("name", "samples", "rate", "message"),
    [
        ("howl", SPEECH, RATE, "no sound 'howl' that fools; there are: clicks"),
        ("clicks", SPEECH[:1000], RATE, "give half a second"),
        ("hiss above 5.5 kHz", SPEECH, 16000, "22,050 Hz or more"),
    ],
)
def test_what_is_refused(name, samples, rate, message):
    with pytest.raises(AudioError, match=message):
        fooling.fool(name, samples, rate)
