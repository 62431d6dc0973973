"""The roofline's arithmetic, its data and pictures; what a machine reaches is not asserted."""

import json

import pytest
import torch
from torch import nn

from labutils import costs, roofline, vocoders
from labutils.benchmark import BenchmarkError
from labutils.costs import LayerCost
from labutils.records.measurement import plain
from labutils.roofline import Ceilings, layer_times

ROOF = Ceilings("cuda", gb_per_s=4000.0, tflops={"float32": 50.0, "float16": 800.0}, launch_us=5.0)


def layer(macs, moved, operation="convolution", name="layer", shape=(1, 1, 10)):
    return LayerCost(name, operation, macs, 10, moved, shape)


def test_the_ridge_is_where_both_bounds_meet():
    assert ROOF.ridge("float16") == pytest.approx(800e12 / 4000e9)
    moved = 1e9
    macs = ROOF.ridge("float16") * moved / 2
    floors = ROOF.floor_ms(macs, moved, "float16")
    assert floors["arithmetic"] == pytest.approx(floors["memory"])
    assert floors["memory"] == pytest.approx(1e3 * 1e9 / 4000e9)
    assert floors["launch"] == pytest.approx(0.005)


@pytest.mark.parametrize(
    ("macs", "moved", "bound", "floor_ms"),
    [
        (4e11, 1e8, "arithmetic", 1.0),
        (4e9, 4e9, "memory", 1.0),
        (1e3, 1e3, "launch", 0.005),
    ],
)
def test_the_slowest_bound_holds(macs, moved, bound, floor_ms):
    (row,) = roofline.place([layer(macs, moved)], ROOF, dtype="float16")
    assert row["bound"] == bound and row["floor_ms"] == pytest.approx(floor_ms)
    assert row["intensity"] == pytest.approx(2 * macs / moved)
    assert "ms" not in row and "tflops" not in row


def test_a_faster_dtype_moves_a_layer_from_arithmetic_to_memory():
    rows = [layer(macs=4e10, moved=1e9)]
    assert roofline.place(rows, ROOF, dtype="float32")[0]["bound"] == "arithmetic"
    assert roofline.place(rows, ROOF, dtype="float16")[0]["bound"] == "memory"


def test_equal_operations_share_a_row():
    rows = [layer(1e9, 1e6, name="a"), layer(5, 8, "add"), layer(1e9, 1e6, name="b")]
    placed = roofline.place(rows, ROOF, times=[1.0, 0.1, 3.0])
    assert [(row["layer"], row["count"]) for row in placed] == [("a", 2), ("layer", 1)]
    assert placed[0]["ms"] == pytest.approx(2.0)
    assert placed[0]["tflops"] == pytest.approx(2 * 1e9 / 2e-3 / 1e12)
    other = [layer(1e9, 1e6), layer(1e9, 1e6, shape=(1, 2, 5))]
    assert len(roofline.place(other, ROOF)) == 2


def test_placed_rows_survive_a_record():
    placed = roofline.place([layer(1e9, 1e6), layer(5, 8, "add")], ROOF, times=[1.0, 0.1])
    assert json.loads(json.dumps(plain(placed, "rows"))) == placed
    data = json.loads(json.dumps(plain(ROOF, "ceilings")))
    assert Ceilings.from_data(data) == ROOF
    assert "4000" in ROOF._repr_html_() and "float16" in ROOF._repr_html_()


def test_wrong_requests_are_refused():
    with pytest.raises(BenchmarkError, match="2 times for 1 operations"):
        roofline.place([layer(1, 1)], ROOF, times=[1.0, 2.0])
    with pytest.raises(BenchmarkError, match="no ceiling for bfloat16; measured: float32, float16"):
        roofline.place([layer(1, 1)], ROOF, dtype="bfloat16")
    with pytest.raises(BenchmarkError, match="no dtype float8"):
        roofline.ceilings(dtypes=["float8"])


