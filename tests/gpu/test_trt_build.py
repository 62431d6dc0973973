"""Engines built and run for real: the sound, the cache, what is refused, what is said."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from tiny_vocoders import tiny

from labutils import ROOT, audio, environment, evaluation, metrics, onnx_export, vocoders
from labutils.baseline import variants
from labutils.runners import TorchRunner
from labutils.trt import (
    BuildError,
    BuildOptions,
    EngineCache,
    Messages,
    Profile,
    build,
    inspect,
    load_engine,
    profiles,
    timing_cache,
    versions,
)
from labutils.trt.sealed import unseal

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not environment.has("tensorrt"), reason="needs TensorRT and a GPU"),
]
TINY = (Profile(frames=(8, 20, 40), batch=(1, 1, 2)),)


def run(engine, mel, context=None):
    """The audio (batch, samples) of a mel: one launch on a stream of its own."""
    context = context or engine.new_context(
        profiles.choose(engine.profiles, mel.shape[0], mel.shape[2])
    )
    kinds = {np.dtype(np.float32): torch.float32, np.dtype(np.float16): torch.float16}
    source = torch.from_numpy(mel).to("cuda", kinds[engine.dtype(engine.input)])
    assert context.set_input_shape(engine.input, tuple(mel.shape))
    assert not context.infer_shapes()
    shape = tuple(context.get_tensor_shape(engine.output))
    sound = torch.full(shape, torch.nan, dtype=kinds[engine.dtype(engine.output)], device="cuda")
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    assert context.set_tensor_address(engine.input, source.data_ptr())
    assert context.set_tensor_address(engine.output, sound.data_ptr())
    assert context.execute_async_v3(stream.cuda_stream)
    stream.synchronize()
    return sound.float().cpu().numpy().reshape(mel.shape[0], -1)


def eager(model, mel):
    """What torch gives in FP32 without TF32: the reference of every gate."""
    with (
        variants.backends(tf32=False, cudnn_benchmark=False),
        TorchRunner(model, device="cuda", dtype="float32") as runner,
    ):
        return runner.infer(mel)


@pytest.fixture(scope="module")
def speech(small_vocoder):
    """The mel of a clip that no vocoder was trained on, (1, n_mels, 400 or fewer frames)."""
    clip = audio.clips("held-out")[0]
    return evaluation.log_mel(clip.load(), clip.sample_rate, small_vocoder.config)[:, :, 20:420]


@pytest.fixture(scope="module")
def tiny_vocoder():
    return tiny("hifigan-v1")


@pytest.fixture(scope="module")
def tiny_onnx(tiny_vocoder, tmp_path_factory):
    """A HiFi-GAN of a few channels, which builds in seconds."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.onnx"
    onnx_export.export(tiny_vocoder, path)
    return path


@pytest.fixture(scope="module")
def tiny_built(tiny_onnx, timing_cache):
    return build(tiny_onnx, BuildOptions(TINY, optimization_level=1, timing_cache=timing_cache))


def parts(mel):
    """Pieces of a mel: the shortest, the best, the longest that the shared engines take; and 3."""
    longest = mel.shape[2]
    three = np.concatenate([mel[:, :, i : i + 64] for i in (0, 70, 140)])
    return [mel[:, :, :16], mel[:, :, 50:150], mel[:, :, :longest], three]


# The sound


def test_an_fp32_engine_sounds_like_torch_at_every_shape(small_vocoder, small_engine_fp32, speech):
    snrs = {}
    with load_engine(small_engine_fp32) as engine:
        for mel in parts(speech):
            snrs[mel.shape] = metrics.snr_db(
                eager(small_vocoder, mel).ravel(), run(engine, mel).ravel()
            )
    assert min(snrs.values()) >= 80, snrs


def test_an_fp16_engine_passes_its_gate_at_every_shape(small_vocoder, small_engine_fp16, speech):
    snrs = {}
    with load_engine(small_engine_fp16) as engine:
        for mel in parts(speech):
            snrs[mel.shape] = metrics.snr_db(
                eager(small_vocoder, mel).ravel(), run(engine, mel).ravel()
            )
    assert min(snrs.values()) >= 45, snrs
    assert max(snrs.values()) < 100, f"this is not FP16: {snrs}"


def test_the_layers_that_the_graph_keeps_in_float32_are_not_made_faster(small_engine_fp16):
    with load_engine(small_engine_fp16) as engine:
        found = inspect.layers(engine)
    single = ("conv_pre/Conv", "resblocks.0.convs1.0/Conv", "conv_post/Conv")
    kinds = [found.fused(node)["precision"] for node in single]
    assert kinds == ["FP32"] * 3, kinds
    assert found.fused("resblocks.3.convs1.0/Conv")["precision"] == "FP16"


