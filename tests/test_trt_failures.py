"""Failures on purpose: rows of processes that answer, that die and that hang; the small graphs."""

import json
import subprocess
import sys

import onnx
import pytest
from small_graphs import OPTIONS, graph

from labutils.trt import build, failures


@pytest.fixture
def answer(monkeypatch):
    """Let the other process be `python -c source`; returns a function that sets the source."""
    real, source = subprocess.run, []

    def run(command, **kwargs):
        assert command[1:3] == ["-m", "labutils.trt.failures"]
        return real([sys.executable, "-c", source[-1], *command[3:]], **kwargs)

    monkeypatch.setattr(failures.subprocess, "run", run)
    return source.append


def test_a_row_tells_what_both_said(answer):
    said = ["Error Code 3:\n satisfyProfile", "Error Code 3: satisfyProfile", "another"]
    result = {"returned": "False", "said": said, "ours": "ProfileError: 1001 frames"}
    answer(f"print('TensorRT prints, too'); print({json.dumps(result)!r})")
    assert failures.provoke("profile-too-small", "a.plan") == {
        "failure": "one frame more than the profile",
        "TensorRT says": "Error Code 3: satisfyProfile; another",
        "it returns": "False",
        "labutils says": "ProfileError: 1001 frames",
    }


def test_long_messages_are_cut(answer):
    answer(f"print({json.dumps({'returned': 'None', 'said': ['x' * 5000], 'ours': ''})!r})")
    text = failures.provoke("unknown-operator", "a.plan")["TensorRT says"]
    assert 100 < len(text) < 500 and text.endswith("\N{HORIZONTAL ELLIPSIS}")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended with -11: no word"),
        ("raise MemoryError('all of it')", "ended with 1: MemoryError: all of it"),
        ("import time; time.sleep(60)", "nothing within 0.5 s"),
    ],
)
def test_a_process_that_dies_or_hangs_is_a_row(answer, source, words):
    answer(source)
    row = failures.provoke("cut-short", "a.plan", timeout=0.5 if "sleep" in source else 60)
    assert words in row["it returns"] and row["TensorRT says"] == ""


def test_one_that_dies_does_not_stop_the_others(answer):
    answer("import sys; sys.exit(sys.argv[1])")
    rows = failures.provoke_all("a.plan")
    assert len(rows) == len(failures.FAILURES) >= 5
    assert all(name in row["it returns"] for name, row in zip(failures.FAILURES, rows, strict=True))


def test_unknown_failures_are_refused():
    with pytest.raises(ValueError, match='no failure "earthquake": choose one of profile-too-sm'):
        failures.provoke("earthquake", "a.plan")


def test_a_changed_version_is_refused_as_one_and_called_changed(tensorrt):
    tensorrt("8.6.1")
    told = failures._other_version(build(graph(), OPTIONS).plan)
    assert told["returned"] == "deserialize_cuda_engine returned None"
    assert "Version tag does not match" in told["said"][-1]
    assert "EngineError: " in told["ours"] and "another version of TensorRT" in told["ours"]
    failure = failures.FAILURES["other-version"]
    assert "was changed (one bit)" in failure.title and "names another" in failure.means


def test_a_plan_without_a_version_is_no_success(tensorrt, monkeypatch):
    tensorrt("8.6.1")
    monkeypatch.setattr(failures, "_load", lambda plan, said: (None, "an engine"))
    told = failures._other_version(build(graph(), OPTIONS).plan)
    assert (
        told["said"] == [] and "no byte of the header was taken for a version" in told["returned"]
    )


def test_the_known_graph_is_a_dynamic_model_and_the_unknown_one_fails_by_its_operator_only():
    known = failures._graph("Tanh")
    onnx.checker.check_model(known)
    assert known.graph.input[0].type.tensor_type.shape.dim[2].dim_param == "frames"
    with pytest.raises(onnx.checker.ValidationError, match="FusedSnake"):
        onnx.checker.check_model(failures._graph("FusedSnake"))


def test_the_picture_of_an_engine_says_what_it_shows():
    from labutils.trt.pictures import engine_picture

    drawn = engine_picture()
    assert "plan" in drawn.alt and "context" in drawn.alt
    assert "<img" in drawn._repr_html_()
