"""Where engines spend their time: rows by kind of layer, and their shares."""

import contextlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from labutils import baseline
from labutils.engines import by_kind
from labutils.engines.building import Built
from labutils.trt import BuildError, inspect

LAYERS = inspect.Layers([
    {"name": "a", "kind": "CaskConvolution", "tactic": "sm80_xmma_fprop"},
    {"name": "b", "kind": "PointWiseV2", "tactic": ""},
    {"name": "c", "kind": "CaskDeconvolutionV2", "tactic": "sm90_xmma_deconv"},
    {"name": "d", "kind": "Reformat", "tactic": ""},
    {"name": "e", "kind": "NoOp", "tactic": ""},
    {"name": "f", "kind": "Myelin", "tactic": ""},
    {"name": "g", "kind": "CaskConvolution", "tactic": "sm80_xmma_fprop"},
])  # fmt: skip
TIMES = {"a": 3.0, "b": 2.0, "c": 1.0, "d": 1.5, "f": 0.5, "g": 2.0}


@pytest.fixture
def asked(monkeypatch):
    """The engines that are asked for, where one fails to build."""
    seen = []

    def build(candidate, vocoder, frames, **given):
        seen.append((vocoder, candidate.form, frames))
        if vocoder == "hifigan-v1":
            raise BuildError("no tactic")
        return Built(Path("x"), 1.0)

    monkeypatch.setattr(by_kind.trials, "build_candidate", build)
    monkeypatch.setattr(by_kind, "load_engine", lambda path: contextlib.nullcontext("engine"))
    for name in ("Graphs", "Builder"):
        monkeypatch.setattr(by_kind, name, lambda folder: contextlib.nullcontext(folder))
    given = SimpleNamespace(layers=lambda engine: LAYERS, layer_times=lambda engine, mel: TIMES)
    monkeypatch.setattr(by_kind, "inspect", given)
    return seen


def test_every_published_size_has_a_row_and_a_failure_says_why(asked):
    *_, last = by_kind.layer_kinds.__wrapped__()
    rows = {(row["vocoder"], row["form"]): row for row in last.data["rows"]}
    assert {name for name, _ in rows} == set(baseline.FRAMES)
    assert [form for name, form in rows if name.startswith("bigvgan")] == [
        "as it is", "image, snakes in blocks",
    ]  # fmt: skip
    assert asked == [(name, form, baseline.FRAMES[name]) for name, form in rows]
    assert rows["hifigan-v1", "as it is"]["error"] == "BuildError: no tactic"
    row = rows["melgan", "as it is"]
    assert row["kinds"]["CaskConvolution"] == {"layers": 2, "ms": 5.0}
    assert row["kinds"]["NoOp"] == {"layers": 1, "ms": 0.0}
    assert (row["layers"], row["ms"], row["generations"]) == (7, 10.0, {"8.0": 2, "9.0": 1})


def test_shares_are_of_groups_and_add_up(asked):
    *_, last = by_kind.layer_kinds.__wrapped__()
    shown = by_kind.shares(last.data["rows"])
    assert len(shown) == len(last.data["rows"]) - 1, "the failed one has no figures"
    row = shown[0]
    assert row["kernels"] == 6 and row["written"] == "2 for 8.0, 1 for 9.0"
    times = {name: value for name, value in row.items() if name.endswith("(%)")}
    assert times == {
        "convolutions (%)": 60.0, "element by element (%)": 20.0, "numbers moved (%)": 15.0,
        "other (%)": 5.0,
    }  # fmt: skip


def test_without_time_nothing_is_built(asked, monkeypatch):
    monkeypatch.setenv(baseline.SECONDS, "5")
    *_, last = by_kind.layer_kinds.__wrapped__()
    assert {row["error"] for row in last.data["rows"]} == {"not measured: time"} and not asked
