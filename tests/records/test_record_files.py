"""Records as files: when and where they are written, their names, and damaged ones."""

import pytest
from record_parts import make_record, speed

from labutils import records
from labutils.records import RecordError, experiment
from labutils.records import files as record_files


def test_environment_variable_names_the_folder_of_records(folder, monkeypatch):
    monkeypatch.setenv("LABUTILS_RECORD", str(folder))
    first = speed(frames=10, dtype="float16")
    assert first.path.name.startswith("speed--frames=10--dtype=float16.")
    assert [path.name for path in folder.iterdir()] == [first.path.name]  # no temporary file left
    again = speed.recorded(10, dtype="float16")
    assert again.recorded and not again.stale and again.data == first.data
    assert again.caption.startswith("recorded on ")


def test_measure_saves_where_it_is_told(tmp_path):
    result = speed.measure(save=tmp_path / "elsewhere")
    assert result.path.parent == tmp_path / "elsewhere" and result.path.is_file()
    assert not speed.recorded().available


def test_a_write_that_fails_leaves_the_old_record_and_no_rest(folder, monkeypatch):
    path = speed.measure(save=folder).path
    before = path.read_text()

    def full(*paths):
        raise OSError("no space left on device")

    monkeypatch.setattr(record_files.os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        speed.measure(save=folder)
    assert path.read_text() == before and list(folder.iterdir()) == [path]


def test_defaults_are_not_part_of_the_name_and_arguments_tell_records_apart(folder):
    path = speed.measure(save=folder).path
    assert (
        path == speed.measure(100, save=folder).path == speed.measure(frames=100, save=folder).path
    )
    assert speed.recorded().available and not speed.recorded(frames=10).available
    other = speed.measure(frames=10, save=folder).path
    assert other != path and speed.recorded(frames=10)[0]["frames"] == 10


def test_arguments_become_file_names_that_every_system_takes(folder):
    @experiment("names")
    def names(a, b=None, flag=False):
        return 1

    for a in [
        "x/y",
        "..",
        'q"*?:<>|\\',
        "--",
        "a--b=1",
        0.5,
        [1, 8],
        {"k": [1, "/"]},
        "ä",
        "",
        True,
    ]:
        path = names.measure(a, flag=True, save=folder).path
        assert path.parent == folder and path.is_file()
        assert not set(path.name) & set('/\\:*?"<>|')
        assert names.recorded(a, flag=True).available
    assert len(list(folder.iterdir())) == 11
    long = names.measure("x" * 500, save=folder).path
    assert len(long.name) < 255 and names.recorded("x" * 500).available
    assert not names.recorded("x" * 499).available


def test_damaged_records_give_one_clear_line(folder, no_gpu):
    make_record(folder, speed, file="speed.nvidia-h200.json")
    path = folder / "speed.nvidia-h200.json"
    whole = path.read_text()
    broken = [
        whole[: len(whole) // 2],
        "",
        "[]",
        "{}",
        whole.replace("2.34", "NaN"),
        whole.replace('"format": 1', '"format": 99'),
        whole.replace('"provenance": {', '"provenance": [], "x": {'),
        whole.replace('"gpu": {"count": 1}', '"gpu": {"count": "many"}'),
        whole.replace('"covers": {}', '"covers": 7'),
        whole.replace('"machine": "nvidia-h200"', '"machine": null'),
        whole.replace('"data": {"ms": 2.34}', '"data": null'),
    ]
    for text in broken:
        assert text != whole
        path.write_text(text)
        result = speed.recorded()
        assert not result.available and result.damaged
        assert result.caption == "record damaged: speed.nvidia-h200.json"
        assert "\n" not in repr(result)
        assert "record damaged" in result._repr_html_()
        with pytest.raises(RecordError, match="speed.nvidia-h200.json"):
            records.read_record(path)
    path.write_bytes(b"\xff\xfe\x00")
    assert speed.recorded().damaged


def test_a_damaged_record_beside_a_whole_one_is_passed_over_and_named(folder, no_gpu):
    make_record(folder, speed, file="speed.nvidia-h200.json")
    (folder / "speed.nvidia-l4.json").write_text("{")
    result = speed.recorded()
    assert result.available and result["ms"] == 2.34
    assert "speed.nvidia-l4.json" in result.note
