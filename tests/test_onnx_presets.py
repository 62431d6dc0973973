"""Every preset as an ONNX file agrees with PyTorch where the export never ran."""

import pytest

from labutils import vocoders
from labutils.onnx_export import export, parity, tensorrt_ready

LARGEST = "bigvgan-v2-24khz"  # 112 million weights: minutes and 5 GB


def exported_and_compared(name, exporter, folder):
    model = vocoders.create(name, weight_norm=True)
    made = export(model, folder / f"{name}.onnx", exporter=exporter)
    report = parity(model, made.path, (4, 7, 15), (1, 3))
    assert report and report.worst < 1e-4 and len(report.rows) == 6, report
    assert tensorrt_ready(made.path)
    assert made.operators["Conv"] + made.operators["ConvTranspose"] > 20
    return report


@pytest.mark.parametrize("name", [name for name in vocoders.PRESETS if name != LARGEST])
def test_the_older_exporter(name, tmp_path):
    exported_and_compared(name, "legacy", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", vocoders.PRESETS)
def test_the_dynamo_exporter(name, tmp_path):
    exported_and_compared(name, "dynamo", tmp_path)


@pytest.mark.slow
def test_the_largest_preset(tmp_path):
    exported_and_compared(LARGEST, "legacy", tmp_path)
