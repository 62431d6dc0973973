"""Loading engines and their contexts, with a stand-in for TensorRT."""

import enum
import json
import weakref

import numpy as np
import pytest
from small_graphs import OPTIONS, graph

from labutils.trt import (
    BuildOptions,
    EngineError,
    Profile,
    build,
    load_engine,
    versions,
)
from labutils.trt.sealed import seal


def test_an_engine_says_what_it_takes(tensorrt, tmp_path, monkeypatch):
    for version in ("8.6.1", "10.16.1", "11.4.0"):
        tensorrt(version)
        built = build(graph(), OPTIONS)
        path = built.save(tmp_path / "vocoder.plan")
        for plan in (built, built.plan, path, str(path)):
            with load_engine(plan) as engine:
                assert (engine.input, engine.output, engine.n_mels) == ("mel", "audio", 80)
                assert engine.profiles == list(OPTIONS.profiles)
                assert engine.dtype("mel") == np.float32 and engine.dtype("audio") == np.float16
                assert engine.scratch_bytes == 12345 and engine.plan_bytes == len(built.plan)
                assert engine.new_context().active_optimization_profile == 0
            with pytest.raises(EngineError, match="closed"):
                _ = engine.engine
    sealed = tmp_path / "cached.engine"
    sealed.write_bytes(seal({}, built.plan))
    assert load_engine(sealed).plan_bytes == len(built.plan)
    sealed.write_bytes(sealed.read_bytes()[:-3])
    with pytest.raises(EngineError, match=r"cached.engine is damaged \(cut short\): build"):
        load_engine(sealed)


def test_contexts_are_set_to_their_profile_and_what_fails_is_quoted(tensorrt, monkeypatch):
    stand_in = tensorrt()
    monkeypatch.setattr("torch.cuda.synchronize", lambda: None)
    built = build(graph(), BuildOptions((Profile.fixed(8), Profile.fixed(16))))
    engine = load_engine(built)
    assert engine.new_context(1).active_optimization_profile == 1
    with pytest.raises(IndexError, match="profile 2: the engine has 2"):
        engine.new_context(2)
    context = type(engine.engine.create_execution_context())

    def refuse(self, index, stream):
        raise RuntimeError("Error in set optimization profile async.")

    monkeypatch.setattr(context, "set_optimization_profile_async", refuse)
    with pytest.raises(EngineError, match="can not use profile 1: Error in set optimization"):
        engine.new_context(1)
    plan = json.loads(built.plan[4:]) | {"full": True}
    full = load_engine(b"plan" + json.dumps(plan).encode())
    with pytest.raises(EngineError, match="can not make a context: Out of memory"):
        full.new_context()
    assert stand_in.seen


@pytest.mark.parametrize("fails", ["profile", "wait"])
def test_a_context_that_can_not_be_used_goes_though_its_error_is_kept(tensorrt, monkeypatch, fails):
    tensorrt()
    engine, contexts = load_engine(build(graph(), BuildOptions((Profile.fixed(8),) * 2))), []
    create = engine.engine.create_execution_context

    def noted():
        context = create()
        contexts.append(weakref.ref(context))
        return context

    def broken(*unused):
        raise RuntimeError("an illegal memory access")

    engine.engine.create_execution_context = noted
    monkeypatch.setattr("torch.cuda.synchronize", broken if fails == "wait" else lambda: None)
    if fails == "profile":
        monkeypatch.setattr(type(create()), "set_optimization_profile_async", broken)
    with pytest.raises(RuntimeError, match="an illegal memory access") as caught:
        engine.new_context(1)
    assert caught.value is not None and [context() for context in contexts] == [None]


def test_the_type_of_a_tensor_is_numpys_or_an_error(tensorrt):
    tensorrt()
    engine = load_engine(build(graph(), OPTIONS))
    kind = enum.IntEnum("DataType", {"BF16": 7}).BF16
    engine.engine.get_tensor_dtype = lambda name: kind
    with pytest.raises(EngineError, match="^mel is BF16, which numpy does not have$"):
        engine.dtype("mel")
    engine.close()
    with pytest.raises(EngineError, match="the engine is closed"):
        engine.dtype("mel")


def test_an_engine_of_one_shape_has_that_shape_as_its_profile(tensorrt):
    tensorrt()
    plan = json.loads(build(graph(), OPTIONS).plan[4:])
    plan |= {"shape": [2, 80, 50], "profiles": [[[-1], [-1], [-1]]]}
    assert load_engine(b"plan" + json.dumps(plan).encode()).profiles == [Profile.fixed(50, 2)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": "10.0.0"}, "it was built by another version of TensorRT"),
        ({"device": "elsewhere"}, "it was built for another GPU"),
        ("cut", "it is cut short or damaged"),
        ("other", "it is no TensorRT engine, or its beginning is damaged"),
    ],
)
def test_a_plan_from_elsewhere_is_refused_with_the_reason(tensorrt, tmp_path, change, reason):
    tensorrt()
    plan = build(graph(), OPTIONS).plan
    if change == "cut":
        plan = plan[:-10]
    elif change == "other":
        plan = b"%PDF" + plan
    else:
        plan = b"plan" + json.dumps(json.loads(plan[4:]) | change).encode()
    path = tmp_path / "old.plan"
    path.write_bytes(plan)
    with pytest.raises(EngineError) as caught:
        load_engine(path)
    text = str(caught.value)
    assert text.startswith("old.plan can not be loaded by TensorRT 8.6.1") and reason in text
    assert "build the engine here, from the ONNX file" in text and "\n" not in text


def test_a_missing_or_empty_plan_is_refused_before_tensorrt_is_asked(tmp_path):
    with pytest.raises(EngineError, match="no engine at"):
        load_engine(tmp_path / "none.plan")
    with pytest.raises(EngineError, match="the plan is empty"):
        load_engine(b"")
    with pytest.raises(TypeError, match="expected the bytes of a plan or a path, got int"):
        load_engine(3)


def test_memory_is_lent_in_each_versions_way(tensorrt):
    class Old:
        device_memory = None

    class New:
        def set_device_memory(self, pointer, nbytes):
            self.lent = (pointer, nbytes)

    old, new = Old(), New()
    for context in (old, new):
        versions.lend_memory(context, np.int64(64), np.int64(128))
    assert old.device_memory == 64 and new.lent == (64, 128)

    class Maker:
        def create_execution_context(self, strategy):
            return strategy.name

        def create_execution_context_without_device_memory(self):
            return "without"

    for version, way in (("8.6.1", "without"), ("10.16.1", "USER_MANAGED"), ("11.4.0",) * 2):
        tensorrt(version)
        made = versions.context_without_memory(Maker())
        assert made == ("USER_MANAGED" if version != "8.6.1" else way)
