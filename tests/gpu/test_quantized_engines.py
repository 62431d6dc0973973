"""INT8 engines from Q/DQ graphs: TensorRT takes the pairs, and the sound stays near FP32."""

import numpy as np
import pytest

from labutils import audio, environment, evaluation, quantization
from labutils.metrics import snr_db
from labutils.quantization import on_gpu
from labutils.runners import TensorRTRunner, TorchRunner
from labutils.trt import BuildOptions, Profile, build, inspect, load_engine, versions

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not environment.has("tensorrt"), reason="needs TensorRT and a GPU"),
]
FRAMES = 100


def test_an_int8_engine_of_the_trained_vocoder(
    small_vocoder, small_onnx_fp32, timing_cache, tmp_path
):
    config, clip = small_vocoder.config, audio.clip("en-slt")
    mel = evaluation.log_mel(clip.load(), clip.sample_rate, config)[..., 40 : 40 + FRAMES]
    mel = np.ascontiguousarray(mel)
    ranges = quantization.calibrate(
        small_onnx_fp32, quantization.segments(audio.clips("train")[:3], config)
    )
    path = quantization.quantize(small_onnx_fp32, tmp_path / "int8.onnx", ranges, target="tensorrt")
    permit = () if versions.types_from_graph() else ("float16",)
    options = BuildOptions(
        (Profile.fixed(FRAMES),), optimization_level=1, permit=permit, timing_cache=timing_cache
    )
    with TorchRunner(small_vocoder) as runner:
        reference = runner.infer(mel).ravel()
    with load_engine(build(path, options)) as engine:
        with TensorRTRunner(engine, config) as runner:
            sound = runner.infer(mel).ravel()
        kinds = inspect.layers(engine).precisions()
    assert any("INT8" in kind for kind in kinds), kinds
    assert snr_db(reference, sound) > 10, "the default exclusions give about 17 dB in ONNX Runtime"


def test_the_experiment_gives_rows(monkeypatch, tmp_path):
    """Its first three engines: FP32, FP16 and INT8, with figures and no error."""
    given = on_gpu.variants_of
    monkeypatch.setattr(on_gpu, "variants_of", lambda *args: dict(list(given(*args).items())[:3]))
    done = on_gpu.int8_engines.measure(level=0, save=tmp_path)
    assert [row["variant"] for row in done["rows"]] == ["FP32", "FP16", "INT8"]
    for row in done["rows"]:
        assert "error" not in row, row
        assert row["median_ms"] > 0
    assert done["rows"][0]["snr_db"] > 80
