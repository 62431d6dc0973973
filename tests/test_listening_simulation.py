"""Simulated listeners: they answer as stated, are labelled, and never take a person's place."""

import numpy as np
import pytest
from listening_parts import CLIPS, RATE, make_abx, make_mushra, with_noise

from labutils import listening
from labutils.listening import AbxListener, DesignError, MushraListener, StoreError


def test_simulated_listeners_walk_the_same_path_and_are_labelled(tmp_path):
    test = make_abx(tmp_path, listener="simulated")
    result = test.simulate(AbxListener(1.0))
    assert test.done
    assert result.result.right == 16
    assert all(row["simulated"] for row in test.answers())
    assert "simulated" in repr(result)
    assert "simulated" in result._repr_html_()
    with pytest.raises(StoreError, match="all 16 trials"):
        test.answer("A")


def test_a_simulated_test_that_was_broken_off_goes_on_the_same_way(tmp_path):
    whole = make_abx(tmp_path / "1")
    whole.simulate(AbxListener(0.4, seed=5))
    broken = make_abx(tmp_path / "2")
    for _ in range(7):
        trial = broken.next()
        choice = AbxListener(0.4, seed=5).choose(trial, broken.sounds[trial.item])
        broken.answer(choice, simulated=True)
    broken.simulate(AbxListener(0.4, seed=5))
    assert [r["choice"] for r in broken.answers()] == [r["choice"] for r in whole.answers()]


def test_a_person_who_has_begun_is_not_simulated_over(tmp_path):
    for test in (make_abx(tmp_path), make_mushra(tmp_path)):
        test.answer("A" if test.design.kind == "abx" else [1, 2, 3, 4])
        with pytest.raises(StoreError, match="a person has begun"):
            test.simulate(AbxListener(1.0))


@pytest.mark.parametrize(("hears", "expected"), [(0.0, 0.5), (0.6, 0.8), (1.0, 1.0)])
def test_sensitivity_is_what_was_stated(hears, expected, tmp_path):
    test = make_abx(tmp_path, trials=600)
    listener = AbxListener(hears, seed=3)
    right = [listener.choose(t, test.sounds[t.item]) == t.right for t in test.design.trials]
    assert np.mean(right) == pytest.approx(expected, abs=0.06)


def test_a_threshold_hears_large_differences_and_misses_small_ones(tmp_path):
    measure = listening.log_mel_difference(RATE)
    hears = listening.Threshold(measure, half=0.5, width=0.1)
    clip = CLIPS["clip 0"]
    assert hears(clip, with_noise(clip, 80)) < 0.05
    assert hears(clip, with_noise(clip, 0)) > 0.95
    assert listening.Threshold(lambda a, b: 0.5, 0.5, 0.1)(clip, clip) == 0.5
    quality = listening.Decay(measure, scale=0.9)
    assert quality(clip, clip) == 100
    assert 0 < quality(clip, with_noise(clip, 0)) < quality(clip, with_noise(clip, 30)) < 100


def test_mushra_listeners_rate_as_stated(tmp_path):
    test = make_mushra(tmp_path)
    test.simulate(MushraListener({"int8": 70}, spread=0.0))
    by_stimulus = {row["stimulus"]: row["rating"] for row in test.answers()}
    assert by_stimulus == {"reference": 100, "int8": 70, "anchor 3.5 kHz": 25, "anchor 7 kHz": 60}
    page = test.design.trials[0]
    strict = MushraListener({"int8": 70}, spread=0.0, offset=-10.0).rate(page, {}, "reference")
    assert strict[page.order.index("int8")] == 60
    close = MushraListener({"int8": 98}, spread=0.0, offset=-10.0).rate(page, {}, "reference")
    assert close[page.order.index("int8")] == close[page.order.index("reference")]
    deaf = MushraListener({"int8": 70}, spread=0.0, misses=1.0).rate(page, {}, "reference")
    assert deaf[page.order.index("reference")] == 25
    with pytest.raises(DesignError, match="no quality stated for 'int8'"):
        MushraListener({}).rate(page, {}, "reference")


def test_ratings_stay_on_the_scale(tmp_path):
    page = make_mushra(tmp_path).design.trials[0]
    for seed in range(50):
        wild = MushraListener({"int8": 50}, spread=80.0, seed=seed).rate(page, {}, "reference")
        assert all(0 <= rating <= 100 for rating in wild)
