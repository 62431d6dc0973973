"""What a notebook shows of an experiment: figures as plain data, and where they come from."""

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labutils import tables

__all__ = ["Measurement", "RecordError", "plain"]


class RecordError(ValueError):
    """A measurement that can not be recorded, or figures that are not there; says which and why."""


@dataclass(frozen=True)
class Measurement:
    """Figures and where they come from. `measurement["ms"]` reads them like the mapping they are.

    `recorded` tells a record from what was measured here; `stale` a record that an earlier version
    of the code made, with the changed parts in `changed`; `broken_off` a record whose run did not
    come to its end, so that figures may be missing; `available` is False where there are no
    figures (`caption` says why, and reading a figure raises RecordError). `provenance` holds all
    that is known about the machine; `note` is a further remark for the reader.
    """

    experiment: str
    caption: str
    data: Any = None
    recorded: bool = False
    stale: bool = False
    broken_off: bool = False
    available: bool = True
    damaged: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    note: str = ""
    path: Path | None = None

    def _figures(self) -> Any:
        if not self.available:
            raise RecordError(f"no figures of {self.experiment}: {self.caption}")
        return self.data

    def __getitem__(self, key: Any) -> Any:
        return self._figures()[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._figures())

    def __len__(self) -> int:
        return len(self._figures())

    def __contains__(self, key: Any) -> bool:
        return key in self._figures()

    def __bool__(self) -> bool:
        return self.available

    def keys(self) -> Any:
        return self._figures().keys()

    def values(self) -> Any:
        return self._figures().values()

    def items(self) -> Any:
        return self._figures().items()

    def get(self, key: str, default: Any = None) -> Any:
        return self._figures().get(key, default)

    def __repr__(self) -> str:
        blocks = _blocks(self.data) if self.available else []
        text = [f"{title}\n{tables.text_table(rows)}".strip() for title, rows in blocks]
        remark = f" ({self.note})" if self.note else ""
        return "\n\n".join([self.caption + remark, *text])

    def _repr_html_(self) -> str:
        text, badges = self.caption, [("not measured", "quiet")]
        if self.damaged:
            badges = [("record damaged", "bad")]
            text = text.removeprefix("record damaged: ")
        elif self.available:
            word = "recorded" if self.recorded else "measured here"
            badges = [(word, "info" if self.recorded else "good")]
            text = text.removeprefix(f"{word} on ").removeprefix(f"{word}, ")
        if self.stale:
            badges.append(("stale", "warn"))
        parts = [tables.strip(badges, text, self.note)]
        for title, rows in _blocks(self.data) if self.available else []:
            if title:
                parts.append(
                    f'<div style="margin: 6px 0 0; font-weight: 600">{tables.code(title)}</div>'
                )
            parts.append(tables.table(rows))
        return "".join(parts)


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _is_table(value: Any) -> bool:
    return _is_rows(value) or (
        isinstance(value, dict) and bool(value) and all(isinstance(v, dict) for v in value.values())
    )


def _blocks(data: Any, title: str = "") -> list[tuple[str, list[dict[str, Any]]]]:
    """Plain data as tables: (title, rows) each.

    A list of mappings is a table, as is a mapping of mappings (its keys become the first column) or
    of lists of one length (its columns). Any other mapping becomes a table of names and values;
    tables inside it follow under their names.
    """
    if _is_rows(data):
        return [(title, data)]
    if not isinstance(data, dict):
        return [(title, [{"value": data}])] if data != [] else []
    if _is_table(data):
        return [(title, [{"": key, **row} for key, row in data.items()])]
    lengths = {len(value) if isinstance(value, list) else -1 for value in data.values()}
    if len(lengths) == 1 and 1 < min(lengths) <= 60 and not any(map(_is_rows, data.values())):
        columns = zip(*data.values(), strict=True)
        return [(title, [dict(zip(data, row, strict=True)) for row in columns])]
    single = [{"": k.replace("_", " "), "value": v} for k, v in data.items() if not _is_table(v)]
    inner = [block for k, v in data.items() if _is_table(v) for block in _blocks(v, k)]
    return [*([(title, single)] if single else []), *inner]


def plain(value: Any, name: str) -> Any:
    """`value` as plain data: mappings with text keys, lists, text, numbers, booleans and None.

    Numpy scalars and arrays, torch tensors and dataclasses are converted, tuples become lists: what
    is measured here then looks exactly like what is read from a record. `name` says in errors where
    a value stands. Raises RecordError for NaN, infinity, other types and keys that are not text.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise RecordError(
                    f"{name} has the key {key!r}; a record's keys are text, as JSON wants it"
                )
        return {key: plain(item, f"{name}[{json.dumps(key)}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{name}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise RecordError(
                f"{name} is {float(value)}: not a figure; use None where there is none"
            )
        return float(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays, torch tensors
        converted = value.tolist()
        if not isinstance(converted, complex | bytes) and type(converted) is not type(value):
            return plain(converted, name)
    raise RecordError(
        f"{name} is of type {type(value).__name__}; a record takes plain data: text, numbers, "
        "booleans, None, lists and mappings of them"
    )
