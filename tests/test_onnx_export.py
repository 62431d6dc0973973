"""Export to ONNX: both exporters, any batch and length, and what each TensorRT can read."""

import json
import math

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from tiny_vocoders import tiny
from torch import nn
from torch.nn.utils import parametrizations

from labutils import vocoders
from labutils.onnx_export import OnnxError, export, files, mend, parity, tensorrt_ready

pytestmark = pytest.mark.xdist_group("onnx-export")  # one worker makes the files once
FAMILIES = ("melgan", "hifigan-v2", "bigvgan-small")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("onnx")


@pytest.fixture(scope="module")
def exported(folder):
    """{(family, exporter): (model with weight norm, report)}, each exported once."""
    made = {}

    def get(family, exporter):
        if (family, exporter) not in made:
            model = tiny(family, weight_norm=True)
            path = folder / f"{family}.{exporter}.onnx"
            made[family, exporter] = model, export(model, path, exporter=exporter)
        return made[family, exporter]

    return get


@pytest.mark.parametrize("exporter", ["dynamo", "legacy"])
@pytest.mark.parametrize("family", FAMILIES)
class TestEachFamilyWithEachExporter:
    def test_agrees_with_pytorch_at_unseen_lengths_and_batches(self, exported, family, exporter):
        model, made = exported(family, exporter)
        shortest = model.config.min_frames
        report = parity(model, made.path, (shortest, 16, 61), (1, 3))
        assert report and report.worst < 1e-4 and len(report.rows) == 6

    def test_one_file_for_every_tensorrt(self, exported, family, exporter):
        _, made = exported(family, exporter)
        ready = tensorrt_ready(made.path)
        assert ready and not any(ready.refused.values())
        assert (made.opset, made.ir_version) == (17, 8)
        facts = ready.facts
        assert facts["runtime kernels"] == facts["shape arithmetic"] == 0
        assert not facts["external data"]
        assert facts["dimensions"] == made.dimensions == {
            "mel": ("batch", 10, "frames"),
            "audio": ("batch", 1, "8*frames"),
        }  # fmt: skip

    def test_weight_norm_is_folded_in_a_copy(self, exported, family, exporter):
        model, made = exported(family, exporter)
        assert made.folded and vocoders.has_weight_norm(model)

    def test_the_file_tells_its_origin_but_not_its_makers_folders(self, exported, family, exporter):
        model, made = exported(family, exporter)
        facts = files.metadata(files.read(made.path))
        assert vocoders.VocoderConfig.from_json(facts["vocoder.config"]) == model.config
        assert facts["vocoder.weights"] == "random, seed 0"
        assert facts["export.exporter"].startswith(exporter)
        assert not any(key.startswith("onnxsim") for key in facts)
        assert b".py" not in made.path.read_bytes()


@pytest.mark.parametrize("family", FAMILIES)
def test_both_exporters_give_the_same_graph(exported, family):
    graphs = [files.read(exported(family, e)[1].path).graph for e in ("dynamo", "legacy")]
    first, second = ([(n.name, n.op_type) for n in graph.node] for graph in graphs)
    assert first == second


def test_nodes_are_called_by_their_modules(exported):
    names = {n.name for n in files.read(exported("melgan", "legacy")[1].path).graph.node}
    assert {"model.1/Conv", "model.4.block.2/Conv", "model.4.shortcut/Conv"} <= names
    names = {n.name for n in files.read(exported("hifigan-v2", "dynamo")[1].path).graph.node}
    assert {"conv_pre/Conv", "ups.1/ConvTranspose", "resblocks.0.convs1.1/Conv"} <= names
    assert {"LeakyRelu", "LeakyRelu_1", "resblocks.0/Add_1"} <= names


