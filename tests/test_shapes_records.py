"""The experiments of notebook 07: their rows, with the processor in place of a GPU."""

import json
from collections import namedtuple
from pathlib import Path

import pytest
from tiny_vocoders import tiny

from labutils import records
from labutils.engines import settings
from labutils.engines.building import Built
from labutils.runners import TorchRunner
from labutils.shapes import bench, command, design, experiments, trials
from labutils.trt import BuildError, Profile

FakeEngine = namedtuple("FakeEngine", "profiles plan_bytes scratch_bytes")


class Maker:
    """In place of Builder and Graphs; keeps what was asked for."""

    built: list = []
    fail: tuple = ()

    def __init__(self, *args, **kwargs):
        pass

    def ask(self, spec):
        return spec

    def get(self, spec, seconds=None):
        return Path(spec.file)

    def build(self, onnx, options, *, seconds=None):
        self.built.append(options)
        if options.profiles in self.fail:
            raise BuildError("no tactic")
        return Built(options.profiles, 3.0)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


class Engine(FakeEngine):
    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


@pytest.fixture
def processor(monkeypatch, tmp_path):
    """Everything on the processor; an engine is the model in PyTorch."""
    monkeypatch.setenv(settings.SECONDS, "100")
    Maker.built, Maker.fail = [], ()
    model = tiny("hifigan-v1")
    made = []

    class EngineRunner(TorchRunner):
        def __init__(self, engine, config, *, graph=False, max_graphs=16, capture=None):
            super().__init__(model)
            made.append((engine, graph, self))
            self._capture, self._shapes = capture if graph else None, set()

        def _infer(self, mel):
            if self._capture and mel.shape not in self._shapes:
                self._shapes.add(mel.shape)
                self._capture(None, mel)
            assert any(p.holds(mel.shape[0], mel.shape[2]) for p in made[-1][0].profiles)
            return super()._infer(mel)

    monkeypatch.setattr(bench, "Graphs", Maker)
    monkeypatch.setattr(bench, "Builder", Maker)
    monkeypatch.setattr(bench.vocoders, "create", lambda name: model)
    monkeypatch.setattr(
        bench.engine_trials, "reference_audio", lambda m, mel: _infer(m, mel) + 1e-4
    )
    monkeypatch.setattr(experiments, "load_engine", lambda profiles: Engine(profiles, 1e6, 2e6))
    monkeypatch.setattr(experiments, "TensorRTRunner", EngineRunner)
    for kind in ("GraphRunner", "TorchRunner"):
        monkeypatch.setattr(experiments, kind, lambda m, *, device, dtype: TorchRunner(m))
    monkeypatch.setattr(experiments.variants, "release", lambda device: None)
    monkeypatch.setattr(experiments, "capture_graph", lambda forward, mel, *more: None)
    monkeypatch.setattr(experiments, "FRAMES", (16, 130, 300))
    rows = trials.length_rows
    monkeypatch.setattr(
        trials, "length_rows", lambda r, f: rows(r, f, device="cpu", runs=3, max_seconds=0.05)
    )
    request = trials.request_row
    monkeypatch.setattr(trials, "request_row", lambda r, m: request(r, m, device="cpu", passes=2))
    made.clear()

    def measure(experiment, **given):
        found = records.Experiment(experiment.__wrapped__, experiment.name)
        return found.measure(save=tmp_path, **given)

    measure.made = made
    return measure


def _infer(model, mel):
    with TorchRunner(model) as runner:
        return runner.infer(mel)


def test_time_over_length_of_pytorch_and_two_engines(processor):
    done = processor(experiments.lengths)
    rows = done["rows"]
    assert [(r["engine"], r["graph"], r["frames"]) for r in rows] == [
        (name, graph, frames)
        for name in ("PyTorch FP16", "one wide", "three narrow")
        for graph in (True, False)
        for frames in (16, 130, 300)
    ]
    assert all(0 < r["median_ms"] <= r["p95_ms"] for r in rows)
    assert [e["engine"] for e in done["engines"]] == ["one wide", "three narrow"]
    assert done["engines"][1]["profiles"].count("frames") == 3
    assert 20 < done["engines"][0]["snr_db"] < 120
    assert [o.profiles for o in Maker.built] == [experiments.WIDE, experiments.NARROW]
    assert {o.optimization_level for o in Maker.built} == {1}


def test_a_build_that_fails_is_a_row_and_the_next_engine_comes(processor):
    Maker.fail = (experiments.WIDE,)
    rows = processor(experiments.lengths)["rows"]
    failed = [r for r in rows if "error" in r]
    assert failed == [{"engine": "one wide", "error": "BuildError: no tactic"}]
    assert sum(r["engine"] == "three narrow" for r in rows) == 6


def test_out_of_time_nothing_is_built(processor, monkeypatch):
    monkeypatch.setenv(settings.SECONDS, "5")
    rows = processor(experiments.opts)["rows"]
    assert [r["error"] for r in rows] == ["not measured: time"] * 3 and not Maker.built


