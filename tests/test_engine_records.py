"""The record of engines against the baseline, its command, its tables and pictures."""

from pathlib import Path

import pytest
import torch

from labutils import baseline, engines, records, vocoders
from labutils.engines import (
    command,
    experiments,
    pictures,
    results,
    settings,
    trials,
)
from labutils.engines.building import Built


def fake_build(candidate, seconds):
    return Built(Path("x"), 3.0)


def measured_row(ms, snr=60.0, **more):
    return {"median_ms": ms, "snr_db": snr} | more


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """The experiment on the processor, with a tiny network and made-up engines."""
    from tiny_vocoders import tiny

    model, on_cpu = tiny("melgan"), trials.torch_rows
    monkeypatch.setattr(records, "RECORDS", tmp_path)
    monkeypatch.setattr(vocoders, "create", lambda name: model)
    monkeypatch.setattr(baseline, "FRAMES", {"melgan": 7})
    monkeypatch.setattr(experiments.versions, "types_from_graph", lambda: True)
    monkeypatch.setattr(experiments, "ceilings", lambda *a, **k: experiments.Ceilings(
        "cuda", 1000.0, {"float32": 1.0, "tf32": 2.0, "float16": 4.0}, 1.0))  # fmt: skip
    monkeypatch.setattr(
        experiments.variants, "GPU", (baseline.variants.Variant("FP32"),
        baseline.variants.Variant("FP16, graph", "bfloat16")),
    )  # fmt: skip
    monkeypatch.setattr(trials, "torch_rows", lambda *a, **k: on_cpu(
        *a, **{**k, "device": "cpu", "runs": 3, "max_seconds": 0.1}))  # fmt: skip
    monkeypatch.setattr(trials, "reference_audio", lambda model, mel: mel[:, 0])
    monkeypatch.setattr(trials, "build_candidate", lambda c, *a, **k: fake_build(c, 0))
    monkeypatch.setattr(
        trials, "measure_engine", lambda model, built, candidate, graph, mel, reference:
        measured_row(1.0, tflops=0.5, times_real_time=9.0, engine_mb=1.0, activation_mb=2.0),
    )  # fmt: skip
    monkeypatch.setattr(experiments, "Graphs", FakeGraphs)
    found = records.Experiment(experiments.measured.__wrapped__, "05-engines")
    monkeypatch.setattr(experiments, "measured", found)
    return found


class FakeGraphs:
    asked: list = []

    def __init__(self, folder):
        type(self).asked = []

    def ask(self, spec):
        type(self).asked.append(spec)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


def test_the_record_holds_baseline_and_engines_of_one_run(experiment, tmp_path):
    done = experiment.measure(vocoder="melgan", save=tmp_path)
    first = [(r["backend"], r["variant"], r["batch"], r.get("is_baseline")) for r in done["rows"]]
    assert first[:4] == [
        ("torch", "FP32", 1, False), ("torch", "FP32", 8, False),
        ("torch", "FP16, graph", 1, True), ("torch", "FP16, graph", 8, True),
    ]  # fmt: skip
    assert first[4:6] == [
        ("tensorrt", "TensorRT FP16", 1, None), ("tensorrt", "TensorRT FP16, graph", 1, None),
    ]  # fmt: skip
    shares = {r["variant"]: r.get("share_of_ceiling") for r in done["rows"]}
    assert shares["TensorRT FP16"] == 0.125 and shares["TensorRT FP32"] == 0.5
    assert shares["TensorRT TF32"] == 0.25
    assert done["complete"] and done["best"]["8"]["batch"] == 8
    assert FakeGraphs.asked[0].shape == (1, 7)
    (line,) = engines.summary()
    assert line["vocoder"] == "melgan" and line["engine (ms)"] == 1.0
    drawn = results.picture(["melgan"], path=tmp_path / "engines.png")
    assert (tmp_path / "engines.png").stat().st_size > 5_000 and "melgan" in drawn.alt


def test_a_run_that_breaks_off_leaves_its_rows(experiment, tmp_path, monkeypatch):
    def broken(model, built, candidate, graph, *rest):
        if candidate.batch == 8:
            raise KeyboardInterrupt
        return measured_row(1.0)

    monkeypatch.setattr(trials, "measure_engine", broken)
    with pytest.raises(KeyboardInterrupt):
        experiment.measure(vocoder="melgan", save=tmp_path)
    kept = experiment.recorded(vocoder="melgan")
    assert len(kept["rows"]) >= 6 and not kept["complete"]


def test_the_command_passes_time_and_folders_on(experiment, tmp_path, monkeypatch):
    for name in (settings.SECONDS, settings.CACHE, settings.TIMING_CACHE):
        monkeypatch.setenv(name, "")
    arguments = ["--vocoder", "melgan", "--save", str(tmp_path), "--seconds", "300"]
    arguments += ["--cache", str(tmp_path / "kept"), "--timing-cache", str(tmp_path / "t")]
    assert command.main(arguments) == 0
    with settings.settings(1.0) as given:
        assert (given.seconds, given.engines) == (300.0, tmp_path / "kept")
        assert given.timing_cache == tmp_path / "t"
    (path,) = tmp_path.glob("*.json")
    assert path.name.startswith("05-engines--vocoder=melgan.")


