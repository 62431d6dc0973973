"""Failures on purpose with a real engine: what TensorRT says is in the rows."""

import pytest

from labutils import environment
from labutils.trt import failures, versions

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not environment.has("tensorrt"), reason="needs TensorRT and a GPU"),
]


@pytest.mark.parametrize(
    ("name", "words", "returned", "ours"),
    [
        ("profile-too-small", "profile", "False", "ProfileError: no profile holds batch 1, 401"),
        ("cut-short", "", "None", "EngineError"),
        ("unknown-operator", "FusedSnake", "False", "FusedSnake"),
        ("no-profile", "profile", "None", "BuildError: no profile"),
        pytest.param("out-of-memory", "memory", "None", "EngineError", marks=pytest.mark.alone),
    ],
)
def test_what_is_said_and_returned(small_engine_fp16, tmp_path, name, words, returned, ours):
    row = failures.provoke(name, small_engine_fp16.save(tmp_path / "small.plan"))
    assert words in row["TensorRT says"] and row["TensorRT says"]
    assert returned in row["it returns"]
    assert ours in row["labutils says"]


@pytest.mark.alone
def test_a_plan_whose_version_was_changed_is_answered(small_engine_fp16, tmp_path):
    row = failures.provoke("other-version", small_engine_fp16.save(tmp_path / "small.plan"))
    assert "the process ended" not in row["it returns"], row
    if not versions.types_from_graph():  # where newer versions keep it has not been seen
        assert "version" in row["TensorRT says"].lower() and "None" in row["it returns"], row
        assert "another version of TensorRT" in row["labutils says"], row
