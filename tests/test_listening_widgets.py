"""The widgets of listening tests without a browser: what goes to the page, what is stored."""

import json

import numpy as np
import pytest

from labutils import listening
from labutils.listening.widgets.base import FOLDER, bundle, pcm

RATE = 8000
SECRETS = ("secret-first", "secret-second")


def tone(frequency, seconds=0.25):
    return (0.4 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE)).astype(
        "f4"
    )


def abx(folder, trials=3):
    return listening.abx(
        *({"clip": tone(500), "other": tone(600)}, {"clip": tone(900), "other": tone(1000)}),
        name="a test",
        folder=folder,
        trials=trials,
        sample_rate=RATE,
        names=SECRETS,
    )


def mushra(folder):
    items = {
        item: {"reference": tone(f), SECRETS[0]: tone(f + 50), SECRETS[1]: tone(f + 90)}
        for item, f in (("one", 500), ("two", 700))
    }
    return listening.mushra(items, name="m", folder=folder, sample_rate=RATE, anchors=False)


class Page:
    """Stands in for the page: sends messages, keeps the replies."""

    def __init__(self, test):
        self.widget = test.widget()
        self.replies = []
        self.widget.send = lambda content, buffers=(): self.replies.append((content, buffers))

    def send(self, **message):
        self.widget._handle_custom_msg(message, [])
        return self.replies[-1]


def answer(page, trial, given, **facts):
    return page.send(kind="answer", view="v", trial=trial, answer=given, facts=facts)[0]


def test_an_abx_from_first_page_to_result(tmp_path):
    test = abx(tmp_path)
    page = Page(test)
    start, practice = page.send(kind="ready", view="v")
    assert (start["kind"], start["answered"], start["trials"]) == ("start", 0, 3)
    assert (start["view"], start["rate"], start["title"]) == ("v", RATE, "a test")
    assert len(practice) == 2 and practice[0] != practice[1]
    message, sounds = page.send(kind="begin", view="v")
    for trial in test.design.trials:
        assert (message["kind"], message["number"]) == ("trial", trial.number)
        wanted = [test.sounds[trial.item][trial.stimuli[label]] for label in "ABX"]
        assert sounds == [pcm(sound) for sound in wanted]
        assert (sounds[2] == sounds[0]) == (trial.right == "A")
        facts = {"seconds": 2.5, "plays": {"A": 1, "X": 2}, "switch_ms": None}
        answer(page, trial.number, trial.right, **facts)
        message, sounds = page.replies[-1]
    assert message["kind"] == "done" and all(name in message["html"] for name in SECRETS)
    assert [row["correct"] for row in test.answers()] == [True] * 3
    assert test.answers()[0]["plays"] == {"A": 1, "X": 2}
    assert [note["note"] for note in test.notes()] == ["begin"]
    assert Page(abx(tmp_path)).send(kind="ready", view="w")[0]["kind"] == "done"


def test_mushra_ratings_belong_to_the_sliders_that_were_moved(tmp_path):
    test = mushra(tmp_path)
    page = Page(test)
    message, sounds = page.send(kind="ready", view="v")
    assert message["labels"] == ["1", "2", "3"] and len(sounds) == 4
    message, sounds = page.send(kind="begin", view="v")
    for trial in test.design.trials:
        known = {pcm(sound): name for name, sound in test.sounds[trial.item].items()}
        assert known[sounds[0]] == "reference"  # the open one; it is hidden among the others too
        heard = dict(zip(message["labels"], (known[sound] for sound in sounds[1:]), strict=True))
        assert heard == trial.stimuli
        points = {"reference": 100, SECRETS[0]: 70, SECRETS[1]: 20}
        message = answer(page, trial.number, {key: points[name] for key, name in heard.items()})
        sounds = page.replies[-1][1]
    assert message["kind"] == "done"
    for row in test.answers():
        assert row["rating"] == points[row["stimulus"]]


@pytest.mark.parametrize("make", [abx, mushra])
def test_nothing_tells_what_is_what_before_the_end(tmp_path, make):
    test = make(tmp_path)
    page = Page(test)
    messages = [page.send(kind="ready", view="v")[0], page.send(kind="begin", view="v")[0]]
    state = {key: str(value) for key, value in page.widget.get_state().items()}
    words = {*SECRETS, "reference", "one", "two", "clip", "other"}
    for message in messages:
        assert not words & set(json.dumps(message).replace('"', " ").split())
    for name in SECRETS:
        assert name not in json.dumps(state)
    # A notebook that is saved with its widgets holds the script, and no sound.
    assert sum(map(len, state.values())) < 60_000


def test_an_answer_that_comes_twice_counts_once(tmp_path):
    test = abx(tmp_path)
    page = Page(test)
    page.send(kind="begin", view="v")
    for _ in range(2):
        assert answer(page, 0, "A")["number"] == 1
    assert [row["choice"] for row in test.answers()] == ["A"]


def test_what_cannot_be_stored_is_said_and_can_be_sent_again(tmp_path, monkeypatch):
    test = abx(tmp_path)
    page = Page(test)
    assert answer(page, 2, "A")["kind"] == "problem"  # trial 0 is open
    assert answer(page, 0, "C")["text"].startswith("This answer is not stored: ")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(test.store, "append", full)
        reply = answer(page, 0, "B")
    assert reply["kind"] == "problem" and "No space left on device" in reply["text"]
    assert reply["view"] == "v" and test.answers() == []
    assert answer(page, 0, "B")["number"] == 1


def test_a_result_that_fails_does_not_take_the_answer_back(tmp_path, monkeypatch):
    test = abx(tmp_path, trials=1)
    page = Page(test)
    monkeypatch.setattr(test, "result", lambda: 1 / 0)
    reply = answer(page, 0, "A")
    assert reply["kind"] == "done" and "division by zero" in reply["html"]
    assert len(test.answers()) == 1


def test_a_page_without_widgets_shows_what_to_do(tmp_path):
    data, _ = abx(tmp_path).widget()._repr_mimebundle_()
    assert "run this cell in JupyterLab" in data["text/html"]
    assert not any(name in json.dumps(data) for name in SECRETS)


def test_sixteen_bits_hold_a_sound_to_half_a_step():
    sound = np.random.default_rng(0).uniform(-1, 1, 1000).astype("f4")
    back = np.frombuffer(pcm(sound), "<i2") / 32768
    assert np.abs(back - sound).max() <= 0.5 / 32768 + 1e-9
    assert np.frombuffer(pcm(np.array([1.0, -1.0, 0.0])), "<i2").tolist() == [32767, -32768, 0]


def test_the_script_is_one_module_that_asks_for_no_file_and_no_network():
    for kind in ("abx", "mushra"):
        script = bundle("page", "player", "wave", "log", "panel", kind)
        assert "import " not in script and script.count("export ") == 1
        assert "export default" in script and "http" not in script
    assert {path.suffix for path in FOLDER.glob("*.*")} == {".py", ".js", ".css"}
    assert "http" not in (FOLDER / "style.css").read_text()