def test_the_summary_counts_every_operation_once():
    rows = [layer(4e11, 1e8, name=str(n)) for n in range(3)] + [layer(4e9, 4e9), layer(1, 1)]
    placed = roofline.place(rows, ROOF, dtype="float16", times=[2.0, 2.0, 2.0, 1.5, 0.01])
    found = {row["bound"]: row for row in roofline.summary(placed)}
    assert list(found) == list(roofline.BOUNDS)
    assert found["arithmetic"]["operations"] == 3
    assert found["arithmetic"]["ms"] == pytest.approx(6.0)
    assert found["arithmetic"]["floor_ms"] == pytest.approx(3.0)
    assert found["arithmetic"]["gmac"] == pytest.approx(1200)
    assert found["memory"]["gb"] == pytest.approx(4.0)
    assert found["launch"]["floor_ms"] == pytest.approx(0.005)
    assert "ms" not in roofline.summary(roofline.place(rows, ROOF))[0]
    assert json.dumps(roofline.summary(placed))


def test_ceilings_are_measured_here():
    found = roofline.ceilings(seconds=0.01)
    assert found.device == "cpu" and list(found.tflops) == ["float32"]
    assert 0.1 < found.gb_per_s < 10_000 and 1e-4 < found.tflops["float32"] < 1000
    assert 0.01 < found.launch_us < 10_000
    assert json.dumps(plain(found, "ceilings"))


@pytest.fixture(scope="module")
def timed():
    model = vocoders.create("hifigan-small")
    mel = vocoders.speech_like_mel(model.config.mel, 4)
    return model, layer_times(model, mel, repeats=2)


def test_the_operations_that_are_timed_are_those_that_are_counted(timed):
    model, pairs = timed
    assert [row for row, _ in pairs] == costs.count(model, 4)
    assert all(ms > 0 for _, ms in pairs)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_equal_operations_are_timed_once(monkeypatch):
    calls = []

    def on_host(call, repeats, device):
        calls.append(repeats)
        return float(len(calls))

    monkeypatch.setattr("labutils.roofline.stopwatch._on_host", on_host)
    layers = [nn.Conv1d(4, 4, 3, padding=1) for _ in range(3)]
    model = nn.Sequential(*layers, nn.Conv1d(4, 4, 3, dilation=2, padding=2))
    pairs = layer_times(model, torch.ones(1, 4, 9), repeats=7)
    # The last has the same shapes, but it is another operation.
    assert [ms for _, ms in pairs] == [1.0, 1.0, 1.0, 2.0] and calls == [7, 7]


def test_timing_changes_nothing_that_the_model_computes():
    class InPlace(nn.Module):
        def forward(self, mel):
            return mel.mul(2.0).mul_(3.0).add_(1.0)

    model, mel, seen = InPlace(), torch.ones(1, 2, 3), []
    model.register_forward_hook(lambda module, args, out: seen.append(out.clone()))
    pairs = layer_times(model, mel, repeats=5)
    assert [row.operation for row, _ in pairs][:3] == ["mul", "mul_", "add_"]
    assert torch.equal(seen[0], torch.full((1, 2, 3), 7.0))
    assert torch.equal(mel, torch.ones(1, 2, 3))


def test_pictures_have_the_words_of_what_they_show(timed):
    model, pairs = timed
    rows, times = zip(*pairs, strict=True)
    placed = roofline.place(rows, ROOF, times=times)
    with_times = roofline.picture(placed, ROOF, title="small")
    counted = roofline.picture(roofline.place(rows, ROOF), ROOF)
    assert "small" in with_times.alt and "ridge" in counted.alt
    assert "<img" in with_times._repr_html_() and "<img" in counted._repr_html_()
    bars = roofline.bounds_picture({"small": roofline.summary(placed)})
    assert "small:" in bars.alt and "% memory" in bars.alt and "<img" in bars._repr_html_()


@pytest.mark.parametrize(
    ("operation", "macs", "kind"),
    [
        ("convolution", 96 * 20, "convolution"),
        ("convolution", 12 * 20, "filter of single channels"),
        ("leaky_relu", 10, "pointwise"),
        ("reflection_pad1d", 10, "padding, copying"),
        ("constant_pad_nd", 10, "padding, copying"),
    ],
)
def test_kinds_of_operations(operation, macs, kind):
    from labutils.roofline.pictures import kind as kind_of

    assert kind_of({"operation": operation, "macs": macs, "shape": [1, 2, 10]}) == kind
