"""Quantization: where Q/DQ pairs stand, ranges, sensitivity, and the choice under a budget."""

import math

import numpy as np
import pytest
import torch
from onnx import TensorProto, numpy_helper
from tiny_vocoders import tiny

from labutils import audio, quantization, runners, vocoders
from labutils.engines.building import Built
from labutils.environment import has
from labutils.metrics import snr_db
from labutils.onnx_export import OnnxError, export, files, to_fp16
from labutils.quantization import Sensitivity, experiments, on_gpu, pictures
from labutils.quantization.__main__ import main as command
from labutils.quantization.layers import Layer

pytestmark = pytest.mark.xdist_group("quantization")
FAMILIES = ("hifigan", "melgan", "bigvgan")


class Case:
    def __init__(self, family, folder):
        preset = {"hifigan": "hifigan-v2", "melgan": "melgan", "bigvgan": "bigvgan-v2-24khz"}
        self.model = tiny(preset[family])
        self.path = export(self.model, folder / f"{family}.onnx", exporter="legacy").path
        random = np.random.default_rng(0)
        self.mels = [random.normal(-4, 2, (1, 10, 24)).astype(np.float32) for _ in range(3)]
        self.ranges = quantization.calibrate(self.path, self.mels)
        self.layers = quantization.layers_of(self.path)

    def sound(self, path, mel=None):
        with runners.OnnxRunner(path, self.model.config, threads=1) as runner:
            return runner.infer(self.mels[0] if mel is None else mel)[0]


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("quantization"), {}

    def get(family="hifigan"):
        if family not in made:
            made[family] = Case(family, folder)
        return made[family]

    return get


def quantized(case, tmp_path, **how):
    return quantization.quantize(case.path, tmp_path / "int8.onnx", case.ranges, **how)


# Where the pairs stand


@pytest.mark.parametrize("target", quantization.TARGETS)
@pytest.mark.parametrize("family", FAMILIES)
def test_no_pair_on_an_excluded_layer(case, tmp_path, family, target):
    made = case(family)
    kept = quantization.default_exclusions(made.layers)
    rows = {
        row["layer"]: row
        for row in quantization.placement(quantized(made, tmp_path, target=target))
    }
    for layer in made.layers:
        row = rows[layer.name]
        if layer.name in kept:
            assert not row["input"] and not row["weight"], row
        else:
            assert row["input"] and row["weight"], row
    assert {name for name in kept if "Transpose" in name}, "no transposed layer was tested"


@pytest.mark.parametrize("seed", range(6))
def test_no_pair_on_layers_excluded_at_random(case, tmp_path, seed):
    """Layers whose input is shared with quantised ones included: they read the float tensor."""
    made = case()
    random = np.random.default_rng(seed)
    kept = [layer.name for layer in made.layers if random.random() < 0.5]
    target = quantization.TARGETS[seed % 2]
    path = quantized(made, tmp_path, exclude=kept, target=target)
    for row in quantization.placement(path):
        assert (row["input"], row["weight"]) == ((row["layer"] not in kept),) * 2, row
    assert made.sound(path).shape == made.sound(made.path).shape


def test_a_layer_that_shares_its_input_reads_what_it_read_before(case, tmp_path):
    made = case()
    inputs = {node.name: node.input[0] for node in files.read(made.path).graph.node}
    shared = [x.name for x in made.layers if list(inputs.values()).count(inputs[x.name]) > 1]
    assert len(shared) > 1
    path = quantized(made, tmp_path, exclude=[shared[0]])
    after = {node.name: node.input[0] for node in files.read(path).graph.node}
    assert after[shared[0]] == inputs[shared[0]]
    assert after[shared[1]] != inputs[shared[1]]


@pytest.mark.parametrize("family", FAMILIES)
def test_everything_is_symmetric_int8_with_zero_point_0(case, tmp_path, family):
    made = case(family)
    model = files.read(quantized(made, tmp_path, target="tensorrt", exclude=()))
    tensors = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    pairs = [n for n in model.graph.node if n.op_type.endswith("Linear")]
    assert pairs
    for node in pairs:
        assert kinds[node.input[2]] == TensorProto.INT8
        assert not tensors[node.input[2]].any()
        assert (tensors[node.input[1]] > 0).all()
    assert files.opset_of(model) == 17


def test_scales_stand_on_the_output_channels(case, tmp_path):
    made = case()
    per_channel = quantization.placement(quantized(made, tmp_path, exclude=()))
    axes = {row["kind"]: row["axis"] for row in per_channel[:-1]}  # the last has one channel
    assert axes == {"Conv": 0, "ConvTranspose": 1}
    per_tensor = quantization.placement(quantized(made, tmp_path, exclude=(), per_channel=False))
    assert {row["axis"] for row in per_tensor} == {None}


