"""The records that are committed: figures, and no mistake of ours in the place of one."""

import pytest

from labutils.records import RECORDS
from labutils.records.files import read_record

# What an experiment notes where code of this workbook is wrong. A GPU without memory, a kernel that
# crashed and a limit of time have other names, and are results.
OURS = (
    "AssertionError", "AttributeError", "ImportError", "IndexError", "KeyError",
    "ModuleNotFoundError", "NameError", "TypeError", "UnboundLocalError",
)  # fmt: skip


def errors(found):
    """Every text under "error", at any depth."""
    if isinstance(found, list):
        for each in found:
            yield from errors(each)
    elif isinstance(found, dict):
        if found.get("error"):
            yield str(found["error"])
        for each in found.values():
            yield from errors(each)


@pytest.mark.parametrize("path", sorted(RECORDS.glob("*.json")), ids=lambda path: path.stem)
def test_a_record_holds_figures_and_no_mistake_of_our_code(path):
    data = read_record(path)["data"]
    assert data, "empty"
    assert not (isinstance(data, dict) and data.get("error")), "the whole of it failed"
    assert [text for text in errors(data) if text.startswith(OURS)] == []
