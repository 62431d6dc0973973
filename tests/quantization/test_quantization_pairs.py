"""Where Q/DQ pairs stand in a quantised graph, and how near its sound stays."""

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper
from quantization_parts import FAMILIES, quantized

from labutils import quantization, runners
from labutils.metrics import snr_db
from labutils.onnx_export import files

pytestmark = pytest.mark.xdist_group("quantization")


@pytest.mark.parametrize("target", quantization.TARGETS)
@pytest.mark.parametrize("family", FAMILIES)
def test_no_pair_on_an_excluded_layer(case, tmp_path, family, target):
    made = case(family)
    kept = quantization.default_exclusions(made.layers)
    rows = {
        row["layer"]: row
        for row in quantization.placement(quantized(made, tmp_path, target=target))
    }
    for layer in made.layers:
        row = rows[layer.name]
        if layer.name in kept:
            assert not row["input"] and not row["weight"], row
        else:
            assert row["input"] and row["weight"], row
    assert {name for name in kept if "Transpose" in name}, "no transposed layer was tested"


@pytest.mark.parametrize("seed", range(6))
def test_no_pair_on_layers_excluded_at_random(case, tmp_path, seed):
    """Layers whose input is shared with quantised ones included: they read the float tensor."""
    made = case()
    random = np.random.default_rng(seed)
    kept = [layer.name for layer in made.layers if random.random() < 0.5]
    target = quantization.TARGETS[seed % 2]
    path = quantized(made, tmp_path, exclude=kept, target=target)
    for row in quantization.placement(path):
        assert (row["input"], row["weight"]) == ((row["layer"] not in kept),) * 2, row
    assert made.sound(path).shape == made.sound(made.path).shape


def test_a_layer_that_shares_its_input_reads_what_it_read_before(case, tmp_path):
    made = case()
    inputs = {node.name: node.input[0] for node in files.read(made.path).graph.node}
    shared = [x.name for x in made.layers if list(inputs.values()).count(inputs[x.name]) > 1]
    assert len(shared) > 1
    path = quantized(made, tmp_path, exclude=[shared[0]])
    after = {node.name: node.input[0] for node in files.read(path).graph.node}
    assert after[shared[0]] == inputs[shared[0]]
    assert after[shared[1]] != inputs[shared[1]]


@pytest.mark.parametrize("family", FAMILIES)
def test_everything_is_symmetric_int8_with_zero_point_0(case, tmp_path, family):
    made = case(family)
    model = files.read(quantized(made, tmp_path, target="tensorrt", exclude=()))
    tensors = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    pairs = [n for n in model.graph.node if n.op_type.endswith("Linear")]
    assert pairs
    for node in pairs:
        assert kinds[node.input[2]] == TensorProto.INT8
        assert not tensors[node.input[2]].any()
        assert (tensors[node.input[1]] > 0).all()
    assert files.opset_of(model) == 17


def test_scales_stand_on_the_output_channels(case, tmp_path):
    made = case()
    per_channel = quantization.placement(quantized(made, tmp_path, exclude=()))
    axes = {row["kind"]: row["axis"] for row in per_channel[:-1]}  # the last has one channel
    assert axes == {"Conv": 0, "ConvTranspose": 1}
    per_tensor = quantization.placement(quantized(made, tmp_path, exclude=(), per_channel=False))
    assert {row["axis"] for row in per_tensor} == {None}


def test_for_tensorrt_pairs_stand_before_convolutions_only(case, tmp_path):
    made = case()
    rows = quantization.placement(quantized(made, tmp_path, target="tensorrt"))
    assert not any(row["output"] for row in rows)
    rows = quantization.placement(quantized(made, tmp_path, target="onnxruntime"))
    assert any(row["output"] for row in rows)


def test_depthwise_filters_stay_float(case):
    made = case("bigvgan")
    filters = {layer.name for layer in made.layers if layer.groups > 1}
    assert len(filters) > 5 and filters <= set(quantization.default_exclusions(made.layers))


def test_for_tensorrt_there_are_no_integer_biases(case, tmp_path):
    made = case()
    counts = {}
    for target in quantization.TARGETS:
        model = files.read(quantized(made, tmp_path, target=target))
        counts[target] = sum(t.data_type == TensorProto.INT32 for t in model.graph.initializer)
    assert counts["tensorrt"] == 0 < counts["onnxruntime"]


def test_the_file_runs_at_other_lengths_and_batches(case, tmp_path):
    made = case()
    path = quantized(made, tmp_path)
    mel = np.random.default_rng(1).normal(-4, 2, (2, 10, 41)).astype(np.float32)
    with runners.OnnxRunner(path, threads=1) as runner:
        assert runner.infer(mel).shape == (2, 41 * 8)
    assert "INT8 per channel" in files.metadata(files.read(path))["precision"]


def test_less_int8_is_nearer_to_the_float_sound(case, tmp_path):
    made = case()
    reference = made.sound(made.path)
    one = quantized(made, tmp_path, only=[made.layers[3].name], exclude=())
    assert [r["layer"] for r in quantization.placement(one) if r["weight"]] == [made.layers[3].name]
    near = snr_db(reference, made.sound(one))
    far = snr_db(reference, made.sound(quantized(made, tmp_path, exclude=())))
    assert near > far + 3
    assert far > 0
