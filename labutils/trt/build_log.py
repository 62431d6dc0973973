"""Where the time of a build went, by TensorRT's own account in its verbose log."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

__all__ = ["build_times"]

_TRIED = re.compile(r"\bTactic: 0x[0-9a-f]+ Time: ")
_DONE = re.compile(r"(.+) \((\w+)\[0x[0-9a-f]+\]\) profiling completed in ([0-9.e+-]+) seconds")


def build_times(texts: Iterable[str]) -> list[dict[str, Any]]:
    """What trying kernels took, by kind of kernel, the longest first.

    `texts` are lines of a build's log at level "verbose". A row has "kernels" (TensorRT's name of
    the kind), for how many "layers" they were tried and in how many "layouts" of those layers'
    tensors, how many were "tried", and the "seconds". A layer that equals an earlier one is not
    tried again. Empty for a log in other words, as that of a build from a timing cache.
    """
    found: dict[str, dict[str, Any]] = {}
    tried = 0
    for text in texts:
        if text.startswith("--------------- Timing Runner"):
            tried = 0
        elif done := _DONE.match(text):
            layer, kind, seconds = done.groups()
            nothing = {"kernels": kind, "layers": set(), "layouts": 0, "tried": 0, "seconds": 0.0}
            row = found.setdefault(kind, nothing)
            row["layers"].add(layer)
            row["layouts"] += 1
            row["tried"] += tried
            row["seconds"] += float(seconds)
        else:
            tried += bool(_TRIED.search(text))
    rows = [row | {"layers": len(row["layers"])} for row in found.values()]
    return sorted(rows, key=lambda row: -row["seconds"])
