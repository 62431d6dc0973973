"""Files whose damage shows: a header of facts and a checksum before the content.

Layout: 8 bytes that name the format, 32 bytes SHA-256 of all that follows, 4 bytes length of the
header (little endian), the header as JSON in UTF-8, the content.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["SealError", "is_sealed", "read_header", "seal", "unseal"]

_FORMAT = b"LABTRT"  # what a file of this kind begins with, in any version
_MAGIC = _FORMAT + b"01"
_START = len(_MAGIC) + 32
_LENGTH = struct.Struct("<I")


class SealError(ValueError):
    """A file that is damaged or of another kind; the text is the reason in a few words."""


def is_sealed(data: bytes) -> bool:
    """Whether this begins as a sealed file does; it may still be damaged."""
    return data[: len(_FORMAT)] == _FORMAT


def seal(facts: Mapping[str, Any], content: bytes) -> bytes:
    """The file's bytes. `facts` are plain data."""
    header = json.dumps({**facts, "bytes": len(content)}, sort_keys=True).encode()
    body = b"".join((_LENGTH.pack(len(header)), header, content))
    return _MAGIC + hashlib.sha256(body).digest() + body


def unseal(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Facts and content of a sealed file. Raises SealError for any difference from what was sealed.

    A file cut short is told from one with changed bytes, and from one of another format.
    """
    facts, place = _header(data)
    content = data[place:]
    if facts is None or len(content) < facts["bytes"]:
        raise SealError("cut short")
    if hashlib.sha256(data[_START:]).digest() != data[len(_MAGIC) : _START]:
        raise SealError("changed since it was written")
    return facts, content


def read_header(path: Path) -> dict[str, Any]:
    """The facts of a file without reading its content, for a listing; only its length is checked.

    Raises SealError, OSError.
    """
    with path.open("rb") as file:
        start = file.read(_START + _LENGTH.size)
        length = _LENGTH.unpack(start[_START:])[0] if len(start) == _START + _LENGTH.size else 0
        facts, place = _header(start + file.read(min(length, 1 << 20)))
    if facts is None or path.stat().st_size != place + facts["bytes"]:
        raise SealError("cut short")
    return facts


def _header(data: bytes) -> tuple[dict[str, Any] | None, int]:
    """Facts and the content's place; None where the header is not there as a whole."""
    if not data:
        raise SealError("empty")
    if data[: len(_MAGIC)] != _MAGIC[: len(data)]:
        raise SealError("another format" if is_sealed(data) else "no file of this workbook")
    if len(data) < _START + _LENGTH.size:
        return None, 0
    place = _START + _LENGTH.size
    end = place + _LENGTH.unpack(data[_START:place])[0]
    if len(data) < end:
        return None, 0
    try:
        facts = json.loads(data[place:end])
        if not isinstance(facts["bytes"], int):
            raise TypeError
    except (ValueError, TypeError, KeyError):
        raise SealError("changed since it was written") from None
    return facts, end
