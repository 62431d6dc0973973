"""Memory by steps, and the hunt for what grows with every call: readings that are made up."""

import pytest

from labutils.concurrency import Ledger, hunt, memory_picture


def test_a_ledger_tells_what_each_step_took():
    held = {"all": 100e6, "part": 0}
    ledger = Ledger({"all": lambda: held["all"], "part": lambda: held["part"]})
    held |= {"all": 150e6, "part": 20e6}
    first = ledger.note("an engine", 48e6)
    held["all"] = 130e6
    second = ledger.note("it is closed")
    assert first["change (MB)"] == 50 and first["expected (MB)"] == 48
    assert second["change (MB)"] == -20 and second["expected (MB)"] is None
    assert [row["part (MB)"] for row in ledger.rows] == [20, 20]
    alt = memory_picture(ledger.rows, whole="all (MB)").alt
    assert "an engine: +50 MB; it is closed: -20 MB" in alt
    with pytest.raises(ValueError, match="something to read"):
        Ledger({})


def test_a_hunt_follows_several_readings_at_once():
    state = {"calls": 0}

    def call():
        state["calls"] += 1

    readers = {
        "leaks": lambda: 1e9 + 5e4 * state["calls"],
        "filled once": lambda: 1e9 + (4e6 if state["calls"] > 60 else 0),
        "steady": lambda: 1e9,
    }
    found = hunt(call, 200, readers=readers, warmup=5, kept=50)
    assert state["calls"] == 205
    assert {name: row["leaks"] for name, row in found.items()} == {
        "leaks": True, "filled once": False, "steady": False
    }  # fmt: skip
    assert found["leaks"]["growth_mb_per_call"] == pytest.approx(0.05, rel=0.05)
    assert len(found["steady"]["levels_mb"]) == 50
    with pytest.raises(ValueError, match="8 or more"):
        hunt(call, 7, readers=readers)
