"""Rows of engines: which come first, what each is, what failures and the end of time do."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from labutils import records
from labutils.engines import (
    candidates,
    trials,
)
from labutils.engines.building import Built
from labutils.engines.candidates import PLAIN, Candidate, Step
from labutils.trt import BuildError, Profile

MEL = np.zeros((1, 5, 7), np.float32)


# Candidates


def test_names_tell_candidates_apart():
    assert PLAIN.name == "TensorRT FP16"
    assert replace(PLAIN, half=False, tf32=True).name == "TensorRT TF32"
    ways = {
        "half": False, "form": "image", "level": 4, "permit": ("float16",), "own_tactics": True,
        "streams": 0, "fixed": False, "pad_to": 32, "ends_fp32": True,
    }  # fmt: skip
    names = {replace(PLAIN, **{key: value}).name for key, value in ways.items()}
    assert len(names) == len(ways) and PLAIN.name not in names


def test_a_candidate_says_what_to_build():
    candidate = Candidate(batch=8, level=5, tf32=True, half=False, streams=2, pad_to=32)
    options = candidate.options(70, timing_cache=Path("t"))
    assert options.profiles == (Profile.fixed(96, 8),) and options.optimization_level == 5
    assert options.tf32 and options.aux_streams == 2 and options.timing_cache == Path("t")
    assert candidate.graph("melgan", 70).shape == (8, 96)
    assert not candidate.graph("melgan", 70).half
    assert replace(candidate, fixed=False).graph("melgan", 70).shape is None
    assert PLAIN.options(70).aux_streams is None
    assert [c.dtype for c in (PLAIN, candidate, replace(candidate, tf32=False))] == [
        "float16", "tf32", "float32",
    ]  # fmt: skip


def measured_row(ms, snr=60.0, **more):
    return {"median_ms": ms, "snr_db": snr} | more


def test_the_best_is_fast_and_good_and_of_batch_one():
    image, deep = replace(PLAIN, form="image"), replace(PLAIN, level=5)
    done = [
        (PLAIN, measured_row(2.0)),
        (image, measured_row(1.5)),
        (deep, measured_row(1.499)),  # within the noise: the simpler one stays
        (replace(PLAIN, level=4), measured_row(0.9, snr=30.0)),
        (replace(PLAIN, batch=8), measured_row(0.5)),
        (replace(PLAIN, pad_to=32), measured_row(0.4)),
        (replace(PLAIN, half=False), measured_row(0.3)),
        (replace(PLAIN, own_tactics=True), {"error": "no"}),
    ]
    assert candidates.best_so_far(done) == image
    assert candidates.best_so_far([]) == PLAIN


def test_steps_build_on_what_helped():
    best = replace(PLAIN, form="image", own_tactics=True)
    assert Step({"level": 4}, on_best=True).candidate(best) == replace(best, level=4)
    assert Step({"level": 4}).candidate(best) == replace(PLAIN, level=4)
    poly = Step(candidates._with_polyphase, on_best=True)
    assert poly.candidate(best).form == "image, polyphase"
    assert poly.candidate(PLAIN).form == "polyphase"
    blocks = replace(PLAIN, form="image, snakes in blocks")
    assert poly.candidate(blocks).form == "image, polyphase, snakes in blocks"
    assert poly.candidate(replace(PLAIN, form="image, polyphase")) is None


@pytest.mark.parametrize("family", ["melgan", "hifigan", "bigvgan"])
def test_the_plan_has_what_is_asked_of_every_vocoder(family):
    made = [step.candidate(PLAIN) for step in candidates.plan(family, weak=True)]
    plain = [(c.name, c.batch) for c in made]
    for precision in ("FP32", "TF32", "FP16"):
        assert {(f"TensorRT {precision}", 1), (f"TensorRT {precision}", 8)} <= set(plain)
    assert plain[0] == ("TensorRT FP16", 1)
    assert any("snakes" in c.form for c in made) == (family == "bigvgan")
    assert any(c.permit for c in made)
    later = [step.candidate(PLAIN) for step in candidates.plan(family, weak=False)]
    # 10 and 11 refuse the first two and do the third by themselves.
    assert not any(c.permit or c.ends_fp32 or c.own_tactics for c in later)
    for candidate in made:
        candidate.options(400)


# Rows


def fake_build(candidate, seconds):
    return Built(Path("x"), 3.0)


def rows_of(steps, *, measure=None, build=fake_build, seconds=1000.0, mels=None, **more):
    taken = measure or (lambda *a: measured_row(2.0 if not a[2] else 1.0))
    return list(
        trials.engine_rows(
            "melgan", steps, mels or {1: MEL, 8: MEL}, references=lambda batch: MEL[:, 0],
            build=build, measure=taken, seconds=seconds, **more,
        )
    )  # fmt: skip


def test_what_is_asked_of_all_runs_eager_and_as_a_graph_what_is_tried_as_a_graph():
    done = rows_of([Step({}, tried=False), Step({"form": "image"}), Step({"level": 4})])
    assert [(r["variant"], r["graph"], r["tried"]) for r in done] == [
        ("TensorRT FP16", False, False),
        ("TensorRT FP16, graph", True, False),
        ("TensorRT FP16, image, graph", True, True),
        ("TensorRT FP16, level 4, graph", True, True),
    ]
    assert done[1]["median_ms"] == 1.0 and done[3]["level"] == 4
    assert {r["backend"] for r in done} == {"tensorrt"}
    assert records.plain(done, "rows") == done


def test_a_candidate_is_measured_once_and_batches_that_are_not_asked_for_never():
    steps = [Step({}), Step({"batch": 8}, on_best=True), Step({}), Step({"batch": 8})]
    assert [(r["variant"], r["batch"]) for r in rows_of(steps)] == [
        ("TensorRT FP16, graph", 1),
        ("TensorRT FP16, graph", 8),
    ]
    assert {r["batch"] for r in rows_of(steps, mels={1: MEL})} == {1}


def test_a_failed_build_is_a_row_and_the_rest_goes_on():
    def build(candidate, seconds):
        if candidate.form == "image":
            raise BuildError("no tactic for\nconv_pre")
        return fake_build(candidate, seconds)

    steps = [Step({}, tried=False), Step({"form": "image"}), Step({"level": 4}, on_best=True)]
    done = rows_of(steps, build=build)
    failed = done[2]
    assert failed["error"] == "BuildError: no tactic for conv_pre" and "median_ms" not in failed
    assert failed["variant"] == "TensorRT FP16, image" and failed["form"] == "image"
    assert done[3]["variant"] == "TensorRT FP16, level 4, graph"


def test_an_engine_that_fails_as_a_graph_keeps_its_eager_row():
    def measure(built, candidate, graph, mel, reference):
        if graph:
            raise RuntimeError("capture failed")
        return measured_row(2.0)

    eager, failed = rows_of([Step({}, tried=False)], measure=measure)
    assert eager["median_ms"] == 2.0 and failed["error"] == "capture failed"


def test_later_steps_change_the_fastest():
    def measure(built, candidate, graph, mel, reference):
        return measured_row(1.0 if candidate.form == "image" else 2.0)

    steps = [Step({}), Step({"form": "image"}), Step({"level": 5}, on_best=True)]
    assert rows_of(steps, measure=measure)[-1]["variant"] == "TensorRT FP16, image, level 5, graph"


def test_without_time_nothing_is_built_and_every_row_says_so():
    begun = []
    done = rows_of(
        [Step({}), Step({"batch": 8})],
        build=lambda c, s: begun.append(c),
        seconds=trials._SHORTEST / 2,
    )
    assert [row["error"] for row in done] == ["not measured: time"] * 2 and not begun


def test_one_build_may_not_take_all_the_time():
    limits = []

    def build(candidate, seconds):
        limits.append(seconds)
        return fake_build(candidate, seconds)

    rows_of([Step({})], build=build, seconds=1000.0)
    rows_of([Step({})], build=build, seconds=300.0)
    rows_of([Step({})], build=build, seconds=60.0)
    assert limits[:2] == [400.0, 200.0] and 100 < limits[2] < 106


def test_graphs_of_the_next_steps_are_asked_for_ahead():
    asked = []
    rows_of([Step({}), Step({"form": "image"}), Step({"level": 4})], ask=asked.append)
    assert asked[:3] == [PLAIN, replace(PLAIN, form="image"), replace(PLAIN, level=4)]


def test_the_end_of_padded_sound_is_not_compared():
    config = SimpleNamespace(hop_length=4, receptive_field=2)
    reference = np.random.default_rng(0).normal(size=(1, 40)).astype("f4")
    sound = reference.copy()
    sound[:, -8:] = 0
    assert trials._snr(reference, sound, config, padded=False) < 20
    assert trials._snr(reference, sound, config, padded=True) is None
    sound[:, 0] += 0.1
    assert trials._snr(reference, sound, config, padded=True) > 20


def test_types_by_layer_name_the_first_and_last_convolution(tmp_path):
    from labutils.engines.graphs import GraphSpec, make

    path = make(GraphSpec("hifigan-small", half=False, trained=True), tmp_path)
    asked = {}

    class FakeBuilder:
        def build(self, onnx, options, *, seconds):
            asked.update(onnx=onnx, options=options, seconds=seconds)
            return Built(onnx, 1.0)

    candidate = replace(PLAIN, half=False, permit=("float16",), ends_fp32=True)
    trials.build_candidate(
        candidate, "hifigan-small", 30, graphs=SimpleNamespace(get=lambda spec, seconds: path),
        builder=FakeBuilder(), seconds=50.0,
    )  # fmt: skip
    assert asked["options"].layer_precisions == {
        "conv_pre/Conv": "float32", "conv_post/Conv": "float32",
    }  # fmt: skip
    assert asked["options"].permit == ("float16",) and 49 < asked["seconds"] <= 50
