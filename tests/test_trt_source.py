"""The graph that an engine is built from: tensors wherever they stand, and their number types."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_graphs import graph

from labutils.trt import BuildError
from labutils.trt.source import read_onnx

WEIGHTS = np.arange(80 * 100, dtype=np.float32).reshape(80, 100)


def constant(values, name="bias", attribute="value"):
    """A Constant node of these values."""
    tensor = numpy_helper.from_array(np.asarray(values), name)
    return helper.make_node("Constant", [], [name], f"{name}/Constant", **{attribute: tensor})


def branch(values):
    """A graph without inputs whose constant is its output, as a branch of If."""
    node = constant(values, "branch")
    output = helper.make_tensor_value_info("branch", TensorProto.FLOAT, None)
    return helper.make_graph([node], "branch", [], [output])


def with_tensor(place, values=WEIGHTS):
    """A graph that keeps `values` as an initializer, in a Constant, in a branch, in a function."""
    model = graph("Add")
    add = model.graph.node[0]
    add.input.append("bias")
    if place == "initializer":
        model.graph.initializer.append(numpy_helper.from_array(values, "bias"))
        return model
    if place == "constant":
        node = constant(values)
    elif place in {"branch", "initializer of a branch"}:
        inside = branch(values)
        if place != "branch":
            inside.initializer.append(numpy_helper.from_array(values, "branch"))
            del inside.node[:]
        node = helper.make_node(
            "If", ["yes"], ["bias"], "If", then_branch=inside, else_branch=inside
        )
        model.graph.initializer.append(helper.make_tensor("yes", TensorProto.BOOL, [], [True]))
    else:
        own = [constant(values, "out")]
        opsets = [helper.make_opsetid("", 17)]
        model.functions.append(helper.make_function("own", "Bias", [], ["out"], own, opsets))
        model.opset_import.append(helper.make_opsetid("own", 1))
        node = helper.make_node("Bias", [], ["bias"], "Bias", domain="own")
    model.graph.node.insert(0, node)
    return model


PLACES = ["initializer", "constant", "branch", "initializer of a branch", "function"]


def save_outside(model, path):
    """Save a model with all its tensors in a file beside it."""
    onnx.save_model(
        model, path, save_as_external_data=True, location=f"{path.stem}.data", size_threshold=0,
        convert_attribute=True,
    )  # fmt: skip
    assert WEIGHTS.tobytes() not in path.read_bytes()


@pytest.mark.parametrize("place", PLACES)
def test_a_tensor_beside_the_file_counts_wherever_the_graph_keeps_it(tmp_path, place):
    path = tmp_path / "vocoder.onnx"
    save_outside(with_tensor(place), path)
    first = read_onnx(path)
    assert WEIGHTS.tobytes() in first.data
    data = tmp_path / "vocoder.data"
    changed = data.read_bytes().replace(WEIGHTS.tobytes(), (WEIGHTS + 1).tobytes())
    data.write_bytes(changed)
    second = read_onnx(path)
    assert second.sha != first.sha and (WEIGHTS + 1).tobytes() in second.data


@pytest.mark.parametrize("place", PLACES)
def test_a_graph_without_its_tensors_is_refused(tmp_path, place):
    path = tmp_path / "vocoder.onnx"
    save_outside(with_tensor(place), path)
    half = onnx.load(path, load_external_data=False)
    for source in (half, half.SerializeToString(), path.read_bytes()):
        with pytest.raises(BuildError, match="keeps its weights in another file: give the path"):
            read_onnx(source)
    whole = onnx.load(path)
    assert read_onnx(whole).sha == read_onnx(whole.SerializeToString()).sha
    (tmp_path / "vocoder.data").unlink()
    with pytest.raises(BuildError, match="vocoder.onnx keeps its weights in a file that is gone"):
        read_onnx(path)


@pytest.mark.parametrize("place", PLACES)
def test_a_number_type_counts_wherever_the_graph_keeps_it(place):
    half = with_tensor(place, WEIGHTS.astype(np.float16))
    assert read_onnx(half).precisions == {"float16"}
    assert read_onnx(with_tensor(place)).precisions == frozenset()


def test_a_cast_counts_inside_a_branch_and_its_other_attributes_do_not():
    for settings, expected in (
        ({"to": TensorProto.FLOAT16}, {"float16"}),
        ({"to": TensorProto.FLOAT, "saturate": TensorProto.FLOAT16}, set()),
    ):
        model = with_tensor("branch")
        inside = model.graph.node[0].attribute[0].g
        inside.node[0].output[0] = "before"
        inside.node.append(helper.make_node("Cast", ["before"], ["branch"], "Cast", **settings))
        assert read_onnx(model).precisions == expected


def test_what_is_no_model_is_refused_by_its_type():
    with pytest.raises(TypeError, match="onnx.ModelProto, got GraphProto"):
        read_onnx(graph().graph)
