"""Designs, sounds, anchors and files of listening tests: what is drawn, kept, refused, resumed."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from labutils import listening
from labutils.audio.signals import AudioError, loudness
from labutils.listening import (
    AbxListener,
    AnswerFile,
    DesignError,
    MushraListener,
    StoreError,
    anchors,
    sketch,
)
from labutils.listening.design import design_from_json

RATE = 22050


def voice(seed=0, seconds=1.0, rate=RATE):
    """Noise with speech's slope of about -6 dB per octave, peak below 0.5."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal(round(seconds * rate)))
    spectrum /= np.maximum(1, np.arange(len(spectrum)) * (rate / 2 / len(spectrum)) / 200)
    sound = np.fft.irfft(spectrum)
    return (0.4 * sound / np.abs(sound).max()).astype(np.float32)


def with_noise(sound, db, seed=9):
    noise = np.random.default_rng(seed).standard_normal(len(sound))
    level = np.sqrt(np.mean(sound**2)) * 10 ** (-db / 20)
    return (sound + level * noise).astype(np.float32)


CLIPS = {f"clip {i}": voice(i) for i in range(4)}
# As first drawn, for the name, listener and seed that `make_abx` and `make_mushra` give.
FIRST_TRIAL = ("clip 2", ("a", "b"), "b")
FIRST_PAGE = ("reference", "int8", "anchor 7 kHz", "anchor 3.5 kHz")
WORSE = {name: with_noise(sound, 20) for name, sound in CLIPS.items()}


def make_abx(folder, **more):
    given = {"name": "int8", "folder": folder, "sample_rate": RATE, "trials": 16} | more
    return listening.abx(given.pop("a", CLIPS), given.pop("b", WORSE), **given)


def make_mushra(folder, **more):
    items = {name: {"reference": CLIPS[name], "int8": WORSE[name]} for name in CLIPS}
    given = {"name": "systems", "folder": folder, "sample_rate": RATE} | more
    return listening.mushra(given.pop("items", items), **given)


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


# Answers on the disk


def test_answers_are_stored_as_given_and_a_new_start_goes_on(tmp_path):
    test = make_abx(tmp_path)
    test.note("training", seconds=12.5)
    line = test.answer("B", trial=0, seconds=3.25, plays={"A": 2, "X": 3}, width=800)
    assert json.loads(test.path.read_text().splitlines()[2]) == line
    assert line["choice"] == "B"
    assert (line["seconds"], line["plays"], line["width"]) == (3.25, {"A": 2, "X": 3}, 800)
    again = make_abx(tmp_path)
    assert again.path == test.path
    assert again.next().number == 1
    assert again.notes()[0]["note"] == "training"
    assert again.answers()[0]["correct"] == (test.design.trials[0].right == "B")
    assert not again.done


def test_a_message_that_comes_twice_counts_once(tmp_path):
    test = make_abx(tmp_path)
    test.answer("A", trial=0)
    with pytest.raises(StoreError, match="trial 1 is next"):
        test.answer("A", trial=0)
    with pytest.raises(StoreError, match="trial 1 is next"):
        test.answer("A", trial=2)
    assert len(test.answers()) == 1


def test_two_windows_on_one_file_see_each_others_answers(tmp_path):
    first, second = make_abx(tmp_path), make_abx(tmp_path)
    first.answer("A", trial=0)
    with pytest.raises(StoreError, match="trial 1 is next"):
        second.answer("B", trial=0)
    second.answer("B", trial=1)
    first.answer("A", trial=2)
    assert [row["choice"] for row in make_abx(tmp_path).answers()] == ["A", "B", "A"]


@pytest.mark.parametrize("cut", [1, 2, 25])
def test_a_cut_off_last_line_loses_no_earlier_answer(cut, tmp_path):
    test = make_abx(tmp_path)
    for choice in "ABA":
        test.answer(choice, seconds=1.0)
    test.path.write_bytes(test.path.read_bytes()[:-cut])
    again = make_abx(tmp_path)
    kept = 3 if cut == 1 else 2  # without its line break alone, an answer is whole
    assert len(again.answers()) == kept
    while not again.done:
        again.answer("B", seconds=1.0)
    lines = test.path.read_text().splitlines()
    assert [json.loads(line)["trial"] for line in lines[1:]] == list(range(16))
    assert [row["choice"] for row in make_abx(tmp_path).answers()][:kept] == ["A", "B", "A"][:kept]


def test_every_byte_of_a_file_may_be_the_last_one(tmp_path):
    store = make_abx(tmp_path, trials=2).store
    head = store.path.stat().st_size
    store.append(0, {"choice": "A", "comment": "longer than what is given the second time"})
    store.append(1, {"choice": "B", "comment": "longer than what is given the second time"})
    whole = store.path.read_bytes()
    for end in range(head, len(whole) + 1):
        store.path.write_bytes(whole[:end])
        again = AnswerFile(tmp_path, store.design)
        kept = whole.count(b"}", head, end)
        assert [line["choice"] for line in again.answers()] == ["A", "B"][:kept]
        for trial in range(kept, 2):
            again.append(trial, {"choice": "A"})
        assert len(AnswerFile(tmp_path, store.design).answers()) == 2


