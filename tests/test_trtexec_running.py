"""The real trtexec, run from Python: its lines, its verdict, its end. Shell scripts play it."""

import shlex
import time

import pytest
from trtexec_parts import LOGS

from labutils.trt import trtexec
from labutils.trt.trtexec import running

HEAD = "TensorRT.trtexec [TensorRT v101602] [b10] # trtexec --loadEngine=a"
LONG = 20  # seconds that nothing here may wait


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """`tool(script)` puts a shell script in the place of trtexec; returns its path."""
    path = tmp_path / "trtexec"
    monkeypatch.setattr(running, "tool", lambda name: path)

    def write(script):
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return write


def test_a_real_trtexec_is_used_where_there_is_one(tool, monkeypatch):
    path = tool(f'cat "{LOGS / "timing.log"}"')
    run = trtexec.run(["--loadEngine=v2.plan"])
    assert run.tool == "trtexec" and run.passed and run.summary.throughput_qps == 1339.48
    assert run.summary.errors == [] and trtexec.find() == path
    monkeypatch.setattr(running, "tool", lambda name: None)
    with pytest.raises(FileNotFoundError, match="no trtexec here"):
        trtexec.run([], real=True)


def test_a_run_of_10_or_11_is_read(tool):
    tool(f'echo "&&&& RUNNING {HEAD}"; echo "[09/08/2026-10:20:22] [I] Throughput: 5 qps"\n'
         f'echo "&&&& PASSED {HEAD}"')  # fmt: skip
    run = trtexec.run(["--loadEngine=a"])
    assert run.passed and run.summary.version == "10.16.2" and run.summary.throughput_qps == 5
    assert run.summary.errors == []


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 139", "status 139 and without a verdict"),
        ("exit 0", "no log of trtexec: it ended with status 0 and without a verdict"),
        ("echo something else", "no log of trtexec: it ended with status 0"),
        (f'echo "&&&& RUNNING {HEAD}"', "it ended with status 0 and without a verdict"),
        (f'echo "&&&& RUNNING {HEAD}"; echo "&&&& PASSED {HEAD}"; exit 139',
         "status 139 after it had said PASSED"),
    ],
)  # fmt: skip
def test_an_end_without_a_verdict_is_an_error(tool, script, words):
    tool(script)
    run = trtexec.run(["--loadEngine=a"])
    assert not run.passed and words in run.summary.errors[-1] and words in repr(run)


def test_help_needs_no_verdict(tool):
    tool('echo "&&&& RUNNING TensorRT.trtexec [TensorRT v110000] [b114] # trtexec --help"')
    for flag in ("--help", "-h"):
        run = trtexec.run([flag])
        assert run.passed and run.summary.errors == [] and run.summary.version == "11.0.0"


def test_a_run_that_fails_is_no_exception(tool):
    tool(f'echo "&&&& RUNNING {HEAD}"; echo "[E] no"; echo "&&&& FAILED {HEAD}"; exit 1')
    run = trtexec.run(["--loadEngine=a"])
    assert not run.passed and run.summary.passed is False and run.summary.errors == ["no"]


def test_lines_are_shown_while_it_runs(tool, tmp_path):
    seen = tmp_path / "seen"
    # It goes on only when its first line has been shown.
    tool(f'echo "&&&& RUNNING {HEAD}"\n'
         f"n=0; while [ ! -e {shlex.quote(str(seen))} ]; do\n"
         '  n=$((n+1)); [ $n -gt 200 ] && exit 3; sleep 0.05\ndone\n'
         f'echo "&&&& PASSED {HEAD}" >&2')  # fmt: skip
    shown = []

    def show(line):
        shown.append(line)
        seen.touch()

    run = trtexec.run(["--loadEngine=a"], show=show)
    assert run.passed, run.text
    assert shown == [f"&&&& RUNNING {HEAD}", f"&&&& PASSED {HEAD}"] == run.text.splitlines()


@pytest.mark.parametrize(
    "script",
    [
        f"echo first; sleep {LONG}",
        f"echo first; sleep {LONG} & wait",  # the child holds the other end of the pipe
        f"echo first; exec >&- 2>&-; sleep {LONG}",  # nobody does
    ],
)
def test_it_is_stopped_when_its_time_is_over(tool, script):
    tool(script)
    start, shown = time.monotonic(), []
    with pytest.raises(TimeoutError, match="stopped after 0.5 s"):
        trtexec.run(["--loadEngine=a"], timeout=0.5, show=shown.append)
    assert 0.4 < time.monotonic() - start < LONG / 2 and shown == ["first"]


def test_it_is_stopped_when_showing_fails(tool, tmp_path):
    tool(f"echo first; sleep 1; touch {shlex.quote(str(tmp_path / 'went on'))}; sleep {LONG}")

    def show(line):
        raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        trtexec.run(["--loadEngine=a"], show=show)
    assert time.monotonic() - start < LONG / 2
    time.sleep(1.2)
    assert not (tmp_path / "went on").exists()


def test_bytes_that_are_no_text_do_not_end_the_run(tool):
    tool(f"""echo "&&&& RUNNING {HEAD}"; printf '\\377\\n'; echo "&&&& PASSED {HEAD}" """)
    assert trtexec.run(["--loadEngine=a"]).passed
