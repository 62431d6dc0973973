"""trtexec's JSON files, written and read: times of queries, times of layers, layers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from labutils.trt.trtexec.traces import Trace
from labutils.whole_file import whole_file

__all__ = [
    "ExportError",
    "profile_rows",
    "read_profile",
    "read_times",
    "write_layer_info",
    "write_profile",
    "write_times",
]

_PARTS = {"enq": "Enq", "h2d": "H2d", "compute": "Compute", "d2h": "D2h"}


class ExportError(ValueError):
    """A file that is not what it should be; the text names the file and what is wrong with it."""


def write_times(path: str | os.PathLike[str], traces: Sequence[Trace]) -> Path:
    """`--exportTimes`: one object for each query, without those of the warm-up."""
    return _write(path, _lines(_times_row(trace) for trace in traces))


def _times_row(trace: Trace) -> dict[str, float]:
    row = {}
    for name, word in _PARTS.items():
        start, end = getattr(trace, name)
        row |= {f"start{word}Ms": start, f"end{word}Ms": end}
    for name in ("h2d", "compute", "d2h"):
        start, end = getattr(trace, name)
        row[f"{name}Ms"] = end - start
    return row | {"latencyMs": trace.latency}


def read_times(path: str | os.PathLike[str]) -> list[Trace]:
    """The queries of a file that `--exportTimes` wrote. Raises ExportError."""
    rows = _read_list(path)
    try:
        return [
            Trace(
                **{
                    name: (float(row[f"start{word}Ms"]), float(row[f"end{word}Ms"]))
                    for name, word in _PARTS.items()
                }
            )
            for row in rows
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ExportError(f"{path} is no file of --exportTimes: {_why(error)}") from error


def profile_rows(runs: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
    """Name, total, mean, median and share of each layer, of {layer: ms} for each run."""
    names = list(dict.fromkeys(name for run in runs for name in run))
    times = {name: np.array([run[name] for run in runs if name in run]) for name in names}
    whole = sum(float(values.sum()) for values in times.values()) or 1.0
    return [
        {
            "name": name,
            "timeMs": float(values.sum()),
            "averageMs": float(values.mean()),
            "medianMs": float(np.median(values)),
            "percentage": 100 * float(values.sum()) / whole,
        }
        for name, values in times.items()
    ]


def write_profile(path: str | os.PathLike[str], runs: Sequence[Mapping[str, float]]) -> Path:
    """`--exportProfile`: the number of runs, then one object for each layer."""
    return _write(path, _lines([{"count": len(runs)}, *profile_rows(runs)]))


def read_profile(path: str | os.PathLike[str]) -> tuple[int, list[dict[str, Any]]]:
    """The number of runs and the layers of a file of `--exportProfile`. Raises ExportError."""
    rows = _read_list(path)
    try:
        count = int(rows[0]["count"])
        for row in rows[1:]:
            row["name"], float(row["averageMs"])
        return count, rows[1:]
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise ExportError(f"{path} is no file of --exportProfile: {_why(error)}") from error


def write_layer_info(path: str | os.PathLike[str], text: str) -> Path:
    """`--exportLayerInfo`: the inspector's JSON, which `labutils.trt.inspect.layers` reads."""
    return _write(path, text if text.endswith("\n") else f"{text}\n")


def _lines(rows: Any) -> str:
    """A JSON list with one object a line, as trtexec writes it."""
    body = "\n, ".join(json.dumps(row, ensure_ascii=False) for row in rows)
    return f"[\n  {body}\n]\n"


def _read_list(path: str | os.PathLike[str]) -> list[Any]:
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ExportError(f"{path} holds no JSON: {error}") from error
    except OSError as error:
        raise ExportError(f"{path} can not be read: {error.strerror or error}") from error
    if not isinstance(data, list):
        raise ExportError(f"{path}: expected a list, got {type(data).__name__}")
    return data


def _why(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _write(path: str | os.PathLike[str], text: str) -> Path:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)
