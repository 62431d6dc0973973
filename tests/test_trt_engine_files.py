"""Folders of engines that can not be written or locked, and what killed processes left in them."""

import errno
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from small_graphs import graph

from labutils import ROOT, locks
from labutils.trt import BuildOptions, EngineCache, Profile

MACHINE = {"tensorrt": "8.6.1", "gpu": "NVIDIA H200"}
OPTIONS = BuildOptions(profiles=(Profile(frames=(32, 400, 1000)),))


def builder(source, options):
    return SimpleNamespace(plan=b"plan" * 100, seconds=1.5)


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / "engines", machine=MACHINE)


@pytest.fixture
def no_locks(monkeypatch):
    def flock(file, how):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    locks._tell_no_locks.cache_clear()


def leavings(cache):
    return sorted(cache.folder.glob(".*.engine.*.*"))


# Folders


@pytest.mark.parametrize("where", ["a file/engines", "/proc/engines"])
def test_a_folder_that_can_not_be_written_costs_a_line_and_no_engine(tmp_path, caplog, where):
    (tmp_path / "a file").write_text("")
    cache = EngineCache(tmp_path / where, machine=MACHINE)
    built = cache.get(graph(), OPTIONS, builder)
    assert built.plan == b"plan" * 100 and built.path is None and not built.hit
    (record,) = caplog.records
    assert record.message.startswith(f"engines can not be kept in {tmp_path / where}: ")
    assert "\n" not in record.message and "Errno" not in record.message
    assert cache.entries() == [] and cache.clear() == 0


def test_what_the_builder_raises_is_not_taken_for_the_folders_fault(cache):
    def fail(source, options):
        raise OSError("the builder's own")

    with pytest.raises(OSError, match="the builder's own"):
        cache.get(graph(), OPTIONS, fail)


def test_where_there_are_no_locks_engines_are_kept_all_the_same(cache, caplog, no_locks):
    built, found = (cache.get(graph(), OPTIONS, builder) for _ in range(2))
    assert (built.hit, found.hit) == (False, True) and built.path == found.path
    (record,) = caplog.records
    assert "no locks in" in record.message


def test_an_engine_is_on_the_disk_before_it_has_its_name(cache, monkeypatch):
    order, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (order.append("disk"), fsync(number)))
    monkeypatch.setattr(os, "replace", lambda *names: (order.append("name"), replace(*names)))
    cache.get(graph(), OPTIONS, builder)
    assert order == ["disk", "name"]


# What killed processes left

KILLED = """
import os, sys
sys.path.insert(0, sys.argv[2])
os.fsync = lambda number: os._exit(9)  # the file is written and has no name yet
from test_trt_engine_files import MACHINE, OPTIONS, builder, graph
from labutils.trt import EngineCache
EngineCache(sys.argv[1], machine=MACHINE).get(graph(), OPTIONS, builder)
"""


@pytest.fixture
def left(cache):
    """The file that a process left which was killed while it wrote an engine."""
    command = [sys.executable, "-c", KILLED, str(cache.folder), str(ROOT / "tests")]
    assert subprocess.run(command, cwd=ROOT, timeout=120).returncode == 9
    (path,) = leavings(cache)
    assert path.stat().st_size > 400
    return path


def test_what_a_killed_process_left_goes_with_the_next_engine(cache, left):
    cache.get(graph(name="other"), OPTIONS, builder)
    assert left.exists(), "it is of another engine, which may be written now"
    cache.get(graph(), OPTIONS, builder)
    assert not leavings(cache) and len(cache.entries()) == 2


def test_clear_deletes_what_a_killed_process_left(cache, left):
    (cache.folder / ".notes.engine.txt").write_text("mine")
    assert cache.clear() == 0 and not left.exists()
    assert (cache.folder / ".notes.engine.txt").exists()


def test_clear_leaves_what_another_process_writes(cache, left):
    lock = cache.folder / f".{left.name.split('.')[1]}.lock"
    assert lock.exists()
    with locks.locked(lock):
        cache.clear()
        assert left.exists()
    cache.clear()
    assert not left.exists()


def test_without_locks_only_what_is_old_is_deleted(cache, left, no_locks):
    cache.clear()
    cache.get(graph(), OPTIONS, builder)
    assert left.exists(), "another process may write it now"
    hours_ago = time.time() - 2 * 3600
    os.utime(left, (hours_ago, hours_ago))
    cache.clear()
    assert not left.exists()