def test_tf32_is_off_unless_asked_for(small_vocoder, build_small, small_onnx_fp32, speech):
    mel = speech[:, :, :100]
    with load_engine(build_small(small_onnx_fp32, tf32=True)) as engine:
        snr = metrics.snr_db(eager(small_vocoder, mel).ravel(), run(engine, mel).ravel())
    assert 30 < snr < 100, snr


@pytest.mark.parametrize("family", ["melgan", "bigvgan-v2-24khz"])
def test_the_other_families_build_and_sound_alike(family, timing_cache, tmp_path):
    model = tiny(family)
    onnx_export.export(model, tmp_path / "tiny.onnx")
    options = BuildOptions(TINY, optimization_level=1, timing_cache=timing_cache)
    mel = vocoders.speech_like_mel(model.config.mel, 20).numpy()
    with load_engine(build(tmp_path / "tiny.onnx", options)) as engine:
        snr = metrics.snr_db(eager(model, mel).ravel(), run(engine, mel).ravel())
    assert snr >= 80, snr


def test_tensorrts_own_extra_convolutions_compute_the_same(
    small_vocoder, build_small, small_onnx_fp32, small_onnx_fp16, speech
):
    mel = speech[:, :, :100]
    expected = eager(small_vocoder, mel).ravel()
    # In FP16 these kernels have given 43.4 dB on 8.6 where the others give 47: an option to try,
    # not the way that has to pass the gate. `best_engine` asks every engine for these 40 dB.
    for onnx, least in ((small_onnx_fp32, 80), (small_onnx_fp16, 40)):
        with load_engine(build_small(onnx, own_tactics=True)) as engine:
            snr = metrics.snr_db(expected, run(engine, mel).ravel())
        assert snr >= least, (onnx.name, snr)


def test_precision_by_layer_makes_the_sound_better_on_8(
    small_vocoder, build_small, small_onnx_fp32, speech
):
    wanted = {"*": "float16", "*conv_post*": "float32", "*conv_pre*": "float32"}
    if versions.types_from_graph():
        with pytest.raises(BuildError, match="to_fp16"):
            build_small(small_onnx_fp32, layer_precisions=wanted)
        return
    mel = speech[:, :, :100]
    with load_engine(build_small(small_onnx_fp32, layer_precisions=wanted)) as engine:
        snr = metrics.snr_db(eager(small_vocoder, mel).ravel(), run(engine, mel).ravel())
    assert 45 <= snr < 100, snr


# What is built


def test_an_engine_says_what_it_takes(small_engine_fp16, small_vocoder):
    with load_engine(small_engine_fp16) as engine:
        assert (engine.input, engine.output) == ("mel", "audio")
        assert engine.n_mels == small_vocoder.config.n_mels
        assert engine.profiles == list(small_engine_fp16.options.profiles)
        assert engine.dtype("mel") == engine.dtype("audio") == np.float32
        assert engine.scratch_bytes > 0 and engine.plan_bytes == len(small_engine_fp16.plan)


def test_cudnn_and_cublas_are_left_out(tiny_built):
    with load_engine(tiny_built) as engine:
        sources = environment.require("tensorrt").TacticSource
        external = [getattr(sources, n, None) for n in ("CUBLAS", "CUBLAS_LT", "CUDNN")]
        used = engine.engine.tactic_sources
    assert not any(used & 1 << int(source) for source in external if source is not None), bin(used)


def test_each_mel_gets_its_profile_and_two_contexts_may_share_one(tiny_onnx, timing_cache):
    both = (Profile(frames=(8, 16, 24)), Profile(frames=(25, 50, 80)))
    options = BuildOptions(both, optimization_level=1, timing_cache=timing_cache)
    mels = [np.full((1, 10, n), -2.0, np.float32) for n in (10, 60)]
    with load_engine(build(tiny_onnx, options)) as engine:
        assert engine.profiles == list(both)
        for mel in mels:
            index = profiles.choose(engine.profiles, 1, mel.shape[2])
            contexts = [engine.new_context(index) for _ in range(2)]
            assert [c.active_optimization_profile for c in contexts] == [index] * 2
            sounds = [run(engine, mel, context) for context in contexts]
            assert np.isfinite(sounds[0]).all() and np.array_equal(*sounds)
        assert not engine.messages.errors()
        contexts.clear()


def test_lent_memory_serves_as_well_as_the_contexts_own(tiny_built):
    mel = np.full((2, 10, 30), -2.0, np.float32)
    with load_engine(tiny_built) as engine:
        expected = run(engine, mel)
        scratch = torch.empty(max(1, engine.scratch_bytes), dtype=torch.uint8, device="cuda")
        context = versions.context_without_memory(engine.engine)
        versions.lend_memory(context, scratch.data_ptr(), scratch.numel())
        assert np.array_equal(run(engine, mel, context), expected)
        del context