def test_simplification_is_what_shrinks_the_padding(exported, folder):
    model, made = exported("melgan", "legacy")
    raw = export(model, folder / "raw.onnx", exporter="legacy", simplify=False)
    assert raw.operators["ConstantOfShape"] == raw.operators["Pad"] == made.operators["Pad"]
    assert "ConstantOfShape" not in made.operators and made.nodes < raw.nodes
    assert parity(model, raw.path, [9], [1]) and tensorrt_ready(raw.path)


def test_an_unsimplified_file_names_no_folders_either(tmp_path):
    made = export(tiny("hifigan-v3"), tmp_path / "raw.onnx", simplify=False)
    assert not made.simplified and b".py" not in made.path.read_bytes()


def test_the_callers_model_stays_as_it_is(tmp_path):
    model = tiny("hifigan-v3").train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    made = export(model, tmp_path / "model.onnx", exporter="legacy")
    assert model.training and not made.folded
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_reports_for_reading(exported):
    model, made = exported("hifigan-v2", "legacy")
    assert "opset 17" in repr(made) and "mel (batch, 10, frames)" in repr(made)
    assert "weight norm folded" in made._repr_html_()
    assert made.row()["nodes in the file"] == made.nodes <= made.nodes_exported
    report = parity(model, made.path, [9], [1])
    assert "all 1 cases" in repr(report) and "agrees" in report._repr_html_()
    assert "TensorRT 8.6, 10, 11 can read it" in repr(tensorrt_ready(made.path))
    assert "profile" in tensorrt_ready(made.path)._repr_html_()


class Wrapped(nn.Module):
    """A generator whose output goes through one more function of the input's length."""

    def __init__(self, after):
        super().__init__()
        self.generator, self.after = tiny("hifigan-v2"), after
        self.config = self.generator.config

    def forward(self, mel):
        return self.after(self.generator(mel), mel.shape)


def cut_to_length(audio, shape):
    return audio[..., : math.ceil(shape[-1] * 8.0)]


def test_a_length_in_python_is_frozen_by_the_tracer_and_found_by_parity(tmp_path):
    model = Wrapped(cut_to_length)
    made = export(model, tmp_path / "frozen.onnx", exporter="legacy")
    assert made.dimensions["audio"] == ("batch", 1, "8*frames")  # this is what it claims
    report = parity(model, made.path, [20, 61], [1])
    assert [row["passed"] for row in report.rows] == [True, False]
    assert not report and "audio of (1, 1, 296), expected (1, 1, 488)" in repr(report)
    assert report.worst == float("inf")


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (lambda audio, shape: 2 * audio if shape[-1] > 20 else audio, "frames = Dim.*min=21"),
        (lambda audio, shape: audio[..., : int(shape[-1])], "specialized it to be a constant .37"),
        (cut_to_length, "."),
    ],
)
def test_dynamo_refuses_what_depends_on_the_example(after, reason, tmp_path):
    with pytest.raises(OnnxError, match=f"the dynamo exporter failed: .*{reason}") as caught:
        export(Wrapped(after), tmp_path / "model.onnx")
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("exporter", ["dynamo", "legacy"])
def test_a_failed_export_says_so_and_leaves_the_older_file(tmp_path, exporter):
    def after(audio, shape):
        raise ArithmeticError("no such luck")

    path = tmp_path / "model.onnx"
    path.write_text("older")
    with pytest.raises(OnnxError, match=f"the {exporter} exporter failed: .+"):
        export(Wrapped(after), path, exporter=exporter)
    assert path.read_text() == "older" and list(tmp_path.iterdir()) == [path]


def test_an_output_of_one_length_is_refused(tmp_path):
    with pytest.raises(OnnxError, match="1, 8.: batch and frames are not both dynamic"):
        export(Wrapped(lambda audio, shape: audio[..., :8]), tmp_path / "short.onnx")


