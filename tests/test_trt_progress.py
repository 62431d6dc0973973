"""How far a build is: what is told, how often, and what becomes of what the callback raises."""

import functools
import sys
import time

import pytest
from small_graphs import OPTIONS, graph

from labutils.trt import build, versions
from labutils.trt.progress import Progress


def test_progress_is_told_and_what_the_callback_raises_ends_the_build(tensorrt):
    tensorrt("11.4.0")
    told = []
    build(graph(), OPTIONS, progress=lambda text, seconds: told.append((text, seconds)))
    assert [text.split(",")[0] for text, _ in told] == [
        "TensorRT starts", "reading the graph", "building", "built",
    ]  # fmt: skip
    assert all(b >= a >= 0 for (_, a), (_, b) in zip(told, told[1:], strict=False))

    config, steps = type("Config", (), {})(), []
    monitor = versions.attach_progress(config, steps.append)
    monitor.phase_start("Timing", "", 2)
    assert config.progress_monitor is monitor and monitor.step_complete("Timing", 1)
    assert steps == ["Timing", "Timing: 2 of 2"]

    def stop(text):
        raise KeyboardInterrupt

    monitor = versions.attach_progress(config, stop)
    assert monitor.step_complete("Timing", 0) is False
    assert isinstance(monitor.error, KeyboardInterrupt)
    tensorrt("8.6.1")
    assert versions.attach_progress(config, stop) is False


def test_a_heartbeat_tells_while_tensorrt_is_silent_and_hands_on_what_the_callback_raises():
    told = []
    with Progress("x", lambda text, seconds: told.append(text), interval=0.01) as progress:
        with progress.heartbeat():
            time.sleep(0.2)
        seen = len(told)
        with progress.heartbeat(False):
            time.sleep(0.05)
    assert seen >= 3 and len(told) == seen and set(told) == {"building"}

    def stop(text, seconds):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Progress("x", stop, interval=0.01) as progress:
        with progress.heartbeat():
            time.sleep(0.1)


def test_steps_are_passed_over_where_the_last_was_told_a_moment_ago():
    told = []
    progress = Progress("x", lambda text, seconds: told.append(text), interval=1000)
    progress.stage("begin")
    for i in range(100):
        progress.step(str(i))
    assert told == ["begin"]
    progress.interval = 0
    progress.step("due")
    assert told == ["begin", "due"]


@pytest.mark.parametrize("version", ["10.16.1", "11.4.0"])
def test_what_is_raised_at_a_step_of_tensorrt_is_what_the_build_raises(
    tensorrt, monkeypatch, version
):
    """TensorRT only learns that the build has to end, and gives no engine."""
    tensorrt(version)
    module = sys.modules["labutils.trt.build"]  # labutils.trt.build is the function in it
    monkeypatch.setattr(module, "Progress", functools.partial(Progress, interval=0))

    def stop(text, seconds):
        if text.startswith("Timing: 2"):
            raise ZeroDivisionError("enough")

    with pytest.raises(ZeroDivisionError, match="enough"):
        build(graph(), OPTIONS, progress=stop)


@pytest.mark.parametrize(
    ("version", "wanted"), [("8.6.1", True), ("10.16.1", False), ("11.4.0", False)]
)
def test_only_where_tensorrt_does_not_tell_how_far_it_is_there_is_a_heartbeat(
    tensorrt, monkeypatch, version, wanted
):
    tensorrt(version)
    asked, heartbeat = [], Progress.heartbeat

    def noted(self, wanted=True):
        asked.append(bool(wanted))
        return heartbeat(self, wanted)

    monkeypatch.setattr(Progress, "heartbeat", noted)
    build(graph(), OPTIONS)
    assert asked == [wanted]
