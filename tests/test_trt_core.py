"""Profiles, options, messages, building and loading engines, with a stand-in for TensorRT."""

import json
import logging
import sys
import time

import numpy as np
import onnx
import pytest
from fake_tensorrt import fake
from onnx import TensorProto, helper
from tiny_vocoders import tiny

from labutils import onnx_export
from labutils import trt as engines
from labutils.environment import MissingPackage
from labutils.trt import (
    BuildError,
    BuildOptions,
    EngineError,
    Messages,
    Profile,
    ProfileError,
    build,
    load_engine,
    messages,
    profiles,
    versions,
)
from labutils.trt.progress import Progress
from labutils.trt.sealed import seal
from labutils.trt.source import read_onnx

OPTIONS = BuildOptions(profiles=(Profile(frames=(32, 400, 1000), batch=(1, 1, 4)),))


@pytest.fixture
def tensorrt(monkeypatch):
    """`tensorrt("10.16.1", ...)` puts a stand-in of that version in TensorRT's place."""

    def install(version="8.6.1", **behaviour):
        module = fake(version, **behaviour)
        monkeypatch.setitem(sys.modules, "tensorrt", module)
        messages._logger.cache_clear()
        return module

    yield install
    messages._logger.cache_clear()


def graph(
    operator="Tanh", *, kind=TensorProto.FLOAT, shape=("batch", 80, "frames"), inputs=("mel",)
):
    """An ONNX model of one or two nodes."""
    ends = [helper.make_tensor_value_info(n, kind, shape) for n in (*inputs, "audio")]
    nodes = [helper.make_node(operator, ["mel"], ["audio"], "conv_pre/Conv")]
    if operator == "QuantizeLinear":
        nodes = [
            helper.make_node("QuantizeLinear", ["mel", "scale"], ["q"], "q"),
            helper.make_node("DequantizeLinear", ["q", "scale"], ["audio"], "dq"),
        ]
    made = helper.make_graph(nodes, "graph", ends[:-1], ends[-1:])
    if operator == "QuantizeLinear":
        made.initializer.append(helper.make_tensor("scale", TensorProto.FLOAT, [], [0.1]))
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


# Profiles


def test_a_profile_gives_the_three_shapes_and_knows_what_it_holds():
    profile = Profile(frames=(32, 400, 1000), batch=(1, 2, 4))
    assert profile.shapes(80) == ((1, 80, 32), (2, 80, 400), (4, 80, 1000))
    assert profile.holds(1, 32) and profile.holds(4, 1000) and profile.holds(np.int64(2), 500)
    assert not any(profile.holds(*s) for s in ((0, 100), (5, 100), (1, 31), (1, 1001)))
    assert Profile.fixed(100, 3).shapes(8) == ((3, 8, 100),) * 3
    assert Profile((np.int64(1), 2, 3)) == Profile((1, 2, 3))
    assert type(Profile((np.int64(1), 2, 3)).frames[0]) is int


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ((400, 32, 1000), "frames: min 400, opt 32, max 1000 do not rise"),
        ((0, 32, 1000), "min is 0, expected 1 or more"),
        ((1, 32.0, 1000), "opt is 32.0, expected a whole number"),
        ((1, True, 1000), "opt is True"),
        ((1, 1000), "expected (min, opt, max), got (1, 1000)"),
        (100, "expected (min, opt, max), got 100"),
        ("123", "expected (min, opt, max), got '123'"),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused_by_name(frames, words):
    with pytest.raises(ValueError) as caught:
        Profile(frames=frames)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="batch: "):
        Profile(frames=(1, 2, 3), batch=frames)


def test_the_narrowest_profile_that_holds_a_mel_is_chosen():
    known = [
        Profile((1, 500, 2000), (1, 1, 8)),
        Profile((1, 100, 400)),
        Profile((1, 300, 400)),
        Profile((500, 800, 1000)),
    ]
    assert profiles.choose(known, 1, 100) == 1
    assert profiles.choose(known, 1, 320) == 2
    assert profiles.choose(known, 1, 450) == 0
    assert profiles.choose(known, 1, 600) == 3
    assert profiles.choose(known, 2, 100) == 0


def test_a_mel_outside_every_profile_is_told_the_ranges_of_all():
    with pytest.raises(ProfileError) as caught:
        profiles.choose([Profile((32, 400, 1000)), Profile.fixed(16, 8)], 1, 2000)
    text = str(caught.value)
    for part in ("batch 1, 2000 frames", "32 to 1000 (best at 400) frames", "batch 8, 16 frames"):
        assert part in text
    with pytest.raises(ProfileError, match="no profile at all"):
        profiles.choose([], 1, 10)


