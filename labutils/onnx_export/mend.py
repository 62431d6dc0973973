"""Changes to an exported graph that leave its result as it is and let more programs read it."""

import ast
from collections import Counter
from typing import Any

from labutils.environment import require
from labutils.onnx_export.files import OnnxError, all_nodes, metadata, opset_of, set_metadata

__all__ = [
    "clean",
    "lower_opset",
    "name_dimensions",
    "name_nodes",
    "simplified",
    "sort_nodes",
    "squares_as_products",
]

# Newer versions of these only allow more number formats: the older one computes the same.
_MORE_TYPES = {"Add", "Sub", "Mul", "Div", "Pow", "LeakyRelu", "Relu", "Identity", "Where"}


def lower_opset(model: Any, opset: int) -> None:
    """Rewrite the version number to an older opset, where every node means the same there.

    torch's dynamo exporter writes opset 18 or newer, and ONNX's own converter gives up on Pad.
    Pad 18 differs from 13 only in an optional fourth input, `axes`, which padding of a sound does
    not use. Works in place. Raises OnnxError that names a node which the older opset lacks.
    """
    schema, now = require("onnx").defs.get_schema, opset_of(model)
    if model.functions and now > opset:
        raise OnnxError(f"opset {opset}: the file has {len(model.functions)} functions of its own")
    for node in all_nodes(model.graph) if now > opset else ():
        kind = node.op_type
        try:
            same = schema(kind, now).since_version == schema(kind, opset).since_version
        except Exception:  # onnx has no public type for "no such operator"
            raise OnnxError(f"opset {opset} has no {kind}, which {node.name} is") from None
        plain_pad = kind == "Pad" and not any(node.input[3:])
        if not (same or plain_pad or kind in _MORE_TYPES):
            raise OnnxError(f"{kind} changed between opset {opset} and {now}: {node.name} uses it")
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = min(entry.version, opset)


def name_nodes(model: Any) -> None:
    """Call each node by the module that made it: "resblocks.0.convs1.2/Conv", "conv_post/Conv".

    Both of torch's exporters know the module, but write it in their own ways. Several nodes of a
    type in one module are counted in the order of the graph: "LeakyRelu", "LeakyRelu_1". In place;
    naming again only counts again.
    """
    seen: Counter[str] = Counter()
    for node in model.graph.node:
        module = _module_of(node)
        name = f"{module}/{node.op_type}" if module else node.op_type
        node.name = f"{name}_{seen[name]}" if seen[name] else name
        seen[name] += 1


def _module_of(node: Any) -> str:
    notes = {entry.key: entry.value for entry in node.metadata_props}
    if "pkg.torch.onnx.name_scopes" in notes:  # "['', 'ups.0', 'conv_transpose1d']"
        return ast.literal_eval(notes["pkg.torch.onnx.name_scopes"])[-2]
    if not node.name.startswith("/"):
        return node.name.rpartition("/")[0]
    path: list[str] = []
    for scope in node.name.split("/")[1:-1]:  # "/model/model.4/block/block.2/Conv"
        if path and scope.startswith(f"{path[-1]}."):
            path.pop()  # a Sequential is named twice: alone, and before its child
        path.append(scope)
    return ".".join(path)


def simplified(model: Any) -> Any:
    """The model after onnxsim: what is constant is computed now. Raises OnnxError if that failed.

    The older exporter describes each padding by a dozen nodes, and leaves exp of a constant in
    BigVGAN's activations; both become constants here.
    """
    onnxsim = require("onnxsim")
    try:
        smaller, same = onnxsim.simplify(model)
    except Exception as error:  # its C++ part raises RuntimeError and others
        raise OnnxError(f"onnxsim failed: {str(error).splitlines()[0]}") from error
    if not same:
        raise OnnxError("onnxsim gave another result than the graph before: use simplify=False")
    return smaller


def squares_as_products(model: Any) -> None:
    """Write x to the power of 2 as x times x, as the older exporter does. In place."""
    numpy_helper = require("onnx").numpy_helper
    twos = {
        tensor.name
        for tensor in model.graph.initializer
        if not tensor.dims and numpy_helper.to_array(tensor) == 2
    }
    for node in model.graph.node:
        if node.op_type == "Pow" and node.input[1] in twos:
            node.op_type, node.input[1] = "Mul", node.input[0]


def clean(model: Any) -> None:
    """Leave out what only debugging needs, and write the file in the oldest format that fits.

    Works in place: notes on nodes (torch writes source paths there), onnxsim's notes on itself,
    shapes of what lies inside, Constant nodes (their values become initializers), initializers that
    nothing reads, the version of the file format.
    """
    onnx, graph = require("onnx"), model.graph
    kept = []
    for node in graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = graph.initializer.add()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)
    used = {name for node in all_nodes(graph) for name in node.input}
    used |= {value.name for value in graph.output}
    for place in reversed(range(len(graph.initializer))):
        if graph.initializer[place].name not in used:
            del graph.initializer[place]
    del graph.value_info[:], graph.metadata_props[:]
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.doc_string = ""
        del value.metadata_props[:]
    graph.doc_string = ""
    own = {key: value for key, value in metadata(model).items() if not key.startswith("onnxsim.")}
    del model.metadata_props[:]
    set_metadata(model, own)
    model.ir_version = onnx.helper.find_min_ir_version_for(list(model.opset_import), True)


def sort_nodes(model: Any) -> None:
    """Put each node after those that it reads from, otherwise in the order as it is. In place."""
    graph = model.graph
    maker = {name: i for i, node in enumerate(graph.node) for name in node.output}
    placed: dict[int, None] = {}
    for start in range(len(graph.node)):
        waiting = [start]
        while waiting:
            number = waiting[-1]
            needs = {maker[i] for i in graph.node[number].input if i in maker} - placed.keys()
            if needs and number not in placed:
                waiting.extend(sorted(needs, reverse=True))
            else:
                placed.setdefault(waiting.pop())
    nodes = [graph.node[number] for number in placed]
    del graph.node[:]
    graph.node.extend(nodes)


def name_dimensions(value: Any, names: tuple[int | str, ...]) -> None:
    """Set the shape of a graph's input or output: a number is fixed, a name is dynamic."""
    dims = value.type.tensor_type.shape.dim
    del dims[:]
    for name in names:
        dims.add(**{"dim_value" if isinstance(name, int) else "dim_param": name})