def test_a_build_tells_its_progress_and_keeps_what_was_said(tiny_onnx):
    told = []
    options = BuildOptions(TINY, optimization_level=0)
    built = build(
        tiny_onnx, options, level="verbose", progress=lambda text, s: told.append((text, s))
    )
    texts = [text for text, _ in told]
    assert texts[:2] == ["TensorRT starts", "reading the graph"] and texts[-1].startswith("built,")
    assert built.seconds >= told[-1][1] > 0
    kinds = {message.severity for message in built.messages.entries}
    assert "verbose" in kinds and not built.messages.errors(), built.messages.errors()


# Timings and the cache


def test_timings_are_kept_merged_and_a_damaged_file_is_ignored(tiny_onnx, tmp_path, caplog):
    path = tmp_path / "timings"
    options = BuildOptions(TINY, optimization_level=1, timing_cache=path)
    build(tiny_onnx, options)
    facts, first = unseal(path.read_bytes())
    assert first and facts["machine"] == versions.machine_facts()
    build(tiny_onnx, options)
    second = timing_cache_bytes(path)
    assert len(second) >= len(first)
    path.write_bytes(path.read_bytes()[:-50])
    assert build(tiny_onnx, options).plan
    assert "timing cache timings is not used: cut short" in caplog.text
    assert timing_cache_bytes(path)


def timing_cache_bytes(path):
    return timing_cache.read(path, versions.machine_facts())


def test_an_engine_is_built_once_and_a_damaged_entry_again(
    tiny_onnx, tiny_vocoder, tmp_path, caplog, timing_cache
):
    cache = EngineCache(tmp_path / "engines")
    options = BuildOptions(TINY, optimization_level=1, timing_cache=timing_cache)
    mel = np.full((1, 10, 20), -2.0, np.float32)
    built, found = (cache.get(tiny_onnx, options) for _ in range(2))
    assert (built.hit, found.hit) == (False, True) and built.plan == found.plan
    with load_engine(found) as engine:
        expected = run(engine, mel)
    changed = bytearray(found.path.read_bytes())
    changed[len(changed) // 2] ^= 1
    for damaged in (bytes(changed), bytes(changed[:1000]), b""):
        found.path.write_bytes(damaged)
        caplog.clear()
        again = cache.get(tiny_onnx, options)
        assert not again.hit and "is not used (" in caplog.text
        with load_engine(again.path) as engine:
            assert metrics.snr_db(expected.ravel(), run(engine, mel).ravel()) > 80
    (row,) = cache.entries()
    assert row["state"] == "whole" and row["GPU"] == torch.cuda.get_device_name()


def test_an_entry_of_another_tensorrt_is_not_used(tiny_onnx, tmp_path, caplog, tiny_built):
    here = versions.machine_facts()
    other = EngineCache(tmp_path, machine=here | {"tensorrt": "1.2.3", "library": "1.2.3"})
    mine = EngineCache(tmp_path)
    theirs = other.get(tiny_onnx, tiny_built.options, lambda source, options: tiny_built)
    assert mine.key(tiny_onnx, tiny_built.options) != theirs.key
    os.replace(theirs.path, mine.path(mine.key(tiny_onnx, tiny_built.options)))
    again = mine.get(tiny_onnx, tiny_built.options, lambda source, options: tiny_built)
    assert not again.hit and "the engine of something else" in caplog.text


CHILD = """
import sys
from labutils.trt import BuildOptions, EngineCache, Profile, build, load_engine
onnx, folder, timings = sys.argv[1:]
options = BuildOptions(
    (Profile(frames=(8, 20, 40), batch=(1, 1, 2)),), optimization_level=1, timing_cache=timings
)
def told(source, options):
    print("builds", flush=True)
    return build(source, options)
found = EngineCache(folder).get(onnx, options, told)
with load_engine(found) as engine:
    print("hit" if found.hit else "built", len(found.plan), engine.n_mels)
"""


def test_of_two_processes_one_builds_and_both_load_the_engine(tiny_onnx, tmp_path):
    command = [sys.executable, "-c", CHILD, str(tiny_onnx), str(tmp_path), str(tmp_path / "t")]
    started = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        for _ in range(2)
    ]
    done = [process.communicate(timeout=1200) for process in started]
    assert [process.returncode for process in started] == [0, 0], done
    lines = sorted(out.split() for out, _ in done)
    assert lines[0][:2] == ["builds", "built"] and lines[1][0] == "hit", done
    assert lines[0][2:] == lines[1][1:]


# What is refused


