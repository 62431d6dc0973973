"""Engines kept in a folder: built once for a graph, options, TensorRT and GPU, then read."""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from labutils import tables
from labutils.records.hashing import fingerprint
from labutils.trt import engine_files, versions
from labutils.trt.build import build
from labutils.trt.engine_files import SUFFIX
from labutils.trt.options import BuildOptions
from labutils.trt.sealed import SealError, read_header
from labutils.trt.source import OnnxSource, read_onnx

__all__ = ["CachedEngine", "EngineCache"]

_LOG = logging.getLogger("labutils.trt")
# How labutils asks TensorRT for an engine is part of the key: an engine that stays in a folder for
# months must not be measured as one of today's code. It is a hash of that code, as records have
# one, and no number to be raised: that would be forgotten, and a reader who changes `build` knows
# of no number. Comments and docstrings do not count. A change that leaves the engines as they are
# costs a build each. Taken here, at the import: later a file may be newer than the code that runs.
_CODE = {name: fingerprint(name) for name in (
    "labutils.trt.build", "labutils.trt.source", "labutils.trt.versions",
)}  # fmt: skip


@dataclass(frozen=True)
class CachedEngine:
    """An engine's bytes from the cache. `hit` says that it was there; `seconds` until it was here.

    `facts` are what its file says: graph, options, machine, code, when it was built and how long
    that took. `path` is None where the file could not be written.
    """

    plan: bytes = field(repr=False)
    key: str
    hit: bool
    seconds: float
    path: Path | None
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def _repr_html_(self) -> str:
        word, kind = ("found", "good") if self.hit else ("built", "info")
        text = f"engine of {len(self.plan) / 1e6:.1f} MB in {self.seconds:.1f} s"
        return tables.strip([(word, kind)], text, f"key `{self.key[:16]}`")


class EngineCache:
    """A folder of engines.

    The key of an engine is a hash of the ONNX content, of the options, of TensorRT's version, of
    the GPU and of the code that builds: where any of them differs, it is another engine. A file
    that was cut short, changed or swapped is noticed, told in one line and built again. Several
    processes may use a folder at once: one builds an engine, the others wait for it. Where the
    folder can not be written, engines are built and not kept, told in one line, too.

    `machine` are the facts that engines are bound to, by default `versions.machine_facts()` at the
    moment of asking. Use a folder that only you can write to: an engine is a program.
    """

    def __init__(
        self, folder: str | PathLike[str], *, machine: Mapping[str, str] | None = None
    ) -> None:
        self.folder = Path(folder)
        self._machine = machine

    def key(self, onnx: Any, options: BuildOptions) -> str:
        """The engine's key, SHA-256 in hexadecimal. Raises BuildError for what is no graph."""
        return _key(self._asked(read_onnx(onnx), options))

    def path(self, key: str) -> Path:
        """Where the engine of a key is, or would be."""
        return self.folder / f"{key[:32]}{SUFFIX}"

    def get(
        self,
        onnx: str | PathLike[str] | bytes | Any,
        options: BuildOptions,
        builder: Callable[..., Any] = build,
        *,
        progress: Callable[[str, float], None] | None = None,
    ) -> CachedEngine:
        """The engine of a graph and options, from the folder or built: `builder(source, options)`.

        `source` is an OnnxSource, which `build` takes: the bytes that were hashed, whatever becomes
        of the file, and its name. `builder` returns an object with `plan` and `seconds`, as `build`
        does. Raises what it raises; then the folder stays as it was.

        `progress(text, seconds)` is called with what is done now and the seconds since the build
        began: `builder` gets it as a keyword, where it is given. An engine that is there is not
        built, and nothing is called.
        """
        start = time.perf_counter()
        source = read_onnx(onnx)
        asked = self._asked(source, options)
        key = _key(asked)
        path: Path | None = self.path(key)
        found = engine_files.load(path, asked)  # a whole file needs no lock: it appears as a whole
        hit = found is not None
        if found is None:
            with engine_files.alone(path, lambda: _tell_waiting(source)) as held:
                found = engine_files.load(path, asked, quiet=True)
                hit = found is not None
                if found is None:
                    told = {} if progress is None else {"progress": progress}
                    built = builder(source, options, **told)
                    found = _facts(asked, source, built), built.plan
                    path = engine_files.store(path, *found, held)
        facts, plan = found
        return CachedEngine(plan, key, hit, time.perf_counter() - start, path, facts)

    def _asked(self, source: OnnxSource, options: BuildOptions) -> dict[str, Any]:
        """All that decides which engine it is, as plain data."""
        machine = versions.machine_facts() if self._machine is None else self._machine
        return {
            "onnx": source.sha,
            "options": options.facts(),
            "machine": dict(machine),
            "code": dict(_CODE),
        }

    def entries(self) -> list[dict[str, Any]]:
        """One row for each engine in the folder, for a table; `state` tells the damaged ones and
        those of earlier code, which are not used any more.

        Contents are not read: an entry that only has changed bytes is noticed when it is used.
        """
        rows = []
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            row: dict[str, Any] = {"file": path.name}
            try:
                row |= _row(read_header(path))
            except (SealError, OSError, KeyError, TypeError) as error:
                row["state"] = f"damaged: {error}"
            rows.append(row)
        return rows

    def clear(self) -> int:
        """Delete every engine in the folder, and what killed builds left; returns how many engines.

        Other files stay, and so does what another process writes now.
        """
        paths = list(self.folder.glob(f"*{SUFFIX}"))
        for path in paths:
            path.unlink(missing_ok=True)
        engine_files.remove_all_leavings(self.folder)
        return len(paths)

    def __repr__(self) -> str:
        return f"<EngineCache {self.folder}: {len(self.entries())} engines>"

    def _repr_html_(self) -> str:
        return tables.table(self.entries()) or tables.strip([("empty", "quiet")], repr(self))


def _key(asked: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _tell_waiting(source: OnnxSource) -> None:
    _LOG.warning("another process builds the engine of %s: waiting for it", source.name)


def _facts(asked: Mapping[str, Any], source: OnnxSource, built: Any) -> dict[str, Any]:
    """What stands in an engine's file beside it."""
    return {
        "kind": "engine",
        "asked": asked,
        "name": source.name,
        "built": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "build_seconds": round(float(built.seconds), 2),
    }


def _row(facts: Mapping[str, Any]) -> dict[str, Any]:
    options, machine = facts["asked"]["options"], facts["asked"]["machine"]
    return {
        "graph": facts["name"],
        "frames": ["-".join(map(str, p["frames"])) for p in options["profiles"]],
        "level": options["optimization_level"],
        "MB": facts["bytes"] / 1e6,
        "build seconds": facts["build_seconds"],
        "built": facts["built"],
        "TensorRT": machine.get("tensorrt"),
        "GPU": machine.get("gpu"),
        "state": "whole" if facts["asked"].get("code") == _CODE else "whole, of earlier code",
    }