# Options


def test_options_refuse_what_is_out_of_range():
    one = (Profile.fixed(8),)
    for wrong, words in (
        ({"optimization_level": 6}, "0 to 5, not 6"),
        ({"optimization_level": True}, "0 to 5"),
        ({"workspace_mb": 0}, "1 MiB or more"),
        ({"aux_streams": -1}, "aux_streams: 0 or more"),
        ({"layer_precisions": {"a": "half"}}, "precision 'half' is not one of"),
        ({"permit": "bfloat16"}, "precision 'bfloat16'"),
    ):
        with pytest.raises(ValueError, match=words):
            BuildOptions(one, **wrong)
    with pytest.raises(ValueError, match="expected Profile, got 3"):
        BuildOptions((3,))
    assert BuildOptions(one[0]).profiles == one == BuildOptions(list(one)).profiles


def test_facts_of_options_hold_what_changes_the_engine_and_not_where_timings_are_kept(tmp_path):
    facts = OPTIONS.facts()
    assert json.loads(json.dumps(facts)) == facts
    same = BuildOptions(OPTIONS.profiles, timing_cache=tmp_path / "t")
    assert same.facts() == facts and hash(same) != 0
    changes = (
        {"tf32": True}, {"workspace_mb": None}, {"optimization_level": 4}, {"sparse": True},
        {"detailed": False}, {"aux_streams": 0}, {"permit": "float16"}, {"own_tactics": True},
        {"layer_precisions": {"a": "float32"}}, {"layer_precisions": {"b": "float32"}},
    )  # fmt: skip
    known = [json.dumps(BuildOptions(OPTIONS.profiles, **c).facts()) for c in changes]
    assert len({*known, json.dumps(facts)}) == len(changes) + 1
    order = [{"a*": "float32", "b*": "float16"}, {"b*": "float16", "a*": "float32"}]
    first, second = (BuildOptions(OPTIONS.profiles, layer_precisions=o).facts() for o in order)
    assert first != second


# Messages


def test_messages_are_kept_while_listening_and_handed_on(caplog):
    caplog.set_level(logging.DEBUG, "labutils.trt")
    with Messages() as first:
        messages.dispatch("ERROR", "one")
        with Messages("verbose") as second:
            messages.dispatch("WARNING", "two")
            messages.dispatch("VERBOSE", "three")
        messages.dispatch("INFO", "four")
    messages.dispatch("ERROR", "five")
    assert first.text() == "[error] one\n[warning] two\n[info] four"
    assert second.text() == "[warning] two\n[verbose] three"
    assert first.errors() == ["one"] and first.warnings() == ["two"]
    logged = [(r.levelname, r.message) for r in caplog.records]
    assert logged == [("ERROR", "one"), ("WARNING", "two"), ("DEBUG", "three"), ("ERROR", "five")]
    with pytest.raises(ValueError, match="level 'loud' is not one of"):
        Messages("loud")
    assert Messages() and not len(Messages())


def test_all_messages_share_one_logger_and_a_broken_listener_does_no_harm(tensorrt, caplog):
    stand_in = tensorrt()
    first, second = Messages(), Messages()
    assert first.logger is second.logger and isinstance(first.logger, stand_in.ILogger)
    first.logger.log(stand_in.Severity.ERROR, "heard by both")
    assert first.errors() == second.errors() == ["heard by both"]
    second.entries = None
    first.logger.log(stand_in.Severity.ERROR, "still no exception")
    assert "a message of TensorRT was lost" in caplog.text


def test_the_markup_of_messages_escapes_what_tensorrt_says():
    with Messages() as heard:
        messages.dispatch("ERROR", "<b> & more")
    assert "&lt;b&gt; &amp; more" in heard._repr_html_()


# Graphs


def test_number_types_are_read_from_the_graph():
    assert read_onnx(graph()).precisions == frozenset()
    assert read_onnx(graph(kind=TensorProto.FLOAT16)).precisions == {"float16"}
    assert read_onnx(graph("QuantizeLinear")).precisions == {"int8"}
    cast = graph("Cast")
    cast.graph.node[0].attribute.append(helper.make_attribute("to", TensorProto.FLOAT16))
    assert read_onnx(cast).precisions == {"float16"}


