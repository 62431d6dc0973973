"""The experiments on quantization, without a GPU: engines' variants, failures and records."""

import numpy as np
import pytest

from labutils import quantization
from labutils.engines.building import Built
from labutils.environment import has
from labutils.quantization import experiments, on_gpu
from labutils.quantization.__main__ import main as command

pytestmark = pytest.mark.xdist_group("quantization")


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
