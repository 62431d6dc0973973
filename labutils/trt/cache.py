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
from labutils.locks import locked
from labutils.trt import versions
from labutils.trt.build import build
from labutils.trt.options import BuildOptions
from labutils.trt.sealed import SealError, read_header, seal, unseal
from labutils.trt.source import OnnxSource, read_onnx
from labutils.whole_file import whole_file

__all__ = ["CachedEngine", "EngineCache"]

_LOG = logging.getLogger("labutils.trt")
_SUFFIX = ".engine"


@dataclass(frozen=True)
class CachedEngine:
    """An engine's bytes from the cache. `hit` says that it was there; `seconds` until it was here.

    `facts` are what its file says: graph, options, machine, when it was built and how long that
    took. `path` is None where the file could not be written.
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

    The key of an engine is a hash of the ONNX content, of the options, of TensorRT's version and of
    the GPU: where any of them differs, it is another engine. A file that was cut short, changed or
    swapped is noticed, told in one line and built again. Several processes may use a folder at
    once: one builds an engine, the others wait for it.

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
        return self.folder / f"{key[:32]}{_SUFFIX}"

    def get(
        self,
        onnx: str | PathLike[str] | bytes | Any,
        options: BuildOptions,
        builder: Callable[..., Any] = build,
    ) -> CachedEngine:
        """The engine of a graph and options, from the folder or built by `builder(onnx, options)`.

        `builder` gets the graph as bytes and returns an object with `plan` and `seconds`, as
        `build` does. Raises what it raises; then the folder stays as it was.
        """
        start = time.perf_counter()
        source = read_onnx(onnx)
        asked = self._asked(source, options)
        key = _key(asked)
        path = self.path(key)
        found = self._load(path, asked)  # a whole entry needs no lock: files appear as a whole
        if found is None:
            with locked(self.folder / f".{path.stem}.lock", lambda: self._tell_waiting(source)):
                found = self._load(path, asked, quiet=True)
                if found is None:
                    return self._build(source, options, builder, asked, path, start)
        facts, plan = found
        return CachedEngine(plan, key, True, time.perf_counter() - start, path, facts)

    def _asked(self, source: OnnxSource, options: BuildOptions) -> dict[str, Any]:
        """All that decides which engine it is, as plain data."""
        machine = versions.machine_facts() if self._machine is None else self._machine
        return {"onnx": source.sha, "options": options.facts(), "machine": dict(machine)}

    def _load(
        self, path: Path, asked: Mapping[str, Any], *, quiet: bool = False
    ) -> tuple[dict[str, Any], bytes] | None:
        """Facts and plan of a file that is whole and the one that was asked for, or None."""
        try:
            facts, plan = unseal(path.read_bytes())
            if facts.get("asked") != asked:
                raise SealError("the engine of something else")
        except FileNotFoundError:
            return None
        except (SealError, OSError) as error:
            if not quiet:
                _LOG.warning("engine %s is not used (%s): it is built again", path.name, error)
            return None
        return facts, plan

    def _build(
        self,
        source: OnnxSource,
        options: BuildOptions,
        builder: Callable[..., Any],
        asked: Mapping[str, Any],
        path: Path,
        start: float,
    ) -> CachedEngine:
        built = builder(source.data, options)
        facts = {
            "kind": "engine",
            "asked": asked,
            "name": source.name,
            "built": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "build_seconds": round(float(built.seconds), 2),
        }
        kept: Path | None = path
        try:
            with whole_file(path, durable=True) as temporary:
                temporary.write_bytes(seal(facts, built.plan))
        except OSError as error:
            _LOG.warning("engine %s was not kept: %s", path.name, error)
            kept = None
        seconds = time.perf_counter() - start
        return CachedEngine(built.plan, _key(asked), False, seconds, kept, facts)

    def _tell_waiting(self, source: OnnxSource) -> None:
        _LOG.warning("another process builds the engine of %s: waiting for it", source.name)

    def entries(self) -> list[dict[str, Any]]:
        """One row for each engine in the folder, for a table; damaged ones say so in `state`.

        Contents are not read: an entry that only has changed bytes is noticed when it is used.
        """
        rows = []
        for path in sorted(self.folder.glob(f"*{_SUFFIX}")):
            row: dict[str, Any] = {"file": path.name}
            try:
                row |= _row(read_header(path)) | {"state": "whole"}
            except (SealError, OSError, KeyError, TypeError) as error:
                row["state"] = f"damaged: {error}"
            rows.append(row)
        return rows

    def clear(self) -> int:
        """Delete every engine in the folder; returns how many. Other files stay."""
        paths = list(self.folder.glob(f"*{_SUFFIX}"))
        for path in paths:
            path.unlink(missing_ok=True)
        return len(paths)

    def __repr__(self) -> str:
        return f"<EngineCache {self.folder}: {len(self.entries())} engines>"

    def _repr_html_(self) -> str:
        return tables.table(self.entries()) or tables.strip([("empty", "quiet")], repr(self))


def _key(asked: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


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
    }
