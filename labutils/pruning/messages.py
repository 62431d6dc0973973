"""What TensorRT's log says of sparse kernels, and of one that crashed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

__all__ = ["crash", "sparsity"]

# What CUDA calls the end of a kernel; the process can use the GPU no more after it.
_ENDS = ("illegal memory access", "misaligned address", "illegal instruction",
         "unspecified launch failure")  # fmt: skip
_WORDS = 160  # characters of a line that are kept


def sparsity(texts: Sequence[str]) -> dict[str, Any]:
    """How many layers TensorRT's log calls eligible for sparse kernels, and for how many it chose
    one: {"eligible", "chosen", "said"}; None where the log does not tell.

    The words differ from version to version: "(Sparsity) Found 3 layer(s) eligible to use sparse
    tactics: a, b, c", "(Sparsity) Layers eligible for sparse math: a, b, c".
    """
    found: dict[str, Any] = {"eligible": None, "chosen": None, "said": []}
    for text in texts:
        if "(Sparsity)" not in text:
            continue
        words, _, names = text.partition(":")
        count = re.search(r"\b(\d+) layer", words)
        number = int(count.group(1)) if count else len([n for n in names.split(",") if n.strip()])
        key = "eligible" if "eligible" in words.lower() else "chosen"
        if key == "eligible" or re.search(r"chose|picked", words.lower()):
            found[key] = number
        found["said"].append(words.strip()[:_WORDS])
    return found


def crash(texts: Sequence[str]) -> str:
    """In one line, which kernel crashed while a builder timed it; empty where none did.

    Names the layer and the last kernel that was timed before, which a verbose log tells ("Timing
    Runner: conv1 (CaskConvolution[0x80000009])", "Tactic Name: sm80_... Time: 0.02").
    """
    for place, text in enumerate(texts):
        end = next((end for end in _ENDS if end in text), None)
        if end is None:
            continue
        before = [" ".join(line.split()).strip("- ")[:_WORDS] for line in texts[:place]]
        told = [f"a kernel crashed while TensorRT timed it ({end})"]
        for mark in ("Timing Runner:", "Tactic Name:"):
            told += [line for line in before if mark in line][-1:]
        return "; ".join(told)
    return ""
