"""Tables of what was tried and of what tutorials promise, from rows of a record."""

import pytest

from labutils.engines import claims


def engine(variant, ms, **more):
    row = {"backend": "tensorrt", "variant": variant, "batch": 1, "tried": False, "median_ms": ms}
    return row | {"engine_mb": 30.0, "activation_mb": 90.0, "snr_db": 55.0} | more


def torch_row(variant, ms, **more):
    row = {"backend": "torch", "variant": variant, "batch": 1, "median_ms": ms, "peak_mb": 150.0}
    return row | more


ROWS = [
    torch_row("FP32", 20.0),
    torch_row("FP16, compile, graph", 5.0, peak_mb=80.0, is_baseline=True),
    torch_row("FP32", 90.0, batch=8),
    engine("TensorRT FP16", 4.0),
    engine("TensorRT FP16, graph", 3.0),
    engine("TensorRT FP16, image, graph", 2.5, tried=True, build_seconds=70.0),
    engine("TensorRT FP16, level 5, graph", 3.3, tried=True, build_seconds=9.0, kept=True),
    engine("TensorRT FP16 allowed, graph", 1.0, snr_db=31.0),
    {"backend": "tensorrt", "variant": "TensorRT FP16, polyphase", "batch": 1, "tried": True,
     "error": "BuildError: no"},
    {"backend": "tensorrt", "variant": "TensorRT FP16, level 4", "batch": 1, "tried": True,
     "error": "not measured: time"},
    {"backend": "tensorrt", "variant": "TensorRT FP32", "batch": 8, "tried": False,
     "error": "TimeoutError: not built within 200 s"},
]  # fmt: skip


def test_tried_is_compared_with_the_plain_engine_and_slower_ones_stay():
    table = claims.tried({"v1": ROWS})
    assert [line["tried"] for line in table] == ["FP16, image", "FP16, level 5", "FP16, polyphase"]
    assert [line["times faster"] for line in table] == [3.0 / 2.5, 3.0 / 3.3, None]
    assert table[2]["why there is no figure"] == "BuildError: no" and table[2]["ms"] is None
    assert [line["build (s)"] for line in table] == [70.0, None, None]


def test_what_the_run_had_no_time_for():
    rows = {"v1": ROWS, "v2": ROWS[:3]}
    assert claims.no_time(rows) == {"v1": ["FP16, level 4"]}
    assert claims.no_time(rows, batch=8) == {"v1": ["FP32"]}


def test_rows_without_figures_are_told_with_their_reason():
    late = {"batch": 1, "error": "not measured: time"}
    rows = [{"name": "a", **late}, {"name": "b", "batch": 1, "ms": 3.0}, {"name": "a", **late},
            {"name": "b", "batch": 8, "error": "BuildError: no"}]  # fmt: skip
    assert claims.without_figures(rows, "name", "batch") == [
        "a, 1: not measured: time (2 rows)", "b, 8: BuildError: no (1 row)",
    ]  # fmt: skip
    assert claims.without_figures(rows[1:2], "name") == []


def test_without_failures_there_is_no_column_for_them():
    assert "why there is no figure" not in claims.tried({"v1": ROWS[:-3]})[0]


def test_a_column_without_a_build_is_left_out():
    kept = [engine("TensorRT FP16, image, graph", 2.5, tried=True, build_seconds=9.0, kept=True)]
    assert "build (s)" not in claims.tried({"v1": ROWS[:5] + kept})[0]


def test_what_was_measured_for_no_vocoder():
    late = {"backend": "tensorrt", "batch": 1, "tried": True, "error": "not measured: time"}
    rows = {
        "v1": [*ROWS, late | {"variant": "TensorRT FP16, image, padded to 32"}],
        "v2": [late | {"variant": "TensorRT FP16, level 5"}],
    }
    assert claims.unmeasured(rows) == ["level 4", "padded to 32"]
    assert claims.unmeasured({"v1": ROWS[:5]}) == []


def test_promises_are_held_against_fp32_and_against_the_baseline():
    (line,) = claims.promises({"v1": ROWS})
    figures = list(line.values())
    assert figures[:4] == ["v1", 5.0, 1.25, 2.0]
    assert figures[4:7] == [150.0, 80.0, 120.0]
    assert figures[7:] == [pytest.approx(20.0), pytest.approx(-50.0)]


