"""Rows of variants, whatever fails or does not end, and the choice of the baseline from them."""

import time

import numpy as np
import pytest
import torch
from baseline_parts import row
from tiny_config import make_mel
from tiny_network import Tiny

from labutils import baseline, records
from labutils.baseline import trials, variants
from labutils.baseline.variants import Variant


def test_a_failure_is_a_row_and_the_rest_goes_on(model, monkeypatch):
    def build(model, variant, *, device, mel):
        if variant.name == "broken":
            raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 9 GiB")
        return real(model, variant, device=device, mel=mel)

    real = variants.build
    monkeypatch.setattr(variants, "build", build)
    ways = [Variant("FP32"), Variant("broken"), Variant("BF16", "bfloat16")]
    mels = [make_mel(1), make_mel(2)]
    done = list(trials.rows(model, mels, ways, device="cpu", runs=3, max_seconds=0.1))
    assert [(r["variant"], r["batch"]) for r in done] == [
        (way.name, batch) for way in ways for batch in (1, 2)
    ]
    assert "out of memory. Tried" in done[2]["error"] and "median_ms" not in done[2]
    assert done[0]["snr_db"] is None and done[4]["snr_db"] > 20 and done[5]["snr_db"] > 20
    assert records.plain(done, "rows") == done


def test_sound_that_is_no_number_is_an_error_not_a_result(model):
    ways = [Variant("FP32"), Variant("FP16", "float16")]
    with torch.no_grad():
        model.up.weight.fill_(6e4)
    mel = np.abs(make_mel()) + 9

    class Unbounded(Tiny):
        def forward(self, mel):
            return self.up(mel) - self.up(mel)

    wild = Unbounded().eval()
    wild.load_state_dict(model.state_dict())
    done = list(trials.rows(wild, [mel], ways, device="cpu", runs=3, max_seconds=0.1))
    assert "error" not in done[0] and "NaN" in done[1]["error"]


def test_when_time_is_spent_the_rest_is_said_to_be_missing(model):
    ways = [Variant("FP32"), Variant("BF16", "bfloat16")]
    done = list(trials.rows(model, [make_mel()], ways, device="cpu", seconds=0))
    assert [row["error"] for row in done] == ["not measured: time"] * 2


def test_a_variant_that_does_not_end_is_stopped(model, monkeypatch):
    def stuck(*args, **kwargs):
        try:
            time.sleep(30)
        except Exception:  # what torch.compile does
            time.sleep(30)

    monkeypatch.setattr(trials, "_GRACE", 0.0)
    monkeypatch.setattr(variants, "measure", stuck)
    begin = time.monotonic()
    done = list(trials.rows(model, [make_mel()], [Variant("FP32")], device="cpu", seconds=0.2))
    assert "stopped after" in done[0]["error"] and time.monotonic() - begin < 10


def test_noting_keeps_an_exception_as_words():
    line = {"way": "a"}
    with trials.noting(line):
        raise ZeroDivisionError("by\nnothing")
    assert line == {"way": "a", "error": "ZeroDivisionError: by nothing"}
    with trials.noting(line := {}):
        line["ms"] = 1.0
    assert line == {"ms": 1.0}
    with pytest.raises(KeyboardInterrupt), trials.noting({}):
        raise KeyboardInterrupt


def test_the_baseline_is_the_fastest_that_keeps_the_quality():
    rows = [
        row("FP32", 20.0, None),
        row("FP16", 5.0, 60.0),
        row("BF16", 4.0, 35.0),
        row("FP16, graph", 4.5, 60.0),
        {"variant": "FP16, compile, graph", "batch": 1, "error": "not measured: time"},
        row("FP16", 3.0, 60.0, batch=8),
    ]
    assert baseline.best(rows, 1)["variant"] == "FP16, graph"
    assert baseline.best(rows, 1, minimum_snr=30)["variant"] == "BF16"
    assert baseline.best(rows, 1, minimum_snr=70)["variant"] == "FP32"
    assert baseline.best(rows, 8)["median_ms"] == 3.0
    assert baseline.best(rows, 4) == {}


def test_without_a_reference_only_equal_bits_are_trusted():
    rows = [row("FP16", 1.0, None), row("traced", 2.0, None, same_bits=True)]
    assert baseline.best(rows)["variant"] == "traced"
