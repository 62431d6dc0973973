"""The graph run node by node: equal to PyTorch in FP32, and rounded as a GPU rounds in FP16."""

import numpy as np
import onnx
import pytest
import torch
from tiny_vocoders import tiny

from labutils import vocoders
from labutils.onnx_export import OnnxError, evaluate, export, files, parity, to_fp16


@pytest.mark.parametrize("family", ["melgan", "hifigan-v3", "bigvgan-small", "bigvgan-base-24khz"])
def test_equal_to_pytorch_in_single_precision(family, tmp_path):
    model = tiny(family)
    made = export(model, tmp_path / "tiny.onnx", exporter="legacy")
    mel = vocoders.speech_like_mel(model.config.mel, 19, batch=2)
    with torch.inference_mode():
        expected = model(mel).numpy()
    audio = evaluate(made.path, mel.numpy())
    assert audio.shape == expected.shape and audio.dtype == np.float32
    assert np.abs(audio - expected).max() < 1e-5 * np.abs(expected).max()


def test_every_result_is_rounded_in_half_precision(tmp_path):
    model = tiny("hifigan-v2")
    made = export(model, tmp_path / "tiny.onnx", exporter="legacy")
    half = to_fp16(made.path, tmp_path / "half.onnx", exclude=["conv_post/Conv"])
    seen = {}
    mel = vocoders.speech_like_mel(model.config.mel, 30).numpy()
    audio = evaluate(half, mel, watch=lambda name, x: seen.update({name: x.dtype}))
    assert seen["conv_pre/Conv"] == seen["Tanh"] == torch.float16
    assert seen["conv_post/Conv"] == torch.float32
    noise = np.square(audio - evaluate(made.path, mel)).sum()
    # ONNX Runtime rounds the weights alone on most processors; it is never the noisier one.
    weights_only = parity(model, half, [30], [1], tolerance=1).rows[0]["SNR (dB)"]
    snr = 10 * np.log10(np.square(audio).sum() / noise)
    assert 40 < snr < weights_only + 1


def test_an_operation_that_is_not_covered_is_named(tmp_path):
    made = export(tiny("hifigan-v2"), tmp_path / "tiny.onnx", exporter="legacy")
    model = files.read(made.path)
    model.graph.node[0].op_type = "Einsum"
    with pytest.raises(OnnxError, match="conv_pre/Conv: a Einsum is not covered here"):
        evaluate(model, np.zeros((1, 10, 9), np.float32))
    assert isinstance(model, onnx.ModelProto)
