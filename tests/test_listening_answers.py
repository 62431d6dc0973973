"""Answers to listening tests on the disk: what is kept, refused, and where a new start goes on."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from listening_parts import CLIPS, make_abx, make_mushra, voice, with_noise

from labutils import listening
from labutils.listening import AnswerFile, StoreError, sketch


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
