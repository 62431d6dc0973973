"""trtexec's JSON files: times of queries and of layers, written, read, damaged, missing."""

import json

import pytest
from trtexec_parts import trace

from labutils.trt.trtexec import exports


def test_files_of_times_and_profiles_read_back(tmp_path):
    found = [trace(2.0 * i) for i in range(3)]
    path = exports.write_times(tmp_path / "times.json", found)
    assert exports.read_times(path) == found
    row = json.loads(path.read_text())[0]
    assert list(row) == [
        "startEnqMs", "endEnqMs", "startH2dMs", "endH2dMs", "startComputeMs", "endComputeMs",
        "startD2hMs", "endD2hMs", "h2dMs", "computeMs", "d2hMs", "latencyMs",
    ]  # fmt: skip
    assert row["latencyMs"] == pytest.approx(1.2)
    runs = [{"a": 1.0, "b": 3.0}, {"a": 2.0, "b": 2.0}, {"a": 3.0, "b": 1.0}]
    count, rows = exports.read_profile(exports.write_profile(tmp_path / "p.json", runs))
    assert count == 3 and [row["name"] for row in rows] == ["a", "b"]
    assert rows[0] == {
        "name": "a", "timeMs": 6.0, "averageMs": 2.0, "medianMs": 2.0, "percentage": 50.0
    }  # fmt: skip
    assert sorted(file.name for file in tmp_path.iterdir()) == ["p.json", "times.json"]


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "times.json"
    for text, words in (("[{", "no JSON"), ("{}", "a list"), ('[{"startEnqMs": 1}]', "missing")):
        path.write_text(text)
        with pytest.raises(exports.ExportError, match=f"times.json.*{words}"):
            exports.read_times(path)
    path.write_text("[]")
    with pytest.raises(exports.ExportError, match="exportProfile"):
        exports.read_profile(path)


@pytest.mark.parametrize("read", [exports.read_times, exports.read_profile])
def test_a_file_that_is_not_there_is_named(read, tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(exports.ExportError, match=f"{path.name} can not be read"):
            read(path)
