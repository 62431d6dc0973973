"""Known values of every score, that each moves when it should, what is refused, and the gate."""

import math

import numpy as np
import pytest

from labutils import environment, metrics
from labutils.audio.signals import AudioError
from labutils.mel import MelConfig
from labutils.metrics import QualityGate, UndefinedMetric, pitch

RATE = 16000
MEL = MelConfig(RATE, n_fft=1024, win_length=1024, hop_length=256, n_mels=80, fmax=8000)


def vowel(frequency=120.0, seconds=1.0, rate=RATE):
    """A buzz at `frequency` with the three resonances of an open vowel, peak 0.5."""
    from scipy.signal import lfilter

    pulses = np.diff(np.floor(np.arange(round(seconds * rate) + 1) * frequency / rate))
    for centre, width in ((700, 110), (1200, 120), (2600, 160)):
        radius = np.exp(-np.pi * width / rate)
        pulses = lfilter(
            [1.0], [1, -2 * radius * np.cos(2 * np.pi * centre / rate), radius**2], pulses
        )
    return (0.5 * pulses / np.abs(pulses).max()).astype(np.float32)


def noise(level, samples=RATE, seed=0):
    return (level * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


VOWEL = vowel()
SPEECH = np.concatenate([np.zeros(3200, np.float32), VOWEL, noise(0.02, 6400), vowel(150.0, 0.6)])


def test_equal_sounds_are_perfect_in_every_score():
    scores = metrics.compare(SPEECH, SPEECH, RATE)
    assert list(scores) == list(metrics.METRICS)
    for name, value in scores.items():
        assert value is not None or name == "pesq_wb"
        if value is not None:
            assert value == pytest.approx(metrics.METRICS[name].perfect, abs=1e-3), name


def test_noise_makes_every_score_worse():
    little = metrics.compare(SPEECH, SPEECH + noise(0.003, len(SPEECH)), RATE)
    much = metrics.compare(SPEECH, SPEECH + noise(0.2, len(SPEECH)), RATE)
    for name, metric in metrics.METRICS.items():
        if much[name] is None:
            assert name == "pesq_wb"
        elif metric.better == "higher":
            assert much[name] < little[name] <= metric.perfect, name
        else:
            assert much[name] > little[name] >= metric.perfect, name


def test_snr_of_known_noise():
    assert metrics.snr_db(VOWEL, 0.9 * VOWEL) == pytest.approx(20.0, abs=1e-4)
    assert metrics.snr_db(VOWEL, -VOWEL) == pytest.approx(-6.0206, abs=1e-4)
    assert metrics.snr_db(VOWEL, VOWEL) == math.inf


def test_log_mel_l1_of_a_gain_is_its_logarithm_in_either_log():
    loud, half = noise(0.1), 0.5 * noise(0.1)
    assert metrics.log_mel_l1(loud, half, MEL) == pytest.approx(math.log(2), rel=1e-3)
    log10 = MelConfig(RATE, 1024, 1024, 256, 80, log="log10")
    assert metrics.log_mel_l1(loud, half, log10) == pytest.approx(math.log(2), rel=1e-3)


def test_log_mel_l1_does_not_hear_phase_and_snr_does():
    assert metrics.log_mel_l1(VOWEL, -VOWEL, MEL) == pytest.approx(0, abs=1e-6)
    assert metrics.multi_resolution_stft(VOWEL, -VOWEL) == pytest.approx(0, abs=1e-5)
    assert metrics.snr_db(VOWEL, -VOWEL) < 0


def test_multi_resolution_stft_of_a_gain():
    # Half the amplitude: spectral convergence 0.5 and log magnitude ln 2, at each resolution.
    loud = noise(0.1)
    assert metrics.multi_resolution_stft(loud, 0.5 * loud) == pytest.approx(
        0.5 + math.log(2), rel=1e-2
    )


def test_multi_resolution_stft_names_the_reference_first():
    loud = noise(0.1)  # spectral convergence divides by the reference
    assert metrics.multi_resolution_stft(0.5 * loud, loud) == pytest.approx(
        1 + math.log(2), rel=1e-2
    )


def test_mcd_is_the_rms_difference_of_smooth_spectra(monkeypatch):
    from labutils.metrics import scores

    n_mels = metrics.analysis_mel(RATE).n_mels
    bands = (np.arange(n_mels) + 0.5) / n_mels
    flat = np.zeros((n_mels, 4))
    for order, expected in ((1, 6.0 / math.sqrt(2)), (13, 6.0 / math.sqrt(2)), (14, 0.0), (0, 0.0)):
        ripple = 6.0 / 20 * math.log(10) * np.cos(np.pi * order * bands)[:, None] + flat  # 6 dB
        answers = iter([flat, ripple])
        monkeypatch.setattr(scores, "_log_mel", lambda *_, answers=answers: next(answers))
        assert metrics.mcd(VOWEL, VOWEL, RATE) == pytest.approx(expected, abs=1e-9), order


def test_mcd_does_not_hear_loudness_and_hears_a_filter():
    assert metrics.mcd(noise(0.1), 0.5 * noise(0.1), RATE) < 1e-3
    dull = np.convolve(noise(0.1), [0.5, 0.5], mode="same")
    assert metrics.mcd(noise(0.1), dull, RATE) > 2.0


@pytest.mark.parametrize("frequency", [75.0, 120.0, 233.0, 410.0])
def test_f0_of_a_vowel_within_20_cents(frequency):
    track = metrics.f0(vowel(frequency, 0.5), RATE)
    voiced = track[3:-3]
    assert not np.isnan(voiced).any()
    assert np.abs(1200 * np.log2(voiced / frequency)).max() < 20


def test_f0_at_another_sample_rate_and_its_frames():
    track = metrics.f0(vowel(200.0, 0.5, 48000), 48000)
    assert len(track) == 1 + 8000 // pitch.HOP
    assert np.nanmedian(track) == pytest.approx(200.0, rel=0.01)


def test_what_is_60_db_down_is_unvoiced():
    track = metrics.f0(np.concatenate([VOWEL, 0.0005 * VOWEL]), RATE)
    assert not np.isnan(track[5:55]).any()
    assert np.isnan(track[70:]).all()


def test_voicing_f1_of_a_known_voiced_part():
    half = VOWEL.copy()
    half[RATE // 2 :] = noise(0.02, RATE // 2)
    # Half of the voiced frames are found, none is invented: precision 1, recall 1/2.
    assert metrics.voicing_f1(VOWEL, half, RATE) == pytest.approx(2 / 3, abs=0.04)
    assert metrics.voicing_f1(half, VOWEL, RATE) == pytest.approx(2 / 3, abs=0.04)


def test_track_scores_by_hand():
    nan = np.nan
    reference = np.array([100.0, 100.0, 100.0, nan, nan])
    candidate = np.array([100.0, 200.0, nan, 100.0, nan])
    assert pitch.track_f1(reference, candidate) == pytest.approx(2 / 3)
    assert pitch.track_error(reference, candidate) == pytest.approx(1200 / math.sqrt(2))


def test_f0_error_of_a_semitone():
    error = metrics.f0_rmse_cents(vowel(150.0), vowel(150.0 * 2 ** (1 / 12)), RATE)
    assert error == pytest.approx(100.0, abs=10)


def test_pitch_scores_are_undefined_without_a_voice():
    clicks = np.zeros_like(VOWEL)
    clicks[::4001] = 0.5
    with pytest.raises(UndefinedMetric, match="neither sound has a voiced frame"):
        metrics.voicing_f1(clicks, clicks, RATE)
    with pytest.raises(UndefinedMetric, match="no frame is voiced in both"):
        metrics.f0_rmse_cents(VOWEL, clicks, RATE)
    scores = metrics.compare(VOWEL, clicks, RATE, only=["f0_rmse_cents", "voicing_f1"])
    assert scores == {"f0_rmse_cents": None, "voicing_f1": 0.0}


def test_pesq_hears_noise_and_names_what_it_cannot_do():
    pytest.importorskip("pesq")
    clean = np.tile(SPEECH, 2)
    assert metrics.pesq_wb(clean, clean, RATE) == pytest.approx(4.644, abs=0.01)
    assert metrics.pesq_wb(clean, clean + noise(0.05, len(clean)), RATE) < 3
    with pytest.raises(UndefinedMetric, match="1/4 of a second"):
        metrics.pesq_wb(VOWEL[:2000], VOWEL[:2000], RATE)


def test_pesq_gets_16_khz(monkeypatch):
    from labutils.metrics import scores

    calls = []

    class Package:
        PesqError = RuntimeError

        def pesq(self, rate, reference, candidate, mode):
            calls.append((rate, len(reference), len(candidate), mode))
            return 3.0

    monkeypatch.setattr(scores, "require", lambda module: Package())
    assert metrics.pesq_wb(noise(0.1, 48000), noise(0.1, 48000), 48000) == 3.0
    assert calls == [(16000, 16000, 16000, "wb")]


def test_stoi_hears_noise_and_names_what_it_cannot_do():
    assert metrics.stoi(SPEECH, SPEECH + noise(0.5, len(SPEECH)), RATE) < 0.8
    with pytest.raises(UndefinedMetric, match="STOI: Not enough STFT frames"):
        metrics.stoi(VOWEL[:4000], VOWEL[:4000], RATE)


def test_a_missing_package_gives_none_in_compare_and_a_clear_error_alone(monkeypatch):
    from labutils.metrics import scores

    def missing(module):
        raise environment.MissingPackage(f"{module} is not installed")

    monkeypatch.setattr(scores, "require", missing)
    assert metrics.compare(VOWEL, VOWEL, RATE, only=["pesq_wb", "snr_db"]) == {
        "pesq_wb": None,
        "snr_db": math.inf,
    }
    with pytest.raises(environment.MissingPackage, match="pesq is not installed"):
        metrics.pesq_wb(VOWEL, VOWEL, RATE)


@pytest.mark.parametrize(
    "score",
    [
        metrics.snr_db,
        metrics.multi_resolution_stft,
        lambda r, c: metrics.log_mel_l1(r, c, MEL),
        lambda r, c: metrics.mcd(r, c, RATE),
        lambda r, c: metrics.voicing_f1(r, c, RATE),
        lambda r, c: metrics.f0_rmse_cents(r, c, RATE),
        lambda r, c: metrics.stoi(r, c, RATE),
        lambda r, c: metrics.compare(r, c, RATE),
    ],
)
def test_every_score_refuses_by_name(score):
    broken = VOWEL.copy()
    broken[0] = np.nan
    with pytest.raises(AudioError, match=r"reference has 16000 samples, candidate 15990"):
        score(VOWEL, VOWEL[:-10])
    with pytest.raises(AudioError, match="candidate: 1 of 16000 samples are NaN"):
        score(VOWEL, broken)
    with pytest.raises(AudioError, match="reference: silent"):
        score(np.zeros_like(VOWEL), VOWEL)
    with pytest.raises(AudioError, match="candidate: zero samples"):
        score(VOWEL, VOWEL[:0])


def test_trim_cuts_what_it_is_told_and_no_more():
    assert metrics.snr_db(VOWEL, VOWEL[:-256], trim=256) == math.inf
    assert metrics.compare(VOWEL[:-256], VOWEL, RATE, only=["snr_db"], trim=256)["snr_db"] > 100
    with pytest.raises(AudioError, match="trim is 256"):
        metrics.snr_db(VOWEL, VOWEL[:-257], trim=256)


def test_compare_takes_the_vocoders_mel_and_refuses_another_rate():
    other = MelConfig(RATE, 1024, 1024, 256, 20)
    noisy = VOWEL + noise(0.01)
    default = metrics.compare(VOWEL, noisy, RATE, only=["log_mel_l1"])
    coarse = metrics.compare(VOWEL, noisy, RATE, only=["log_mel_l1"], mel_config=other)
    assert default != coarse
    assert coarse["log_mel_l1"] == metrics.log_mel_l1(VOWEL, noisy, other)
    with pytest.raises(AudioError, match="sounds at 48000 Hz, but a mel for 16000 Hz"):
        metrics.compare(VOWEL, VOWEL, 48000, mel_config=MEL)
    with pytest.raises(AudioError, match="no metric mos; there are: snr_db, log_mel_l1"):
        metrics.compare(VOWEL, VOWEL, RATE, only=["mos"])


@pytest.mark.parametrize(
    ("rate", "window"), [(16000, 1024), (22050, 1024), (24000, 1024), (44100, 2048), (48000, 2048)]
)
def test_analysis_mel_follows_the_sample_rate(rate, window):
    config = metrics.analysis_mel(rate)
    assert (config.win_length, config.n_mels, config.highest) == (window, 80, rate / 2)
    assert (config.filterbank().sum(axis=1) > 0).all()  # no band is empty


def test_every_metric_says_what_it_misses():
    for metric in metrics.METRICS.values():
        assert 20 < len(metric.misses) < 160 and metric.misses.endswith("."), metric.name
        assert "Raises" not in metric.misses
    assert [m.name for m in metrics.METRICS.values() if m.same_phase] == ["snr_db"]


GATE = QualityGate(
    "fp16",
    {"snr_db": (40, None), "log_mel_l1": (None, 0.02), "stoi": (0.9, 1.01)},
    {"snr_db": "FP16 keeps 11 bits", "log_mel_l1": "a tenth of 1 dB", "stoi": "<words>"},
)


def test_a_gate_passes_at_its_bounds():
    verdict = GATE({"snr_db": 40.0, "log_mel_l1": 0.02, "stoi": 0.95, "mcd": 99.0})
    assert verdict and not verdict.failures
    assert repr(verdict) == "fp16: 3 of 3 bounds hold"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"snr_db": 39.9}, "snr_db 39.9, wanted at least 40: FP16 keeps 11 bits"),
        ({"log_mel_l1": 0.021}, "log_mel_l1 0.0210, wanted at most 0.02: a tenth of 1 dB"),
        ({"stoi": 1.2}, "stoi 1.20, wanted 0.9 to 1.01"),
        ({"snr_db": None}, "snr_db not measured"),
        ({"snr_db": math.nan}, "snr_db nan"),
    ],
)
def test_a_gate_fails_with_the_bound_and_its_reason(change, said):
    verdict = GATE({"snr_db": 50.0, "log_mel_l1": 0.01, "stoi": 0.95} | change)
    assert not verdict and len(verdict.failures) == 1
    assert repr(verdict).startswith("fp16: 2 of 3 bounds hold; ") and said in repr(verdict)
    with pytest.raises(AssertionError, match="wanted"):  # what a test of a build shows
        assert verdict, verdict


