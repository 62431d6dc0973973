"""What the cache hands to the builder, and which code belongs to the key of an engine."""

from types import SimpleNamespace

import pytest
from small_graphs import graph

from labutils.records.hashing import fingerprint
from labutils.trt import (
    BuildError,
    BuildOptions,
    EngineCache,
    Profile,
    build,
)
from labutils.trt import (
    cache as cache_module,
)

MACHINE = {"tensorrt": "8.6.1", "gpu": "NVIDIA H200"}
OPTIONS = BuildOptions(profiles=(Profile(frames=(32, 400, 1000)),))


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / "engines", machine=MACHINE)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "vocoder.onnx"
    path.write_bytes(graph().SerializeToString())
    return path


def two_arguments(source, options):
    return SimpleNamespace(plan=b"plan", seconds=1.0)


# Progress


def test_progress_is_told_while_an_engine_is_built_and_not_where_it_is_there(cache, tensorrt):
    tensorrt("11.4.0")
    told = []
    for hit in (False, True):
        found = cache.get(graph(), OPTIONS, progress=lambda *what: told.append(what))
        assert found.hit == hit
    assert [text.split(",")[0] for text, _ in told] == [
        "TensorRT starts", "reading the graph", "building", "built",
    ]  # fmt: skip
    assert all(seconds >= 0 for _, seconds in told)


def test_a_builder_gets_progress_only_where_it_is_given(cache):
    given = []

    def builder(source, options, **more):
        given.append(more)
        return two_arguments(source, options)

    cache.get(graph(), OPTIONS, builder, progress=print)
    cache.get(graph(name="other"), OPTIONS, builder)
    assert given == [{"progress": print}, {}]
    assert cache.get(graph(name="third"), OPTIONS, two_arguments).plan == b"plan"


def test_what_the_callback_raises_ends_the_build_and_leaves_nothing(cache, tensorrt):
    tensorrt("11.4.0")

    def stop(text, seconds):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.get(graph(), OPTIONS, progress=stop)
    assert not [p for p in cache.folder.iterdir() if p.suffix != ".lock"]


# The graph


def test_a_parsers_error_names_the_file(cache, path, tensorrt):
    tensorrt(parser_error=(0, "no importer"))
    with pytest.raises(BuildError, match="can not read vocoder.onnx: node conv_pre/Conv"):
        cache.get(path, OPTIONS)


def test_a_file_that_changes_meanwhile_does_not_spoil_the_cache(cache, path, tensorrt):
    tensorrt()
    content, built = path.read_bytes(), []

    def builder(source, options):
        path.write_bytes(graph(name="another").SerializeToString())
        built.append((source.data, build(source, options)))
        return built[-1][1]

    found = cache.get(path, OPTIONS, builder)
    ((data, engine),) = built
    assert data == content and engine.onnx_sha == found.facts["asked"]["onnx"]
    assert found.key == cache.key(content, OPTIONS) != cache.key(path, OPTIONS)
    assert found.facts["name"] == "vocoder.onnx"


# The code


def test_an_engine_of_earlier_code_is_built_again_and_told_of_in_the_list(cache, monkeypatch):
    first = cache.get(graph(), OPTIONS, two_arguments)
    assert cache.get(graph(), OPTIONS, two_arguments).hit
    monkeypatch.setitem(cache_module._CODE, "labutils.trt.build", "another hash")
    again = cache.get(graph(), OPTIONS, two_arguments)
    assert not again.hit and again.key != first.key
    states = {row["file"]: row["state"] for row in cache.entries()}
    assert states == {first.path.name: "whole, of earlier code", again.path.name: "whole"}


def test_the_code_is_what_decides_which_engine_tensorrt_is_asked_for():
    names = [f"labutils.trt.{name}" for name in ("build", "source", "versions")]
    assert cache_module._CODE == {name: fingerprint(name) for name in names}
