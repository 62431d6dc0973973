"""Which layers become INT8: their work, their sensitivity, and the choice under a budget."""

import math

import pytest
from quantization_parts import FAMILIES

from labutils import quantization
from labutils.onnx_export import OnnxError
from labutils.quantization import Sensitivity
from labutils.quantization.layers import Layer

pytestmark = pytest.mark.xdist_group("quantization")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_layer_has_its_work(case, family):
    made = case(family)
    work = quantization.network_costs(made.model, made.layers)
    assert sum(work.values()) == pytest.approx(1.0)
    assert set(work) == {layer.name for layer in made.layers}
    assert min(work.values()) > 0


def test_groups_are_parts_of_the_network(case):
    made = case()
    groups = quantization.groups_of(made.layers)
    assert list(groups)[:2] == ["conv_pre", "ups.0"] and list(groups)[-1] == "conv_post"
    assert sum(map(len, groups.values())) == len(made.layers)
    with pytest.raises(OnnxError, match="the network has no layer"):
        quantization.network_costs(made.model, [Layer("other/Conv", "Conv", (1, 1, 1))])


def test_sensitivity_quantises_one_at_a_time(case):
    made, seen = case(), []

    def score(path):
        seen.append([r["layer"] for r in quantization.placement(path) if r["weight"]])
        return float(len(seen))

    names = [layer.name for layer in made.layers[:3]]
    rows = quantization.sensitivity(
        made.path, made.ranges, score, groups={"a": names[:2], "b": names[2:]}
    )
    assert seen == [names[:2], names[2:]]
    assert [(row.name, row.score) for row in rows] == [("a", 1.0), ("b", 2.0)]


def test_noises_add():
    assert quantization.combined_snr([30, 30]) == pytest.approx(26.9897, abs=1e-4)
    assert quantization.combined_snr([20, 60]) == pytest.approx(19.9996, abs=1e-4)
    assert quantization.combined_snr([]) == math.inf


ROWS = [Sensitivity(name, (name,), score) for name, score in
        {"a": 10.0, "b": 40.0, "c": 42.0, "d": 30.0}.items()]  # fmt: skip


def by_power(names):
    return quantization.combined_snr(row.score for row in ROWS if row.name in names)


@pytest.mark.parametrize(
    ("budget", "chosen"), [(5, "abcd"), (20, "bcd"), (35, "bc"), (41, "c"), (50, "")]
)
def test_a_choice_keeps_the_budget(budget, chosen):
    found = quantization.choose(ROWS, budget=budget, measure=by_power)
    assert set(found.layers) == set(chosen)
    assert found.share == pytest.approx(len(chosen) / 4)
    assert not chosen or found.score >= budget
    assert all(row["fits"] == (row["measured (dB)"] >= budget) for row in found.tried)


def test_a_choice_prefers_work(case):
    work = {"a": 0.01, "b": 0.01, "c": 0.01, "d": 0.97}
    found = quantization.choose(ROWS, budget=29.9, measure=by_power, work=work)
    assert found.layers == ("d",) and found.share == pytest.approx(0.97)


def test_a_choice_believes_the_measurement_only():
    found = quantization.choose(ROWS, budget=20, measure=lambda names: 25.0 - 3 * len(names))
    assert len(found.layers) == 1 and found.score == 22.0 and found.predicted > 30
    with pytest.raises(ValueError, match="no layers"):
        quantization.choose([], budget=1, measure=by_power)
