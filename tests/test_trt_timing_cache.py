"""Timing caches that the real trtexec shares: bytes without a seal, taken and kept as they are."""

import logging
from dataclasses import replace

import pytest
from small_graphs import OPTIONS, graph

from labutils.trt import build, timing_cache
from labutils.trt.sealed import is_sealed, unseal

MACHINE = {"tensorrt": "8.6.1", "library": "8.6.0", "gpu": "NVIDIA H200", "capability": "9.0"}


def attached(path, tensorrt):
    config = tensorrt().Builder(None).create_builder_config()
    return config, timing_cache.attach(config, path, MACHINE)


def test_the_real_tools_file_is_taken_and_stays_without_a_seal(tmp_path, caplog, tensorrt):
    path = tmp_path / "tc.bin"
    path.write_bytes(b"of trtexec")
    assert timing_cache.read(path, MACHINE) == b"of trtexec"
    config, kept = attached(path, tensorrt)
    assert config.cache.data == b"of trtexec" and kept.entries_bytes == 10
    config.cache.data += b"\nours"
    path.write_bytes(b"of trtexec\nmeanwhile")  # trtexec has built something else
    kept.save()
    assert sorted(path.read_bytes().splitlines()) == [b"meanwhile", b"of trtexec", b"ours"]
    assert not caplog.records
    assert sorted(file.name for file in tmp_path.iterdir()) == [".tc.bin.lock", "tc.bin"]


def test_a_build_leaves_the_real_tools_file_readable_to_it(tmp_path, monkeypatch, tensorrt):
    tensorrt("11.4.0")
    monkeypatch.setattr("labutils.trt.versions.machine_facts", lambda: MACHINE)
    path = tmp_path / "tc.bin"
    path.write_bytes(b"of trtexec")
    build(graph(), replace(OPTIONS, timing_cache=path))
    assert path.read_bytes() == b"of trtexec\nconv 1 ms"


def test_the_file_is_left_in_the_form_that_it_has_when_it_is_saved(tmp_path, tensorrt):
    path = tmp_path / "tc.bin"
    path.write_bytes(b"of trtexec")
    _, kept = attached(path, tensorrt)
    path.unlink()
    kept.save()
    assert path.read_bytes() == b"of trtexec"  # gone meanwhile: as it was
    timing_cache.write(path, MACHINE, b"sealed meanwhile")
    kept.save()
    assert unseal(path.read_bytes())[1].splitlines() == [b"of trtexec", b"sealed meanwhile"]
    path.write_bytes(b"raw again")
    kept.save()
    assert b"raw again" in path.read_bytes() and not is_sealed(path.read_bytes())


def test_bytes_that_tensorrt_refuses_are_told_and_replaced(tmp_path, caplog, tensorrt):
    path = tmp_path / "tc.bin"
    path.write_bytes(b"refused")
    config, kept = attached(path, tensorrt)
    assert config.cache.data == b"" and kept.entries_bytes == 0
    assert "timing cache tc.bin is not used: TensorRT refuses it" in caplog.text
    assert "of another GPU or version, or no timing cache" in caplog.text
    assert "this build starts anew" in caplog.text


@pytest.mark.parametrize("left", [1, 5, 6, 8, 40, 60, -1])
def test_a_sealed_file_cut_short_is_still_found_damaged(tmp_path, caplog, tensorrt, left):
    path = tmp_path / "tc.bin"
    timing_cache.write(path, MACHINE, b"before")
    path.write_bytes(path.read_bytes()[:left])
    config, kept = attached(path, tensorrt)
    assert config.cache.data == b""
    assert "timing cache tc.bin is not used: cut short; this build starts anew" in caplog.text
    config.cache.data = b"ours"
    kept.save()
    assert is_sealed(path.read_bytes()) and timing_cache.read(path, MACHINE) == b"ours"


def test_changed_bytes_of_a_sealed_file_are_found(tmp_path, caplog):
    path = tmp_path / "tc.bin"
    timing_cache.write(path, MACHINE, b"before")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert timing_cache.read(path, MACHINE) == b"" and "changed since it was" in caplog.text


def test_a_file_begun_empty_is_filled_for_the_real_tool(tmp_path, caplog, tensorrt):
    caplog.set_level(logging.INFO, "labutils.trt")
    path = tmp_path / "new" / "tc.bin"
    timing_cache.start_raw(path)
    config, kept = attached(path, tensorrt)
    assert [r.levelname for r in caplog.records] == ["INFO"] and "is empty" in caplog.text
    config.cache.data = b"ours"
    kept.save()
    assert path.read_bytes() == b"ours"
    timing_cache.start_raw(path)
    assert path.read_bytes() == b"ours"  # what is there stays


def test_a_place_where_no_file_can_be_is_no_error_yet(tmp_path, caplog, tensorrt):
    (tmp_path / "file").write_bytes(b"")
    timing_cache.start_raw(tmp_path / "file" / "tc.bin")
    _, kept = attached(tmp_path / "file" / "tc.bin", tensorrt)
    kept.save()
    assert "was not saved" in caplog.text


def test_without_a_file_the_cache_is_sealed(tmp_path, tensorrt):
    path = tmp_path / "tc.bin"
    config, kept = attached(path, tensorrt)
    config.cache.data = b"ours"
    kept.save()
    assert unseal(path.read_bytes())[1] == b"ours"
