"""Processes that share a GPU: the others stand still while one measures; nobody is forgotten."""

import os
import signal
import subprocess
import sys
import time

import pytest

from labutils import records
from labutils.benchmark.quiet import FOLDER, Sharing, groups_of, quiet, send

pytestmark = pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")

# Counts in a file, in a child of its own, as a step does whose engines another process builds.
COUNT = """
import subprocess, sys
subprocess.run([sys.executable, "-c", '''
import os, sys, time
number = 0
while True:
    number += 1
    with open(sys.argv[1] + ".new", "w") as file:
        file.write(str(number))
    os.replace(sys.argv[1] + ".new", sys.argv[1])  # whole, wherever it is stopped
    time.sleep(0.005)
''', sys.argv[1]])
"""
MEASURE = """
import sys, time
from pathlib import Path
from labutils.benchmark.quiet import quiet
with quiet():
    Path(sys.argv[1]).write_text("begun")
    time.sleep(float(sys.argv[2]))
    Path(sys.argv[1]).write_text("ended")
time.sleep(60)
"""
IN_ANOTHER = """
import subprocess, sys
subprocess.run([sys.executable, "-c", {!r}, *sys.argv[1:]], start_new_session=True)
"""


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """`shared(code, *arguments)` starts a step on the shared GPU; they end with the test."""
    monkeypatch.setenv(FOLDER, str(tmp_path / "gpu"))
    sharing = Sharing(tmp_path / "gpu")
    started = []

    def start(code, *arguments):
        with sharing.unless_quiet() as free:
            if not free:
                return False
            words = [sys.executable, "-c", code, *map(str, arguments)]
            started.append(subprocess.Popen(words, start_new_session=True))
            sharing.enter(started[-1].pid)
            return started[-1]

    start.sharing = sharing
    start.file = tmp_path / "file"
    yield start
    for process in started:
        if process.poll() is None:
            send(groups_of(process.pid), signal.SIGKILL)
            process.wait()


def counted(path):
    """What a step that counts has come to, once it has begun."""
    return int(wait_for(lambda: path.exists() and path.read_text()))


def wait_for(look, seconds=20):
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)
    return found


def stands_still(path):
    first = counted(path)
    time.sleep(0.2)
    return counted(path) == first


def test_the_others_stand_still_while_one_measures_and_go_on_after(shared):
    shared(COUNT, shared.file)
    assert counted(shared.file) and not stands_still(shared.file)
    with quiet():
        assert stands_still(shared.file)
        with quiet():
            pass
        assert stands_still(shared.file)  # the inner block has not woken them
    assert not stands_still(shared.file)


def test_what_a_step_started_in_a_group_of_its_own_stands_still_too(shared):
    """As the kernel of a notebook does."""
    shared(COUNT.replace(", sys.argv[1]])", ", sys.argv[1]], start_new_session=True)"), shared.file)
    assert counted(shared.file) and not stands_still(shared.file)
    with quiet():
        assert stands_still(shared.file)
    assert not stands_still(shared.file)


def test_who_measures_in_a_group_of_its_own_stops_the_others_and_not_itself(shared, tmp_path):
    shared(COUNT, shared.file)
    counted(shared.file)
    other = tmp_path / "other"
    shared(IN_ANOTHER.format(MEASURE), other, 1.0)
    wait_for(lambda: other.exists() and other.read_text() == "begun")
    assert stands_still(shared.file)
    wait_for(lambda: other.read_text() == "ended")
    wait_for(lambda: not stands_still(shared.file))


def test_they_go_on_after_a_failure(shared):
    shared(COUNT, shared.file)
    counted(shared.file)
    with pytest.raises(ZeroDivisionError), quiet():
        1 / 0  # noqa: B018
    assert not stands_still(shared.file)


def test_one_measures_after_the_other(shared, tmp_path):
    other = tmp_path / "other"
    shared(MEASURE, other, 1.0)
    wait_for(lambda: other.exists() and other.read_text() == "begun")
    with quiet():
        assert other.read_text() == "ended"


def test_nothing_begins_while_one_measures(shared):
    with quiet():
        assert shared(COUNT, shared.file) is False
    assert shared(COUNT, shared.file).pid in shared.sharing.steps()


def test_who_ends_while_it_measures_leaves_nobody_stopped(shared, tmp_path):
    shared(COUNT, shared.file)
    counted(shared.file)
    process = shared(MEASURE, tmp_path / "other", 60)
    wait_for((tmp_path / "other").exists)
    assert stands_still(shared.file)
    process.kill()
    process.wait()
    shared.sharing.leave(process.pid)
    assert not stands_still(shared.file)
    assert process.pid not in shared.sharing.steps()


def test_a_gpu_of_ones_own_needs_no_folder(monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)
    with quiet(), quiet():
        pass


def test_an_experiment_of_a_notebook_is_measured_undisturbed(shared):
    shared(COUNT, shared.file)
    counted(shared.file)

    def still():
        return stands_still(shared.file)

    packages_own = records.experiment("00-still")(still)
    assert packages_own.measure().data is False
    still.__module__ = "__main__"  # as in a cell
    assert records.experiment("00-still")(still).measure().data is True
    assert not stands_still(shared.file)
