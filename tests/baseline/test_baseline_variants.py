"""Variants of one network: torch's switches, what is built and measured, a missing compiler."""

import subprocess
import sys

import pytest
import torch
from tiny_config import make_mel

from labutils.baseline import variants


def switches():
    backends = torch.backends
    return backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32, backends.cudnn.benchmark


def test_switches_are_set_and_restored():
    before = switches()
    with pytest.raises(ZeroDivisionError), variants.backends(tf32=False):
        assert switches() == (False, False, True)
        with variants.backends(tf32=True, cudnn_benchmark=False):
            assert switches() == (True, True, False)
        assert switches() == (False, False, True)
        raise ZeroDivisionError
    assert switches() == before


def test_switches_are_restored_after_the_new_way_of_setting_them():
    """torch refuses to read the old switches then; a program that uses both must still run."""
    code = """
import torch
from labutils.baseline import variants
torch.backends.cudnn.conv.fp32_precision = "ieee"
torch.backends.cuda.matmul.fp32_precision = "tf32"
with variants.backends(tf32=True):
    assert torch.backends.cudnn.allow_tf32 and torch.backends.cuda.matmul.allow_tf32
assert not torch.backends.cudnn.allow_tf32 and torch.backends.cuda.matmul.allow_tf32
"""
    if not hasattr(torch.backends.cudnn, "conv"):
        pytest.skip("this torch has the old switches only")
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("way", [v for v in variants.CPU if not v.compile], ids=lambda v: v.name)
def test_every_variant_that_compiles_nothing(model, way):
    mel = make_mel(2, frames=11)
    with torch.inference_mode():
        reference = model(torch.from_numpy(mel))[:, 0].numpy()
    before = switches()
    row, audio = variants.measure(
        model, way, mel, device="cpu", reference=reference, runs=3, max_seconds=0.1
    )
    assert switches() == before
    assert audio.shape == reference.shape
    assert row["same_bits"] or row["snr_db"] > (20 if "BF16" in way.name else 100)
    assert (row["variant"], row["batch"], row["frames"], row["runs"]) == (way.name, 2, 11, 3)
    assert row["compile_seconds"] is None and 0 < row["first_call_seconds"]
    assert row["tflops"] > 0 and row["gb_per_s"] > 0
    assert row["times_real_time"] == pytest.approx(2 * 44 / 100 / (row["median_ms"] / 1e3))


def test_variants_build_what_their_names_say():
    for way in (*variants.GPU, *variants.CPU):
        assert ("FP16" in way.name) == ("float16" in (way.dtype, way.autocast)), way
        assert ("BF16" in way.name) == ("bfloat16" in (way.dtype, way.autocast)), way
        assert ("TF32" in way.name) == way.tf32, way
        assert ("graph" in way.name) == way.graph, way
        assert ("channels last" in way.name) == way.channels_last, way
        assert ("compile" in way.name or "max-autotune" in way.name) == bool(way.compile), way
    assert variants.GPU[0].name == variants.CPU[0].name == "FP32"


def test_a_missing_compiler_is_said(monkeypatch):
    monkeypatch.setattr(variants.shutil, "which", lambda name: None)
    assert "needs a C++ compiler" in variants.compiler_missing("cpu")
    monkeypatch.setattr(variants.shutil, "which", lambda name: f"/bin/{name}")
    assert variants.compiler_missing("cpu") is None
