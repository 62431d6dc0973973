"""Known wrong answers to the exercises of notebook 01, and what the check must say to each."""

WRONG = {
    "to_natural_log": [
        ("def to_natural_log(log10_mel):\n    return log10_mel / np.log(10)", "times np.log"),
        ("def to_natural_log(log10_mel):\n    return np.log(10 ** log10_mel.mean())", "shape"),
        ("def to_natural_log(log10_mel):\n    return np.log(np.abs(log10_mel))", "times np.log"),
        ("def to_natural_log(log10_mel):\n    return 2.303 * log10_mel", "too rough"),
    ],
    "output_length": [
        (
            "def output_length(frames, strides, kernels):\n    return frames * int(np.prod(strides))",
            "even",
        ),
        (
            "def output_length(frames, strides, kernels):\n    n = frames\n    for s, k in zip(strides, kernels):\n"
            "        n = (n - 1) * s + k\n    return n",
            "both sides",
        ),
        (
            "def output_length(frames, strides, kernels):\n    n = frames\n    for s, k in zip(strides, kernels):\n"
            "        n = (n - 1) * s - (k - s) // 2 + k\n    return n",
            "both sides",
        ),
    ],
    "block_reach": [
        (
            "def block_reach(kernel, dilations):\n    return sum((kernel - 1) // 2 * d for d in dilations)",
            "the second convolution",
        ),
        (
            "def block_reach(kernel, dilations):\n    return 2 * sum((kernel - 1) // 2 * (d + 1) for d in dilations)",
            "one side only",
        ),
        (
            "def block_reach(kernel, dilations):\n    return max((kernel - 1) // 2 * (d + 1) for d in dilations)",
            "in a row add",
        ),
        (
            "def block_reach(kernel, dilations):\n    half = (kernel - 1) // 2\n"
            "    return half * (len(dilations) ** 2 + len(dilations))",
            "dilations 2, 6",
        ),
    ],
    "snake": [
        (
            "def snake(x, log_alpha, log_beta):\n    return x + torch.sin(x * log_alpha).square() / log_beta",
            "got",
        ),
        (
            "def snake(x, log_alpha, log_beta):\n    return x + torch.sin(x * log_alpha.exp()) / log_beta.exp()",
            "squared",
        ),
        (
            "def snake(x, log_alpha, log_beta):\n"
            "    return x + torch.sin(x * log_alpha.exp()).square() * log_beta.exp()",
            "beta divides",
        ),
        (
            "def snake(x, log_alpha, log_beta):\n    alpha = log_alpha.mean().exp()\n"
            "    return x + torch.sin(x * alpha).square() / log_beta.exp()",
            "of its own",
        ),
    ],
}
