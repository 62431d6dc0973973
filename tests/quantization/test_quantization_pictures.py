"""Pictures of quantization: which points are best, labels that stay apart, figures in words."""

import numpy as np
import pytest

from labutils.quantization import Sensitivity, pictures

pytestmark = pytest.mark.xdist_group("quantization")


def test_pareto_front():
    points = [(1.0, 9.0), (2.0, 8.0), (1.5, 7.0), (3.0, 1.0), (3.0, 1.0)]
    assert pictures.pareto_front(points) == [0, 1, 3, 4]


@pytest.mark.parametrize("count", [1, 9, 16])
def test_labels_of_near_points_are_apart(count):
    heights = [0.9, *(0.1 + 0.01 * (i % 3) for i in range(count - 1))]
    places = pictures.label_places(heights, 0.06)
    ordered = sorted(places)
    assert min(np.diff(ordered), default=1) > 0.059 and -1e-9 < ordered[0] and ordered[-1] <= 1
    pairs = [(i, j) for i in range(count) for j in range(count) if heights[i] > heights[j]]
    assert all(places[i] > places[j] for i, j in pairs)  # lines to the labels do not cross
    assert count > 9 or places[0] == pytest.approx(0.9)


def test_pictures_tell_their_figures(case):
    made = case()
    rows = [Sensitivity(x.name, (x.name,), 30.0 + i) for i, x in enumerate(made.layers)]
    shown = pictures.sensitivity_picture(rows, made.layers, budget=35, title="T")
    assert made.layers[0].name in shown.alt and "30.0 dB" in shown.alt
    points = [{"variant": "FP32", "x": 1.0, "dB": 90.0}, {"variant": "INT8", "x": 1.5, "dB": 12.0},
              {"variant": "no", "x": None, "dB": 3.0}]  # fmt: skip
    shown = pictures.pareto_picture(points, speed="x", quality="dB", least=30)
    assert "INT8: 1.5, 12" in shown.alt and "no:" not in shown.alt
    shown = pictures.histogram_picture({"a": np.ones((2, 3))}, {"minmax": 1.0})
    assert "minmax 1" in shown.alt
