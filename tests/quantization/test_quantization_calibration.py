"""Calibration: the ranges of each method, and the pieces of speech they are taken from."""

import numpy as np
import pytest

from labutils import audio, quantization, vocoders

pytestmark = pytest.mark.xdist_group("quantization")


def test_minmax_knows_the_largest_value(case):
    made = case()
    low, high = made.ranges.of("mel")
    assert high == pytest.approx(max(float(np.abs(mel).max()) for mel in made.mels), rel=1e-6)
    assert low == -high
    assert made.ranges.count == 3 and made.ranges.frames == 72


def test_methods_that_cut(case):
    made = case()
    spike = made.mels[0].copy()
    spike[0, 0, 0] = 100.0
    mels = [spike, *made.mels[1:]]
    spans = {
        method: quantization.calibrate(made.path, mels, method=method, percentile=99.0).of("mel")[1]
        for method in quantization.METHODS
    }
    assert spans["minmax"] == pytest.approx(100.0)
    assert spans["percentile"] < 20
    assert spans["entropy"] <= spans["minmax"]
    coarse = quantization.calibrate(made.path, mels, method="entropy", bins=128)
    assert coarse.of("mel")[1] == pytest.approx(spans["minmax"], rel=0.01)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"method": "mean"}, "no method 'mean'"),
        ({"percentile": 9.0}, "percentile 9"),
        ({"method": "entropy", "bins": 64}, "64 bins"),
        ({"mels": []}, "no mels"),
        ({"mels": [np.full((1, 10, 8), np.nan, np.float32)]}, "mel 0 holds NaN"),
    ],
)
def test_bad_calibrations(case, how, words):
    made = case()
    given = {"mels": made.mels, **how}
    with pytest.raises(ValueError, match=words):
        quantization.calibrate(made.path, **given)


def test_segments_are_spread_over_the_clip():
    config = vocoders.preset("hifigan-v1")
    clip = audio.clip("en-kal")
    found = quantization.segments([clip], config, frames=64, per_clip=3)
    assert [mel.shape for mel in found] == [(1, 80, 64)] * 3
    assert not np.array_equal(found[0], found[1])
    whole = quantization.segments([clip], config, frames=10**6)
    assert len(whole) == 1 and whole[0].shape[2] > 300
    with pytest.raises(ValueError, match="0 clips"):
        quantization.segments([], config)


def test_the_reader_ends_and_begins_again():
    reader = quantization.SegmentReader([np.zeros(1), np.ones(1)])
    seen = [reader.get_next(), reader.get_next(), reader.get_next()]
    assert seen[2] is None and seen[1]["mel"] == 1 and len(reader) == 2
    reader.rewind()
    assert reader.get_next()["mel"] == 0
