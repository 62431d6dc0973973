"""Known wrong answers to the exercises of notebook 04, and what the check must say to each."""

_SHAPES = "def dynamic_shapes(model):\n"
_ERROR = "def relative_error(reference, candidate):\n"
_LENGTHS = "def lengths_to_test(example, shortest):\n"
_FROZEN = "def frozen_nodes(model, frames):\n"
_CONSTANTS = (
    "    constants = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}\n"
)
_SAME_SHAPE = "    if reference.shape != candidate.shape:\n        raise ValueError('shapes')\n"

WRONG = {
    "dynamic_shapes": [
        (
            _SHAPES
            + "    return {'mel': {0: torch.export.Dim('batch'), 2: torch.export.Dim('frames')}}",
            "forward(x): the keys are ['mel']",
        ),
        (
            _SHAPES + "    name = next(iter(inspect.signature(model.forward).parameters))\n"
            "    return {name: {2: torch.export.Dim('frames')}}",
            "the batch, axis 0, is not among",
        ),
        (
            _SHAPES + "    name = next(iter(inspect.signature(model.forward).parameters))\n"
            "    dim = torch.export.Dim\n"
            "    return {name: {0: dim('batch'), 1: dim('bands'), 2: dim('frames')}}",
            "axis 1 is the bands",
        ),
        (
            _SHAPES + "    name = next(iter(inspect.signature(model.forward).parameters))\n"
            "    size = torch.export.Dim('size')\n"
            "    return {name: {0: size, 2: size}}",
            "torch.export refuses it",
        ),
    ],
    "relative_error": [
        (
            _ERROR
            + "    if reference.size != candidate.size:\n        raise ValueError('sizes differ')\n"
            "    a, b = np.ravel(reference).astype(np.float64), np.ravel(candidate).astype(np.float64)\n"
            "    if not np.isfinite(b).all():\n        return np.inf\n"
            "    return np.abs(a - b).max() / np.abs(a).max()",
            "(200, 2)",
        ),
        (
            _ERROR
            + _SAME_SHAPE
            + "    if not np.isfinite(candidate).all():\n        return np.inf\n"
            "    return np.abs(reference - candidate).max() / np.abs(reference).max()",
            "two float16 sounds",
        ),
        (
            _ERROR
            + _SAME_SHAPE
            + "    return float(np.max(np.abs(candidate - reference) / np.abs(reference)))",
            "not sample by sample",
        ),
        (
            _ERROR
            + _SAME_SHAPE
            + "    return float(np.abs(candidate - reference).mean() / np.abs(reference).max())",
            "the peak is 0.25",
        ),
        (
            _ERROR
            + "    return float(np.abs(candidate - reference).max() / np.abs(reference).max())",
            "it must raise ValueError",
        ),
        (
            _ERROR
            + _SAME_SHAPE
            + "    return float(np.nanmax(np.abs(candidate - reference)) / np.abs(reference).max())",
            "a candidate with nan in it: expected inf",
        ),
        (
            _ERROR
            + _SAME_SHAPE
            + "    return float((candidate - reference).max() / np.abs(reference).max())",
            "the sign does not matter",
        ),
    ],
    "lengths_to_test": [
        (_LENGTHS + "    return [example, 2 * example]", "is the example's own length"),
        (_LENGTHS + "    return [shortest, example // 2]", "cuts off what is longer"),
        (_LENGTHS + "    return [example + 1, 3 * example + 1]", "pads what is shorter"),
        (_LENGTHS + "    return [shortest, 8 * example]", "even number of frames would pass"),
        (_LENGTHS + "    return [1, example + 3]", "takes 4 or more"),
        (
            _LENGTHS + "    return [t for t in range(shortest, 200) if t != example]",
            "six are enough",
        ),
    ],
    "frozen_nodes": [
        (
            _FROZEN + _CONSTANTS + "    for node in model.graph.node:\n"
            "        if node.op_type in ('Slice', 'Reshape', 'Expand'):\n"
            "            for name in node.input:\n"
            "                for v in np.ravel(constants.get(name, 0)):\n"
            "                    if 0 < v < 2**62 and v % frames == 0:\n"
            "                        return [node.name]\n"
            "    return []",
            "three frozen nodes",
        ),
        (
            _FROZEN + _CONSTANTS + "    return [node.name for node in model.graph.node\n"
            "            if node.op_type in ('Slice', 'Reshape', 'Expand') and any(\n"
            "                0 < v < 2**62 and v % frames == 0\n"
            "                for name in node.input for v in np.ravel(constants.get(name, 0)))]",
            "those are int64",
        ),
        (
            _FROZEN + _CONSTANTS + "    return [n.name for n in model.graph.node if any(\n"
            "        (constants[i] % frames == 0).any() for i in n.input if i in constants)]",
            "got ['trim']",
        ),
        (
            _FROZEN
            + _CONSTANTS
            + "    return [n.name for n in model.graph.node if n.op_type in ('Slice', 'Reshape', 'Expand') and any(\n"
            "        ((constants[i] > 0) & (constants[i] % frames == 0)).any() for i in n.input if i in constants)]",
            "a multiple of 49 by accident",
        ),
        (
            _FROZEN + "    return [n.name for n in model.graph.node if n.op_type == 'Slice']",
            "9472 is no multiple of 41",
        ),
        (
            _FROZEN
            + _CONSTANTS
            + "    return [n.name for n in model.graph.node if any(0 < v < 2**40 and v % frames == 0\n"
            "        for i in n.input if i in constants for v in constants[i].ravel())]",
            "are no lengths: expected ['grow']",
        ),
    ],
}