def test_engines_of_one_range_and_other_best_lengths(processor):
    done = processor(experiments.opts, level=2)
    assert {r["opt"] for r in done["rows"]} == set(experiments.OPTS)
    assert len(done["rows"]) == 9 and all(r["graph"] for r in done["rows"])
    assert [o.profiles[0].frames for o in Maker.built] == [
        (16, opt, 1024) for opt in experiments.OPTS
    ]
    assert Maker.built[0].profiles == experiments.WIDE  # kept from 07-lengths
    assert done.path.name.startswith("07-opt--level=2.")


def test_graphs_are_counted_and_buckets_need_few(processor, monkeypatch):
    lengths, measure = [], experiments.trials.request_row

    def request_row(runner, mels):
        lengths.append(len({mel.shape[1] for mel in mels}))
        return measure(runner, mels)

    monkeypatch.setattr(experiments.trials, "request_row", request_row)
    done = processor(experiments.graphs, requests=12)
    assert lengths == [1, *[done["lengths"]] * 4]
    counts = {row["way"]: row["graphs recorded"] for row in done["rows"]}
    assert list(counts.values())[0] == 0
    assert counts["a graph for each length, all kept"] == done["lengths"] > 8
    assert counts["5 buckets, a graph each"] <= 5
    assert all(row["requests"] == 12 and row["memory (MB)"] is None for row in done["rows"])
    assert all("error" not in row for row in done["rows"])


def test_batches_of_unequal_sentences_and_their_sound(processor):
    done = processor(experiments.batches, sentences=11)
    rows = {row["way"]: row for row in done["rows"]}
    assert [row.get("error") for row in done["rows"]] == [None] * 5
    names = ("one by one", "8 a batch, sorted", "8 a batch, sorted, buckets and graphs")
    single, sorted_, graphs = (rows[name] for name in names)
    assert "worst SNR (dB)" not in single
    for row in (sorted_, graphs):
        exact = row["worst SNR before the end (dB)"]
        assert exact is None or exact > 90
        assert row["worst SNR (dB)"] < 90  # the end hears the padding
    assert Maker.built[0].profiles == experiments.BATCHED


def test_memory_of_a_gpu_is_what_it_lost_meanwhile(monkeypatch):
    model, held = tiny("hifigan-v1"), iter([5_000_000, 12_000_000])
    monkeypatch.setattr(trials.benchmark, "device_bytes", lambda device: next(held))
    mels = trials.mels_of(model.config, [8, 12])
    with TorchRunner(model) as runner:
        row = trials.request_row(runner, mels, device="cuda:0", passes=2)
    assert row["memory (MB)"] == pytest.approx(7.0) and row["requests"] == 2
    assert 0 < row["median (ms)"] <= row["p95 (ms)"] <= row["slowest (ms)"]


def test_profiles_cover_the_range_that_is_measured():
    for profiles in (experiments.WIDE, experiments.NARROW):
        held = [f for f in experiments.FRAMES if any(p.holds(1, f) for p in profiles)]
        assert held == list(experiments.FRAMES)
    assert max(experiments.BUCKETS) == bench.RANGE[1]
    (batched,) = experiments.BATCHED
    assert all(batched.holds(b, f) for b in experiments.BATCHES for f in experiments.BUCKETS)
    assert Profile((16, 256, 1024)) == experiments.WIDE[0]


def test_recorded_engines_give_the_line_that_designs_are_scored_by(tmp_path, monkeypatch):
    folder = tmp_path / "records"
    folder.mkdir()
    for path in records.RECORDS.glob("03-*.json"):
        (folder / path.name).write_text(path.read_text())
    monkeypatch.setattr(records, "RECORDS", folder)
    assert "PyTorch" in design.latency().source
    rows = [
        {"engine": name, "graph": graph, "frames": f, "median_ms": ms * f}
        for name, graph, ms in (("one wide", True, 0.5), ("one wide", False, 0.7),
                                ("three narrow", True, 0.4))
        for f in (16, 100, 1024)
    ]  # fmt: skip
    record = json.loads(next(folder.glob("03-launches*")).read_text())
    record |= {
        "experiment": "07-lengths", "data": {"rows": rows, "engines": []},
        "arguments": {"vocoder": "hifigan-v1", "level": 1},
    }  # fmt: skip
    (folder / "07-lengths.nvidia-h200.json").write_text(json.dumps(record))
    line = design.latency()
    assert line(100) == pytest.approx(50.0) and "TensorRT engine" in line.source
    (folder / "07-lengths.nvidia-h200.json").unlink()
    for path in folder.glob("03-launches*"):
        path.unlink()
    with pytest.raises(records.RecordError, match="record 07-lengths"):
        design.latency()


def test_the_command_names_what_it_can_measure(tmp_path, capsys, monkeypatch):
    with pytest.raises(SystemExit):
        command.main(["--save", str(tmp_path)])
    assert "--lengths, --opt, --graphs, --batches" in capsys.readouterr().err
    monkeypatch.setattr(experiments.lengths, "needs", ("tensorrt",))
    monkeypatch.setattr(records.environment, "has", lambda need: False)
    assert command.main(["--lengths", "--save", str(tmp_path)]) == 1
    assert not list(tmp_path.iterdir())
