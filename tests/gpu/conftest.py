"""What the GPU tests share: engines of the trained hifigan-small, each built once a session.

The environment variable LABUTILS_TIMING_CACHE names a file that keeps TensorRT's timings from one
run to the next: a build takes 10 s with it and a minute or more without.
"""

import os
from pathlib import Path

import pytest

from labutils import environment, vocoders

FRAMES, BATCH = (16, 100, 400), (1, 1, 4)  # least, best and most of the engines' one profile


@pytest.fixture(scope="session")
def timing_cache(tmp_path_factory) -> Path:
    """The file that all builds of this session read their timings from and add theirs to."""
    named = os.environ.get("LABUTILS_TIMING_CACHE")
    return Path(named) if named else tmp_path_factory.mktemp("timings") / "timing.cache"


@pytest.fixture(scope="session")
def small_vocoder():
    """The trained hifigan-small, on the processor."""
    return vocoders.load("hifigan-small")


@pytest.fixture(scope="session")
def small_onnx_fp32(small_vocoder, tmp_path_factory) -> Path:
    """It as an ONNX file of any batch and length."""
    from labutils import onnx_export

    path = tmp_path_factory.mktemp("onnx") / "hifigan-small.onnx"
    onnx_export.export(small_vocoder, path)
    return path


@pytest.fixture(scope="session")
def small_onnx_fp16(small_onnx_fp32) -> Path:
    """The same in FP16 from the second upsampling on: with less in FP32 its waveform keeps 42 to 48
    dB on TensorRT 8.6, whose kernels add up in FP16, and the gate is 45."""
    from labutils.engines import precision

    out = small_onnx_fp32.with_name("hifigan-small-fp16.onnx")
    return precision.keep("first stage", small_onnx_fp32, out)


@pytest.fixture(scope="session")
def build_small(timing_cache):
    """`build_small(onnx)`: a BuiltEngine with one profile, quickly, by the shared timings."""
    if not environment.has("tensorrt"):
        pytest.skip("needs TensorRT")
    from labutils import trt

    def build(onnx, builder=trt.build, **options):
        defaults = {"optimization_level": 1, "timing_cache": timing_cache}
        defaults["profiles"] = (trt.Profile(frames=FRAMES, batch=BATCH),)
        return builder(onnx, trt.BuildOptions(**(defaults | options)))

    return build


@pytest.fixture(scope="session")
def build_once(tmp_path_factory):
    """A builder as `trt.build`; of several processes of a run one builds, the others read."""
    named = os.environ.get("LABUTILS_GPU_TEST_ENGINES")  # set by labutils.gpu_tests
    folder = Path(named) if named else tmp_path_factory.mktemp("engines")

    def build(onnx, options):
        from labutils import trt

        found = trt.EngineCache(folder).get(onnx, options)
        took, sha = found.facts["build_seconds"], found.facts["asked"]["onnx"]
        return trt.BuiltEngine(found.plan, took, options, trt.Messages(), sha)

    return build


@pytest.fixture(scope="session")
def small_engine_fp32(build_small, build_once, small_onnx_fp32):
    """BuiltEngine in FP32 (TF32 off) for 16 to 400 frames, best at 100, and 1 to 4 mels."""
    return build_small(small_onnx_fp32, builder=build_once)


@pytest.fixture(scope="session")
def small_engine_fp16(build_small, build_once, small_onnx_fp16):
    """As `small_engine_fp32`, of `small_onnx_fp16`."""
    return build_small(small_onnx_fp16, builder=build_once)