def test_an_output_of_two_channels_is_refused(tmp_path):
    model = Wrapped(lambda audio, shape: audio.repeat(1, 2, 1))
    with pytest.raises(OnnxError, match="the graph maps .* to .*2.*"):
        export(model, tmp_path / "stereo.onnx", exporter="legacy")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda m: m.half(), OnnxError, "conv_pre.weight is float16: export float32, then"),
        (lambda m: m.conv_post.bias.data.fill_(torch.nan), OnnxError, "conv_post.bias has values"),
        (lambda m: delattr(m, "config"), TypeError, "HiFiGANGenerator has no .config"),
    ],
)
def test_models_that_cannot_be_exported(change, error, message, tmp_path):
    model = tiny("hifigan-v2")
    change(model)
    with pytest.raises(error, match=message):
        export(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_bad_arguments(tmp_path):
    model = tiny("hifigan-v2")
    with pytest.raises(ValueError, match="exporter 'torch' is not one of dynamo, legacy"):
        export(model, tmp_path / "x.onnx", exporter="torch")
    with pytest.raises(ValueError, match="opset 11: choose 13 to 20; TensorRT 8.6: 17"):
        export(model, tmp_path / "x.onnx", opset=11)


def test_another_opset(tmp_path):
    model = tiny("hifigan-v2")
    made = export(model, tmp_path / "model.onnx", exporter="legacy", opset=13)
    assert made.opset == 13 and parity(model, made.path, [9], [1])
    made = export(model, tmp_path / "model.onnx", exporter="legacy", opset=19)
    ready = tensorrt_ready(made.path)
    assert not ready and ready.refused["8.6"] == ["opset 19, its parser knows 17"]
    assert "8.6 refuses: opset 19" in repr(ready) and not ready.refused["10"]


# Parity


def test_other_weights_are_found(exported):
    _, made = exported("hifigan-v2", "legacy")
    report = parity(tiny("hifigan-v2", seed=1), made.path, [9], [1])
    assert not report and report.rows[0]["error / peak"] > 0.1
    assert "differs from PyTorch in 1 of 1 cases, at batch 1 and 9 frames" in repr(report)
    assert "differs" in report._repr_html_()


def test_the_tolerance_is_relative_to_the_peak(exported):
    model, made = exported("hifigan-v2", "legacy")
    error = parity(model, made.path, [9], [1]).worst
    assert error > 0
    assert not parity(model, made.path, [9], [1], tolerance=error / 2)
    assert parity(model, made.path, [9], [1], tolerance=error * 1.01)


def test_the_length_of_the_example_proves_nothing(exported):
    model, made = exported("melgan", "legacy")
    with pytest.raises(ValueError, match="the export ran with 37 frames: choose lengths"):
        parity(model, made.path, [9, 37])
    with pytest.raises(ValueError, match="no lengths"):
        parity(model, made.path, [])


def test_a_case_that_cannot_run_fails_and_the_others_count(exported, tmp_path):
    model, made = exported("hifigan-v2", "legacy")
    fixed = files.read(made.path)
    mend.name_dimensions(fixed.graph.input[0], ("batch", 10, 9))
    path = files.write(fixed, tmp_path / "fixed.onnx")
    report = parity(model, path, [9, 20], [1])
    assert [row["passed"] for row in report.rows] == [True, False]
    assert "dimensions" in report.rows[1]["reason"]


# Opset and TensorRT


def graph(nodes, *, initializers=(), opset=17, shape=("batch", 10, "frames")):
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        nodes,
        "test",
        [value("mel", TensorProto.FLOAT, shape)],
        [value("audio", TensorProto.FLOAT, ("a", "b", "c"))],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in initializers],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


PADS = ("pads", np.array([0, 0, 2, 0, 0, 2]))