def test_a_graph_is_the_same_from_a_file_from_bytes_and_as_a_model(tmp_path):
    model = graph()
    path = tmp_path / "vocoder.onnx"
    path.write_bytes(model.SerializeToString())
    sources = [read_onnx(s) for s in (path, str(path), path.read_bytes(), model)]
    assert len({s.sha for s in sources}) == 1
    assert [s.name for s in sources] == ["vocoder.onnx"] * 2 + ["the graph"] * 2
    assert (sources[0].input, sources[0].n_mels) == ("mel", 80)
    assert sources[0].node(0) == "conv_pre/Conv (Tanh)"
    assert sources[0].node(-1) == sources[0].node(7) == ""


def test_weights_beside_a_file_are_taken_in_and_counted(tmp_path):
    model = graph("Add")
    model.graph.node[0].input.append("bias")
    weights = np.arange(80 * 1000, dtype=np.float32).reshape(80, 1000)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "bias"))
    path = tmp_path / "big.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="big.data", size_threshold=0)
    first = read_onnx(path)
    assert len(first.data) > weights.nbytes
    with pytest.raises(BuildError, match="give the path instead"):
        read_onnx(path.read_bytes())
    (tmp_path / "big.data").write_bytes((weights + 1).tobytes())
    assert read_onnx(path).sha != first.sha
    (tmp_path / "big.data").unlink()
    with pytest.raises(BuildError, match="big.onnx keeps its weights in a file that is gone"):
        read_onnx(path)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (b"", "is no ONNX graph, or it is cut short"),
        (b"no onnx at all", "is no ONNX graph, or it is cut short"),
        ("/nowhere/vocoder.onnx", "no ONNX file at /nowhere/vocoder.onnx"),
        (graph(shape=("batch", "bands", "frames")), r"its input mel is \(batch, bands, frames\)"),
        (graph(shape=("batch", 80)), r"its input mel is \(batch, 80\), expected \(batch, n_mels"),
        (graph(inputs=("mel", "f0")), "expected one input, it has mel, f0"),
    ],
)
def test_what_is_no_vocoder_is_refused_before_tensorrt_is_asked(source, words):
    with pytest.raises(BuildError, match=words):
        build(source, OPTIONS)
    with pytest.raises(TypeError, match="expected a path, the bytes"):
        build(3, OPTIONS)


# Building


def test_without_a_profile_a_build_says_so():
    with pytest.raises(BuildError, match=r"^no profile: .*BuildOptions\(profiles=\(Profile\("):
        build(graph(), BuildOptions(profiles=()))


def test_without_tensorrt_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    for call in (lambda: build(graph(), OPTIONS), lambda: load_engine(b"plan"), versions.version):
        with pytest.raises(MissingPackage):
            call()


@pytest.mark.parametrize(
    ("version", "network", "flags", "tactics", "preview"),
    [
        ("8.6.1", 1, {"FP16"}, 0, ["PROFILE_SHARING_0806"]),
        ("10.16.1", 3, set(), "default", []),
        ("11.4.0", 0, set(), "default", []),
    ],
)
def test_each_version_is_asked_in_its_own_way(tensorrt, version, network, flags, tactics, preview):
    stand_in = tensorrt(version)
    built = build(graph(kind=TensorProto.FLOAT16), OPTIONS)
    seen = stand_in.seen
    assert seen["network"] == network
    assert seen["flags"] == flags  # TF32 is on by default in TensorRT, and off here
    assert seen["tactics"] == tactics and seen["preview"] == preview
    assert seen["profiles"] == [((1, 80, 32), (1, 80, 400), (4, 80, 1000))]
    assert seen["WORKSPACE"] == 2048 << 20 and seen["level"] == 3
    assert seen["verbosity"] == stand_in.ProfilingVerbosity.DETAILED
    assert built.plan.startswith(b"plan") and built.messages.warnings()
    assert built.onnx_sha == read_onnx(graph(kind=TensorProto.FLOAT16)).sha


def test_flags_follow_the_graph_and_the_options(tensorrt):
    stand_in = tensorrt()
    build(graph(), OPTIONS)
    assert stand_in.seen["flags"] == set()
    build(graph("QuantizeLinear"), BuildOptions(OPTIONS.profiles, tf32=True, sparse=True))
    assert stand_in.seen["flags"] == {"INT8", "TF32", "SPARSE_WEIGHTS"}
    assert stand_in.seen["aux streams"] is None
    options = BuildOptions(OPTIONS.profiles, permit="float16", own_tactics=True, aux_streams=0)
    build(graph(), options)
    assert stand_in.seen["aux streams"] == 0
    assert stand_in.seen["flags"] == {"FP16"} and stand_in.seen["tactics"] == 0b11000


