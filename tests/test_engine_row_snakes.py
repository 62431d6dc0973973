"""BigVGAN's snakes on images of two rows: the same sound, its ONNX file, and the record."""

import contextlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from tiny_vocoders import tiny

from labutils import baseline, vocoders
from labutils.engines import beside, graphs, row_snakes, snakes
from labutils.engines.building import Built
from labutils.engines.graphs import GraphSpec
from labutils.trt import BuildError

ROW = {"median_ms": 12.0, "p95_ms": 12.5, "snr_db": 48.0, "engine_mb": 9.0}
BUILT, ROWED = Built(Path("x"), 1.0), SimpleNamespace(config=vocoders.preset("bigvgan-v2-24khz"))
LAYERS = {"layers": 3, "ms": 9.0, "kinds": {}, "generations": {}}


@pytest.mark.parametrize("frames", [1, 2, 7])
@torch.inference_mode()
def test_rows_are_exact_to_rounding_at_the_edges_too(frames):
    model = vocoders.create("bigvgan-small", seed=2)
    mel = vocoders.speech_like_mel(model.config.mel, frames, batch=2, seed=5)
    before = [value.clone() for value in model.state_dict().values()]
    expected, got = model(mel), row_snakes.in_rows(model)(mel)
    assert float((expected - got).abs().max() / expected.abs().max()) < 1e-5
    assert all(map(torch.equal, before, model.state_dict().values()))


@torch.inference_mode()
def test_each_channel_has_its_own_alpha_and_beta():
    snake = vocoders.AntiAliasedSnake(3, logscale=False)
    snake.act.alpha.copy_(torch.tensor([0.5, -2.0, 30.0]))
    snake.act.beta.copy_(torch.tensor([4.0, 0.1, 1.0]))
    x = torch.randn(2, 3, 20)
    got = row_snakes.RowSnake(snakes.PhaseSnake(snake))(x.unsqueeze(2)).squeeze(2)
    assert torch.allclose(got, snake(x), atol=1e-5)


def test_what_has_no_rows_is_refused():
    snake = vocoders.AntiAliasedSnake(2, logscale=False)
    with torch.no_grad():
        snake.act.alpha[1] = 0
    with pytest.raises(ValueError, match="alpha of 0"):
        row_snakes.RowSnake(snakes.PhaseSnake(snake))
    with pytest.raises(ValueError, match="has no filtered snakes"):
        row_snakes.in_rows(tiny("hifigan-v1"))


def test_in_the_file_all_filters_are_depthwise_and_none_is_transposed(tmp_path):
    model = tiny("bigvgan-small")
    spec = GraphSpec("bigvgan-small", row_snakes.ROWS, True, (2, 9), trained=True)
    row_snakes.write_rows(row_snakes.in_rows(model), spec, tmp_path)
    graph = onnx.load(graphs.make(spec, tmp_path)).graph
    weights = {t.name: t for t in graph.initializer}
    groups = []
    for node in graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            count = {a.name: a.i for a in node.attribute}.get("group", 1)
            shape = weights[node.input[1]].dims
            groups.append((node.op_type, count > 1))
            if count > 1:  # as many channels in as out: what TensorRT has kernels for
                assert shape[:2] == [count, 1] and shape[2:] in ([2, 7], [1, 7])
                assert weights[node.input[1]].data_type == onnx.TensorProto.FLOAT16
    count = sum(isinstance(m, vocoders.AntiAliasedSnake) for m in model.modules())
    assert groups.count(("Conv", True)) == 5 * count and ("ConvTranspose", True) not in groups
    assert "Shape" not in {node.op_type for node in graph.node}


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """The record without a GPU, where the engine of blocks fails to build."""
    folder = contextlib.nullcontext(
        SimpleNamespace(
            folder=tmp_path, get=lambda *given: tmp_path, build=lambda *given, **more: BUILT
        )
    )
    for name in ("Graphs", "Builder"):
        monkeypatch.setattr(row_snakes, name, lambda given: folder)

    def build(candidate, *given, **more):
        if candidate.form == row_snakes.BLOCKS:
            raise BuildError("no tactic")
        return BUILT

    def torch_rows(model, ways, mels, **limits):
        ms = 16.0 if model is ROWED else 24.0
        yield {"backend": "torch", "batch": mels[0].shape[0], "median_ms": ms, "snr_db": None}

    config = vocoders.preset("bigvgan-v2-24khz")
    monkeypatch.setattr(row_snakes.vocoders, "create", lambda name: SimpleNamespace(config=config))
    monkeypatch.setattr(row_snakes, "in_rows", lambda model: ROWED)
    monkeypatch.setattr(row_snakes, "write_rows", lambda *given: None)
    monkeypatch.setattr(beside.by_kind, "profiled", lambda *given: LAYERS)
    for name, fake in (
        ("build_candidate", build), ("torch_rows", torch_rows),
        ("reference_audio", lambda model, mel: np.zeros(1)), ("measure_engine", lambda *given: ROW),
    ):  # fmt: skip
        monkeypatch.setattr(beside.trials, name, fake)
    return lambda: list(row_snakes.snake_rows.__wrapped__())[-1].data["rows"]


def test_the_gate_comes_first_then_the_baseline_then_the_engines(measured):
    found = measured()
    first, *torch_ones = found[:5]
    told = first["vocoder"], first["form"], first["snr_db"]
    assert told == ("bigvgan-small", row_snakes.ROWS, 48.0)
    assert [(row["form"], row["batch"]) for row in torch_ones] == [
        (form, batch) for form in ("as it is", row_snakes.ROWS) for batch in baseline.BATCHES
    ]  # fmt: skip
    engines = found[5:]
    assert [(r["form"], r["batch"], r["more streams"]) for r in engines] == [
        (row_snakes.ROWS, 1, "–"), (row_snakes.BLOCKS, 1, "–"), (row_snakes.ROWS, 8, "–"),
        (row_snakes.ROWS, 1, 2), (row_snakes.ROWS, 8, 2),
    ]  # fmt: skip
    assert engines[1]["error"] == "BuildError: no tactic" and engines[0]["layers"] == 3


def test_the_table_holds_engines_against_the_baseline_of_their_batch(measured):
    shown = beside.against_baseline(measured(), ["form", "by"])
    assert len(shown) == 7, "the gate, rows in PyTorch, and four engines: one has no figure"
    gate, torch_rows, _, large, *_ = shown
    assert gate["vocoder"] == "bigvgan-small" and gate["times faster than the baseline"] is None
    assert (torch_rows["by"], torch_rows["form"]) == ("PyTorch", row_snakes.ROWS)
    assert torch_rows["times faster than the baseline"] == 1.5
    assert (large["times faster than the baseline"], large["SNR (dB)"]) == (2.0, 48.0)


def test_without_time_rows_say_so(measured, monkeypatch):
    monkeypatch.setenv(baseline.SECONDS, "5")
    found = [row for row in measured() if row.get("backend") != "torch"]
    assert {row["error"] for row in found} == {"not measured: time"}
