"""Engines built in a process of their own: results, errors, and builds that never end."""

import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from labutils.engines import building
from labutils.engines.building import Builder, Built
from labutils.trt import BuildError, BuildOptions, Profile

OPTIONS = BuildOptions((Profile.fixed(7),))


def work(onnx, options, folder):
    """What the other process does in place of a build, by the file's name."""
    name = Path(onnx).name
    if name == "sleeps":
        time.sleep(60)
    if name == "dies":
        os._exit(3)
    if name == "refused":
        raise BuildError("node conv_pre/Conv:\nno")
    if name == "odd":
        raise KeyError("what")
    path = Path(folder) / f"{os.getpid()}"
    path.write_text(name)
    return Built(path, 1.5, options.optimization_level == 4)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with Builder(tmp_path_factory.mktemp("engines"), work=work) as builder:
        yield builder


def test_one_other_process_builds_all(made):
    first = made.build("a", OPTIONS, seconds=60)
    second = made.build("b", replace(OPTIONS, optimization_level=4), seconds=60)
    assert first.path == second.path != made.folder / f"{os.getpid()}"
    assert (first.seconds, first.kept, second.kept) == (1.5, False, True)
    assert second.path.read_text() == "b"


def test_errors_of_the_other_process_are_told_here(made):
    with pytest.raises(BuildError, match="^node conv_pre/Conv: no$"):
        made.build("refused", OPTIONS, seconds=60)
    with pytest.raises(BuildError, match="KeyError: 'what'"):
        made.build("odd", OPTIONS, seconds=60)


def test_after_a_build_that_failed_another_process_builds(made):
    before = made.build("a", OPTIONS, seconds=60).path  # named by the process
    with pytest.raises(BuildError):
        made.build("refused", OPTIONS, seconds=60)
    assert made.build("a", OPTIONS, seconds=60).path != before


def test_a_build_that_takes_too_long_is_stopped_and_the_next_one_works(made, monkeypatch):
    before = made.build("a", OPTIONS, seconds=60).path
    begin = time.monotonic()
    with pytest.raises(TimeoutError, match="not built within 0 s"):
        made.build("sleeps", OPTIONS, seconds=0.2)
    assert time.monotonic() - begin < 10
    assert made.build("a", OPTIONS, seconds=60).path != before


def test_a_process_that_dies_is_an_error_not_the_end(made):
    with pytest.raises(BuildError, match="ended with status 3"):
        made.build("dies", OPTIONS, seconds=60)
    assert made.build("a", OPTIONS, seconds=60).path.exists()


def test_closing_a_builder_that_never_built(tmp_path):
    Builder(tmp_path).close()


def test_the_seconds_of_an_engine_from_the_cache_are_those_of_its_build(tmp_path, monkeypatch):
    cached = SimpleNamespace(
        path=tmp_path / "e", seconds=0.01, hit=True, facts={"build_seconds": 77.0}
    )
    monkeypatch.setattr(
        building, "EngineCache", lambda folder: SimpleNamespace(get=lambda onnx, options: cached)
    )
    assert building.build_kept(Path("x"), OPTIONS, tmp_path) == Built(tmp_path / "e", 77.0, True)
    cached.path = None
    with pytest.raises(BuildError, match="could not be written"):
        building.build_kept(Path("x"), OPTIONS, tmp_path)