def test_a_missing_score_fails():
    assert not GATE({"snr_db": 50.0, "log_mel_l1": 0.01})


def test_the_verdict_as_a_table():
    markup = GATE({"snr_db": 30.0, "log_mel_l1": 0.01, "stoi": 0.95})._repr_html_()
    assert markup.count("<tr>") == 4 and "&lt;words&gt;" in markup and "<words>" not in markup
    assert markup.count("failed") == 2 and markup.count("passed") == 2


@pytest.mark.parametrize(
    ("bounds", "reasons", "said"),
    [
        ({}, {}, "no bounds"),
        ({"mcd": (None, None)}, {"mcd": "r"}, "bound of mcd is None to None"),
        ({"mcd": (3, 1)}, {"mcd": "r"}, "bound of mcd is 3 to 1"),
        ({"mcd": (None, math.nan)}, {"mcd": "r"}, "bound of mcd"),
        ({"mcd": (None, 1)}, {}, "bound of mcd has no reason"),
        ({"mcd": (None, 1)}, {"mcd": "r", "stoi": "r"}, "reason without bound: stoi"),
    ],
)
def test_a_gate_that_means_nothing_is_refused(bounds, reasons, said):
    with pytest.raises(ValueError, match=said):
        QualityGate("g", bounds, reasons)
