"""Half precision in the ONNX graph: what is converted, what is kept, and what is refused."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny_vocoders import tiny

from labutils.onnx_export import (
    OnnxError,
    evaluate,
    export,
    files,
    first_layers,
    last_layers,
    parity,
    tensorrt_ready,
    to_fp16,
)

pytestmark = pytest.mark.xdist_group("onnx-fp16")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """{family: (model, path)}, each exported once."""
    folder, made = tmp_path_factory.mktemp("onnx"), {}

    def get(family):
        if family not in made:
            model = tiny(family)
            made[family] = model, export(model, folder / family, exporter="legacy").path
        return made[family]

    return get


def nodes(path):
    """{node name: "float" or "float16"}, the type that each node computes in."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    kinds = {TensorProto.FLOAT: "float", TensorProto.FLOAT16: "float16"}
    types = {v.name: kinds.get(v.type.tensor_type.elem_type)
             for v in (*model.graph.value_info, *model.graph.output)}  # fmt: skip
    return {n.name: types[n.output[0]] for n in model.graph.node if n.op_type != "Cast"}


def audio(path, frames=20):
    mel = np.random.default_rng(0).normal(-4, 2, (1, 10, frames)).astype(np.float32)
    return evaluate(path, mel)


@pytest.mark.parametrize("family", ["melgan", "hifigan-v2", "bigvgan-small", "bigvgan-base-24khz"])
def test_close_to_the_original_in_half_the_bytes(exported, family, tmp_path):
    model, path = exported(family)
    out = to_fp16(path, tmp_path / "half.onnx")
    report = parity(model, out, [9, 61], [1, 3], tolerance=0.02)
    assert report and min(row["SNR (dB)"] for row in report.rows) > 40
    assert out.stat().st_size < path.stat().st_size
    onnx.checker.check_model(onnx.load(out), full_check=True)
    assert not files.runtime_kernels(onnx.load(out))
    ready = tensorrt_ready(out)
    assert ready and any("BuilderFlag.FP16" in note for note in ready.remarks["8.6"])


@pytest.mark.parametrize(
    ("family", "first", "last"),
    [
        ("hifigan-v2", ["conv_pre/Conv"], ["conv_post/Conv", "Tanh"]),
        ("melgan", ["model.0/Pad", "model.1/Conv"], ["model.12/Conv", "model.13/Tanh"]),
        ("bigvgan-small", ["conv_pre/Conv"], ["conv_post/Conv", "Clip"]),
    ],
)
def test_first_and_last_layers_stay_by_default(exported, family, first, last, tmp_path):
    _, path = exported(family)
    assert first_layers(path) == first == first_layers(onnx.load(path))
    assert last_layers(path) == last
    kinds = nodes(to_fp16(path, tmp_path / "half.onnx"))
    assert [name for name, kind in kinds.items() if kind == "float"] == first + last


def test_audio_of_kept_layers_is_not_rounded_to_half(exported, tmp_path):
    _, path = exported("hifigan-v2")
    kept = audio(to_fp16(path, tmp_path / "kept.onnx", exclude=last_layers(path)))
    assert not np.array_equal(kept, kept.astype(np.float16))
    half = to_fp16(path, tmp_path / "half.onnx", exclude=())
    assert np.array_equal(audio(half), audio(half).astype(np.float16))
    assert set(nodes(half).values()) == {"float16"}


def test_neither_is_the_mel_of_a_kept_first_layer(exported, tmp_path):
    _, path = exported("hifigan-v2")
    out = to_fp16(path, tmp_path / "half.onnx", exclude=["conv_pre/Conv"])
    first = onnx.load(out).graph.node[0]
    assert first.op_type == "Conv" and first.input[0] == "mel"


def test_types_names_and_patterns(exported, tmp_path):
    _, path = exported("bigvgan-small")
    out = to_fp16(path, tmp_path / "half", exclude=["Sin", "resblocks.0.*", "conv_pre/Conv"])
    for name, kind in nodes(out).items():
        kept = name.endswith("/Sin") or name.startswith("resblocks.0.") or name == "conv_pre/Conv"
        assert kind == ("float" if kept else "float16"), name
    note = files.metadata(onnx.load(out))["precision"]
    assert note == "FP16, but Sin, resblocks.0.*, conv_pre/Conv FP32"
    assert "vocoder.config" in files.metadata(onnx.load(out))


