"""Engines of pruned networks: their files, the pattern in parts, and what TensorRT's log tells."""

from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from tiny_vocoders import tiny

from labutils import pruning
from labutils.pruning import messages, on_gpu
from labutils.pruning.groups import input_axis
from labutils.trt import BuildError
from labutils.trt.messages import Messages, dispatch


def test_sparsity_messages_of_tensorrt():
    said = messages.sparsity([
        "Detected 1 inputs and 1 output network tensors.",
        "(Sparsity) Found 3 layer(s) eligible to use sparse tactics: a, b, c",
        "(Sparsity) Chose 1 layer(s) using sparse tactics: b",
    ])  # fmt: skip
    assert (said["eligible"], said["chosen"]) == (3, 1) and len(said["said"]) == 2
    said = messages.sparsity([
        "(Sparsity) Layers eligible for sparse math: conv1, conv2",
        "(Sparsity) TRT inference plan picked sparse implementation for layers: ",
    ])  # fmt: skip
    assert (said["eligible"], said["chosen"]) == (2, 0)
    assert messages.sparsity(["nothing"]) == {"eligible": None, "chosen": None, "said": []}


CRASHED = [
    "--------------- Timing Runner: conv1 (CaskConvolution[0x80000009])",
    "Tactic Name: sm80_dense Tactic: 0x1 Time: 0.02",
    "--------------- Timing Runner: conv2 + Add (CaskConvolution[0x80000009])",
    "Tactic Name: sm80_sparse Tactic: 0x2 Time: 0.01",
    "1: [x.cpp::f::94] Error Code 1: Cuda Driver (an illegal memory access was encountered)",
    "Tactic Name: sm80_other Tactic: 0x3 Time: inf",
    "10: Could not find any implementation for node conv2 + Add.",
]


def crash(texts):
    with Messages("verbose") as said:
        for text in texts:
            dispatch("VERBOSE", text)
    return said.crash()


def test_the_log_names_where_a_kernel_crashed():
    told = crash(CRASHED)
    assert "illegal memory access" in told and "Timing Runner: conv2 + Add" in told
    assert "sm80_sparse" in told and "sm80_other" not in told and "conv1" not in told
    assert crash(CRASHED[4:5]) and not crash([*CRASHED[:4], CRASHED[-1]])


def test_a_build_that_is_told_of_leaves_its_log_beside_the_plan(tmp_path, monkeypatch):
    def build(onnx, options):
        dispatch("INFO", "(Sparsity) Found 3 layer(s) eligible to use sparse\n tactics: a, b, c")
        dispatch("VERBOSE", "Tactic Name: sm80")
        return SimpleNamespace(seconds=2.5, save=lambda path: path.write_bytes(b"plan") and path)

    monkeypatch.setattr(on_gpu, "build", build)
    built = on_gpu.build_told(tmp_path / "a.onnx", None, tmp_path)
    assert (built.path, built.seconds, built.kept) == (tmp_path / "a.plan", 2.5, False)
    lines = built.path.with_suffix(".log").read_text().splitlines()
    assert len(lines) == 2 and messages.sparsity(lines)["eligible"] == 3


@pytest.mark.parametrize("crashed", [True, False])
def test_a_build_that_fails_leaves_its_log_and_tells_of_a_crash(tmp_path, monkeypatch, crashed):
    def build(onnx, options):
        for text in CRASHED if crashed else CRASHED[-1:]:
            dispatch("ERROR" if "Error Code" in text else "VERBOSE", text)
        raise BuildError("no implementation")

    monkeypatch.setattr(on_gpu, "build", build)
    with pytest.raises(BuildError, match="no implementation$") as told:
        on_gpu.build_told(tmp_path / "a.onnx", None, tmp_path)
    assert ("illegal memory access" in str(told.value)) == crashed
    assert (tmp_path / "a.log").read_text().splitlines() == CRASHED[0 if crashed else -1 :]


def test_the_pattern_in_a_part_of_a_network():
    model = tiny("hifigan-v1")
    fours = {p: layer.weight.shape[input_axis(layer)] % 4 == 0
             for p, layer in pruning.convolutions(model).items()}  # fmt: skip
    before = {p for p, layer in pruning.convolutions(model).items()
              if pruning.is_2_4(layer.weight, input_axis(layer))}  # fmt: skip
    found = {}
    for where in on_gpu.PATTERNS:
        layers = pruning.convolutions(on_gpu.with_pattern(model, where))
        found[where] = {p for p, layer in layers.items()
                        if pruning.is_2_4(layer.weight, input_axis(layer))} - before  # fmt: skip
    whole, pairs, stage = found.values()
    assert whole == {path for path, fits in fours.items() if fits} - before
    assert pairs == {path for path in whole if ".convs1." in path} and pairs
    assert {int(path.split(".")[1]) for path in stage} == set(
        range(len(model.config.resblock_kernel_sizes))
    )
    assert all(path.startswith("resblocks.") for path in stage)


@pytest.mark.parametrize("form", ["as it is", "image, polyphase"])
def test_the_file_of_a_pruned_network_is_fp16_and_of_one_shape(form, tmp_path):
    model = tiny("hifigan-v1")
    mel = np.zeros((2, model.config.n_mels, 24), np.float32)
    path = on_gpu._graph(model, form, mel, tmp_path / "graphs" / "sparse-1")
    graph = onnx.load(path).graph
    shape = [dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim]
    assert shape == list(mel.shape)
    halves = [t for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT16]
    assert len(halves) > 10
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "sparse-1-16.onnx", "sparse-1-32.onnx", "sparse-1-fixed.onnx",
    ]  # fmt: skip
