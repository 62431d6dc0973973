"""Dynamic quantization, which leaves a vocoder as it is, and the layers that FP8 leaves out."""

import pytest
import torch
from tiny_vocoders import tiny

from labutils import quantization, vocoders


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