def test_a_whole_snake_can_stay(exported, tmp_path):
    """Neighbours that read the same value: onnxruntime's converter writes their cast twice."""
    model, path = exported("bigvgan-small")
    out = to_fp16(path, tmp_path / "half.onnx", exclude=["*.act/*"])
    assert parity(model, out, [9], [1], tolerance=0.02)
    outputs = [name for node in onnx.load(out).graph.node for name in node.output]
    assert len(outputs) == len(set(outputs))


def test_half_precision_input_and_output(exported, tmp_path):
    model, path = exported("hifigan-v2")
    out = to_fp16(path, tmp_path / "half.onnx", keep_io=False)
    ends = (*onnx.load(out).graph.input, *onnx.load(out).graph.output)
    assert {end.type.tensor_type.elem_type for end in ends} == {TensorProto.FLOAT16}
    assert parity(model, out, [9], [1], tolerance=0.02)


def test_an_exclusion_that_fits_nothing_is_an_error(exported, tmp_path):
    _, path = exported("hifigan-v2")
    with pytest.raises(OnnxError, match="no node is of type or is called 'Sin'; types here: Conv,"):
        to_fp16(path, tmp_path / "half.onnx", exclude=["Sin"])
    assert not list(tmp_path.iterdir())


def test_twice_is_refused(exported, tmp_path):
    _, path = exported("hifigan-v2")
    out = to_fp16(path, tmp_path / "half.onnx")
    with pytest.raises(OnnxError, match="half.onnx is FP16 already"):
        to_fp16(out, tmp_path / "again.onnx")


def scaled(tmp_path, factor):
    made = helper.make_graph(
        [helper.make_node("Mul", ["mel", "gain"], ["hidden"], "scale"),
         helper.make_node("Conv", ["hidden", "kernel"], ["audio"], "conv")],
        "test",
        [helper.make_tensor_value_info("mel", TensorProto.FLOAT, ("batch", 1, "frames"))],
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ("batch", 1, "samples"))],
        [numpy_helper.from_array(np.array(factor, "f4"), "gain"),
         numpy_helper.from_array(np.ones((1, 1, 1), "f4"), "kernel")],
    )  # fmt: skip
    path = tmp_path / "scaled.onnx"
    onnx.save(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


def test_weights_beyond_the_range_are_not_bent(tmp_path):
    path = scaled(tmp_path, 1e6)
    with pytest.raises(OnnxError, match="gain holds 1e\\+06, FP16 ends at 65504: exclude 'scale'"):
        to_fp16(path, tmp_path / "half.onnx", exclude=["conv"])
    to_fp16(path, tmp_path / "half.onnx", exclude=["scale", "conv"])
    to_fp16(scaled(tmp_path, 6e4), tmp_path / "half.onnx", exclude=["conv"])


def test_a_weight_that_a_kept_node_shares_stays_whole(tmp_path):
    model = onnx.load(scaled(tmp_path, 1.0))
    kernel = np.float32(1 / 3).reshape(1, 1, 1)
    model.graph.initializer[1].CopyFrom(numpy_helper.from_array(kernel, "kernel"))
    model.graph.node[1].output[0] = "between"
    model.graph.node.append(helper.make_node("Conv", ["between", "kernel"], ["audio"], "again"))
    onnx.save(model, tmp_path / "shared.onnx")
    made = onnx.load(to_fp16(tmp_path / "shared.onnx", tmp_path / "half.onnx", exclude=["again"]))
    assert files.runtime_kernels(made) == []
    weights = {n.name: n.input[1] for n in made.graph.node if n.op_type == "Conv"}
    arrays = {t.name: numpy_helper.to_array(t) for t in made.graph.initializer}
    assert arrays[weights["again"]] == kernel and arrays[weights["conv"]] == np.float16(1 / 3)


def test_a_graph_without_a_convolution_has_no_ends():
    for ends in (first_layers, last_layers):
        with pytest.raises(OnnxError, match="no convolution"):
            ends(onnx.ModelProto())
