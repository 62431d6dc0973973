"""Listening tests in a real browser: the player sample by sample, and both widgets in JupyterLab.

The sounds are tones, so the test can hear: it presses keys, measures what comes out of the page,
and answers by that. WORKBOOK_SCREENSHOTS names a folder for pictures, for people to look at.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from nbformat import v4, write

from labutils import listening
from labutils.listening.widgets.base import FOLDER

pytestmark = pytest.mark.xdist_group("browser")

SECRETS = ("secret-first", "secret-second")
TONES = {"a": 500, "b": 1000, "reference": 500, SECRETS[0]: 1000, SECRETS[1]: 1500}  # Hz
RATINGS = {"reference": 100, SECRETS[0]: 60, SECRETS[1]: 15}

SOUNDS = f"""
import numpy as np
from labutils import listening

def tone(frequency):
    return (0.3 * np.sin(2 * np.pi * frequency * np.arange(44100) / 22050)).astype("float32")
settings = dict(folder="answers", sample_rate=22050)
names = {SECRETS}
"""
ABX = """
abx = listening.abx(tone(500), tone(1000), name="abx", trials=4, names=names, **settings)
abx.widget()
"""
MUSHRA = """
sounds = {"reference": tone(500), names[0]: tone(1000), names[1]: tone(1500)}
items = {"one": sounds, "two": sounds}
mushra = listening.mushra(items, name="mushra", anchors=False, **settings)
mushra.widget()
"""

# Listens where sound leaves the page.
TAP = """(() => {
  const connect = AudioNode.prototype.connect;
  window.taps = [];
  AudioNode.prototype.connect = function (target, ...rest) {
    if (target instanceof AudioDestinationNode) {
      const tap = new AnalyserNode(target.context, {fftSize: 2048, smoothingTimeConstant: 0});
      connect.call(this, tap);
      window.taps.push(tap);
    }
    return connect.call(this, target, ...rest);
  };
})()"""
# The frequency of what is heard, in Hz; 0 for silence.
HEARD = """() => {
  let [loudest, frequency] = [1e-3, 0];
  for (const tap of window.taps.filter((tap) => tap.context.state === 'running')) {
    const samples = new Float32Array(tap.fftSize);
    tap.getFloatTimeDomainData(samples);
    const level = Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);
    if (level <= loudest) continue;
    const bins = new Float32Array(tap.frequencyBinCount);
    tap.getFloatFrequencyData(bins);
    loudest = level;
    frequency = bins.indexOf(Math.max(...bins)) * tap.context.sampleRate / tap.fftSize;
  }
  return frequency;
}"""


class Listener:
    """One widget in the page, and a listener at the keyboard."""

    def __init__(self, lab, kind):
        self.page = lab.page
        self.root = lab.page.locator(f".lt-{kind}")

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def wait(self, text):
        self.root.get_by_text(text).first.wait_for(timeout=120_000)  # on a busy machine

    def heard(self):
        return self.page.evaluate(HEARD)

    def hear(self, key):
        """Press a key; which of the tones is heard then."""
        self.press(key)
        frequency = None
        for _ in range(20):
            self.page.wait_for_timeout(200)
            before, frequency = frequency, self.heard()
            if frequency and frequency == before:  # on a busy machine sound may come late
                break
        return min(TONES.values(), key=lambda tone: abs(tone - frequency)) if frequency else 0

    def is_blind(self):
        return not any(name in self.root.evaluate("root => root.outerHTML") for name in SECRETS)

    def picture(self, name):
        """Pictures at two widths of the window, where somebody wants to look at them."""
        if not (folder := os.environ.get("WORKBOOK_SCREENSHOTS")):
            return
        Path(folder).mkdir(parents=True, exist_ok=True)
        before = self.page.viewport_size
        for width in (1280, 800):
            self.page.set_viewport_size({"width": width, "height": 1000})
            self.page.wait_for_timeout(400)
            self.root.screenshot(path=Path(folder) / f"{name}-{width}.png")
        self.page.set_viewport_size(before)


def answer_abx(listener, number, trials):
    """One trial by ear, with the keys alone."""
    listener.wait(f"Trial {number} of {trials}")
    listener.press("Enter")  # nothing is heard yet: no answer
    tones = {key: listener.hear(key) for key in "abx"}
    assert {tones["a"], tones["b"]} == {TONES["a"], TONES["b"]}
    listener.press("ArrowLeft" if tones["x"] == tones["a"] else "ArrowRight")
    assert listener.is_blind()
    listener.picture(f"abx-trial-{number}")
    listener.press("Enter")


def answer_mushra(listener, number, pages):
    listener.wait(f"Page {number} of {pages}")
    assert listener.hear("r") == TONES["reference"]
    for key in "123":
        tone = listener.hear(key)
        (name,) = [name for name in RATINGS if TONES[name] == tone]
        tens, ones = divmod(abs(RATINGS[name] - 50), 10)
        up = RATINGS[name] > 50
        listener.press(*["PageUp" if up else "PageDown"] * tens)
        listener.press(*["ArrowUp" if up else "ArrowDown"] * ones)
    assert listener.is_blind()
    listener.picture(f"mushra-page-{number}")
    listener.press("Enter")


def stand_in(folder):
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [v4.new_code_cell(cell.strip()) for cell in (SOUNDS, ABX, MUSHRA)]
    path = folder / "14_stand_in.ipynb"
    write(v4.new_notebook(cells=cells, metadata=metadata), path)
    return path


def restart_kernel(lab):
    lab.page.get_by_role("menuitem", name="Kernel", exact=True).click()
    lab.page.get_by_role("menuitem", name="Restart Kernel and Run All Cells").click()
    lab.page.get_by_role("button", name="Confirm Kernel Restart").click()


def test_both_tests_by_keyboard_over_a_reload_and_a_restart(open_in_lab, lab_server, tmp_path):
    lab = open_in_lab(stand_in(tmp_path))
    page = lab.page
    page.evaluate(TAP)
    page.add_init_script(TAP)  # for the page after the reload
    lab.run_all()
    cells = page.locator(".jp-Cell").count()

    abx = Listener(lab, "abx")
    abx.wait("4 trials")
    abx.root.click(position={"x": 5, "y": 5})
    practice = {key: abx.hear(key) for key in "abx"}
    # A button that was reached by Tab answers to Space and Enter, whatever they do elsewhere.
    by_tab = [("X is B", " ", "aria-checked"), ("X is A", "Enter", "aria-checked")]
    for name, key, state in (*by_tab, *[("Loop", " ", "aria-pressed")] * 2):
        focused = abx.root.get_by_text(name, exact=False).first
        before = focused.get_attribute(state)
        focused.focus()
        abx.press(key)
        assert focused.get_attribute(state) == ("false" if before == "true" else "true"), name
    abx.root.evaluate("root => root.focus()")
    abx.press("ArrowLeft", "Enter")
    abx.wait("Right: X was A." if practice["x"] == practice["a"] else "No: X was B.")
    abx.picture("abx-start")
    abx.root.get_by_role("button", name="Begin the test").click()
    for number in (1, 2):
        answer_abx(abx, number, 4)
    abx.wait("2 answers are stored.")

    mushra = Listener(lab, "mushra")
    mushra.picture("mushra-start")
    mushra.root.get_by_role("button", name="Begin the test").click()
    answer_mushra(mushra, 1, 2)
    mushra.wait("1 answer is stored.")
    # a, b, x and "d, d" are commands of JupyterLab, which insert, cut and delete cells: not here.
    # Saving is one, here too.
    mushra.press("d", "d")
    page.wait_for_timeout(300)
    assert page.locator(".jp-Cell").count() == cells
    mushra.press("Control+s")
    page.wait_for_function("() => !jupyterapp.shell.currentWidget.context.model.dirty")

    page.reload()  # the widgets come back from the kernel, without running a cell
    abx.wait("2 of 4 answered")
    abx.picture("abx-again")
    abx.root.get_by_role("button", name="Go on with the test").click()
    answer_abx(abx, 3, 4)
    abx.wait("3 answers are stored.")

    restart_kernel(lab)  # and from the file
    abx.wait("3 of 4 answered")
    abx.root.get_by_role("button", name="Go on with the test").click()
    answer_abx(abx, 4, 4)
    abx.wait("Finished")
    mushra.wait("1 of 2 answered")
    mushra.root.get_by_role("button", name="Go on with the test").click()
    answer_mushra(mushra, 2, 2)
    mushra.wait("Finished")
    for listener in (abx, mushra):
        listener.picture(f"{listener.root.get_attribute('class').split('-')[-1]}-end")
        assert not listener.is_blind()  # now the names are told
        assert "Switching takes" in listener.root.inner_text()

    # The listener could hear the difference, so all is right.
    answers = lab_server.notebooks / "answers"
    stored = listening.read(answers / "abx--you.jsonl")
    assert [line["trial"] for line in stored.answers()] == [0, 1, 2, 3]
    for line, trial in zip(stored.answers(), stored.design.trials, strict=True):
        assert line["choice"] == trial.right
        assert line["plays"] == {"A": 1, "B": 1, "X": 1} and line["switches"] == 2
        assert line["seconds"] > sum(line["listened"].values()) > 0.6
    print("switching took, in ms:", [line["switch_ms"] for line in stored.answers()])  # pytest -rP
    assert all(line["switch_ms"] > 0 for line in stored.answers())
    stored = listening.read(answers / "mushra--you.jsonl")
    for line, trial in zip(stored.answers(), stored.design.trials, strict=True):
        assert line["ratings"] == [RATINGS[name] for name in trial.order]
        assert line["plays"] == {"Reference": 1, "1": 1, "2": 1, "3": 1}


# The player alone, rendered offline: exact to the sample, and no clock in it.

RENDER = """async ([source, channels, rate, seconds, region, actions]) => {
  const module = await import(URL.createObjectURL(new Blob([source], {type: 'text/javascript'})));
  const context = new OfflineAudioContext(1, Math.round(seconds * rate), rate);
  const player = new module.Player(context);
  player.load(channels.map((samples) => Float32Array.from(samples)), rate);
  if (region) player.setRegion(...region);
  player.play(0);
  for (const [time, name, ...values] of actions) {
    context.suspend(time).then(() => {
      player[name](...values);
      context.resume().catch(() => {});
    });
  }
  return Array.from((await context.startRendering()).getChannelData(0));
}"""
RATE = 8000
QUANTUM = 128  # a browser computes sound in steps of so many samples
FADE = 0.002  # the time constant in player.js


@pytest.fixture
def render():
    """`render(channels, seconds, region, actions)`: what a listener would hear."""
    from lab_browser import Browser, chromium

    if not (program := chromium()):
        assert not os.environ.get("WORKBOOK_NEEDS_BROWSER"), "no Chromium here"
        pytest.skip("no Chromium or Chrome here")
    source = (FOLDER / "player.js").read_text()
    with Browser(program) as browser:
        page = browser.chromium.new_page()

        def rendered(channels, seconds=0.5, region=None, actions=()):
            plain = [np.asarray(samples, float).tolist() for samples in channels]
            given = [source, plain, RATE, seconds, region, list(actions)]
            return np.array(page.evaluate(RENDER, given))

        yield rendered


def at(step):
    """The time of a step of 128 samples, where a rendering can be halted."""
    return step * QUANTUM / RATE


def test_switching_between_equal_sounds_cannot_be_heard(render):
    sound = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE + 1)
    switches = [(at(10), "select", 1), (at(11), "select", 2), (at(12), "select", 0)]
    switches += [(at(20), "select", 2), (at(21), "setLoop", False), (at(24), "seek", at(24))]
    heard = render([sound] * 3, actions=switches)
    begun = 10 * QUANTUM  # the fade at the start is over
    # In step, and their gains add up to one also where a switch interrupts another.
    assert np.abs(heard - sound[: len(heard)])[begun:].max() < 1e-5
    late = [np.roll(sound, shift) for shift in (0, 1, 2)]
    assert np.abs(render(late, actions=switches) - sound[: len(heard)])[begun:].max() > 1e-2


def test_a_switch_is_a_short_crossfade_without_overshoot(render):
    heard = render([np.full(RATE, 0.5), np.full(RATE, -0.5)], actions=[(at(20), "select", 1)])
    moment = 20 * QUANTUM
    assert heard[moment - 1] == pytest.approx(0.5, abs=1e-4)
    after = np.arange(len(heard) - moment) / RATE
    assert heard[moment:] == pytest.approx(np.exp(-after / FADE) - 0.5, abs=0.01)
    assert np.diff(heard[moment:]).max() < 1e-6
    assert heard[moment + int(5 * FADE * RATE)] < -0.49


def test_a_part_is_played_again_and_again_in_step(render):
    ramp = np.arange(RATE) / RATE  # the sound tells where it is
    start, end = 0.125, 0.25
    heard = render([ramp, ramp], 1.0, (start, end), [(at(40), "select", 1)])
    place = start + (np.arange(len(heard)) / RATE) % (end - start)
    edge = 0.005 + 2 / RATE  # the part comes and goes
    inside = (place - start > edge) & (end - place > edge)
    inside[: 10 * QUANTUM] = False
    assert np.abs(heard - place)[inside].max() < 1e-4


def test_a_part_that_starts_again_does_not_click(render):
    """Its own steps are of 0.05 at most; without smooth edges the jump back is one of 0.5."""
    tone = 0.5 * np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE)
    heard = render([tone], 0.9, (0.1, 0.2025))
    assert np.abs(np.diff(heard)).max() < 0.06
    assert np.abs(heard[int(0.3 * RATE) :]).max() > 0.49


def test_without_the_loop_the_part_ends(render):
    heard = render([np.full(RATE, 0.5)], 0.6, (0.1, 0.3), [(at(1), "setLoop", False)])
    assert heard[int(0.15 * RATE)] == pytest.approx(0.5, abs=1e-3)
    assert np.abs(heard[int(0.21 * RATE) :]).max() == 0
