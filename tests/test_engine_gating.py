"""The gate of engines: which layers stay FP32, sums in FP16, and when it is passed."""

import numpy as np
import onnx
import pytest
import torch
from tiny_vocoders import tiny

from labutils import onnx_export, vocoders
from labutils.engines import gating, half_sums, precision
from labutils.engines.graphs import Graphs
from labutils.metrics import snr_db
from labutils.onnx_export import OnnxError, files
from labutils.trt.source import read_onnx


def test_one_fp16_engine_of_each_vocoder_has_to_pass():
    rows = [
        {"vocoder": name, "precision": kind, "form": "as it is", "passed": True}
        for name in gating.TRAINED
        for kind in gating.GATES
    ]
    assert gating.passed(rows)
    assert gating.passed([*rows, rows[1] | {"passed": False}, rows[1] | {"form": "image"}])
    assert not gating.passed(rows[1:]) and not gating.passed(rows[:-1])
    assert not gating.passed([rows[0] | {"form": "image"}, *rows[1:]])
    assert not gating.passed([rows[0] | {"passed": False}, *rows[1:]])


def test_the_file_of_a_case_keeps_what_it_says_and_has_one_shape(tmp_path):
    frames, halves = 24, {}
    with Graphs(tmp_path) as graphs:
        for kept in ("all", "ends", "first stage"):
            case = gating.Case("hifigan-small", kept)
            model = files.read(gating._file(case, frames, graphs, tmp_path, 120))
            assert files.dimensions(model.graph.input[0]) == (1, 80, frames)
            kinds = {i.name.removesuffix("_fp32"): i.data_type for i in model.graph.initializer}
            halves[kept] = [
                kinds[f"{layer}.weight"] == onnx.TensorProto.FLOAT16
                for layer in ("conv_pre", "resblocks.2.convs1.0", "ups.1", "conv_post")
            ]
    assert halves == {
        "all": [False] * 4,
        "ends": [False, True, True, False],
        "first stage": [False, False, True, False],
    }


@pytest.mark.parametrize(
    ("family", "first", "second"),
    [
        ("hifigan-v1", "ups.0/ConvTranspose", "ups.1/ConvTranspose"),
        # Filters against aliasing stand between the two.
        ("bigvgan-v2-24khz", "ups.0.0/ConvTranspose", "ups.1.0/ConvTranspose"),
    ],
)
def test_the_first_stage_ends_before_the_second_upsampling(family, first, second, tmp_path):
    path = onnx_export.export(tiny(family), tmp_path / "a.onnx", exporter="legacy").path
    names = precision.first_stage(path)
    nodes = [node.name for node in files.read(path).graph.node]
    assert len(names) == len(set(names)) and names[-1] == nodes[-1]
    assert first in names and nodes[nodes.index(second) - 1] in names and second not in names
    early = [name for name in names if name.startswith("resblocks.")]
    assert early and nodes.index(early[-1]) < nodes.index(second)


@pytest.mark.parametrize("exporter", ["legacy", "dynamo"])
def test_what_follows_the_first_stage_computes_in_fp16(exporter, tmp_path):
    path = onnx_export.export(tiny("hifigan-v1"), tmp_path / "a.onnx", exporter=exporter).path
    source = read_onnx(precision.keep("first stage", path, tmp_path / "b.onnx"))
    assert set(source.single) <= set(precision.first_stage(path))
    assert {"ups.0/ConvTranspose", "conv_post/Conv"} < set(source.single)
    casts = [node for node in source.nodes if node.endswith("(Cast)")]
    assert len(casts) == 2, casts  # into FP16 once, and back once


def test_a_stage_that_has_no_end_is_refused(tmp_path):
    path = onnx_export.export(tiny("hifigan-v1"), tmp_path / "a.onnx", exporter="legacy").path
    with pytest.raises(ValueError, match="one of ends, first stage, not 'middle'"):
        precision.keep("middle", path, tmp_path / "b.onnx")
    model = files.read(path)
    for node in model.graph.node:
        node.op_type = "Conv" if node.op_type == "ConvTranspose" else node.op_type
    with pytest.raises(OnnxError, match="no second transposed convolution"):
        precision.first_stage(model)


@pytest.mark.parametrize("family", ["hifigan-v1", "melgan", "bigvgan-v2-24khz"])
def test_without_fp16_the_sound_is_that_of_pytorch(family, tmp_path):
    model = tiny(family)
    path = onnx_export.export(model, tmp_path / "a.onnx", exporter="legacy").path
    mel = vocoders.speech_like_mel(model.config.mel, 21, batch=2).numpy()
    with torch.inference_mode():
        expected = model(torch.from_numpy(mel)).numpy()
    assert snr_db(expected.ravel(), half_sums.evaluate(path, mel).ravel()) > 90


def test_sums_in_fp16_cost_decibels_and_a_stage_in_fp32_brings_them_back(tmp_path):
    model = vocoders.load("hifigan-small")
    path = onnx_export.export(model, tmp_path / "a.onnx", exporter="legacy").path
    mel = vocoders.speech_like_mel(model.config.mel, 40).numpy()
    with torch.inference_mode():
        expected = model(torch.from_numpy(mel)).numpy().ravel()
    ends, stage = (precision.keep(k, path, tmp_path / f"{k}.onnx") for k in precision.KEPT)
    found = {
        "FP32 sums": snr_db(expected, onnx_export.evaluate(ends, mel).ravel()),
        "FP16 sums": snr_db(expected, half_sums.evaluate(ends, mel).ravel()),
        "and a stage": snr_db(expected, half_sums.evaluate(stage, mel).ravel()),
    }
    assert found["FP16 sums"] < found["FP32 sums"] - 3, found
    assert found["and a stage"] > found["FP16 sums"] + 4, found


def test_a_sum_in_fp16_is_rounded_at_every_step():
    """1024 and 640 times a 64th: FP16 has steps of one there, so that sixteen of them, a quarter of
    a step, are lost each time; added up first they make ten."""
    columns = torch.cat([torch.full((1, 16, 1), 64.0), torch.full((1, 640, 1), 1 / 64)], 1)
    weight = torch.ones(1, 656, 1)
    exact = half_sums._conv(columns, weight, {}, None)
    rounded = half_sums._conv(columns, weight, {}, half_sums._STEP)
    assert exact.item() == 1034 and rounded.item() == 1024


def test_an_upsampling_of_exact_numbers_is_exact():
    """Small whole numbers: nothing is rounded, and both ways must agree to the bit."""
    random = np.random.default_rng(0)
    x = torch.from_numpy(random.integers(-3, 4, (2, 20, 9)).astype(np.float32))
    weight = torch.from_numpy(random.integers(-2, 3, (20, 5, 8)).astype(np.float32))
    settings = {"strides": [4], "pads": [2, 2]}
    plain = half_sums._conv_transpose(x, weight, settings, None)
    stepped = half_sums._conv_transpose(x, weight, settings, half_sums._STEP)
    assert torch.equal(plain, stepped) and plain.shape == (2, 5, 36)
    weight = weight.permute(1, 0, 2)
    settings = {"strides": [2], "pads": [6, 6], "dilations": [2]}
    convolved = [half_sums._conv(x, weight, settings, step) for step in (None, half_sums._STEP)]
    assert torch.equal(*convolved)
