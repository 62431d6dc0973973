"""Figures of experiments: which data may be recorded, and how a measurement is displayed."""

import dataclasses
import json

import numpy as np
import pytest
from record_parts import speed

from labutils import environment
from labutils.records import RecordError, experiment, measurement


def test_plain_data():
    @dataclasses.dataclass
    class Timing:
        ms: np.float32
        runs: tuple[int, ...]

    value = {
        "a": np.float32(0.5), "b": np.arange(3), "c": (1, np.int64(2)), "d": Timing(1.5, (1, 2)),
        "e": np.bool_(True), "f": environment.require("torch").ones(2), "g": None, "h": np.array(3),
    }  # fmt: skip
    result = measurement.plain(value, "x")
    assert result == {
        "a": 0.5, "b": [0, 1, 2], "c": [1, 2], "d": {"ms": 1.5, "runs": [1, 2]}, "e": True,
        "f": [1.0, 1.0], "g": None, "h": 3,
    }  # fmt: skip
    assert json.loads(json.dumps(result)) == result and type(result["a"]) is float


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"rows": [1.0, {"ms": float("nan")}]}, r'result of bad\["rows"\]\[1\]\["ms"\] is nan'),
        ([np.float32("inf")], r"result of bad\[0\] is inf"),
        ({8: 1.0}, "has the key 8; a record's keys are text"),
        ({"model": object()}, r'\["model"\] is of type object'),
        ({"when": 1j}, "complex"),
        (b"bytes", "bytes"),
        (None, "returned nothing"),
    ],
)
def test_what_is_no_plain_figure_is_refused_by_name(value, where, folder):
    @experiment("bad")
    def bad():
        return value

    with pytest.raises(RecordError, match=where):
        bad.measure(save=folder)
    assert not folder.exists() or not list(folder.iterdir())


def test_measured_and_recorded_figures_look_the_same(folder):
    @experiment("alike")
    def alike():
        return {"curve": np.linspace(0, 1, 3), "pair": (1, 2)}

    assert alike.measure(save=folder).data == alike.recorded().data


def test_measurement_display():
    html = speed(frames=10)._repr_html_()
    assert html.count("measured here") == 1 and "<table" in html
    assert "4.74" in html and "19.60" in html and "melgan" in html
    assert "<style" not in html and "var(" not in html
    text = repr(speed(frames=10))
    assert "melgan" in text and "4.74" in text and text.startswith("measured here")


@pytest.mark.parametrize(
    ("data", "fragments"),
    [
        ({"ms": 1.0, "runs": 30}, ["value", "1.00", "30"]),
        ({"fp16": {"ms": 1.0}, "fp32": {"ms": 2.0}}, ["fp16", "fp32", "ms"]),
        ({"rows": [{"a": 1}], "note": "x"}, ["rows", "note"]),
        ({"step": [1, 2, 3], "loss": [0.5, 0.4, 0.3]}, ["step", "loss", "0.400"]),
        ({"curve": list(range(500))}, ["(500 values)"]),
        (3.14159, ["3.14"]),
        ([], []),
        ([1, 2], ["1, 2"]),
        ({"deep": {"a": {"b": [1, {"c": None}]}}}, ["deep", "b 1, c"]),
    ],
)
def test_any_plain_data_can_be_shown(data, fragments):
    shown = measurement.Measurement("x", "measured here, somewhere", data)
    for fragment in fragments:
        assert fragment in repr(shown) and fragment in shown._repr_html_()
