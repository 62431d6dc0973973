"""Listening tests as they are made: orders drawn, anchors, loudness, and what is refused."""

import json

import numpy as np
import pytest
from listening_parts import CLIPS, RATE, WORSE, make_abx, make_mushra, voice

from labutils import listening
from labutils.audio.signals import AudioError, loudness
from labutils.listening import DesignError, anchors
from labutils.listening.design import design_from_json

# As first drawn, for the name, listener and seed that `make_abx` and `make_mushra` give.
FIRST_TRIAL = ("clip 2", ("a", "b"), "b")
FIRST_PAGE = ("reference", "int8", "anchor 7 kHz", "anchor 3.5 kHz")


def test_abx_trials_follow_from_seed_and_listener(tmp_path):
    trials = make_abx(tmp_path / "1").design.trials
    assert make_abx(tmp_path / "2").design.trials == trials
    assert make_abx(tmp_path / "3", seed=1).design.trials != trials
    assert make_abx(tmp_path / "4", listener="her").design.trials != trials
    assert [trial.number for trial in trials] == list(range(16))


def test_orders_are_the_same_on_every_machine(tmp_path):
    """Drawn once and written down: a change would change every test that is under way."""
    first = make_abx(tmp_path).design.trials[0]
    assert (first.item, first.order, first.x) == FIRST_TRIAL
    assert make_mushra(tmp_path).design.trials[0].order == FIRST_PAGE


def test_x_and_places_are_fair_coins_and_clips_come_equally_often(tmp_path):
    trials = make_abx(tmp_path, trials=402).design.trials
    for drawn in ([t.x == "a" for t in trials], [t.order == ("a", "b") for t in trials]):
        assert 160 < sum(drawn) < 242
    same_as_first = [t.right == "A" for t in trials]
    assert 160 < sum(same_as_first) < 242
    counts = [sum(t.item == item for t in trials) for item in CLIPS]
    assert sorted(counts) == [100, 100, 101, 101]
    assert [t.item for t in trials[:8]] != [*CLIPS, *CLIPS]
    for trial in trials[:20]:
        assert trial.stimuli[trial.right] == trial.stimuli["X"]
        assert {trial.stimuli["A"], trial.stimuli["B"]} == {"a", "b"}


def test_a_small_number_of_trials_does_not_always_take_the_first_clips(tmp_path):
    items = {
        t.item
        for seed in range(6)
        for t in make_abx(tmp_path, trials=2, seed=seed, name=f"{seed}").design.trials
    }
    assert items == set(CLIPS)


def test_mushra_pages_hold_hidden_reference_and_anchors_in_an_order_of_their_own(tmp_path):
    design = make_mushra(tmp_path).design
    wanted = {"reference", "int8", "anchor 3.5 kHz", "anchor 7 kHz"}
    assert {page.item for page in design.trials} == set(CLIPS)
    assert all(set(page.order) == wanted for page in design.trials)
    assert len({page.order for page in design.trials}) > 1
    other = make_mushra(tmp_path, listener="her").design
    assert [p.item for p in other.trials] != [p.item for p in design.trials] or [
        p.order for p in other.trials
    ] != [p.order for p in design.trials]
    assert design.trials[0].stimuli["1"] == design.trials[0].order[0]


@pytest.mark.parametrize("make", [make_abx, make_mushra])
def test_designs_survive_json(make, tmp_path):
    design = make(tmp_path).design
    assert design_from_json(json.loads(json.dumps(design.to_json()))) == design
    with pytest.raises(DesignError):
        design_from_json({**design.to_json(), "kind": "ab"})
    with pytest.raises(DesignError):
        design_from_json({**design.to_json(), "more": 1})


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"trials": 0}, "trials is 0"),
        ({"listener": " "}, "listener is ' '"),
        ({"names": ("x", "x")}, "two different"),
        ({"b": {"clip 0": WORSE["clip 0"]}}, "clip 1"),
        ({"sample_rate": 22050.0}, "sample_rate"),
        ({"a": {}, "b": {}}, "no sounds"),
    ],
)
def test_bad_abx_is_refused_by_name(more, words, tmp_path):
    with pytest.raises(DesignError, match=words):
        make_abx(tmp_path, **more)
    assert not list(tmp_path.iterdir())


