"""Failures on purpose: what TensorRT says, and what labutils says in its place.

rows = provoke_all("vocoder.plan")          # each in a process of its own: a crash ends only that

`python -m labutils.trt.failures NAME PLAN` provokes one and writes what was said as a line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from labutils import ROOT
from labutils.environment import require

__all__ = ["FAILURES", "Failure", "provoke", "provoke_all"]

_LONGEST = 420  # characters of a message; parsers quote whole nodes
_LEFT_FREE = 16 << 20  # bytes that the out-of-memory failure leaves on the GPU
_BANDS, _FRAMES = 80, 16  # of the small graphs that fail before any network matters


class Failure(NamedTuple):
    """A mistake, what it means and what helps, and the function that makes it."""

    title: str
    means: str
    instead: str
    make: Callable[[bytes], dict[str, Any]]


def _listening() -> Any:
    from labutils.trt.messages import Messages

    return Messages(level="error")


def _load(plan: bytes, said: Any) -> tuple[Any, Any]:
    """TensorRT's own runtime and engine (None where it refuses), without labutils in between."""
    trt = require("tensorrt")
    runtime = trt.Runtime(said.logger)
    return runtime, runtime.deserialize_cuda_engine(plan)


def _ours(call: Callable[[], Any]) -> str:
    """What labutils says to the same mistake."""
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def _too_long(plan: bytes) -> dict[str, Any]:
    from labutils.trt.engine import load_engine
    from labutils.trt.profiles import choose

    with load_engine(plan) as ours:
        name, bands, profiles = ours.input, ours.n_mels, ours.profiles
    frames, said = profiles[0].frames[2] + 1, _listening()
    runtime, engine = _load(plan, said)
    context = engine.create_execution_context()
    try:
        returned = f"set_input_shape returned {context.set_input_shape(name, (1, bands, frames))}"
    except Exception as error:
        returned = f"{type(error).__name__}: {error}"
    del context, engine, runtime
    ours_says = _ours(lambda: choose(profiles, 1, frames))
    return {"returned": returned, "said": said.errors(), "ours": ours_says}