def answer(code, *arguments):
    """What a piece of Python prints, in a process of its own: a crash ends only that."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True, text=True, cwd=ROOT, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    return done.stdout.splitlines()[-1]


LOAD = """
import sys
from labutils.trt import EngineError, load_engine
try:
    load_engine(sys.argv[1])
    print("loaded")
except EngineError as error:
    print(error)
"""

FULL = """
import sys
import torch
from labutils.trt import EngineError, load_engine
with load_engine(sys.argv[1]) as engine:
    if engine.scratch_bytes < 48 << 20:
        sys.exit(print("too small"))
    free, _ = torch.cuda.mem_get_info()
    held = torch.empty(free - (16 << 20), dtype=torch.uint8, device="cuda")
    try:
        engine.new_context()
        print("made")
    except EngineError as error:
        said = str(error)
        del held
        torch.cuda.empty_cache()
        engine.new_context()
        print(said)
"""


@pytest.mark.parametrize("kind", ["half", "no plan", "an ONNX file", "beginning changed"])
def test_a_plan_that_is_none_is_refused_in_words(tiny_built, tiny_onnx, tmp_path, kind):
    plan = tiny_built.plan
    changed = bytes(b ^ 0x5A for b in plan[:4]) + plan[4:]
    path = tmp_path / "old.plan"
    path.write_bytes(
        {
            "half": plan[: len(plan) // 2],
            "no plan": b"no plan" * 1000,
            "an ONNX file": tiny_onnx.read_bytes(),
            "beginning changed": changed,
        }[kind]
    )
    said = answer(LOAD, path)
    assert said.startswith("old.plan can not be loaded by TensorRT"), said
    assert "build the engine here, from the ONNX file" in said and "(TensorRT: " in said, said


def test_a_node_that_the_parser_does_not_know_is_named(tmp_path):
    onnx = environment.require("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    ends = [helper.make_tensor_value_info(n, kind, (1, 80, "frames")) for n in ("mel", "audio")]
    nodes = [
        helper.make_node("Tanh", ["mel"], ["x"], "first/Tanh"),
        helper.make_node("FusedSnake", ["x"], ["audio"], "snake.0/FusedSnake"),
    ]
    made = helper.make_graph(nodes, "graph", ends[:1], ends[1:])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(BuildError) as caught:
        build(model, BuildOptions((Profile.fixed(16),)))
    assert "node snake.0/FusedSnake (FusedSnake)" in str(caught.value), str(caught.value)


def test_a_profile_that_the_graph_does_not_allow_is_refused_with_tensorrts_words():
    onnx = environment.require("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    ends = [helper.make_tensor_value_info(n, kind, (1, 80, 16)) for n in ("mel", "audio")]
    node = helper.make_node("Tanh", ["mel"], ["audio"], "Tanh")
    made = helper.make_graph([node], "graph", ends[:1], ends[1:])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(BuildError, match="TensorRT (can not build|refuses the profile)") as caught:
        build(model, BuildOptions((Profile(frames=(16, 20, 30)),)))
    assert "it gave no reason" not in str(caught.value), str(caught.value)
    with load_engine(build(model, BuildOptions((Profile.fixed(16),)))) as engine:
        assert engine.profiles == [Profile.fixed(16)]


@pytest.mark.alone
def test_a_full_gpu_is_told_in_words(small_engine_fp32, tmp_path):
    said = answer(FULL, small_engine_fp32.save(tmp_path / "vocoder.plan"))
    if said == "too small":
        pytest.skip("the engine wants too little memory to run out of it")
    assert said.startswith("TensorRT can not make a context: "), said
    assert "MB of the GPU's memory" in said


def test_a_mel_with_nan_or_beyond_the_profile_is_refused(small_engine_fp16, small_vocoder, speech):
    runners = pytest.importorskip("labutils.runners")
    if not hasattr(runners, "TensorRTRunner"):
        pytest.skip("no runner of engines yet")
    mel = speech[:, :, :50].copy()
    with runners.TensorRTRunner(small_engine_fp16, small_vocoder.config) as runner:
        assert np.isfinite(runner.infer(mel)).all()
        for wrong, words in ((np.nan, "finite"), (np.inf, "finite")):
            bad = mel.copy()
            bad[0, 3, 7] = wrong
            with pytest.raises(runners.MelError, match=words):
                runner.infer(bad)
        with pytest.raises(runners.MelError, match="16 to 400"):
            runner.infer(np.zeros((1, mel.shape[1], 401), np.float32))
        assert np.isfinite(runner.infer(mel)).all()


def test_messages_hear_tensorrt_and_stop_when_told(tiny_built):
    with Messages("verbose") as heard:
        load_engine(tiny_built).close()
    count = len(heard)
    assert count > 0 and not heard.errors(), heard.text()
    load_engine(tiny_built).close()
    assert len(heard) == count
