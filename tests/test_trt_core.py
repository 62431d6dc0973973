"""What a build is asked for: profiles, options, graphs; and the messages of TensorRT."""

import json
import logging

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from small_graphs import OPTIONS, graph

from labutils import trt as engines
from labutils.trt import (
    BuildError,
    BuildOptions,
    Messages,
    Profile,
    ProfileError,
    build,
    messages,
    profiles,
)
from labutils.trt.source import read_onnx

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


def test_all_public_names_are_there():
    assert all(hasattr(engines, name) for name in engines.__all__)
