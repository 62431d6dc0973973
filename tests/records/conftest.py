"""Every test of records has a folder of records of its own; some have no GPU."""

import pytest

from labutils import environment, records


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder of its own for records, which is read, and written only when asked."""
    place = tmp_path / "records"
    monkeypatch.setattr(records, "RECORDS", place)
    monkeypatch.delenv("LABUTILS_RECORD", raising=False)
    return place


@pytest.fixture
def no_gpu(monkeypatch):
    """As on a machine without an NVIDIA GPU."""
    monkeypatch.setattr(environment, "has", lambda need: need not in {"cuda", "tensorrt"})