def test_settings_have_folders_of_their_own(monkeypatch):
    for name in (settings.SECONDS, settings.CACHE, settings.TIMING_CACHE):
        monkeypatch.delenv(name, raising=False)
    with settings.settings(12.0) as given:
        given.graphs.mkdir()
        assert given.seconds == 12.0 and given.timing_cache.parent == given.engines
    assert not given.graphs.exists()


def test_the_command_without_a_gpu_or_a_task_says_so(tmp_path, caplog, capsys, monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.setenv(settings.SECONDS, "1")
    assert command.main(["--gates", "--copies", "--save", str(tmp_path)]) == 1
    assert "05-gates can not be measured here: needs tensorrt" in caplog.text
    assert "06-copies can not be measured here: needs cuda" in caplog.text
    with pytest.raises(SystemExit):
        command.main(["--save", str(tmp_path)])
    assert "--host-latency" in capsys.readouterr().err


def test_records_cover_what_decides_their_figures():
    for made in (engines.measured, engines.gates, engines.build_levels, engines.host_latency):
        covered = set(made.source["covers"])
        assert {
            "labutils.engines.trials",
            "labutils.engines.rewrites",
            "labutils.trt.build",
        } < covered
        assert all(name.startswith("labutils.") for name in covered)


# Tables and pictures


def made_up():
    torch_rows = [
        {"backend": "torch", "variant": "FP32", "batch": 1, "median_ms": 8.0, "snr_db": None,
         "times_real_time": 100.0, "is_baseline": False},
        {"backend": "torch", "variant": "FP16, graph", "batch": 1, "median_ms": 2.0,
         "snr_db": 60.0, "times_real_time": 400.0, "is_baseline": True},
    ]  # fmt: skip
    base = {"backend": "tensorrt", "batch": 1, "engine_mb": 1.0, "activation_mb": 2.0}
    return [
        *torch_rows,
        base | {"variant": "TensorRT FP16", "median_ms": 2.5, "snr_db": 55.0, "tried": False,
                "times_real_time": 320.0, "share_of_ceiling": 0.2},
        base | {"variant": "TensorRT FP16, image, graph", "median_ms": 1.0, "snr_db": 55.0,
                "times_real_time": 800.0, "tried": True, "share_of_ceiling": 0.5},
        base | {"variant": "TensorRT FP16, level 5, graph", "median_ms": 0.5, "snr_db": 20.0,
                "times_real_time": 1600.0, "tried": True},
        base | {"variant": "TensorRT FP32", "error": "not measured: time", "tried": False},
    ]  # fmt: skip


@pytest.fixture
def one_record(monkeypatch):
    class Shown:
        @staticmethod
        def recorded(vocoder):
            if vocoder == "melgan":
                data = {"rows": made_up()}
                return records.Measurement("05-engines", "recorded on a GPU", data, recorded=True)
            return records.Measurement("05-engines", f"no {vocoder}", available=False)

    monkeypatch.setattr(experiments, "measured", Shown)


def test_tables_compare_with_the_baseline_of_the_same_run(one_record):
    (line,) = engines.summary()
    assert line["times faster than FP32"] == 8.0 and line["than the baseline"] == 2.0
    assert line["the engine is"] == "FP16, image, graph"
    assert line["share of the ceiling (%)"] == 50.0
    assert engines.summary(batch=8) == []
    assert engines.caption(["melgan"]) == "recorded on a GPU"
    assert engines.best("hifigan-v1") == {} and engines.recorded_rows("hifigan-v1") == {}


def texts(drawn):
    return [text.get_text() for ax in drawn.axes for text in ax.texts]


def test_bars_mark_the_best_and_say_what_is_noisy_or_missing(one_record):
    drawn = engines.picture(["melgan", "hifigan-v1"])
    found = texts(drawn)
    assert "no record yet" in found and "400 (baseline)" in found
    assert "800 (2.00 x baseline)" in found and "1,600 (20 dB)" in found and "not measured" in found
    assert "TensorRT FP16, image, graph" in drawn.alt
    assert texts(pictures.engines_picture({"a": ([], None)})) == ["no record yet"]
    names = [label.get_text() for ax in drawn.axes for label in ax.get_yticklabels()]
    assert names == ["FP32", "FP16, graph", "FP32", "FP16", "FP16, image, graph",
                     "FP16, level 5, graph"]  # fmt: skip


def test_the_fastest_engine_is_drawn_whatever_it_is(one_record, monkeypatch):
    rows = made_up()
    rows[3] |= {"variant": "TensorRT TF32, graph", "tried": False}
    monkeypatch.setattr(results, "_rows", lambda vocoder: rows if vocoder == "melgan" else [])
    assert "800 (2.00 x baseline)" in texts(engines.picture(["melgan"]))


def test_clips_stand_in_the_order_of_the_first_choice():
    found = {"a": {"ends": 47.0, "more": 56.0}, "b": {"ends": 41.0, "more": 44.0}}
    drawn = pictures.clips_picture(found, bound=45)
    (ax,) = drawn.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "a"]
    marks = [line.get_xdata().tolist() for line in ax.lines[:2]]
    assert marks == [[41.0, 47.0], [44.0, 56.0]]
    assert drawn.alt == "SNR of 2 clips; below 45 dB with ends: 1; more: 1"
    with pytest.raises(ValueError, match="no clips"):
        pictures.clips_picture({}, bound=45)
    with pytest.raises(ValueError, match="b lacks one of ends, more"):
        pictures.clips_picture(found | {"b": {"ends": 1.0}}, bound=45)