def test_answers_of_a_killed_kernel_are_all_there(tmp_path):
    program = (
        "import os, numpy as np\n"
        "from labutils import listening\n"
        "a = np.random.default_rng(0).standard_normal(4000).astype('f4') * 0.1\n"
        f"t = listening.abx(a, a * 0.9, name='k', folder={str(tmp_path)!r}, sample_rate=8000)\n"
        "for c in 'ABBA': t.answer(c)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == -9
    (path,) = tmp_path.glob("*.jsonl")
    assert [line["choice"] for line in listening.read(path).answers()] == list("ABBA")


def test_a_file_of_another_design_is_refused(tmp_path):
    make_abx(tmp_path).answer("A")
    before = make_abx(tmp_path).path.read_bytes()
    other = {name: with_noise(sound, 20, seed=1) for name, sound in CLIPS.items()}
    for more, words in (
        ({"seed": 1}, "its seed is 0, not 1"),
        ({"trials": 20}, "16 trials are others than these 20"),
        ({"b": other}, "its sound clip 0/b was another one"),
        ({"names": ("FP32", "INT8")}, "its names is"),
        ({"a": voice(), "b": with_noise(voice(), 20)}, "its sounds are others"),
    ):
        with pytest.raises(StoreError, match=words):
            make_abx(tmp_path, **more)
    with pytest.raises(StoreError, match="kind abx, not mushra"):
        make_mushra(tmp_path, name="int8")
    assert make_abx(tmp_path).path.read_bytes() == before


def test_sounds_that_differ_by_rounding_alone_are_the_same_test(tmp_path):
    make_abx(tmp_path).answer("A")
    rounded = {name: (sound * (1 + 1e-6)).astype(np.float32) for name, sound in CLIPS.items()}
    assert make_abx(tmp_path, a=rounded).next().number == 1


@pytest.mark.parametrize("db", [20, 40, 60, 100, 120])
def test_sketches_know_how_far_sounds_are_apart(db):
    sound = voice(0, 3.0).astype(np.float64)
    noise = np.random.default_rng(db).standard_normal(len(sound))
    noise *= np.sqrt(np.mean(sound**2) / np.mean(noise**2)) * 10 ** (-db / 20)
    first, second = sketch.sketch(sound), sketch.sketch(sound + noise)
    assert sketch.snr_db(first, second) == pytest.approx(db, abs=5)
    assert sketch.same(first, second) == (db > 80)
    assert sketch.same(first, first)
    assert not sketch.same(first, sketch.sketch(sound[:-1]))


def test_damaged_files_are_refused_with_their_line(tmp_path):
    test = make_abx(tmp_path)
    for choice in "AB":
        test.answer(choice)
    head, first, second = test.path.read_text().splitlines()
    for text, words in (
        (f"{head}\n{first[:9]}\n{second}\n", "line 2 is damaged"),
        (f"{head}\n{second}\n", "not those of trials 0, 1, 2"),
        (f"{first}\n{second}\n", "no design"),
        ("", "no design"),
    ):
        test.path.write_text(text)
        with pytest.raises(StoreError, match=words):
            make_abx(tmp_path)
    with pytest.raises(StoreError, match="cannot be read"):
        listening.read(tmp_path / "nothing.jsonl")


def test_a_file_that_is_gone_is_told(tmp_path):
    test = make_abx(tmp_path)
    test.path.unlink()
    with pytest.raises(StoreError, match="is gone"):
        test.answer("A")


def test_names_that_a_file_system_does_not_like(tmp_path):
    test = make_abx(tmp_path, name="../a/b: c", listener="张 三")
    assert test.path.parent == tmp_path
    assert test.path.name == "a-b-c--张-三.jsonl"


@pytest.mark.parametrize(
    ("ratings", "words"),
    [
        ([1, 2, 3], "3 ratings; this page has 4"),
        ([1, 2, 3, 101], "rating 101"),
        ([1, 2, 3, float("nan")], "rating nan"),
        ([1, 2, 3, True], "rating True"),
        ([1, 2, 3, "4"], "rating '4'"),
        ({"1": 1, "2": 2, "3": 3, "5": 4}, "give 1 to 4"),
    ],
)
def test_ratings_that_are_none_are_refused(ratings, words, tmp_path):
    test = make_mushra(tmp_path)
    with pytest.raises(StoreError, match=words):
        test.answer(ratings)
    assert test.answers() == []


def test_ratings_go_to_the_stimulus_behind_the_slider(tmp_path):
    test = make_mushra(tmp_path)
    page = test.next()
    test.answer({"4": 40, "3": 30.5, "2": 20, "1": 10})
    assert json.loads(test.path.read_text().splitlines()[1])["ratings"] == [10, 20, 30.5, 40]
    found = {row["stimulus"]: row["rating"] for row in test.answers()}
    assert found == dict(zip(page.order, [10.0, 20.0, 30.5, 40.0], strict=True))
    test.answer(np.array([1.0, 2.0, 3.0, 4.0]))
    assert test.next().number == 2


def test_an_abx_answer_is_a_or_b(tmp_path):
    test = make_abx(tmp_path)
    for choice in ("X", "a", "", None):
        with pytest.raises(StoreError, match="give 'A' or 'B'"):
            test.answer(choice)


# Simulated listeners


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
