"""Tables and pictures of the baseline's records: ratios, marks, and rows that failed."""

import pytest
from baseline_parts import row

from labutils import baseline, records
from labutils.baseline import pictures


def made_up_rows():
    return [
        row("FP32", 20.0, None),
        row("TF32", 10.0, 70.0, compile_seconds=None),
        row("FP16", 5.0, 60.0),
        row("FP16, graph", 4.0, 60.0),
        {"variant": "FP16, compile, graph", "batch": 1, "error": "not measured: time"},
        row("FP32", 160.0, None, batch=8),
    ]


@pytest.fixture
def one_record(monkeypatch):
    """A record of MelGAN and of no other vocoder."""
    rows = made_up_rows()
    data = {"rows": rows, "baseline": {"1": baseline.best(rows, 1), "8": baseline.best(rows, 8)}}

    class Shown:
        @staticmethod
        def recorded(vocoder):
            if vocoder == "melgan":
                return records.Measurement("03-baseline", "recorded on a GPU", data, recorded=True)
            return records.Measurement("03-baseline", f"no {vocoder}", available=False)

    monkeypatch.setattr(baseline, "measured", Shown)


def test_tables_of_the_records(one_record):
    (line,) = baseline.summary(batch=1)
    assert line["vocoder"] == "melgan" and line["times faster"] == 5.0
    assert line["the baseline is"] == "FP16, graph"
    assert list(baseline.recorded_rows("melgan", 8)) == ["FP32"]
    assert baseline.recorded_rows("hifigan-v1") == {}
    (line,) = baseline.compare("FP32", "TF32", "FP16")
    assert line == {
        "vocoder": "melgan", "FP32 (ms)": 20.0, "TF32 (ms)": 10.0, "FP16 (ms)": 5.0,
        "FP32 to FP16: times faster": 4.0,
    }  # fmt: skip
    (line,) = baseline.compare("FP16, compile, graph", "FP16")
    assert line["FP16, compile, graph (ms)"] is None
    assert line["FP16, compile, graph to FP16: times faster"] is None
    with pytest.raises(ValueError, match="no variant fp16; there are: FP32; TF32"):
        baseline.compare("FP32", "fp16")
    with pytest.raises(ValueError, match='no figure "median"; there are: .*median_ms'):
        baseline.compare("FP32", key="median")
    (line,) = baseline.compare("TF32", key="compile_seconds")
    assert line == {"vocoder": "melgan", "TF32 (s)": None}
    (line,) = baseline.steps(batch=1)
    assert (line["FP32 to TF32"], line["to FP16"], line["graph"]) == (2.0, 2.0, 1.25)
    assert line["compile"] is line["channels last"] is None
    assert baseline.caption(["melgan"]) == "recorded on a GPU"
    assert baseline.caption(["melgan", "melgan", "hifigan-v1"]).count("\n") == 1


def texts(drawn):
    return [text.get_text() for ax in drawn.axes for text in ax.texts]


def test_the_bars_say_what_was_not_measured_and_mark_the_baseline(one_record):
    drawn = baseline.picture(["melgan", "hifigan-v1"])
    assert texts(drawn).count("no record yet") == 1
    assert {"250 (baseline)", "not measured", "200"} <= set(texts(drawn))
    assert "FP16, graph" in drawn.alt


def test_noisy_variants_are_marked_with_their_snr():
    rows = [row("FP32", 20.0, None), row("BF16", 4.0, 31.0)]
    drawn = pictures.variants_picture({"a": (rows, "FP32")}, minimum_snr=40)
    assert any("31 dB" in text for text in texts(drawn))
    assert not any("31 dB" in t for t in texts(pictures.variants_picture({"a": (rows, None)})))


def test_pictures_leave_out_rows_that_failed():
    failed = {"error": "out of memory"}
    launches = [
        {"frames": 8, "eager_ms": 2.0, "graph_ms": 0.5, "host_ms": 1.9},
        {"frames": 16, **failed},
    ]
    (ax,) = pictures.launch_picture(launches).axes
    assert [len(line.get_xdata()) for line in ax.lines] == [1, 1, 1]
    calls = [
        {"frames": 9, "search": False, "first_ms": 2.0, "later_ms": 1.0},
        {"frames": 10, "search": True, **failed},
    ]
    (ax,) = pictures.first_calls_picture(calls).axes
    assert sorted(len(line.get_xdata()) for line in ax.lines) == [0, 0, 1, 1]
    batches = [{"batch": b, "eager_ms": ms} for b, ms in ((1, 10.0), (2, 16.0))]
    batches.append({"batch": 4, **failed})
    speed, wait = pictures.batch_picture(batches, 2.0).axes
    assert list(speed.lines[0].get_ydata()) == [200.0, 250.0]
    assert list(wait.lines[0].get_ydata()) == [10.0, 16.0]
