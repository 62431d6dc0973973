"""A new Python for measurements that only work once in a process."""

import os

import pytest

from labutils import fresh_process
from labutils.fresh_process import FreshProcessError, in_fresh_process


def test_first_calls_are_made_in_another_process(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = in_fresh_process("first_calls", vocoder="hifigan-small", frames=2, calls=3)
    assert len(found["calls_ms"]) == 3 and min(found["calls_ms"]) > 0
    assert found["import_s"] > 0.05  # here PyTorch is loaded already: there it was not
    assert found["create_s"] > 0


def test_the_environment_is_added_and_arguments_arrive(monkeypatch):
    seen = {}

    class Done:
        returncode, stdout, stderr = 0, 'a line before\n{"peak": 1}\n', ""

    def run(command, **kwargs):
        seen.update(command=command, **kwargs)
        return Done

    monkeypatch.setattr(fresh_process.subprocess, "run", run)
    setting = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
    found = in_fresh_process("vary_lengths", environment=setting, vocoder="melgan", lengths=[3, 4])
    assert found == {"peak": 1}
    assert seen["command"][1:4] == ["-m", "labutils.fresh_process", "vary_lengths"]
    assert '"lengths": [3, 4]' in seen["command"][4]
    assert seen["env"] == {**os.environ, **setting}


def test_what_goes_wrong_there_is_told_here(monkeypatch):
    with pytest.raises(ValueError, match='no task "sleep": choose one of first_calls'):
        in_fresh_process("sleep")

    class Failed:
        returncode, stdout, stderr = 1, "", "Traceback\n  File x\nValueError: unknown vocoder"

    monkeypatch.setattr(fresh_process.subprocess, "run", lambda *a, **k: Failed)
    with pytest.raises(FreshProcessError, match="first_calls failed: ValueError: unknown vocoder"):
        in_fresh_process("first_calls", vocoder="x", frames=1)

    def too_long(command, **kwargs):
        raise fresh_process.subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(fresh_process.subprocess, "run", too_long)
    with pytest.raises(FreshProcessError, match="did not end within 7 s"):
        in_fresh_process("first_calls", timeout=7, vocoder="x", frames=1)
