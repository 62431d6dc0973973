"""What TensorRT's log says of sparse kernels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

__all__ = ["sparsity"]

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
