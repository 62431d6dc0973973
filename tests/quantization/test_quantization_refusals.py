"""What quantize refuses: unknown layers and targets, files and ranges that do not fit."""

import pytest
from quantization_parts import quantized

from labutils import quantization
from labutils.onnx_export import OnnxError, to_fp16

pytestmark = pytest.mark.xdist_group("quantization")


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
