"""Files that appear whole or not at all."""

import os

import pytest

from labutils.whole_file import whole_file


def write(path, data, **options):
    with whole_file(path, **options) as temporary:
        temporary.write_bytes(data)


@pytest.mark.parametrize("durable", [False, True])
def test_the_file_appears_with_its_folder_and_nothing_beside_it(tmp_path, durable):
    path = tmp_path / "new" / "folder" / "a.onnx"
    write(path, b"old", durable=durable)
    write(str(path), b"new", durable=durable)
    assert path.read_bytes() == b"new" and os.listdir(path.parent) == ["a.onnx"]


def test_it_is_not_there_before_the_end_and_no_search_finds_it(tmp_path):
    path = tmp_path / "a.onnx"
    with whole_file(path) as temporary:
        temporary.write_bytes(b"half")
        assert not path.exists() and list(tmp_path.glob("*.onnx")) == []
    assert path.read_bytes() == b"half"


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.onnx"
    write(path, b"old")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.onnx"]


def test_a_name_that_can_not_be_given_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.onnx"
    write(path, b"old")

    def refuse(*names):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="No space"):
        write(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.onnx"]


def test_what_is_durable_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    order, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (order.append("disk"), fsync(number)))
    monkeypatch.setattr(os, "replace", lambda *names: (order.append("name"), replace(*names)))
    write(tmp_path / "a", b"x", durable=True)
    assert order == ["disk", "name"]
    write(tmp_path / "a", b"x")
    assert order == ["disk", "name", "name"]


def test_everybody_may_read_it(tmp_path):
    before = os.umask(0o022)
    try:
        write(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "a"
    with whole_file(path) as one, whole_file(path) as other:
        assert one != other
        one.write_bytes(b"one")
        other.write_bytes(b"other")
    assert path.read_bytes() == b"one" and os.listdir(tmp_path) == ["a"]
