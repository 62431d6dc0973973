"""The weights that this workbook ships: where they lie, and which of them a measurement read."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from labutils import DATA

__all__ = ["changed", "note", "noting", "shipped_file"]

FOLDER = DATA / "checkpoints"

_running: list[dict[str, str]] = []  # what the measurements that are under way have read


def shipped_file(name: str) -> Path:
    """Where the trained vocoder of a preset lies, or would lie."""
    return FOLDER / f"{name}.safetensors"


def note(name: str) -> None:
    """Say that the weights of `name` are read; outside a measurement this does nothing."""
    for read in _running:
        read[name] = _hash(name)


@contextlib.contextmanager
def noting() -> Iterator[Mapping[str, str]]:
    """{name: hash} of the weights that this process reads within the block, as it reads them."""
    read: dict[str, str] = {}
    _running.append(read)
    try:
        yield read
    finally:
        _running[:] = [other for other in _running if other is not read]


def changed(read: Mapping[str, str]) -> list[str]:
    """The names in what `noting` gave whose weights are others now, or gone."""
    return [name for name, digest in read.items() if _hash(name) != digest]


def _hash(name: str) -> str:
    path = shipped_file(name)
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else "none"