def test_for_tensorrt_pairs_stand_before_convolutions_only(case, tmp_path):
    made = case()
    rows = quantization.placement(quantized(made, tmp_path, target="tensorrt"))
    assert not any(row["output"] for row in rows)
    rows = quantization.placement(quantized(made, tmp_path, target="onnxruntime"))
    assert any(row["output"] for row in rows)


def test_depthwise_filters_stay_float(case):
    made = case("bigvgan")
    filters = {layer.name for layer in made.layers if layer.groups > 1}
    assert len(filters) > 5 and filters <= set(quantization.default_exclusions(made.layers))


def test_for_tensorrt_there_are_no_integer_biases(case, tmp_path):
    made = case()
    counts = {}
    for target in quantization.TARGETS:
        model = files.read(quantized(made, tmp_path, target=target))
        counts[target] = sum(t.data_type == TensorProto.INT32 for t in model.graph.initializer)
    assert counts["tensorrt"] == 0 < counts["onnxruntime"]


def test_the_file_runs_at_other_lengths_and_batches(case, tmp_path):
    made = case()
    path = quantized(made, tmp_path)
    mel = np.random.default_rng(1).normal(-4, 2, (2, 10, 41)).astype(np.float32)
    with runners.OnnxRunner(path, threads=1) as runner:
        assert runner.infer(mel).shape == (2, 41 * 8)
    assert "INT8 per channel" in files.metadata(files.read(path))["precision"]


def test_less_int8_is_nearer_to_the_float_sound(case, tmp_path):
    made = case()
    reference = made.sound(made.path)
    one = quantized(made, tmp_path, only=[made.layers[3].name], exclude=())
    assert [r["layer"] for r in quantization.placement(one) if r["weight"]] == [made.layers[3].name]
    near = snr_db(reference, made.sound(one))
    far = snr_db(reference, made.sound(quantized(made, tmp_path, exclude=())))
    assert near > far + 3
    assert far > 0


# What is refused


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"exclude": ["conv_pots/Conv"]}, "no layer is called 'conv_pots/Conv'"),
        ({"only": ["Gemm"]}, "no layer is called 'Gemm'"),
        ({"exclude": ["*"]}, "every layer is excluded"),
    ],
)
def test_bad_patterns_are_named(case, tmp_path, how, words):
    with pytest.raises(OnnxError, match=words.replace("*", r"\*")):
        quantized(case(), tmp_path, **how)


def test_unknown_target(case, tmp_path):
    with pytest.raises(ValueError, match="no target 'tensorflow'"):
        quantized(case(), tmp_path, target="tensorflow")


def test_a_file_that_is_quantised_or_half_already(case, tmp_path):
    made = case()
    once = quantized(made, tmp_path)
    half = to_fp16(made.path, tmp_path / "half.onnx")
    for path, words in ((once, "quantised already"), (half, "is FP16")):
        with pytest.raises(OnnxError, match=words):
            quantization.quantize(path, tmp_path / "again.onnx", made.ranges)
    assert not (tmp_path / "again.onnx").exists()


def test_ranges_of_another_graph(case, tmp_path):
    with pytest.raises(OnnxError, match="no range for"):
        quantization.quantize(case("melgan").path, tmp_path / "x.onnx", case().ranges)


# Calibration


def test_minmax_knows_the_largest_value(case):
    made = case()
    low, high = made.ranges.of("mel")
    assert high == pytest.approx(max(float(np.abs(mel).max()) for mel in made.mels), rel=1e-6)
    assert low == -high
    assert made.ranges.count == 3 and made.ranges.frames == 72


def test_methods_that_cut(case):
    made = case()
    spike = made.mels[0].copy()
    spike[0, 0, 0] = 100.0
    mels = [spike, *made.mels[1:]]
    spans = {
        method: quantization.calibrate(made.path, mels, method=method, percentile=99.0).of("mel")[1]
        for method in quantization.METHODS
    }
    assert spans["minmax"] == pytest.approx(100.0)
    assert spans["percentile"] < 20
    assert spans["entropy"] <= spans["minmax"]
    coarse = quantization.calibrate(made.path, mels, method="entropy", bins=128)
    assert coarse.of("mel")[1] == pytest.approx(spans["minmax"], rel=0.01)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"method": "mean"}, "no method 'mean'"),
        ({"percentile": 9.0}, "percentile 9"),
        ({"method": "entropy", "bins": 64}, "64 bins"),
        ({"mels": []}, "no mels"),
        ({"mels": [np.full((1, 10, 8), np.nan, np.float32)]}, "mel 0 holds NaN"),
    ],
)
def test_bad_calibrations(case, how, words):
    made = case()
    given = {"mels": made.mels, **how}
    with pytest.raises(ValueError, match=words):
        quantization.calibrate(made.path, **given)


