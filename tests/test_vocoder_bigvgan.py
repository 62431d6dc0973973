"""BigVGAN: its filters, its last layer, and its export with both exporters."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from vocoder_parts import narrow

from labutils import vocoders
from labutils.vocoders import preset, speech_like_mel


def test_bias_and_final_activation_of_bigvgan():
    base, v2 = (vocoders.build(narrow(n)) for n in ("bigvgan-base-24khz", "bigvgan-v2-24khz"))
    assert "conv_post.bias" in base.state_dict() and "conv_post.bias" not in v2.state_dict()
    assert preset("bigvgan-base-24khz").use_tanh_at_final
    assert not preset("bigvgan-v2-24khz").use_tanh_at_final


def test_kaiser_filter():
    taps = vocoders.bigvgan.kaiser_sinc_filter(0.25, 0.3, 12)[0, 0].double().numpy()
    width = 4 * 0.3
    beta = 0.1102 * (2.285 * 5 * np.pi * width + 7.95 - 8.7)
    time = np.arange(12) - 5.5
    expected = np.kaiser(12, beta) * np.sinc(0.5 * time)
    assert np.allclose(taps, expected / expected.sum(), atol=1e-7)
    assert np.allclose(taps, taps[::-1]) and taps.sum() == pytest.approx(1)
    # Narrower transitions have less attenuation, and the two other formulas for beta.
    for half_width, beta in (
        (0.2, 0.5842 * (36.666 - 21) ** 0.4 + 0.07886 * (36.666 - 21)),
        (0.05, 0.0),
    ):
        taps = vocoders.bigvgan.kaiser_sinc_filter(0.25, half_width, 12)[0, 0].double().numpy()
        expected = np.kaiser(12, beta) * np.sinc(0.5 * time)
        assert np.allclose(taps, expected / expected.sum(), atol=1e-4)
    with pytest.raises(ValueError, match="even"):
        vocoders.bigvgan.kaiser_sinc_filter(0.25, 0.3, 11)


def test_filters_of_a_new_model_are_the_published_ones():
    model = vocoders.build(narrow("bigvgan-v2-24khz"))
    filters = [v for k, v in model.state_dict().items() if k.endswith("filter")]
    assert len(filters) == 218
    published = vocoders.bigvgan.kaiser_sinc_filter(cutoff=0.25, half_width=0.3, taps=12)
    assert all(torch.equal(f, published) for f in filters)


@pytest.mark.parametrize("dynamo", [False, True], ids=["legacy", "dynamo"])
@pytest.mark.filterwarnings("ignore")
def test_bigvgan_exports_with_both_exporters(dynamo, tmp_path):
    config = replace(
        preset("bigvgan-base-24khz"), upsample_rates=(16, 16), upsample_kernel_sizes=(32, 32),
        upsample_initial_channel=8, resblock_kernel_sizes=(3,), resblock_dilation_sizes=((1,),),
    )  # fmt: skip
    model, path = vocoders.create(config), str(tmp_path / "vocoder.onnx")
    names = {"input_names": ["mel"], "output_names": ["audio"]}
    mel = speech_like_mel(config.mel, 12, batch=2)
    if dynamo:
        sizes = {0: torch.export.Dim("batch"), 2: torch.export.Dim("frames")}
        torch.onnx.export(
            model, (mel,), path, dynamo=True, dynamic_shapes={"mel": sizes}, verbose=False, **names
        )
    else:
        axes = {"mel": {0: "batch", 2: "frames"}, "audio": {0: "batch", 2: "samples"}}
        torch.onnx.export(
            model, (mel,), path, dynamo=False, opset_version=17, dynamic_axes=axes, **names
        )
    unseen = speech_like_mel(config.mel, 31, batch=3, seed=2)
    with torch.inference_mode():
        expected = model(unseen).numpy()
    audio = onnxruntime.InferenceSession(path).run(None, {"mel": unseen.numpy()})[0]
    assert np.abs(audio - expected).max() < 2e-6
