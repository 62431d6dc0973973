"""Known wrong answers to the exercises of notebook 10, and what the check must say to each."""

_WEIGHT = "def quantize_weight(weight):\n"
_FLOAT = "def stay_float(model):\n"
_SNR = "def combined_snr(snrs):\n"
_LARGEST = "    largest = np.abs(weight).max(axis=(1, 2), keepdims=True)\n"

WRONG = {
    "quantize_weight": [
        (
            _WEIGHT + "    scale = np.abs(weight).max() / 127\n"
            "    return np.rint(weight / scale).astype(np.int8), np.array([scale])",
            "has 2 scales, got 1",
        ),
        (
            _WEIGHT + _LARGEST + "    scale = np.maximum(largest, 1e-12) / 128\n"
            "    return np.clip(np.rint(weight / scale), -127, 127).astype(np.int8), scale[:, 0, 0]",
            "ends at 127 on both sides",
        ),
        (
            _WEIGHT + _LARGEST + "    scale = np.maximum(largest, 1e-12) / 127\n"
            "    return (weight / scale).astype(np.int8), scale[:, 0, 0]",
            "2.6",
        ),
        (
            _WEIGHT + _LARGEST + "    scale = largest / 127\n"
            "    return np.nan_to_num(np.rint(weight / scale)).astype(np.int8), scale[:, 0, 0]",
            "a channel of zeros: its scale is 0.0",
        ),
        (
            _WEIGHT + _LARGEST + "    scale = np.maximum(largest, 1e-12) / 127\n"
            "    return np.rint(weight / scale), scale[:, 0, 0]",
            "not int8",
        ),
    ],
    "stay_float": [
        (
            _FLOAT + "    convs = [n.name for n in model.graph.node if n.op_type == 'Conv']\n"
            "    return [convs[0], convs[-1]]",
            "every transposed convolution stays float",
        ),
        (
            _FLOAT + "    kept = ('conv_pre', 'conv_post', 'ups.')\n"
            "    return [n.name for n in model.graph.node if n.name.startswith(kept)]",
            "MelGAN calls its layers by numbers",
        ),
        (
            _FLOAT + "    nodes = list(model.graph.node)\n"
            "    ups = [n.name for n in nodes if n.op_type == 'ConvTranspose']\n"
            "    return [nodes[0].name, *ups, nodes[-1].name]",
            "conv_post/Conv is not in the list",
        ),
    ],
    "combined_snr": [
        (_SNR + "    return min(snrs, default=math.inf)", "louder than one"),
        (_SNR + "    return sum(snrs)", "decibels do not add"),
        (
            _SNR + "    noise = sum(10 ** (-s / 20) for s in snrs)\n"
            "    return math.inf if noise == 0 else -20 * math.log10(noise)",
            "adding amplitudes",
        ),
        (
            _SNR + "    return -10 * math.log10(sum(10 ** (-s / 10) for s in snrs))",
            "math domain error",
        ),
    ],
}
