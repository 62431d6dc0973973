"""Engines and timings kept in files: keys, damage, machines, two processes at once."""

import json
import logging
import os
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import onnx
import pytest
from small_graphs import graph

from labutils import ROOT
from labutils.locks import locked
from labutils.trt import (
    BuildError,
    BuildOptions,
    EngineCache,
    Profile,
    build,
    timing_cache,
)
from labutils.trt.sealed import SealError, is_sealed, read_header, seal, unseal

MACHINE = {"tensorrt": "8.6.1", "library": "8.6.0", "gpu": "NVIDIA H200", "capability": "9.0"}
OPTIONS = BuildOptions(profiles=(Profile(frames=(32, 400, 1000)),))


class Builder:
    """Counts its builds; each plan is another."""

    def __init__(self):
        self.calls = []

    def __call__(self, source, options):
        assert onnx.load_from_string(source.data).graph.node
        self.calls.append(options)
        plan = f"plan {len(self.calls)}".encode() * 1000
        return SimpleNamespace(plan=plan, seconds=12.5)


@pytest.fixture
def builder():
    return Builder()


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / "engines", machine=MACHINE)


# Sealed files


def test_a_sealed_file_gives_back_what_was_put_in(tmp_path):
    data = seal({"name": "vocoder é", "n": [1, 2]}, b"content")
    assert unseal(data) == ({"name": "vocoder é", "n": [1, 2], "bytes": 7}, b"content")
    (tmp_path / "file").write_bytes(data)
    assert read_header(tmp_path / "file")["name"] == "vocoder é"
    assert unseal(seal({}, b""))[1] == b""


def test_every_cut_and_every_changed_byte_is_noticed():
    data = seal({"name": "x"}, b"some content")
    assert is_sealed(data) and not is_sealed(b"ftrt")
    for length in range(len(data)):
        with pytest.raises(SealError, match="empty" if length == 0 else "cut short"):
            unseal(data[:length])
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 0x10
        with pytest.raises(SealError):
            unseal(bytes(changed))
    with pytest.raises(SealError, match="changed"):
        unseal(data + b"more")
    with pytest.raises(SealError, match="another format"):
        unseal(data[:6] + b"99" + data[8:])
    with pytest.raises(SealError, match="no file of this workbook"):
        unseal(b"ftrt" + data)


# The cache of engines


def test_an_engine_is_built_once_and_read_afterwards(cache, builder):
    first, second = (cache.get(graph(), OPTIONS, builder) for _ in range(2))
    assert len(builder.calls) == 1
    assert (first.hit, second.hit) == (False, True)
    assert first.plan == second.plan and first.path == second.path == cache.path(first.key)
    assert first.key == second.key == cache.key(graph(), OPTIONS)
    assert second.facts["build_seconds"] == 12.5 and second.facts["asked"]["machine"] == MACHINE
    assert "found" in second._repr_html_() and "built" in first._repr_html_()


def test_whatever_changes_the_engine_changes_its_key(cache, builder, tmp_path):
    keys = [
        cache.key(graph(), OPTIONS),
        cache.key(graph(name="other"), OPTIONS),
        cache.key(graph(), replace(OPTIONS, tf32=True)),
        cache.key(graph(), replace(OPTIONS, profiles=(Profile(frames=(32, 401, 1000)),))),
        *(
            EngineCache(tmp_path, machine=MACHINE | {k: "other"}).key(graph(), OPTIONS)
            for k in MACHINE
        ),
    ]
    assert len(set(keys)) == len(keys)
    assert cache.key(graph(), replace(OPTIONS, timing_cache=tmp_path / "t")) == keys[0]


