"""Building engines, with a stand-in for TensorRT: versions, types by layer, failures."""

import os
import sys

import pytest
from onnx import TensorProto, helper
from small_graphs import OPTIONS, graph
from tiny_vocoders import tiny

from labutils import onnx_export
from labutils.environment import MissingPackage
from labutils.trt import (
    BuildError,
    BuildOptions,
    EngineError,
    build,
    load_engine,
    versions,
)
from labutils.trt.source import read_onnx


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


@pytest.mark.parametrize("version", ["8.6.1", "10.16.1", "11.4.0"])
def test_an_engine_keeps_what_its_layers_are_only_where_that_is_asked(tensorrt, version):
    stand_in = tensorrt(version)
    build(graph(), BuildOptions(OPTIONS.profiles, detailed=False))
    assert stand_in.seen["verbosity"] is None
    build(graph(), BuildOptions(OPTIONS.profiles, detailed=True))
    assert stand_in.seen["verbosity"] == stand_in.ProfilingVerbosity.DETAILED


def test_a_saved_plan_is_on_the_disk_before_it_has_its_name(tensorrt, tmp_path, monkeypatch):
    tensorrt()
    order, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (order.append("disk"), fsync(number)))
    monkeypatch.setattr(os, "replace", lambda *names: (order.append("name"), replace(*names)))
    built = build(graph(), OPTIONS)
    assert built.save(tmp_path / "a.plan").read_bytes() == built.plan
    assert order == ["disk", "name"]


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
