"""The inspector's JSON of TensorRT 8.6 and 10, and of 11, as rows of plain data.

8.6 and 10 list "Bindings" by name and write one field "Format/Datatype" for a tensor. 11 has
objects in "I/O Tensors", and format and type in fields of their own. Source: NVIDIA's page
"Migrating IEngineInspector Usage from TensorRT 10.x to 11.x".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["InspectError", "inputs_and_outputs", "load", "onnx_nodes", "precision", "read", "rows"]

_NAMED = 250  # characters that a path may have in an error; file systems end names at 255

# Written in a tensor's format or type, the first that is found counts; longer names first.
_PRECISIONS = (
    (r"bf16|bfloat16|bfloat", "BF16"),
    (r"fp16|half|float16", "FP16"),
    (r"fp8|float8", "FP8"),
    (r"fp4|float4", "FP4"),
    (r"fp32|float32|float", "FP32"),
    (r"uint8", "UINT8"),
    (r"int8", "INT8"),
    (r"int4", "INT4"),
    (r"int32", "INT32"),
    (r"int64", "INT64"),
    (r"bool", "BOOL"),
)
_METADATA = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
# TensorRT's own additions to a fused name: shuffles around a 1-D convolution, constants.
_ADDED = re.compile(r"\(Unnamed Layer\* \d+\)")
# Layers that are TensorRT's own altogether: copies between formats, kernels of its compiler.
_OWN = re.compile(r"Reformatting CopyNode|reformat|__my|\{?ForeignNode")


class InspectError(ValueError):
    """A text or file that is no inspector's JSON, or a node that no layer holds."""


def read(path: Path) -> str:
    """The text of a file. Raises InspectError, one line, where there is none that can be read."""
    shown = " ".join(str(path).split())  # it may be a text that was taken for a path
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InspectError(f"{shown}: no such file") from None
    except IsADirectoryError:
        raise InspectError(f"{shown} is a folder: give the file in it") from None
    except UnicodeDecodeError:
        raise InspectError(
            f"{shown} is no text: of an engine's file make an engine first, load_engine(path)"
        ) from None
    except (OSError, ValueError) as error:  # a name that is too long, or holds a zero byte
        reason = getattr(error, "strerror", None) or str(error)
        if len(shown) > _NAMED:
            shown = f"{shown[:80]}..."
        raise InspectError(f"{shown} is no JSON, and no file that can be read: {reason}") from None


def load(text: str, where: str = "the text") -> dict[str, Any]:
    """The JSON of an engine. Raises InspectError, one line, for anything else."""
    try:
        # Not strict: metadata parts names by control characters, which may stand there bare.
        data = json.loads(text, strict=False)
    except ValueError as error:
        raise InspectError(f"{where} holds no JSON: {error}") from None
    if not isinstance(data, dict) or not isinstance(data.get("Layers"), list):
        raise InspectError(f'{where} is no inspector\'s JSON: it has no list "Layers"')
    return data


def rows(data: Mapping[str, Any]) -> tuple[list[dict[str, Any]], bool]:
    """One row for each layer, and whether the engine tells more than names.

    Raises InspectError where there is no list of layers.
    """
    entries = data.get("Layers")
    if not isinstance(entries, list):
        raise InspectError('no inspector\'s JSON: it has no list "Layers"')
    detailed = any(isinstance(entry, Mapping) for entry in entries)
    return [_row(entry) for entry in entries], detailed


def _row(entry: Any) -> dict[str, Any]:
    if not isinstance(entry, Mapping):  # an engine that keeps names only
        entry = {"Name": str(entry)}
    name = str(entry.get("Name", ""))
    inputs, outputs = (_tensors(entry.get(key)) for key in ("Inputs", "Outputs"))
    return {
        "name": name,
        "kind": str(entry.get("LayerType", "?")),
        "precision": _arrow([t["precision"] for t in inputs], [t["precision"] for t in outputs]),
        "tactic": str(entry.get("TacticName") or entry.get("TacticValue") or ""),
        "nodes": onnx_nodes(name, str(entry.get("Metadata") or "")),
        "shapes": _arrow([t["shape"] for t in inputs], [t["shape"] for t in outputs]),
    }


def _tensors(entries: Any) -> list[dict[str, str]]:
    """Shape and precision of each tensor that is more than a name."""
    found = []
    for entry in entries if isinstance(entries, Sequence) and not isinstance(entries, str) else []:
        if isinstance(entry, Mapping):
            sizes = entry.get("Dimensions")
            shape = "x".join(str(size) for size in sizes) if isinstance(sizes, list) else "?"
            # The type first: 11's format ("kLINEAR", "channel % 4") may name another number.
            types = [entry.get(key) for key in ("DataType", "Datatype", "Data Type")]
            text = next((str(t) for t in types if t), "")
            both = entry.get("Format/Datatype") or entry.get("Format") or ""
            found.append({"shape": shape, "precision": precision(text or str(both))})
    return found


def precision(text: str) -> str:
    """ "FP16" of "Channel major FP16 format where channel % 8 == 0", "?" of what names no type."""
    lower = text.lower()
    for pattern, name in _PRECISIONS:
        if re.search(rf"(?<![a-z])(?:{pattern})(?![a-z0-9])", lower):
            return name
    return "?"


def _arrow(before: Sequence[str], after: Sequence[str]) -> str:
    """ "FP32 to FP16"; one word where both sides agree; of several inputs the first counts."""
    start, end = before[0] if before else "", after[0] if after else ""
    if not start or not end or start == end:
        return start or end or "?"
    return f"{start} to {end}"


def onnx_nodes(name: str, metadata: str = "") -> list[str]:
    """Names of the ONNX nodes that a layer stands for: its metadata's, or parts of its own name.

    A fused layer is named "a + b", "PWN(a, b)" or "a || b"; what TensorRT added itself (shuffles
    around a 1-D convolution, copies between formats) is no ONNX node.
    """
    listed = _METADATA.findall(metadata)
    if listed:
        return list(dict.fromkeys(node.strip() for node in listed))
    if _OWN.match(name):
        inside = re.findall(r"\[([^\]]+)\]", name) if "ForeignNode" in name else []
        parts = re.split(r"\.\.\.", inside[0]) if inside else []
    else:
        bare = re.sub(r"PWN\(((?:[^()]|\([^()]*\))*)\)", r"\1", name)
        bare = re.sub(r"PWN\(|(?<![\w/])\)+$", "", bare)
        parts = re.split(r" \+ | \|\| |, ", bare)
    nodes = [part.strip().strip("()") if part.count("(") != part.count(")") else part.strip()
             for part in parts]  # fmt: skip
    return list(dict.fromkeys(node for node in nodes if node and not _ADDED.search(node)))


def inputs_and_outputs(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """ "name" and, where the JSON tells, "mode", "type" and "shape" of the engine's own tensors."""
    found = []
    for entry in data.get("I/O Tensors") or data.get("Bindings") or []:
        if not isinstance(entry, Mapping):
            found.append({"name": str(entry)})
            continue
        sizes = entry.get("Dimensions")
        found.append(
            {
                "name": str(entry.get("Name", "")),
                "mode": str(entry.get("IOMode", "")).lower(),
                "type": precision(str(entry.get("DataType") or entry.get("Datatype") or "")),
                "shape": "x".join(map(str, sizes)) if isinstance(sizes, list) else "?",
            }
        )
    return found