@pytest.mark.parametrize("damage", ["cut", "flip", "swap", "empty", "other file", "header"])
def test_a_damaged_entry_is_told_in_one_line_and_built_again(cache, builder, damage, caplog):
    good = cache.get(graph(), OPTIONS, builder)
    data = bytearray(good.path.read_bytes())
    if damage == "swap":
        other = cache.get(graph(name="other"), OPTIONS, builder)
        data = other.path.read_bytes()
    elif damage == "flip":
        data[-100] ^= 1
    elif damage == "header":
        data[data.index(b"NVIDIA H200")] ^= 1
    else:
        data = {"cut": data[:-100], "empty": b"", "other file": b"<html>not found</html>"}[damage]
    good.path.write_bytes(data)
    builds = len(builder.calls)
    again = cache.get(graph(), OPTIONS, builder)
    assert not again.hit and len(builder.calls) == builds + 1 and again.plan != good.plan
    assert len(caplog.records) == 1 and "\n" not in caplog.records[0].message
    assert f"engine {good.path.name} is not used (" in caplog.records[0].message
    assert cache.get(graph(), OPTIONS, builder).hit


def test_an_entry_of_another_version_put_in_this_ones_place_is_not_used(cache, builder, caplog):
    mine = cache.get(graph(), OPTIONS, builder)
    older = EngineCache(cache.folder, machine=MACHINE | {"tensorrt": "8.5.0"})
    theirs = older.get(graph(), OPTIONS, builder)
    os.replace(theirs.path, mine.path)
    assert not cache.get(graph(), OPTIONS, builder).hit
    assert "the engine of something else" in caplog.text


def test_a_build_that_fails_leaves_nothing(cache):
    def fail(source, options):
        raise BuildError("no")

    with pytest.raises(BuildError):
        cache.get(graph(), OPTIONS, fail)
    assert cache.entries() == [] and not [p for p in cache.folder.iterdir() if p.suffix != ".lock"]


def test_an_engine_that_can_not_be_kept_is_still_given(cache, builder, monkeypatch, caplog):
    def refuse(*names):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    built = cache.get(graph(), OPTIONS, builder)
    assert built.plan and built.path is None and "was not kept" in caplog.text


def test_entries_are_rows_and_clear_deletes_only_engines(cache, builder):
    assert cache.entries() == [] and "empty" in cache._repr_html_()
    first = cache.get(graph(), OPTIONS, builder)
    second = cache.get(graph(name="other"), replace(OPTIONS, optimization_level=5), builder)
    second.path.write_bytes(second.path.read_bytes()[:-1])
    (cache.folder / "notes.txt").write_text("mine")
    rows = {row["file"]: row for row in cache.entries()}
    whole, damaged = rows[first.path.name], rows[second.path.name]
    assert (whole["state"], whole["level"], whole["frames"]) == ("whole", 3, ["32-400-1000"])
    assert (whole["build seconds"], whole["GPU"]) == (12.5, "NVIDIA H200")
    assert damaged["state"] == "damaged: cut short"
    assert "NVIDIA H200" in cache._repr_html_()
    assert cache.clear() == 2 and cache.entries() == []
    assert (cache.folder / "notes.txt").exists()


CHILD = """
import sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from types import SimpleNamespace
from test_trt_cache import MACHINE, OPTIONS, graph
from labutils.trt import EngineCache
folder = Path(sys.argv[1])

def slow(source, options):
    with (folder / "builds").open("a") as log:
        log.write("x")
    time.sleep(1.5)
    if sys.argv[3] == "dies":
        import os
        os._exit(9)
    return SimpleNamespace(plan=b"plan" * 1000, seconds=1.5)

(folder / f"ready-{sys.argv[4]}").touch()
while len(list(folder.glob("ready-*"))) < 2:
    time.sleep(0.01)
if sys.argv[3] == "waits":
    time.sleep(0.5)
found = EngineCache(folder / "engines", machine=MACHINE).get(graph(), OPTIONS, slow)
print(found.hit, len(found.plan))
"""


def children(folder, *roles):
    """Runs two processes that ask for the same engine at once; exit status and output of each."""
    tests = str(ROOT / "tests")
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(folder), tests, role, str(i)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        )
        for i, role in enumerate(roles)
    ]  # fmt: skip
    return [(p.communicate(timeout=120), p.returncode) for p in started]


