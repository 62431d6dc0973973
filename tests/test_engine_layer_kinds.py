"""Where engines spend their time, by kind of layer; and MelGAN's paddings in another form."""

import contextlib
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
import torch
from tiny_vocoders import tiny

from labutils import baseline, vocoders
from labutils.engines import beside, by_kind, graphs, reflections
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


@pytest.mark.parametrize("form", ["as it is", "image"])
def test_joined_pieces_are_a_reflection_to_the_bit(form):
    model = reflections.rewrite(tiny("melgan"), form)
    made = reflections.joined(model)
    mel = vocoders.speech_like_mel(model.config.mel, 9, batch=2)
    with torch.no_grad():
        assert torch.equal(made(mel), model(mel))
    left = [m for m in made.modules() if "Reflection" in type(m).__name__]
    assert not left and sum(isinstance(m, reflections.Joined) for m in made.modules()) > 3


def test_a_form_for_networks_that_reflect():
    with pytest.raises(ValueError, match="reflects nothing"):
        reflections.joined(tiny("hifigan-v1"))
    with pytest.raises(ValueError, match="alike at both ends"):
        reflections.joined(torch.nn.Sequential(torch.nn.ReflectionPad1d((1, 2))))


def test_the_file_of_a_joined_form_has_no_padding_and_one_shape(tmp_path):
    reflections.write_joined(tiny("melgan"), "melgan", tmp_path)
    path = graphs.make(graphs.GraphSpec("melgan", reflections.JOINED, shape=(2, 9)), tmp_path)
    graph = onnx.load(path).graph
    kinds = {node.op_type for node in graph.node}
    assert "Concat" in kinds and not kinds & {"Pad", "Shape"}
    shape = [dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim]
    assert shape == [2, tiny("melgan").config.n_mels, 9]


def test_rows_of_each_form_and_batch(asked, monkeypatch, tmp_path):
    def build(candidate, vocoder, frames, **given):
        if candidate.form == reflections.JOINED:
            raise BuildError("no tactic")
        return Built(Path("x"), 1.0)

    measured = {"median_ms": 1.5, "p95_ms": 1.6, "snr_db": 50.0, "engine_mb": 9.0}
    folder = contextlib.nullcontext(SimpleNamespace(folder=tmp_path))
    for name in ("Graphs", "Builder"):
        monkeypatch.setattr(reflections, name, lambda given: folder)
    monkeypatch.setattr(reflections, "write_joined", lambda *given: None)
    monkeypatch.setattr(beside.trials, "build_candidate", build)
    for name, answer in (("reference_audio", None), ("measure_engine", measured)):
        monkeypatch.setattr(beside.trials, name, lambda *given, answer=answer: answer)
    *_, last = reflections.reflected.__wrapped__()
    rows = {(row["form"], row["batch"]): row for row in last.data["rows"]}
    assert set(rows) == {(form, batch) for form in reflections.FORMS for batch in (1, 8)}
    row = rows["image", 8]
    assert (row["median_ms"], row["snr_db"], row["layers"]) == (1.5, 50.0, 7)
    assert {name for name, row in rows.items() if "error" in row} == {
        ("image, joined", 1), ("image, joined", 8),
    }  # fmt: skip
    assert len(by_kind.shares(last.data["rows"])) == 4
