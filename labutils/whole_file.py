"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["leavings", "whole_file"]


@contextmanager
def whole_file(path: str | os.PathLike[str], *, durable: bool = False) -> Iterator[Path]:
    """Within the block, a path beside `path` to write to; at its end the file gets its name.

    Readers see the file that was there before, or the new one. Where the block fails, nothing
    changes and nothing is left. Folders that are missing are made. The temporary name has another
    ending than the real one, so that no search for "*.onnx" finds it. `durable` waits until the
    disk has it, so that it survives a power cut.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        yield temporary
        if durable:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def leavings(folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    """What lies in a folder under the temporary names of `whole_file`: writers that were killed
    left it, or one writes now. Gives the name that each was to get, and its path.

    `name` is the name to get, or a pattern of such names.
    """
    for left in folder.glob(f".{name}.*.*"):
        yield left.name[1:].rsplit(".", 2)[0], left