def test_segments_are_spread_over_the_clip():
    config = vocoders.preset("hifigan-v1")
    clip = audio.clip("en-kal")
    found = quantization.segments([clip], config, frames=64, per_clip=3)
    assert [mel.shape for mel in found] == [(1, 80, 64)] * 3
    assert not np.array_equal(found[0], found[1])
    whole = quantization.segments([clip], config, frames=10**6)
    assert len(whole) == 1 and whole[0].shape[2] > 300
    with pytest.raises(ValueError, match="0 clips"):
        quantization.segments([], config)


def test_the_reader_ends_and_begins_again():
    reader = quantization.SegmentReader([np.zeros(1), np.ones(1)])
    seen = [reader.get_next(), reader.get_next(), reader.get_next()]
    assert seen[2] is None and seen[1]["mel"] == 1 and len(reader) == 2
    reader.rewind()
    assert reader.get_next()["mel"] == 0


# Layers, work, sensitivity, choice


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


# What does nothing, and what is left out


def test_dynamic_quantization_leaves_a_vocoder_as_it_is():
    model = tiny("hifigan-v1")
    report = quantization.dynamic_report(model)
    assert report.replaced == ()
    assert report.before == report.after
    mel = torch.randn(1, 10, 12)
    assert torch.equal(model(mel), report.model(mel))
    kinds = {row["module"]: row for row in report.rows}
    assert kinds["Linear"]["in the network"] == 0
    assert "nothing changed" in report._repr_html_()


def test_dynamic_quantization_finds_linear_layers():
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Conv1d(4, 4, 3))
    report = quantization.dynamic_report(model)
    assert report.replaced == ("0",)
    assert report.after < report.before


def test_fp8_leaves_out_what_its_tool_leaves_out():
    rows = quantization.fp8_layers(vocoders.create("hifigan-v1"))
    assert sum(row["share"] for row in rows) == pytest.approx(1.0)
    reasons = {row["layer"]: row["left out"] for row in rows}
    assert reasons["ups.0"] == "transposed convolution"
    assert reasons["conv_post"] == "16 channels or fewer"
    assert reasons["resblocks.0.convs1.0"] is None
    assert "depthwise filter" in {
        row["left out"] for row in quantization.fp8_layers(tiny("bigvgan-v2-24khz"))
    }


# Pictures


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


# The experiments, without a GPU


def test_variants_of_engines(case, tmp_path):
    made = case()
    ways = on_gpu.variants_of("tiny", made.model, made.path)
    assert not any("mixed" in name for name in ways), "there is no record of a tiny vocoder"
    counts = {}
    for name, (maker, int8) in ways.items():
        rows = quantization.placement(maker(tmp_path / "way.onnx"))
        counts[name] = sum(row["weight"] for row in rows)
        assert int8 == bool(counts[name]), name
    transposed = sum(layer.kind == "ConvTranspose" for layer in made.layers)
    assert counts["INT8, transposed too"] == counts["INT8"] + transposed
    assert counts["INT8 everywhere"] == len(made.layers)


def test_a_failed_engine_is_a_row_and_8_6_may_use_fp16(case, monkeypatch):
    made, options = case(), []

    class Builder:
        def __init__(self, folder):
            pass

        def build(self, onnx, given, *, seconds):
            options.append(given)
            if all(row["weight"] for row in quantization.placement(onnx)):
                raise RuntimeError("no tactic for ups.0/ConvTranspose")
            return Built(onnx, 1.5)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

    monkeypatch.setattr(on_gpu, "Builder", Builder)
    monkeypatch.setattr(on_gpu.vocoders, "create", lambda name: made.model)
    monkeypatch.setattr(on_gpu, "reference_audio", lambda model, mel: np.zeros((1, 8)))
    monkeypatch.setattr(on_gpu, "_measured", lambda *given: {"median_ms": 1.0})
    monkeypatch.setattr(on_gpu.versions, "types_from_graph", lambda: False)
    *_, last = on_gpu.int8_engines.__wrapped__("tiny")
    rows = {row["variant"]: row for row in last.data["rows"]}
    assert rows["INT8 everywhere"]["error"] == "no tactic for ups.0/ConvTranspose"
    assert rows["FP16"]["int8_layers"] == 0 and rows["INT8"]["int8_layers"] > 0
    assert [given.permit for given in options][:3] == [(), (), ("float16",)]
    assert last.data["weights"] == "random"


def test_the_command_refuses_engines_without_a_gpu(tmp_path):
    if has("tensorrt"):
        pytest.skip("TensorRT is here")
    assert command(["engines", "--save", str(tmp_path)]) == 1
    assert not list(tmp_path.iterdir())


def test_records_of_the_notebook_name_layers_of_the_trained_vocoder():
    for target in quantization.TARGETS:
        rows = experiments.sensitivities.recorded(target=target)
        assert len(rows) == 78 and rows[0]["layer"] == "conv_pre/Conv"