def test_layers_get_their_precision_on_8_and_later_versions_say_what_to_do(tensorrt):
    names = ("conv_pre/Conv", "blocks.0/Conv", "conv_post/Conv")
    stand_in = tensorrt(layers=names)
    wanted = {"*": "float16", "conv_p*": "float32"}
    build(graph(), BuildOptions(OPTIONS.profiles, layer_precisions=wanted))
    assert stand_in.seen["precisions"] == dict(zip(names, ("FLOAT", "HALF", "FLOAT"), strict=True))
    assert stand_in.seen["outputs"] == {names[0]: "FLOAT", names[2]: "FLOAT"}
    assert stand_in.seen["flags"] == {"FP16", "PREFER_PRECISION_CONSTRAINTS"}
    with pytest.raises(BuildError, match="no layer is called 'nothing'; names here: conv_pre/Conv"):
        build(graph(), BuildOptions(OPTIONS.profiles, layer_precisions={"nothing": "float32"}))
    for version in ("10.16.1", "11.4.0"):
        tensorrt(version)
        with pytest.raises(BuildError, match=r"TensorRT 1\d.* takes types from the graph.*to_fp16"):
            build(graph(), BuildOptions(OPTIONS.profiles, layer_precisions=wanted))
        with pytest.raises(BuildError, match="permit=.*to_fp16"):
            build(graph(), BuildOptions(OPTIONS.profiles, permit="float16"))


def half_graph():
    """A graph of FP16 whose ends are FP32, as `onnx_export.to_fp16` leaves it."""
    kind, names = TensorProto, ("mel", "a", "b", "c", "d", "audio")
    casts = {"mel": None, "a": kind.FLOAT16, "c": kind.FLOAT}
    nodes = []
    for number, (read, made) in enumerate(zip(names[:-1], names[1:], strict=True)):
        if casts.get(read):
            nodes.append(helper.make_node("Cast", [read], [f"{read}_"], f"cast{number}",
                                          to=casts[read]))  # fmt: skip
            read = f"{read}_"
        nodes.append(helper.make_node("Tanh", [read], [made], f"layer{number}"))
    ends = [helper.make_tensor_value_info(n, kind.FLOAT, ("b", 80, "t")) for n in ("mel", "audio")]
    made = helper.make_graph(nodes, "graph", ends[:1], ends[1:])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_what_the_graph_keeps_in_float32_stays_so_on_8(tensorrt):
    layers = ("layer0", "cast1", "layer1", "layer2", "layer3", "layer4")
    stand_in = tensorrt(layers=layers)
    build(half_graph(), OPTIONS)
    assert read_onnx(half_graph()).single == ("layer0", "layer3", "layer4")
    assert stand_in.seen["precisions"] == dict.fromkeys(("layer0", "layer3", "layer4"), "FLOAT")
    assert stand_in.seen["flags"] == {"FP16", "PREFER_PRECISION_CONSTRAINTS"}
    build(half_graph(), BuildOptions(OPTIONS.profiles, layer_precisions={"layer3": "float16"}))
    assert stand_in.seen["precisions"]["layer3"] == "HALF", "what is asked for by name wins"
    for version in ("10.16.1", "11.4.0"):  # their networks are typed by the graph
        stand_in = tensorrt(version, layers=layers)
        build(half_graph(), OPTIONS)
        assert "precisions" not in stand_in.seen and not stand_in.seen["flags"]
    odd = half_graph()
    odd.graph.node[0].name = "layer[0]*"  # no pattern: the name of one layer
    stand_in = tensorrt(layers=("layer[0]*", "layer0", "layer1"))
    build(odd, OPTIONS)
    assert stand_in.seen["precisions"] == {"layer[0]*": "FLOAT"}
    # A graph of one type leaves the choice, and so does a name that the parser has changed.
    assert read_onnx(graph()).single == () == read_onnx(graph(kind=TensorProto.FLOAT16)).single
    stand_in = tensorrt(layers=("another",))
    build(half_graph(), OPTIONS)
    assert stand_in.seen["flags"] == {"FP16"} and "precisions" not in stand_in.seen


