"""What TensorRT made of a graph: layers, fusions, precisions and kernels, and how long each takes.

An engine built with detailed verbosity tells of its layers in JSON. The JSON of 8.6 and 10 and the
one of 11 are read alike; so is the file that trtexec's --exportLayerInfo writes.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labutils import tables
from labutils.environment import require
from labutils.trt import layer_json
from labutils.trt.bound import Bound
from labutils.trt.inspect_pictures import picture

if TYPE_CHECKING:
    import tensorrt as trt

    from labutils.trt.engine import Engine

__all__ = [
    "InspectError",
    "Layers",
    "information",
    "layer_runs",
    "layer_times",
    "layers",
    "picture",
]

InspectError = layer_json.InspectError
_WARM_UPS = 3

# In names of kernels: two inputs, what is read and written to, the sum, and the output.
_FORMAT = r"(?:bf|tf|f|i)\d+"
_FORMATS = re.compile(rf"_{_FORMAT}{_FORMAT}_{_FORMAT}(?P<sum>{_FORMAT})_{_FORMAT}_")


@dataclass
class Layers:
    """The layers of an engine in the order they run.

    `rows`: one mapping for each, with "name", "kind" (TensorRT's layer type), "precision" ("FP32 to
    FP16" where input and output differ, "?" where the engine does not say), "tactic" (the kernel),
    "nodes" (the ONNX nodes it stands for) and "shapes" (input to output). `io`: what is known of
    the engine's own inputs and outputs. `detailed` is False for an engine that only keeps names.
    """

    rows: list[dict[str, Any]]
    io: list[dict[str, Any]] = field(default_factory=list)
    detailed: bool = True

    def kinds(self) -> dict[str, int]:
        """How many layers there are of each type, the most frequent first."""
        return dict(Counter(row["kind"] for row in self.rows).most_common())

    def precisions(self) -> dict[str, int]:
        """How many layers have each precision, the most frequent first."""
        return dict(Counter(row["precision"] for row in self.rows).most_common())

    def generations(self) -> dict[str, int]:
        """How many kernels say in their name which generation of GPUs they were written for, by its
        compute capability ("8.0" for sm80); the most frequent first."""
        named = [re.match(r"sm_?(\d+)(\d)", row["tactic"]) for row in self.rows]
        return dict(Counter(".".join(m.groups()) for m in named if m).most_common())

    def sums(self) -> dict[str, int]:
        """How many kernels say in their name in which format they add their products up, by that
        format: {"f16": 78} for names with f16f16_f16f16_f16 in them, {"f32": 78} for those with
        f16f16_f16f32_f16. The most frequent first."""
        named = [_FORMATS.search(row["tactic"]) for row in self.rows]
        return dict(Counter(m["sum"] for m in named if m).most_common())

    def fused(self, onnx_node: str) -> dict[str, Any]:
        """The row of the layer that does the work of an ONNX node.

        Raises InspectError for a node in no layer (folded into constants, or misspelt).
        """
        for row in self.rows:
            if onnx_node in row["nodes"]:
                return row
        known = [node for row in self.rows for node in row["nodes"]]
        near = get_close_matches(onnx_node, known, n=2, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise InspectError(f'no layer does the work of "{onnx_node}"{hint}')

    def __len__(self) -> int:
        return len(self.rows)

    def spread(self, times: Mapping[str, float]) -> list[float | None]:
        """The time of each layer in ms by `times` {name: ms}, None for one that they do not name.

        TensorRT may give several layers one name, and then tells only what they took together:
        they share it in equal parts.
        """
        names = [row["name"] for row in self.rows]
        count = Counter(names)
        return [times[name] / count[name] if name in times else None for name in names]

    def table(self, times: Mapping[str, float] | None = None) -> list[dict[str, Any]]:
        """Rows for a table; with `times` {name: ms} each layer's time and its share of all in %.

        Layers of one name share the time that was taken for them together.
        """
        whole = sum((times or {}).values()) or 1.0
        spread = self.spread(times or {})
        shown = []
        for number, (row, time) in enumerate(zip(self.rows, spread, strict=True), 1):
            out = {"layer": number, "kind": row["kind"], "ONNX nodes": ", ".join(row["nodes"])}
            if not row["nodes"]:
                out["ONNX nodes"] = f"({_short(row['name'])})"
            out |= {"precision": row["precision"], "shapes": row["shapes"]}
            out["kernel"] = _short(row["tactic"], 40)
            if times is not None:
                share = None if time is None else 100 * time / whole
                out = {"layer": number, "ms": time, "%": share} | out
            shown.append(out)
        return shown

    def __repr__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.kinds().items())
        return f"{len(self.rows)} layers: {kinds}"

    def _repr_html_(self) -> str:
        nodes = sum(len(row["nodes"]) for row in self.rows)
        text = f"{len(self.rows)} layers do the work of {nodes} ONNX nodes"
        note = ""
        if not self.detailed:
            text = f"{len(self.rows)} layers, of which the engine keeps no more than the names"
            note = "build it again with detailed=True (trtexec: --profilingVerbosity=detailed)"
        kind = "info" if self.detailed else "warn"
        return tables.strip([("engine", kind)], text, note) + tables.table(self.table())


def _short(text: str, length: int = 60) -> str:
    """The beginning and the end of a long name: kernels are named by both."""
    half = (length - 3) // 2
    return text if len(text) <= length else f"{text[:half]}...{text[-half:]}"


def layers(
    engine_or_json: Any, *, profile: int | None = None, shape: tuple[int, int, int] | None = None
) -> Layers:
    """The layers of an engine, or of what its inspector once wrote.

    Takes an Engine of `labutils.trt.load_engine`, the JSON as text or as data, or the path of a
    file that holds it. Kernels and types depend on the shape: an engine is asked for `shape`
    (batch, n_mels, frames), by default the best shape of `profile` (the first). Raises InspectError
    for what is none of these, ProfileError for a shape that no profile holds.
    """
    if isinstance(engine_or_json, Mapping):
        data = engine_or_json
    elif hasattr(engine_or_json, "new_context"):
        data = layer_json.load(information(engine_or_json, profile=profile, shape=shape))
    elif isinstance(engine_or_json, str) and engine_or_json.lstrip().startswith(("{", "[")):
        data = layer_json.load(engine_or_json)
    elif isinstance(engine_or_json, str | os.PathLike):
        path = Path(engine_or_json)
        data = layer_json.load(layer_json.read(path), str(path))
    else:
        raise InspectError(f"expected an engine or JSON, got {type(engine_or_json).__name__}")
    rows, detailed = layer_json.rows(data)
    return Layers(rows, layer_json.inputs_and_outputs(data), detailed)


def information(
    engine: Engine, *, profile: int | None = None, shape: tuple[int, int, int] | None = None
) -> str:
    """The inspector's JSON of an engine, as --exportLayerInfo writes it.

    Without a context of one shape TensorRT says "N/A due to dynamic shapes" in place of formats.
    """
    trt = require("tensorrt")
    if shape is None:
        profile = profile or 0
        shape = engine.profiles[profile].shapes(engine.n_mels)[1]
    with Bound(engine, shape, profile=profile) as bound:
        cuda_engine: trt.ICudaEngine = engine.engine
        inspector = cuda_engine.create_engine_inspector()
        inspector.execution_context = bound.context
        return inspector.get_engine_information(trt.LayerInformationFormat.JSON)


def layer_times(engine: Engine, mel: Any, runs: int = 20) -> dict[str, float]:
    """Median milliseconds of each layer for a mel (batch, n_mels, frames), in running order.

    The profiler waits after every layer: the sum is more than an undisturbed call takes, the shares
    are what it is for. Raises ProfileError, BoundError, ValueError for less than one run.
    """
    shape = tuple(int(size) for size in mel.shape)
    if len(shape) != 3:
        raise InspectError(f"expected a mel (batch, n_mels, frames), got {shape}")
    found = layer_runs(engine, shape, runs, mel=mel)
    names = list(dict.fromkeys(name for run in found for name in run))
    return {name: float(np.median([run[name] for run in found if name in run])) for name in names}


def layer_runs(
    engine: Engine, shape: tuple[int, int, int], runs: int, *, mel: Any = None
) -> list[dict[str, float]]:
    """{layer: ms} for each of `runs` calls; layers of one name are added up.

    Raises as `layer_times` does.
    """
    if runs < 1:
        raise ValueError(f"{runs} runs: expected one or more")
    trt = require("tensorrt")

    class Times(trt.IProfiler):
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.run: dict[str, float] = {}

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.run[layer_name] = self.run.get(layer_name, 0.0) + float(ms)

    found: list[dict[str, float]] = []
    with Bound(engine, shape, mel=mel) as bound:
        profiler = Times()
        bound.context.profiler = profiler  # the context keeps no reference of its own
        for number in range(_WARM_UPS + runs):
            profiler.run = {}
            bound.enqueue()  # with a profiler it returns when the layers have been timed
            bound.synchronize()
            if number >= _WARM_UPS:
                found.append(profiler.run)
        # The context goes before the profiler that it points to.
        bound.close()
        del profiler
    if not any(found):
        raise InspectError("the profiler was told of no layer: is the engine's verbosity none?")
    return found
