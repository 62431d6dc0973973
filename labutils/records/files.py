"""Records as files: their names, reading one with every fault named, writing one atomically."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from labutils.records import provenance
from labutils.records.measurement import RecordError
from labutils.whole_file import whole_file

__all__ = ["FORMAT", "file_stem", "read_record", "same", "write_record"]

FORMAT = 1


def file_stem(name: str, arguments: Mapping[str, Any]) -> str:
    """First part of a record's file name: "fp16-engine--batch=8"; long ones end in a hash."""
    stem = "--".join([name, *(f"{key}={_file_text(value)}" for key, value in arguments.items())])
    if len(stem) > 160:  # file systems end at 255 bytes
        stem = f"{name}--{hashlib.sha256(stem.encode()).hexdigest()[:16]}"
    return stem


def _file_text(value: Any) -> str:
    """An argument's value as part of a file name that every file system takes."""
    if isinstance(value, list):
        text = ",".join(_file_text(item) for item in value)
    elif isinstance(value, str):
        text = value
    else:
        text = json.dumps(value, sort_keys=True)
    return quote(text, safe="+,%" if isinstance(value, list) else "+,").replace("--", "-%2D")


def read_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """One record as plain data. Raises RecordError, one line, where the file is not whole."""

    def refuse(constant: str) -> None:
        raise ValueError(f"it holds {constant}")

    path = Path(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
        if record["format"] != FORMAT:
            raise ValueError(f"format {record['format']}, this labutils reads {FORMAT}")
        kinds = {"experiment": str, "machine": str, "arguments": dict, "provenance": dict}
        for key, kind in {**kinds, "source": dict}.items():
            if not isinstance(record[key], kind):
                raise ValueError(f'"{key}" is no {kind.__name__}')
        if not isinstance(record["source"]["covers"], dict):
            raise ValueError('"covers" is no dict')
        if not isinstance(record["provenance"]["date"], str) or record["data"] is None:
            raise ValueError("its date or its data is missing")
        provenance.describe(record["provenance"])
    except KeyError as error:
        raise RecordError(f"{path.name}: {error} is missing") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RecordError(f"{path.name}: {error}") from error
    return record


def same(one: Any, other: Any) -> bool:
    """Equality that tells True from 1 and treats tuples as lists."""
    try:
        return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    except (TypeError, ValueError):
        return False


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record; it appears whole or not at all."""
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    with whole_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