def test_of_two_processes_one_builds_and_the_other_waits_for_it(tmp_path):
    done = children(tmp_path, "builds", "builds")
    assert [code for _, code in done] == [0, 0], done
    assert (tmp_path / "builds").read_text() == "x"
    assert sorted(out for (out, _), _ in done) == ["False 4000\n", "True 4000\n"]
    waiting = "another process builds the engine of the graph: waiting for it"
    assert sum(waiting in err for (_, err), _ in done) == 1


def test_where_the_builder_dies_the_one_that_waited_builds(tmp_path):
    (_, dead), ((out, err), code) = children(tmp_path, "dies", "waits")
    assert dead == 9 and code == 0, err
    assert out == "False 4000\n" and (tmp_path / "builds").read_text() == "xx"


def test_a_lock_ends_with_its_block_even_after_an_error(tmp_path):
    path, waited = tmp_path / "a" / ".lock", []
    with pytest.raises(ZeroDivisionError), locked(path):
        raise ZeroDivisionError
    with locked(path, lambda: waited.append(1)):
        pass
    assert not waited


# Timings


def test_timings_are_read_back_on_the_same_machine_only(tmp_path, caplog):
    path = tmp_path / "timings"
    assert timing_cache.read(path, MACHINE) == b"" and not caplog.records
    timing_cache.write(path, MACHINE, b"conv 1 ms")
    assert timing_cache.read(path, MACHINE | {"system": "other"}) == b"conv 1 ms"
    assert timing_cache.read(path, MACHINE | {"gpu": "NVIDIA L4"}) == b""
    assert "it is of another machine (gpu NVIDIA H200)" in caplog.text
    path.write_bytes(path.read_bytes()[:-1])
    assert timing_cache.read(path, MACHINE) == b""
    assert "timing cache timings is not used: cut short; this build starts anew" in caplog.text


def config_of(path, tensorrt):
    config = tensorrt().Builder(None).create_builder_config()
    return config, timing_cache.attach(config, path, MACHINE)


def test_a_build_adds_its_timings_to_those_that_others_wrote_meanwhile(tmp_path, tensorrt):
    path = tmp_path / "timings"
    timing_cache.write(path, MACHINE, b"before")
    config, kept = config_of(path, tensorrt)
    assert kept.entries_bytes == 6 and config.cache.data == b"before"
    timing_cache.write(path, MACHINE, b"before\nmeanwhile")
    config.cache.data += b"\nours"
    kept.save()
    lines = timing_cache.read(path, MACHINE).splitlines()
    assert sorted(lines) == [b"before", b"meanwhile", b"ours"]


def test_timings_that_tensorrt_refuses_are_left_out(tmp_path, monkeypatch, caplog, tensorrt):
    path = tmp_path / "timings"
    timing_cache.write(path, MACHINE, b"refused")
    config, kept = config_of(path, tensorrt)
    assert config.cache.data == b"" and kept.entries_bytes == 0
    assert "TensorRT refuses it" in caplog.text
    monkeypatch.setattr(type(config), "create_timing_cache", lambda self, data: None)
    config.cache.data = b"ours"
    kept.save()
    assert timing_cache.read(path, MACHINE) == b"ours"


def test_a_build_keeps_its_timings_and_without_a_path_none(tmp_path, monkeypatch, tensorrt):
    tensorrt("11.4.0")
    monkeypatch.setattr("labutils.trt.versions.machine_facts", lambda: MACHINE)
    path = tmp_path / "new" / "timings"
    build(graph(), replace(OPTIONS, timing_cache=path))
    assert timing_cache.read(path, MACHINE) == b"conv 1 ms"
    build(graph(), OPTIONS)
    assert sorted(os.listdir(path.parent)) == [".timings.lock", "timings"]


def test_a_real_build_function_fits_the_cache(cache, tensorrt):
    tensorrt("8.6.1")
    built = cache.get(graph(), OPTIONS)
    assert json.loads(built.plan[4:])["profiles"] == [[[1, 80, 32], [1, 80, 400], [1, 80, 1000]]]
    assert cache.get(graph(), OPTIONS).hit and built.seconds < time.perf_counter()
    assert logging.getLogger("labutils.trt").level == logging.NOTSET