def test_the_ends_of_an_fp16_vocoder_are_what_it_keeps(tmp_path):
    model = tiny("hifigan-v1")
    onnx_export.export(model, tmp_path / "a.onnx", exporter="legacy")
    half = onnx_export.to_fp16(tmp_path / "a.onnx", tmp_path / "b.onnx")
    assert read_onnx(half).single == ("conv_pre/Conv", "conv_post/Conv", "Tanh")
    all_half = onnx_export.to_fp16(tmp_path / "a.onnx", tmp_path / "c.onnx", exclude=())
    assert read_onnx(all_half).single == () == read_onnx(tmp_path / "a.onnx").single


def test_a_node_that_the_parser_refuses_is_named(tensorrt, tmp_path):
    tensorrt(parser_error=(0, "no importer\n registered for op: Snake"))
    path = tmp_path / "odd.onnx"
    path.write_bytes(graph().SerializeToString())
    with pytest.raises(BuildError) as caught:
        build(path, OPTIONS)
    assert str(caught.value) == (
        "TensorRT 8.6.1 can not read odd.onnx: node conv_pre/Conv (Tanh): no importer registered "
        "for op: Snake"
    )


def test_a_build_that_fails_quotes_the_last_error_and_leaves_no_timings(tensorrt, tmp_path):
    tensorrt(build_error="[optimizer] Error Code 10: no implementation\nfor node")
    timings = tmp_path / "timings"
    options = BuildOptions(OPTIONS.profiles, timing_cache=timings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(versions, "machine_facts", lambda: {"gpu": "a"})
        with pytest.raises(BuildError, match="can not build the graph: .* no implementation for"):
            build(graph(), options)
    assert not timings.exists()


def test_a_machine_where_cuda_does_not_start_is_told(tensorrt):
    stand_in = tensorrt()

    def refuse(logger):
        logger.log(stand_in.Severity.ERROR, "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")

    stand_in.Builder = stand_in.Runtime = refuse
    for error, call in ((BuildError, lambda: build(graph(), OPTIONS)),
                        (EngineError, lambda: load_engine(b"plan"))):  # fmt: skip
        with pytest.raises(error, match="does not start here: CUDA initialization failure"):
            call()


def test_progress_is_told_and_what_the_callback_raises_ends_the_build(tensorrt):
    tensorrt("11.4.0")
    told = []
    build(graph(), OPTIONS, progress=lambda text, seconds: told.append((text, seconds)))
    assert [text.split(",")[0] for text, _ in told] == [
        "TensorRT starts", "reading the graph", "building", "built",
    ]  # fmt: skip
    assert all(b >= a >= 0 for (_, a), (_, b) in zip(told, told[1:], strict=False))

    config, steps = type("Config", (), {})(), []
    monitor = versions.attach_progress(config, steps.append)
    monitor.phase_start("Timing", "", 2)
    assert config.progress_monitor is monitor and monitor.step_complete("Timing", 1)
    assert steps == ["Timing", "Timing: 2 of 2"]

    def stop(text):
        raise KeyboardInterrupt

    monitor = versions.attach_progress(config, stop)
    assert monitor.step_complete("Timing", 0) is False
    assert isinstance(monitor.error, KeyboardInterrupt)
    tensorrt("8.6.1")
    assert versions.attach_progress(config, stop) is False


def test_a_heartbeat_tells_while_tensorrt_is_silent_and_hands_on_what_the_callback_raises():
    told = []
    with Progress("x", lambda text, seconds: told.append(text), interval=0.01) as progress:
        with progress.heartbeat():
            time.sleep(0.2)
        seen = len(told)
        with progress.heartbeat(False):
            time.sleep(0.05)
    assert seen >= 3 and len(told) == seen and set(told) == {"building"}

    def stop(text, seconds):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Progress("x", stop, interval=0.01) as progress:
        with progress.heartbeat():
            time.sleep(0.1)


def test_steps_are_passed_over_where_the_last_was_told_a_moment_ago():
    told = []
    progress = Progress("x", lambda text, seconds: told.append(text), interval=1000)
    progress.stage("begin")
    for i in range(100):
        progress.step(str(i))
    assert told == ["begin"]
    progress.interval = 0
    progress.step("due")
    assert told == ["begin", "due"]


# Engines


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


def test_all_public_names_are_there():
    assert all(hasattr(engines, name) for name in engines.__all__)
