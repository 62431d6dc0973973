"""TensorRT's timings of the engines of the records, shipped in data/: builds that take minutes
without them take seconds on the same kind of GPU with the same TensorRT."""

from __future__ import annotations

import lzma
from pathlib import Path

from labutils import ROOT
from labutils.trt.sealed import SealError, unseal
from labutils.whole_file import whole_file

__all__ = ["SHIPPED", "keep", "unpack"]

SHIPPED = ROOT / "data" / "timings.cache.xz"


def unpack(target: Path) -> bool:
    """Write the shipped timings to `target`, if nothing is there yet; says whether it did.

    They are looked into where they are used: `labutils.trt` leaves out those of another GPU or
    version, with a warning. A shipped file that is damaged is left out here.
    """
    if target.exists() or not SHIPPED.exists():
        return False
    try:
        content = lzma.decompress(SHIPPED.read_bytes())
        unseal(content)
    except (lzma.LZMAError, EOFError, SealError):
        return False
    with whole_file(target) as temporary:
        temporary.write_bytes(content)
    return True


def keep(path: Path) -> int:
    """Ship a file of timings, compressed; returns its bytes. Raises SealError for a damaged one,
    OSError where there is none."""
    content = path.read_bytes()
    unseal(content)
    packed = lzma.compress(content, preset=9)
    with whole_file(SHIPPED) as temporary:
        temporary.write_bytes(packed)
    return len(packed)
