"""Names that popular tutorials use of TensorRT: which versions have them, and what does the job.

The answers were read from the official Python bindings of each version
(`data/make_tensorrt_names.py` looks them up, `data/tensorrt_names.json` keeps them).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from labutils import DATA, tables

__all__ = ["Claims", "installed", "table"]

_FILE = DATA / "tensorrt_names.json"


class Claims:
    """The table, for the last line of a cell. `rows` are its rows; cells are "yes", "no" or which
    part of a claim is there.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], note: str) -> None:
        self.rows = [dict(row) for row in rows]
        self.note = note

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"{tables.text_table(self.rows)}\n{self.note}"

    def _repr_html_(self) -> str:
        # Where it was looked for is too wide for a page; the text form has it.
        shown = [
            {
                key: _mark(value) if key[0].isdigit() else value
                for key, value in row.items()
                if key != "looked for"
            }
            for row in self.rows
        ]
        columns = {key for row in shown for key in row if key[0].isdigit()}
        widths = {"what does the job": "34%"}
        html = tables.table(
            [row | {"tutorials write": f"`{row['tutorials write']}`"} for row in shown],
            html_columns=columns,
            widths=widths,
        )
        return f'{html}<div style="opacity: 0.75; padding: 2px 12px">{tables.code(self.note)}</div>'


def _mark(value: str) -> str:
    if value in {"yes", "no"}:
        return tables.badge(value, "good" if value == "yes" else "bad")
    return f"{tables.badge('partly', 'warn')} {tables.code(value)}"


@cache
def _recorded() -> dict[str, Any]:
    return json.loads(_FILE.read_text(encoding="utf-8"))


def table() -> Claims:
    """For each name: on which types it was looked for, whether 8.6, 10 and 11 have it.

    A column stands for all recorded versions of that major number.
    """
    recorded = _recorded()
    majors: dict[str, list[str]] = {}
    for version in recorded["versions"]:
        major = version.split(".")[0]
        majors.setdefault("8.6" if major == "8" else major, []).append(version)
    rows = []
    for claim in recorded["claims"]:
        places = claim["places"]
        searched = list(places[recorded["versions"][0]])
        row = {"tutorials write": claim["claim"], "looked for": ", ".join(searched)}
        for column, versions in majors.items():
            words = {_word(places[version], claim["needs_all"]) for version in versions}
            row[column] = words.pop() if len(words) == 1 else "differs within " + column
        rows.append(row | {"what does the job": claim["instead"]})
    note = (
        f"Looked up in the Python bindings of TensorRT {', '.join(recorded['versions'])}: every "
        "public name of the module and of the types that these lines are about."
    )
    return Claims(rows, note)


def _word(places: Mapping[str, Mapping[str, Any]], needs_all: bool) -> str:
    """ "yes", "no", or which of the names of a claim are there."""
    there = [place for place, answer in places.items() if answer["there"]]
    if len(there) == len(places) or (there and not needs_all):
        return "yes"
    return f"only `{there[0]}`" if there else "no"


def installed(module: Any) -> list[dict[str, Any]]:
    """What an imported tensorrt itself says to each place: rows "looked for" and "there".

    For checking the table on the reader's own machine.
    """
    places = dict.fromkeys(
        place
        for claim in _recorded()["claims"]
        for place in claim["places"][_recorded()["versions"][0]]
    )
    rows = []
    for place in places:
        owner, _, name = place.rpartition(".")
        holder = module if owner == "tensorrt" else getattr(module, owner, None)
        rows.append({"looked for": place, "there": holder is not None and hasattr(holder, name)})
    return rows