def test_more_memory_is_negative():
    rows = [torch_row("FP32", 20.0, peak_mb=60.0), engine("TensorRT FP16", 4.0)]
    (line,) = claims.promises({"v1": rows})
    assert line["less than FP32 (%)"] == -100.0 and line["less than the baseline (%)"] is None
    assert line["the best engine against the baseline (times)"] is None


def test_precisions_tell_each_step_and_what_was_not_measured():
    rows = [*ROWS, engine("TensorRT FP32", 12.0)]
    (line,) = claims.precisions({"v1": rows, "torch only": ROWS[:2]})
    assert line["FP32 (ms)"] == 12.0 and line["TF32 (ms)"] is None
    assert line["FP32 to TF32 (times)"] is None and line["graph (times)"] == 4.0 / 3.0
    (line,) = claims.precisions({"v1": [*rows, engine("TensorRT TF32", 6.0)]})
    assert line["FP32 to TF32 (times)"] == 2.0 and line["TF32 to FP16 (times)"] == 1.5


def test_gates_have_a_row_a_vocoder():
    def row(vocoder, kept, snr=None, form="as it is", **more):
        made = {"vocoder": vocoder, "FP32 layers": kept, "form": form}
        made |= {"error": "no"} if snr is None else {"snr_db": snr, "median_ms": snr / 10}
        return made | more

    rows = [
        row("a", "ends", 44.0, passed=False), row("b", "ends", 50.0, passed=True),
        row("a", "first stage", 48.0, passed=True), row("a", "all", 110.0, passed=True),
        row("a", "ends", 46.0, "image, polyphase", passed=True), row("b", "ends", None, "phases"),
    ]  # fmt: skip
    assert claims.gates(rows) == [
        {"vocoder": "a", "FP32 (dB)": 110.0, "FP16 (dB)": 44.0, "FP16 (ms)": 4.4,
         "first stage FP32 (dB)": 48.0, "first stage FP32 (ms)": 4.8, "passes with": "first stage",
         "image, polyphase (dB)": 46.0},
        {"vocoder": "b", "FP32 (dB)": None, "FP16 (dB)": 50.0, "FP16 (ms)": 5.0,
         "first stage FP32 (dB)": None, "first stage FP32 (ms)": None, "passes with": "ends",
         "image, polyphase (dB)": None},
    ]  # fmt: skip
    only_fp32 = claims.gates([row("a", "all", 110.0, passed=True), row("a", "ends", 40.0)])
    assert only_fp32[0]["passes with"] is None


def test_distances_are_those_of_the_plain_engines():
    rows = [*ROWS, engine("TensorRT TF32", 6.0, snr_db=50.0)]
    assert claims.distances({"v1": rows, "torch only": ROWS[:2]}) == [{
        "vocoder": "v1", "FP32 engine (dB)": None, "TF32 engine (dB)": 50.0,
        "FP16 engine (dB)": 55.0,
    }]  # fmt: skip


def test_halves_compare_the_snr_of_pytorch_and_of_the_plain_engine():
    baseline = torch_row("FP16, graph", 5.0, snr_db=58.0, is_baseline=True)
    rows = [torch_row("FP32", 20.0), baseline, engine("TensorRT FP16", 4.0, snr_db=51.5)]
    others = [engine("TensorRT FP16, graph", 3.0, snr_db=50.0), engine("TensorRT FP32", 9.0)]
    (row,) = claims.halves({"a": [*rows, *others], "no engine": rows[:2], "no baseline": rows[2:]})
    assert row == {
        "vocoder": "a", "PyTorch (dB)": 58.0, "TensorRT (dB)": 51.5, "between (dB)": 6.5,
    }  # fmt: skip
    single = [torch_row("FP32", 5.0, snr_db=None, is_baseline=True), *rows[2:]]
    assert claims.halves({"a": single}) == []


def test_batches_are_kept_apart_and_nothing_measured_is_no_row():
    assert claims.tried({"v1": ROWS}, batch=8) == []
    (line,) = claims.promises({"v1": ROWS}, batch=8)
    assert line["PyTorch FP32, peak (MB)"] == 150.0 and line["less than FP32 (%)"] is None
    assert claims.promises({"v1": []}) == []