def test_bad_mushra_is_refused_by_name(tmp_path):
    reference, int8 = CLIPS["clip 0"], WORSE["clip 0"]
    odd = {"x": {"reference": reference, "int8": int8}, "y": {"reference": reference}}
    many = {"x": {"reference": reference} | {f"s{i}": int8 for i in range(10)}}
    for items, words in (
        (odd, "y: int8 is not in every item"),
        (many, "13 stimuli"),
        ({"x": {"fp32": reference}}, "no 'reference'"),
        ({"x": {"reference": reference, "anchor 7 kHz": int8}}, "anchor 7 kHz is made here"),
        ({}, "no items"),
    ):
        with pytest.raises(DesignError, match=words):
            make_mushra(tmp_path, items=items)
    with pytest.raises(AudioError, match="equally long"):
        make_mushra(tmp_path, items={"x": {"reference": reference, "int8": int8[:-1]}})
    with pytest.raises(AudioError, match="leave the anchors out"):
        listening.mushra(
            {"x": {"reference": voice(0, rate=8000)}}, name="m", folder=tmp_path, sample_rate=8000
        )


# Anchors and loudness


@pytest.mark.parametrize("rate", [16000, 22050, 44100, 48000])
@pytest.mark.parametrize("cutoff", [3500.0, 7000.0])
def test_anchors_are_60_db_down_above_their_cut_off_and_flat_below(rate, cutoff):
    pulse = np.zeros(rate, np.float32)
    pulse[rate // 2] = 1.0
    response = np.abs(np.fft.rfft(anchors.low_pass(pulse, rate, cutoff).astype(np.float64)))
    hertz = np.fft.rfftfreq(rate, 1 / rate)
    db = 20 * np.log10(response + 1e-12)
    above = db[hertz >= anchors.stop_band(cutoff)]
    assert above.max() < -60
    assert np.abs(db[hertz <= cutoff]).max() < 0.1
    assert anchors.stop_band(cutoff) <= 1.15 * cutoff


def test_anchors_have_no_delay_and_keep_the_length():
    pulse = np.zeros(8001, np.float32)
    pulse[4000] = 1.0
    out = anchors.low_pass(pulse, RATE, 3500.0)
    assert len(out) == len(pulse)
    assert np.argmax(out) == 4000
    assert np.allclose(out, out[::-1], atol=1e-7)
    short = anchors.low_pass(pulse[3990:4010], RATE, 3500.0)  # shorter than the filter
    assert short.shape == (20,)
    assert np.isfinite(short).all()


def test_anchors_need_a_sample_rate_that_leaves_something_to_take_away():
    with pytest.raises(AudioError, match="16,000 Hz or more"):
        anchors.low_pass(np.ones(100, np.float32), 15999, 7000.0)


def test_one_gain_per_item_brings_the_references_to_one_loudness(tmp_path):
    loud, soft = CLIPS["clip 0"], 0.3 * CLIPS["clip 1"]
    items = {
        "loud": {"reference": loud, "turned down": 0.5 * loud},
        "soft": {"reference": soft, "turned down": 0.9 * soft},
    }
    sounds = make_mushra(tmp_path, items=items, anchors=False).sounds
    levels = [loudness(sounds[item]["reference"], RATE) for item in items]
    assert levels[0] == pytest.approx(levels[1], abs=0.05)
    assert levels[1] == pytest.approx(loudness(soft, RATE), abs=0.05)  # nothing is turned up
    for item, ratio in (("loud", 0.5), ("soft", 0.9)):
        ours = sounds[item]
        assert np.allclose(ours["turned down"], ratio * ours["reference"], rtol=1e-5)


def test_a_stimulus_that_would_clip_lowers_everything_together(tmp_path):
    quiet = 0.2 * CLIPS["clip 0"]
    peaky = quiet.copy()
    peaky[100] = 2.0
    test = listening.abx(quiet, peaky, name="x", folder=tmp_path, sample_rate=RATE)
    sounds = test.sounds["sound"]
    assert np.abs(sounds["b"]).max() <= 1.0
    assert np.allclose(sounds["a"], 0.5 * quiet, rtol=1e-5)


def test_a_silent_reference_is_refused(tmp_path):
    with pytest.raises(AudioError, match="sound/a: silent"):
        listening.abx(
            np.zeros(RATE, np.float32), voice(), name="x", folder=tmp_path, sample_rate=RATE
        )
