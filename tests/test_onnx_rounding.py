"""Filters in half precision that still add up to what they did."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper
from tiny_vocoders import tiny

from labutils.engines.rewrites import rewrite
from labutils.metrics import snr_db
from labutils.onnx_export import export, files, keep_sums, rounding, to_fp16
from labutils.runners import OnnxRunner
from labutils.vocoders.bigvgan import kaiser_sinc_filter

TAPS = kaiser_sinc_filter(0.25, 0.3, 12).numpy().reshape(1, 12)


def weights(path):
    return {t.name: numpy_helper.to_array(t) for t in files.read(path).graph.initializer}


def test_the_taps_of_a_filter_keep_their_sum():
    plain, kept = TAPS.astype(np.float16), keep_sums(TAPS)
    assert kept.dtype == np.float16
    assert abs(plain.sum(dtype=float) - 1) > 2e-4
    assert abs(kept.sum(dtype=float) - 1) < 1e-6
    assert np.array_equal(kept, kept[:, ::-1])  # a filter of linear phase remains one
    assert abs(kept[:, ::2].sum(dtype=float) - 0.5) < 1e-6


def test_mirrored_rows_of_odd_length_count_their_middle_once():
    row = np.array([[0.1, 0.33, 0.14, 0.33, 0.1]], np.float32)
    made = keep_sums(row)
    assert np.array_equal(made, made[:, ::-1])
    wrong = [abs(r.sum(dtype=float) - row.sum(dtype=float)) for r in (made, row.astype(np.float16))]
    assert wrong[0] < wrong[1]


def test_each_number_is_one_of_its_two_neighbours_and_rows_do_not_mix():
    rows = np.random.default_rng(0).normal(size=(20, 9)).astype(np.float32)
    made = keep_sums(rows)
    plain = rows.astype(np.float16)
    below = np.where(plain > rows, np.nextafter(plain, np.float16(-np.inf)), plain)
    above = np.where(plain < rows, np.nextafter(plain, np.float16(np.inf)), plain)
    assert ((made == below) | (made == above)).all()
    wrong = np.abs(made.sum(axis=1, dtype=float) - rows.sum(axis=1, dtype=float))
    before = np.abs(plain.sum(axis=1, dtype=float) - rows.sum(axis=1, dtype=float))
    assert (wrong <= before + 1e-12).all() and wrong.mean() < before.mean() / 5
    assert np.array_equal(keep_sums(rows[3:4])[0], made[3])


def test_what_fp16_holds_stays_and_long_rows_are_rounded_one_by_one():
    row = np.array([[0.5, 0.0, -3.0, 0.1, 0.2, 0.3]], np.float32)
    assert keep_sums(row)[0, :3].tolist() == [0.5, 0.0, -3.0]
    assert np.array_equal(keep_sums(row[:, :3]), row[:, :3])
    long = np.random.default_rng(1).normal(size=(2, 17)).astype(np.float32)
    assert np.array_equal(keep_sums(long), long.astype(np.float16))


@pytest.mark.parametrize("form", ["as it is", "image, snakes in phases", "image, snakes in blocks"])
def test_filters_of_a_file_keep_their_sums_in_every_form(form, tmp_path):
    model = rewrite(tiny("bigvgan-small"), form)
    path = export(model, tmp_path / "full.onnx", exporter="legacy").path
    filters = dict(rounding.fixed_filters(onnx.load(path)))
    assert filters
    full, kept = weights(path), weights(to_fp16(path, tmp_path / "kept.onnx"))
    plain = weights(to_fp16(path, tmp_path / "plain.onnx", keep_sums=False))
    for name, values in filters.items():
        assert np.array_equal(kept[name], values)
        assert np.array_equal(plain[name], full[name].astype(np.float16))
    others = [n for n, v in full.items() if v.dtype == np.float32 and n not in filters]
    assert others and all(np.array_equal(kept[n], plain[n]) for n in others)


def test_phases_of_a_transposed_filter_keep_their_own_sums(tmp_path):
    path = export(tiny("bigvgan-small"), tmp_path / "full.onnx", exporter="legacy").path
    graph, filters = onnx.load(path).graph, dict(rounding.fixed_filters(onnx.load(path)))
    up = [n.input[1] for n in graph.node if n.op_type == "ConvTranspose" and n.input[1] in filters]
    assert up
    for name in up:
        for phase in (0, 1):
            assert np.allclose(filters[name][..., phase::2].sum(axis=-1, dtype=float), 1, atol=1e-6)
        assert np.array_equal(filters[name], filters[name][..., ::-1])


def test_a_network_of_many_filters_gains(tmp_path):
    model = tiny("bigvgan-small")
    with torch.no_grad():  # as a checkpoint in FP16: only the filters are left to round
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())
    path = export(model, tmp_path / "full.onnx", exporter="legacy").path
    mel = np.random.default_rng(2).normal(-4, 2, (1, 10, 40)).astype(np.float32)

    def sound(file):
        with OnnxRunner(file, threads=1) as runner:
            return runner.infer(mel)[0]

    exact = sound(path)
    kept = snr_db(exact, sound(to_fp16(path, tmp_path / "kept.onnx", exclude=())))
    plain = to_fp16(path, tmp_path / "plain.onnx", exclude=(), keep_sums=False)
    assert kept > snr_db(exact, sound(plain)) + 3


def test_layers_that_stay_fp32_keep_their_filters(tmp_path):
    path = export(tiny("bigvgan-small"), tmp_path / "full.onnx", exporter="legacy").path
    names = [n.name for n in onnx.load(path).graph.node if n.op_type in ("Conv", "ConvTranspose")]
    full, made = weights(path), weights(to_fp16(path, tmp_path / "half.onnx", exclude=names))
    for name, _ in rounding.fixed_filters(onnx.load(path)):
        stayed = made.get(name, made.get(f"{name}_fp32"))
        assert stayed.dtype == np.float32 and np.array_equal(stayed, full[name])
    assert any(t.data_type == TensorProto.FLOAT for t in onnx.load(path).graph.initializer)
