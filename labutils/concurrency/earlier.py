"""Records that other notebooks made, to be read here without their cells."""

from __future__ import annotations

from labutils import records
from labutils.records import Measurement, RecordError, provenance

__all__ = ["earlier"]


def earlier(name: str) -> Measurement:
    """The newest record of an experiment that was called without arguments ("03-launches").

    Whether its code has changed since is not looked at: the notebook it belongs to tells that.
    """
    found = []
    for path in records.RECORDS.glob(f"{name}.*.json"):
        try:
            found.append((records.read_record(path), path))
        except RecordError:
            continue
    if not found:
        return Measurement(name, f"there is no record {name} yet", available=False)
    record, path = max(found, key=lambda item: item[0]["provenance"]["date"])
    caption = f"recorded on {provenance.describe(record['provenance'])}"
    return Measurement(
        name, caption, record["data"], recorded=True, arguments=record["arguments"],
        provenance=record["provenance"], path=path,
    )  # fmt: skip
