"""Known wrong answers to the exercises of notebook 11, and what the check must say to each."""

_ZEROS = "def share_of_zeros(model):\n"
_KEEP = "def channels_to_keep(weights, keep):\n"
_MASK = "def mask_2_4(weight):\n"
_ALL = (
    "    layers = [m for m in model.modules() if isinstance(m, nn.Conv1d | nn.ConvTranspose1d)]\n"
)

WRONG = {
    "share_of_zeros": [
        (
            _ZEROS
            + "    weights = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d)]\n"
            "    zeros = sum(int((w == 0).sum()) for w in weights)\n"
            "    return zeros / max(1, sum(w.numel() for w in weights))",
            "zeros in the first layer only",
        ),
        (
            _ZEROS
            + "    weights = [m.weight for m in model.modules() if isinstance(m, nn.Conv1d)]\n"
            "    zeros = sum(int((w == 0).sum()) for w in weights)\n"
            "    return zeros / sum(w.numel() for w in weights)",
            "are all weights of all layers counted",
        ),
        (
            _ZEROS + _ALL + "    weights = [m.weight for m in layers if type(m) is nn.Conv1d]\n"
            "    zeros = sum(int((w == 0).sum()) for w in weights)\n"
            "    return zeros / sum(m.weight.numel() for m in layers)",
            "which is no Conv1d",
        ),
        (
            _ZEROS
            + _ALL
            + "    return sum(float((m.weight == 0).float().mean()) for m in layers) / len(layers)",
            "are all weights of all layers counted",
        ),
        (
            _ZEROS + _ALL + "    zeros = sum(int((p == 0).sum()) for p in model.parameters())\n"
            "    return zeros / sum(m.weight.numel() for m in layers)",
            "biases are no weights",
        ),
    ],
    "channels_to_keep": [
        (
            _KEEP + "    norms = weights[0].square().sum((1, 2))\n"
            "    return norms.topk(keep).indices.sort().values",
            "so 1 and 2 stay",
        ),
        (
            _KEEP + "    norms = sum(w.square().sum((1, 2)) for w in weights)\n"
            "    return norms.topk(keep).indices",
            "in rising order",
        ),
        (
            _KEEP + "    norms = sum(w.square().sum((1, 2)).sqrt() for w in weights)\n"
            "    return norms.topk(keep).indices.sort().values",
            "add the squares",
        ),
        (
            _KEEP + "    norms = sum(w.abs().sum((1, 2)) for w in weights)\n"
            "    return norms.topk(keep).indices.sort().values",
            "add the squares",
        ),
        (
            _KEEP + "    norms = sum(w.square().mean((1, 2)) for w in weights)\n"
            "    return norms.topk(keep).indices.sort().values",
            "do not take a mean",
        ),
        (
            _KEEP + "    norms = sum(w.sum((1, 2)) for w in weights)\n"
            "    return norms.topk(keep, largest=False).indices.sort().values",
            "channels 0 and 3 are the largest",
        ),
        (
            _KEEP + "    norms = sum(w.square().sum((1, 2)) for w in weights)\n"
            "    return norms > norms.median()",
            "indices of the channels that stay",
        ),
    ],
    "mask_2_4": [
        (
            _MASK + "    fours = weight.abs().reshape(-1, 4)\n"
            "    best = fours.topk(2, dim=1).indices\n"
            "    mask = torch.zeros_like(fours, dtype=torch.bool).scatter_(1, best, True)\n"
            "    return mask.reshape(weight.shape)",
            "2 of input channels 0 to 3",
        ),
        (
            _MASK + "    out, inputs, taps = weight.shape\n"
            "    fours = weight.reshape(out, inputs // 4, 4, taps)\n"
            "    best = fours.topk(2, dim=2).indices\n"
            "    mask = torch.zeros_like(fours, dtype=torch.bool).scatter_(2, best, True)\n"
            "    return mask.reshape(weight.shape)",
            "the magnitude counts, not the sign",
        ),
        (
            _MASK + "    out, inputs, taps = weight.shape\n"
            "    fours = weight.abs().reshape(out, inputs // 4, 4, taps)\n"
            "    edge = fours.topk(2, dim=2).values[:, :, 1:]\n"
            "    return (fours >= edge).reshape(weight.shape)",
            "a threshold keeps all of them",
        ),
        (
            _MASK + "    return weight.abs() > weight.abs().median()",
            "for each output channel and tap",
        ),
    ],
}
