"""FP16 taps of fixed filters that still add up to what they did.

Rounded one by one, the 12 taps of BigVGAN's low-pass filters add up to 0.99977 in place of 1. That
is little for one filter, but all of them in a row are wrong in the same direction.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from labutils.environment import require

__all__ = ["fixed_filters", "keep_sums"]

_MOST = 16  # numbers of a sum at the most: every way to round them is tried


def keep_sums(rows: np.ndarray) -> np.ndarray:
    """float32 rows (sums, numbers) as FP16: each number one of its two neighbours in FP16.

    Of all ways to round a row this is the one whose sum is nearest to the row's, and among those
    the one with the smallest squared errors. Numbers that FP16 holds stay as they are, so zeros do;
    a filter that is its own mirror image stays one. A row with more than 16 numbers to choose is
    rounded number by number.
    """
    rows = np.asarray(rows, np.float32)
    different, place = np.unique(rows, axis=0, return_inverse=True)
    return np.stack([_keep_sum(row) for row in different])[place.reshape(-1)]


def _keep_sum(row: np.ndarray) -> np.ndarray:
    if len(row) < 2 or not np.array_equal(row, row[::-1]):
        return _rounded(row, np.ones(len(row)))
    half = (len(row) + 1) // 2  # with the middle, where there is one
    counts = np.full(half, 2.0)
    if len(row) % 2:
        counts[-1] = 1.0
    left = _rounded(row[:half], counts)
    return np.concatenate([left, left[: len(row) - half][::-1]])


def _rounded(row: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The row in FP16; `counts` says how many times each number stands in the sum."""
    nearest = row.astype(np.float16)
    moved = np.flatnonzero(nearest != row)
    if not 0 < len(moved) <= _MOST:
        return nearest
    exact, first, counts = row[moved].astype(np.float64), nearest[moved], counts[moved]
    second = np.nextafter(first, np.where(first < exact, np.inf, -np.inf).astype(np.float16))
    errors = np.stack([first.astype(np.float64) - exact, second.astype(np.float64) - exact])
    picks = np.array(list(itertools.product((0, 1), repeat=len(moved))))
    chosen = errors[picks, np.arange(len(moved))]
    # Sums that differ by less than their last float64 digits are equal.
    order = np.lexsort((np.square(chosen) @ counts, np.abs(chosen @ counts).round(12)))
    made = nearest.copy()
    made[moved] = np.where(picks[order[0]], second, first)
    return made


def fixed_filters(model: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Name and FP16 values of each float32 weight whose few taps make one output each.

    They belong to depthwise convolutions, and to products with a constant matrix, which is how a
    filter over blocks of samples is written. The taps of a transposed convolution are summed phase
    by phase: each phase makes samples of its own.
    """
    onnx = require("onnx")
    tensors = {t.name: t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT}
    for node in model.graph.node:
        name = node.input[1] if len(node.input) > 1 else ""
        if name not in tensors or node.op_type not in ("Conv", "ConvTranspose", "MatMul"):
            continue
        weight = onnx.numpy_helper.to_array(tensors[name])
        options = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "MatMul":
            if weight.ndim == 2:
                yield name, keep_sums(weight.T).T
        elif options.get("group", 1) > 1 and node.op_type == "Conv":
            yield name, _by_phase(weight, 1)
        elif options.get("group", 1) == len(weight) and weight.shape[1] == 1:
            yield name, _by_phase(weight, int(np.prod(options.get("strides", [1]))))


def _by_phase(weight: np.ndarray, phases: int) -> np.ndarray:
    """The taps of a depthwise weight (outputs, …, taps), each phase of an output by itself."""
    rows = weight.reshape(len(weight), -1)
    made = rows.astype(np.float16)
    for phase in range(phases):
        made[:, phase::phases] = keep_sums(rows[:, phase::phases])
    return made.reshape(weight.shape)