def _cut_short(plan: bytes) -> dict[str, Any]:
    from labutils.trt.engine import load_engine

    half = plan[: len(plan) // 2]
    said = _listening()
    _, engine = _load(half, said)
    result = {"returned": f"deserialize_cuda_engine returned {engine}", "said": said.errors()}
    return result | {"ours": _ours(lambda: load_engine(half))}


def _other_version(plan: bytes) -> dict[str, Any]:
    """The plan with another version in its header: one bit of each early byte is tried in turn."""
    from labutils.trt.engine import load_engine

    # The version stands behind the header on 8.6, in it on newer ones.
    for place in range(4, min(256, len(plan))):
        changed = bytearray(plan)
        changed[place] ^= 1
        said = _listening()
        _, engine = _load(bytes(changed), said)
        if engine is None and any("version" in text.lower() for text in said.errors()):
            ours = _ours(lambda changed=changed: load_engine(bytes(changed)))
            returned = f"deserialize_cuda_engine returned {engine}"
            return {"returned": returned, "said": said.errors(), "ours": ours}
    return {"returned": "no byte of the header was taken for a version", "said": [], "ours": ""}


def _graph(operator: str) -> Any:
    """An ONNX model of one node on a mel of any length."""
    onnx = require("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    shape = (1, _BANDS, "frames")
    ends = [helper.make_tensor_value_info(name, kind, shape) for name in ("mel", "audio")]
    node = helper.make_node(operator, ["mel"], ["audio"], f"activations.0/{operator}")
    graph = helper.make_graph([node], "one node", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _unknown_operator(plan: bytes) -> dict[str, Any]:
    from labutils.trt import BuildOptions, Profile, build
    from labutils.trt.versions import new_network

    trt, said, model = require("tensorrt"), _listening(), _graph("FusedSnake")
    builder = trt.Builder(said.logger)
    network = new_network(builder)
    parser = trt.OnnxParser(network, said.logger)
    good = parser.parse(model.SerializeToString())
    found = [parser.get_error(i).desc() for i in range(parser.num_errors)]
    options = BuildOptions(profiles=(Profile.fixed(_FRAMES),))
    ours = _ours(lambda: build(model, options))
    return {"returned": f"parse returned {good}", "said": [*said.errors(), *found], "ours": ours}


def _no_profile(plan: bytes) -> dict[str, Any]:
    from labutils.trt import BuildOptions, build
    from labutils.trt.versions import new_network, no_external_tactics

    trt, said, model = require("tensorrt"), _listening(), _graph("Tanh")
    builder = trt.Builder(said.logger)
    network = new_network(builder)
    trt.OnnxParser(network, said.logger).parse(model.SerializeToString())
    config = builder.create_builder_config()
    no_external_tactics(config)
    made = builder.build_serialized_network(network, config)
    ours = _ours(lambda: build(model, BuildOptions(profiles=())))
    returned = f"build_serialized_network returned {made}"
    return {"returned": returned, "said": said.errors(), "ours": ours}


def _out_of_memory(plan: bytes) -> dict[str, Any]:
    from labutils.trt.engine import load_engine

    torch, said = require("torch"), _listening()
    runtime, engine = _load(plan, said)
    ours = load_engine(plan)
    free, _ = torch.cuda.mem_get_info()
    held = torch.empty(free - _LEFT_FREE, dtype=torch.uint8, device="cuda")
    try:
        returned = f"create_execution_context returned {engine.create_execution_context()}"
    except Exception as error:
        returned = f"{type(error).__name__}: {error}"
    errors = said.errors()
    result = {"returned": returned, "said": errors, "ours": _ours(ours.new_context)}
    del held, engine, runtime
    return result


FAILURES: dict[str, Failure] = {
    "profile-too-small": Failure(
        "one frame more than the profile",
        "the engine was built for a range of lengths, and this mel lies outside it",
        "a larger max, a second profile, or cut the mel; never ignore the returned False",
        _too_long,
    ),
    "cut-short": Failure(
        "half of a plan, as after a full disk",
        "the file is not what was written",
        "build again; write to a temporary name, then rename",
        _cut_short,
    ),
    "other-version": Failure(
        "a plan whose version was changed (one bit)",
        "plans fit one version (and one kind of GPU); this one names another than it was built by",
        "ship the ONNX file and build on the machine that runs it",
        _other_version,
    ),
    "unknown-operator": Failure(
        "an operator that the parser does not know",
        "neither the parser nor a plugin has it",
        "export it as known operators, or write a plugin (notebook 12)",
        _unknown_operator,
    ),
    "no-profile": Failure(
        "dynamic axes and no profile",
        "the builder must know for which lengths it tunes",
        "min, opt and max for every dynamic input",
        _no_profile,
    ),
    "out-of-memory": Failure(
        "a context on a full GPU",
        "a context wants the memory between the layers of the largest shape at once",
        "a smaller max, fewer contexts, or shared memory (notebook 08)",
        _out_of_memory,
    ),
}


def provoke(name: str, plan: str | os.PathLike[str], timeout: float = 120.0) -> dict[str, str]:
    """Make one failure with the engine in file `plan`, in a process of its own.

    Returns a row {"failure", "TensorRT says", "it returns", "labutils says"}; where the process
    dies, the row tells how. Raises ValueError for a name that is not in FAILURES.
    """
    if name not in FAILURES:
        raise ValueError(f'no failure "{name}": choose one of {", ".join(FAILURES)}')
    command = [sys.executable, "-m", "labutils.trt.failures", name, str(Path(plan).resolve())]
    row = {"failure": FAILURES[name].title, "TensorRT says": "", "it returns": "",
           "labutils says": ""}  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=ROOT)
    except subprocess.TimeoutExpired:
        return row | {"it returns": f"nothing within {timeout:g} s"}
    try:
        result = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        return row | {"it returns": f"the process ended with {done.returncode}: {last}"}
    said = "; ".join(dict.fromkeys(_short(text) for text in result["said"]))
    return row | {
        "TensorRT says": _short(said),
        "it returns": _short(result["returned"]),
        "labutils says": _short(result["ours"]),
    }


def provoke_all(plan: str | os.PathLike[str]) -> list[dict[str, str]]:
    """A row for each failure in FAILURES."""
    return [provoke(name, plan) for name in FAILURES]


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _main(name: str, plan: str) -> None:
    sys.stdout.write("\n" + json.dumps(FAILURES[name].make(Path(plan).read_bytes())) + "\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