def test_padding_goes_back_to_opset_17():
    model = graph([helper.make_node("Pad", ["mel", "pads"], ["audio"], mode="reflect")],
                  initializers=[PADS], opset=18)  # fmt: skip
    mend.lower_opset(model, 17)
    assert files.opset_of(model) == 17
    onnx.checker.check_model(model)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (helper.make_node("Pad", ["mel", "pads", "", "axes"], ["audio"], "p"), "Pad changed .* p"),
        (helper.make_node("ReduceSum", ["mel"], ["audio"], "r"), None),
        (helper.make_node("ReduceMean", ["mel"], ["audio"], "r"), "ReduceMean changed .*18: r"),
        (helper.make_node("Mish", ["mel"], ["audio"], "m"), "opset 17 has no Mish, which m is"),
    ],
)
def test_what_cannot_go_back_is_named(node, message):
    axes = ("axes", np.array([2]))
    model = graph([node], initializers=[PADS, axes], opset=18)
    if message is None:
        mend.lower_opset(model, 17)
    else:
        with pytest.raises(OnnxError, match=message):
            mend.lower_opset(model, 17)


def refusals(model, tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    ready = tensorrt_ready(path)
    return ready.refused, ready.remarks


@pytest.mark.parametrize(
    ("node", "opset", "reason"),
    [
        (helper.make_node("STFT", ["mel", "pads"], ["audio"]), 17, "it has no STFT"),
        (helper.make_node("Pad", ["mel", "pads", "", "pads"], ["audio"]), 17, "Pad with axes"),
        (helper.make_node("Tanh", ["mel"], ["audio"]), 18, "opset 18, its parser knows 17"),
    ],
)
def test_what_tensorrt_8_refuses(node, opset, reason, tmp_path):
    refused, _ = refusals(graph([node], initializers=[PADS], opset=opset), tmp_path)
    assert [line for line in refused["8.6"] if line.startswith(reason)]
    assert refused["10"] == refused["11"] == []


def test_kernels_at_run_time_and_fixed_shapes_are_told(tmp_path):
    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = parametrizations.weight_norm(nn.Conv1d(10, 4, 3))

        def forward(self, mel):
            return self.conv(mel)

    path = tmp_path / "normed.onnx"
    with pytest.warns(DeprecationWarning):
        torch.onnx.export(Normed().eval(), (torch.zeros(1, 10, 9),), path, opset_version=17,
                          dynamo=False, do_constant_folding=False)  # fmt: skip
    ready = tensorrt_ready(path)
    assert ready and ready.facts["runtime kernels"] == 1
    assert ready.remarks["8.6"][0] == "one shape only, no profile"
    assert "1 kernels computed at run time" in ready.remarks["8.6"][1]


def test_what_is_no_onnx_file(tmp_path):
    path = tmp_path / "model.onnx"
    with pytest.raises(OnnxError, match="no ONNX file at"):
        tensorrt_ready(path)
    for content in (b"", b"solver: adam\n" * 20, onnx.ModelProto().SerializeToString()):
        path.write_bytes(content)
        with pytest.raises(OnnxError, match="model.onnx (is no ONNX file|holds no graph)"):
            tensorrt_ready(path)


def test_a_broken_graph_is_not_written(tmp_path):
    model = graph([helper.make_node("Tanh", ["nowhere"], ["audio"])])
    with pytest.raises(OnnxError, match="model.onnx: "):
        files.write(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_leaves_the_older_file(tmp_path, monkeypatch):
    def full(model, path):
        path.write_bytes(b"half of it")
        raise OSError("no space left on device")

    path = tmp_path / "model.onnx"
    path.write_text("older")
    monkeypatch.setattr(onnx, "save", full)
    with pytest.raises(OSError, match="no space"):
        files.write(graph([helper.make_node("Tanh", ["mel"], ["audio"])]), path)
    assert path.read_text() == "older" and list(tmp_path.iterdir()) == [path]


def test_the_configuration_is_one_line_of_json(exported):
    _, made = exported("melgan", "legacy")
    text = files.metadata(files.read(made.path))["vocoder.config"]
    assert "\n" not in text and json.loads(text)["family"] == "melgan"
