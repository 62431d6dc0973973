"""What the FP32 ends of an FP16 graph cost: the files that keep them or not, rows, table."""

import contextlib
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
from tiny_vocoders import tiny

from labutils import baseline, onnx_export, vocoders
from labutils.engines import beside, ends, graphs
from labutils.engines.building import Built
from labutils.trt import BuildError

SINGLE = onnx.TensorProto.FLOAT


def kept_in_fp32(path):
    """Names of the convolutions whose weights are FP32, and the types of mel and audio."""
    graph = onnx.load(path).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    single = {
        node.name for node in graph.node
        if node.op_type.startswith("Conv") and types[node.input[1]] == SINGLE
    }  # fmt: skip
    return single, [value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)]


@pytest.mark.parametrize(
    "kept, expected",
    [("first and last", {"conv_pre/Conv", "conv_post/Conv"}), ("first", {"conv_pre/Conv"}),
     ("nothing", set())],
)  # fmt: skip
def test_a_file_keeps_what_it_says(kept, expected, tmp_path):
    model = tiny("hifigan-v1")
    single = onnx_export.export(model, tmp_path / "single.onnx", exporter="legacy").path
    found, around = kept_in_fp32(ends.keep(kept, single, tmp_path / "half.onnx"))
    assert found == expected and around == [SINGLE, SINGLE]


def test_another_word_is_refused(tmp_path):
    with pytest.raises(ValueError, match="first and last, first, nothing, not 'last'"):
        ends.keep("last", tmp_path / "a.onnx", tmp_path / "b.onnx")


@pytest.mark.parametrize("vocoder", ["hifigan-v1", "melgan"])
def test_each_engine_is_made_of_its_own_file(vocoder, tmp_path, monkeypatch):
    model = tiny(vocoder)
    monkeypatch.setattr(graphs.vocoders, "create", lambda name: model)
    ends.write_kept(vocoder, tmp_path)
    counts = []
    for kept in ends.KEPT:
        path = graphs.make(ends.candidate(vocoder, kept, batch=2).graph(vocoder, 64), tmp_path)
        found, _ = kept_in_fp32(path)
        counts.append(len(found))
        shape = [dim.dim_value for dim in onnx.load(path).graph.input[0].type.tensor_type.shape.dim]
        assert shape == [2, model.config.n_mels, 64]
    assert counts == [2, 1, 0]


def test_a_bigvgan_is_refused(tmp_path):
    with pytest.raises(ValueError, match="for hifigan and melgan, not for a bigvgan"):
        ends.write_kept("bigvgan-v2-24khz", tmp_path)


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """The record, where the engine of HiFi-GAN V1 that keeps nothing fails to build."""
    folder = contextlib.nullcontext(SimpleNamespace(folder=tmp_path))
    for name in ("Graphs", "Builder"):
        monkeypatch.setattr(ends, name, lambda given: folder)

    def build(candidate, vocoder, frames, **given):
        if vocoder == "hifigan-v1" and "nothing" in candidate.form:
            raise BuildError("no tactic")
        return Built(Path(f"{candidate.name} {candidate.batch}"), 1.0)

    def measure(model, built, candidate, *given):
        ms = 4.0 * candidate.batch / (2 if "nothing" in candidate.form else 1)
        return {"median_ms": ms, "p95_ms": ms, "snr_db": 50.0, "engine_mb": 9.0}

    def torch_rows(model, ways, mels, **limits):
        for way in ways:
            row = {"backend": "torch", "variant": way.name, "batch": mels[0].shape[0]}
            yield row | {"median_ms": 3.0 * mels[0].shape[0], "p95_ms": 9.0, "snr_db": 58.0}

    monkeypatch.setattr(ends, "write_kept", lambda vocoder, folder: [])
    monkeypatch.setattr(
        ends.vocoders, "create", lambda name: SimpleNamespace(config=vocoders.preset(name))
    )
    monkeypatch.setattr(beside.trials, "torch_rows", torch_rows)
    monkeypatch.setattr(beside.trials, "build_candidate", build)
    monkeypatch.setattr(beside.trials, "reference_audio", lambda *given: None)
    monkeypatch.setattr(beside.trials, "measure_engine", measure)
    return lambda: list(ends.fp32_ends.__wrapped__())[-1].data["rows"]


def test_each_published_size_has_its_baseline_and_its_engines(measured):
    rows, names = measured(), set(baseline.FRAMES) - {"bigvgan-v2-24khz"}
    assert {row["vocoder"] for row in rows} == names
    for name in names:
        mine = [row for row in rows if row["vocoder"] == name]
        torch = {row["batch"]: row["variant"] for row in mine if row.get("backend") == "torch"}
        assert torch == {b: baseline.of(name, b)["variant"] for b in baseline.BATCHES}
        engines = [(row["batch"], row["in FP32"]) for row in mine if "in FP32" in row]
        assert engines == [(b, kept) for b in baseline.BATCHES for kept in ends.KEPT]
    failed = [row for row in rows if "error" in row]
    assert {(row["vocoder"], row["batch"]) for row in failed} == {
        ("hifigan-v1", 1), ("hifigan-v1", 8),
    }  # fmt: skip
    assert failed[0]["error"] == "BuildError: no tactic" and "median_ms" not in failed[0]


def test_the_table_compares_within_a_vocoder_and_a_batch(measured):
    shown = {(r["vocoder"], r["batch"], r["in FP32"]): r for r in ends.table(measured())}
    assert ("hifigan-v1", 1, "nothing") not in shown, "it has no figure"
    row = shown["melgan", 8, "nothing"]
    assert row["ms"] == 16.0
    assert row["times faster than both ends"] == 2.0
    assert row["times faster than the baseline"] == 1.5
    assert shown["melgan", 1, "first"]["times faster than both ends"] == 1.0


def test_without_its_baseline_a_row_has_no_factor(measured):
    rows = [row for row in measured() if row.get("backend") != "torch"]
    assert ends.table(rows)[0]["times faster than the baseline"] is None


def test_without_time_rows_say_so(measured, monkeypatch):
    monkeypatch.setenv(baseline.SECONDS, "5")
    engines = [row for row in measured() if "in FP32" in row]
    assert {row["error"] for row in engines} == {"not measured: time"}
