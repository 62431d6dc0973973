"""Gates, build levels, copies and waiting of the host: their rows."""

import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from labutils import records, vocoders
from labutils.engines import (
    gating,
    latency,
    settings,
    smaller,
    transfers,
    trials,
    waiting,
    within_host,
)
from labutils.engines.building import Built
from labutils.runners import TorchRunner
from labutils.trt import BuildError
from labutils.trt.build_log import build_times
from labutils.trt.messages import Message


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
    monkeypatch.setattr(gating, "Graphs", FakeMaker)
    monkeypatch.setattr(gating, "Builder", FakeMaker)
    monkeypatch.setattr(gating, "_file", lambda case, *_: case)
    sound = {"ends": 60.0, "first stage": 61.0, "all": 79.0}
    monkeypatch.setattr(
        gating, "_heard", lambda name, built, mel: {"snr_db": sound[built.path.kept]}
    )
    found = records.Experiment(gating.gates.__wrapped__, "05-gates")
    done = found.measure(save=tmp_path)
    rows = {(r["vocoder"], r["FP32 layers"], r["form"]): r for r in done["rows"]}
    for name in gating.TRAINED:
        assert rows[name, "ends", "as it is"]["passed"] is True
        assert rows[name, "first stage", "as it is"]["passed"] is True
        assert rows[name, "all", "as it is"]["passed"] is False  # 79 dB of 80
    failed = rows["bigvgan-small", "ends", "image, snakes in phases"]
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


def test_a_wake_up_takes_some_time_and_less_than_a_second():
    woken = waiting.wake_up_ms(tries=20, pause=0.0)
    assert woken.shape == (20,) and (woken > 0).all() and woken.max() < 1000


def test_each_way_to_wait_is_a_process_of_its_own_and_a_failure_a_row(monkeypatch):
    asked = []

    def isolated(task, mode, gpu_ms):
        asked.append((task, mode))
        if mode == "sleeps":
            raise RuntimeError("the driver does not let the context wait so: error 1")
        return {"the host": mode, "late by (ms)": 0.01}

    monkeypatch.setattr(waiting, "isolated", isolated)
    found = waiting.waits.__wrapped__()
    assert asked == [("labutils.engines.waiting:waited", mode) for mode in waiting.MODES]
    assert [row["the host"] for row in found["rows"]] == list(waiting.MODES)
    assert [row["the host"] for row in found["rows"] if "error" in row] == ["sleeps"]
    assert 0 < found["wake-up (ms)"]["median"] <= found["wake-up (ms)"]["p95"]


def test_what_a_wait_takes(monkeypatch):
    clock = FakeGpu(late=0.004)
    monkeypatch.setattr(waiting.ctypes, "CDLL", lambda name: clock)
    monkeypatch.setattr(waiting, "require", lambda name: clock)
    monkeypatch.setattr(waiting.time, "perf_counter", lambda: clock.host)
    monkeypatch.setattr(waiting.time, "process_time", lambda: clock.busy)
    row = waiting.waited("sleeps", 2.0, runs=5)
    assert clock.flags == [(0, 4)]
    assert row["GPU (ms)"] == pytest.approx(2.0) and row["late by (ms)"] == pytest.approx(4.0)
    assert row["until the host goes on (ms)"] == pytest.approx(6.0)
    assert row["processor time (ms)"] == pytest.approx(0.5)
    clock.refused = 201
    with pytest.raises(RuntimeError, match="does not let the context wait so: error 201"):
        waiting.waited("spins")


class FakeGpu:
    """Driver and torch in one: a kernel of so many cycles at 1 GHz, a host that wakes up late."""

    def __init__(self, late):
        self.late, self.host, self.busy, self.now = late, 0.0, 0.0, 0.0
        self.flags, self.refused, self.cuda = [], 0, self

    def cuInit(self, flags):  # noqa: N802
        return 0

    def cuDevicePrimaryCtxSetFlags_v2(self, device, flags):  # noqa: N802
        self.flags.append((device, flags))
        return self.refused

    def Event(self, enable_timing):  # noqa: N802
        return FakeMark(self)

    def _sleep(self, cycles):
        self.now += cycles / 1e9

    def synchronize(self):
        self.host = self.now = max(self.host, self.now) + self.late
        self.busy += 0.0005


