"""Gates, build levels, copies and waiting of the host: their rows."""

from pathlib import Path

import pytest

from labutils import records, vocoders
from labutils.engines import (
    latency,
    settings,
    smaller,
    transfers,
    trials,
)
from labutils.engines.building import Built
from labutils.runners import TorchRunner
from labutils.trt import BuildError


def fake_build(candidate, seconds):
    return Built(Path("x"), 3.0)


def measured_row(ms, snr=60.0, **more):
    return {"median_ms": ms, "snr_db": snr} | more


def test_copies_of_every_size_in_both_directions():
    asked = transfers.sizes(["melgan"])
    assert [row["bytes"] for row in asked] == sorted(row["bytes"] for row in asked)
    assert {"vocoder": "melgan", "what": "mel", "batch": 1, "bytes": 4 * 80 * 862} in asked
    assert {"vocoder": "melgan", "what": "audio", "batch": 8, "bytes": 4 * 8 * 256 * 862} in asked
    (row,) = transfers.copy_rows([{"what": "mel", "bytes": 4000}], device="cpu", runs=3)
    times = [value for key, value in row.items() if key.endswith("(ms)")]
    assert len(times) == 4 and all(ms > 0 for ms in times)


def test_waiting_of_the_host_by_way():
    from tiny_vocoders import tiny

    model = tiny("melgan")
    mel = vocoders.speech_like_mel(model.config.mel, 9).numpy()

    def missing():
        raise RuntimeError("no GPU")

    ways = {"a": lambda: TorchRunner(model), "b": missing,
            "c": lambda: TorchRunner(model, dtype="bfloat16")}  # fmt: skip
    done = list(latency.latency_rows(ways, mel, device="cpu", runs=3, max_seconds=0.1))
    assert [row["way"] for row in done] == ["a", "b", "c"]
    assert done[1]["error"] == "no GPU" and done[0]["snr_db"] is None and done[2]["snr_db"] > 15
    assert done[0]["overhead_ms"] == pytest.approx(done[0]["host_ms"] - done[0]["device_ms"])


class FakeMaker:
    """In place of Builder and Graphs: engines whose name tells what they are of."""

    def __init__(self, *args, **kwargs):
        self.built = []

    def get(self, spec, seconds=None):
        return spec

    ask = get

    def build(self, spec, options, *, seconds=None):
        self.built.append((spec, options))
        if getattr(spec, "form", "") == "image, snakes in phases":
            raise BuildError("no tactic")
        return Built(spec, 5.0)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


def test_gates_ask_every_trained_vocoder_and_a_failure_does_not_pass(tmp_path, monkeypatch):
    monkeypatch.setenv(settings.SECONDS, "100")
    monkeypatch.setattr(smaller, "Graphs", FakeMaker)
    monkeypatch.setattr(smaller, "Builder", FakeMaker)
    monkeypatch.setattr(smaller, "_snr", lambda name, built, mel: 60.0 if built.path.half else 79.0)
    found = records.Experiment(smaller.gates.__wrapped__, "05-gates")
    done = found.measure(save=tmp_path)
    rows = {(r["vocoder"], r["precision"], r["form"]): r for r in done["rows"]}
    for name in smaller.TRAINED:
        assert rows[name, "FP16", "as it is"]["passed"] is True
        assert rows[name, "FP32", "as it is"]["passed"] is False  # 79 dB of 80
    failed = rows["bigvgan-small", "FP16", "image, snakes in phases"]
    assert failed["error"] == "BuildError: no tactic" and "passed" not in failed
    assert done["passed"] is False
    assert all(row["frames"] <= 160 for row in done["rows"])


def test_levels_are_built_cold_and_then_with_their_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(settings.SECONDS, "100")
    makers = []

    def maker(*args, **kwargs):
        makers.append(FakeMaker())
        return makers[-1]

    monkeypatch.setattr(smaller, "Graphs", FakeMaker)
    monkeypatch.setattr(smaller, "Builder", maker)
    monkeypatch.setattr(trials, "reference_audio", lambda model, mel: mel)
    monkeypatch.setattr(trials, "measure_engine", lambda *a: measured_row(
        1.0, engine_mb=1.0, activation_mb=1.0))  # fmt: skip
    found = records.Experiment(smaller.build_levels.__wrapped__, "05-build-levels")
    done = found.measure(save=tmp_path)
    assert [row["level"] for row in done["rows"]] == [0, 1, 2, 3, 4, 5]
    assert done["rows"][0]["cold_seconds"] == 5.0
    options = [options for _, options in makers[0].built]
    assert len(options) == 13  # one to load TensorRT's kernels, two of each level
    caches = [option.timing_cache for option in options[1:]]
    assert caches[0] == caches[1] and len(set(caches)) == 6 and options[0].timing_cache is None
