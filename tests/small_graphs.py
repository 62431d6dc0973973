"""ONNX graphs of a node or two with the ends of a vocoder, and options to build them."""

from onnx import TensorProto, helper

from labutils.trt import BuildOptions, Profile

OPTIONS = BuildOptions(profiles=(Profile(frames=(32, 400, 1000), batch=(1, 1, 4)),))


def graph(
    operator="Tanh",
    *,
    name="conv_pre/Conv",
    kind=TensorProto.FLOAT,
    shape=("batch", 80, "frames"),
    inputs=("mel",),
):
    """An ONNX model of one or two nodes; `name` is that of a single one."""
    ends = [helper.make_tensor_value_info(n, kind, shape) for n in (*inputs, "audio")]
    nodes = [helper.make_node(operator, ["mel"], ["audio"], name)]
    if operator == "QuantizeLinear":
        nodes = [
            helper.make_node("QuantizeLinear", ["mel", "scale"], ["q"], "q"),
            helper.make_node("DequantizeLinear", ["q", "scale"], ["audio"], "dq"),
        ]
    made = helper.make_graph(nodes, "graph", ends[:-1], ends[-1:])
    if operator == "QuantizeLinear":
        made.initializer.append(helper.make_tensor("scale", TensorProto.FLOAT, [], [0.1]))
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