class FakeMark:
    def __init__(self, gpu):
        self.gpu, self.at = gpu, 0.0

    def record(self):
        self.at = self.gpu.now

    def elapsed_time(self, end):
        return 1e3 * (end.at - self.at)


def test_copies_within_the_host_by_one_thread_and_by_all(monkeypatch):
    asked = []
    monkeypatch.setattr(within_host.torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(within_host.torch, "set_num_threads", asked.append)
    monkeypatch.setattr(within_host, "SIZES", (10, 40_000))
    rows = within_host.host_copies.__wrapped__()
    ways = [("NumPy", 1), ("torch", 1), ("torch", 3)]
    assert [(r["values"], r["by"], r["threads"]) for r in rows] == [
        (size, *way) for size in (10, 40_000) for way in ways
    ]
    assert asked == [1, 1, 3, 1, 1, 3, 3]  # at last as before
    assert all(0 < row["median (ms)"] <= row["p95 (ms)"] for row in rows)


def test_a_copy_is_timed_after_the_pause_and_without_it():
    told = []
    taken = within_host.copy_ms(lambda: told.append(time.perf_counter()), tries=4, pause=0.003)
    assert taken.shape == (4,) and (np.diff(told) >= 0.003).all()


POINTWISE = "PWN(ups.0/LeakyRelu) (PointWiseV2[0x80000028])"
CONVOLUTION = "conv_pre/Conv + PWN(LeakyRelu) (CaskConvolution[0x80000009])"
SAID = (
    "*************** Autotuning format combination: Float(512,1) -> Float(512,1) ***************",
    f"--------------- Timing Runner: {POINTWISE}",
    "Tactic: 0x0000000000000000 Time: 0.0077",
    "Tactic: 0x0000000000000001 Time: 0.0084",
    f"{POINTWISE} profiling completed in 0.7 seconds. Fastest Tactic: 0x00000000 Time: 0.0077",
    f"--------------- Timing Runner: {POINTWISE}",
    "Tactic: 0x0000000000000000 Time: 0.0077",
    f"{POINTWISE} profiling completed in 0.5 seconds. Fastest Tactic: 0x00000000 Time: 0.0077",
    "--------------- Timing Runner: conv_pre/Conv (CudnnConvolution[0x80000000])",
    "CudnnConvolution has no valid tactics for this config, skipping",
    f"--------------- Timing Runner: {CONVOLUTION}",
    "Tactic Name: sm80_xmma_fprop_f16f16 Tactic: 0x00a1b2 Time: 0.0101",
    "Tactic Name: sm80_xmma_fprop_f16f32 Tactic: 0x00a1b3 Time: 0.0102",
    f"{CONVOLUTION} profiling completed in 1.2e-02 seconds. Fastest Tactic: 0x00a1b2 Time: 0.01",
    ">>>>>>>>>>>>>>> Chose Runner Type: CaskConvolution Tactic: 0x00a1b2",
)


def test_the_log_of_a_build_tells_what_its_time_went_to(monkeypatch):
    pointwise, convolution = build_times(SAID)
    assert pointwise == {
        "kernels": "PointWiseV2", "layers": 1, "layouts": 2, "tried": 3,
        "seconds": pytest.approx(1.2),
    }  # fmt: skip
    assert convolution["kernels"] == "CaskConvolution" and convolution["tried"] == 2
    assert convolution["seconds"] == pytest.approx(0.012)
    assert build_times(["[timing cache] a hit for every layer"]) == []

    asked = []

    def build(onnx, options, level="warning"):
        asked.append((options.optimization_level, options.timing_cache, level))
        entries = [Message("verbose", text) for text in SAID]
        return SimpleNamespace(seconds=2.0, messages=SimpleNamespace(entries=entries))

    monkeypatch.setattr(smaller, "Graphs", FakeMaker)
    monkeypatch.setattr(smaller, "build", build)
    made = smaller.build_time.__wrapped__().data
    assert asked == [(0, None, "warning"), (1, None, "verbose")], "the first one loads TensorRT"
    assert made["rows"] == build_times(SAID) and made["seconds"] == 2.0
    assert 0 <= made["processor_seconds"] < 2
