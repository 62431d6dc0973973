"""From trtexec's flags to a plan: profiles, options of the build and of the timing, refusals."""

import re
from pathlib import Path

import pytest
from trtexec_parts import V8, V10, V11

from labutils.trt import Profile
from labutils.trt.trtexec import flags, plan
from labutils.trt.trtexec.values import FlagError


@pytest.fixture
def onnx(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"graph")
    return f"--onnx={tmp_path / 'a.onnx'}"


@pytest.fixture
def engine(tmp_path):
    (tmp_path / "a.plan").write_bytes(b"plan")
    return f"--loadEngine={tmp_path / 'a.plan'}"


def planned(*arguments, version=V8):
    return plan.make_plan(flags.read(arguments, version), version)


def test_shapes_become_a_profile(onnx):
    made = planned(
        onnx, "--minShapes=mel:1x80x32", "--optShapes=mel:1x80x400", "--maxShapes=mel:4x80x1000",
    )  # fmt: skip
    assert made.options.profiles == (Profile(frames=(32, 400, 1000), batch=(1, 1, 4)),)
    assert (made.shape, made.input, made.n_mels) == ((1, 80, 400), "mel", 80)
    assert planned(onnx, "--shapes=mel:2x80x9").options.profiles == (Profile.fixed(9, batch=2),)


@pytest.mark.parametrize(
    ("argument", "options", "value", "otherwise"),
    [
        ("--noTF32", "tf32", False, True),
        ("--memPoolSize=workspace:1G", "workspace_mb", 1024, None),
        ("--builderOptimizationLevel=5", "optimization_level", 5, 3),
        ("--timingCacheFile=a/t.bin", "timing_cache", Path("a/t.bin"), None),
        ("--sparsity=enable", "sparse", True, False),
        ("--sparsity=disable", "sparse", False, False),
        ("--profilingVerbosity=layer_names_only", "detailed", False, True),
        ("--profilingVerbosity=detailed", "detailed", True, True),
        ("--warmUp=50", "warm_up_ms", 50.0, 200.0),
        ("--iterations=7", "iterations", 7, 10),
        ("--duration=0.5", "seconds", 0.5, 3.0),
        ("--infStreams=3", "streams", 3, 1),
        ("--streams=3", "streams", 3, 1),
        ("--noDataTransfers", "transfers", False, True),
        ("--useCudaGraph", "graph", True, False),
        ("--useSpinWait", "spin", True, False),
    ],
)
def test_each_flag_reaches_the_build_or_the_timing(onnx, argument, options, value, otherwise):
    def found(*more):
        made = planned(onnx, "--optShapes=mel:1x80x9", *more)
        return getattr(made.timing if hasattr(made.timing, options) else made.options, options)

    assert found(argument) == value and found() == otherwise


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no shape to build for"),
        (["--minShapes=mel:1x80x3"], "need --optShapes"),
        (["--optShapes=mel:1x80x3", "--maxShapes=mel:1x80x2"], "do not rise"),
        (["--optShapes=mel:1x80x3", "--shapes=m:1x80x3"], "several inputs (mel, m)"),
        (["--optShapes=mel:1x80x3", "--shapes=mel:1x81x3"], "mel bands is fixed"),
        (["--optShapes=mel:1x80x3", "--shapes=mel:1x80x4"], "outside the profile"),
        (["--optShapes=mel:1x80x3", "--loadEngine=a.onnx"], "give one model"),
        (["--optShapes=mel:1x80x3", "--skipInference", "--exportTimes=a"], "--skipInference"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(onnx, arguments, words):
    with pytest.raises(FlagError, match=re.escape(words)):
        planned(onnx, *arguments)


def test_an_engine_that_was_not_built_can_not_be_saved(engine):
    with pytest.raises(FlagError, match="--saveEngine has nothing to write with --loadEngine"):
        planned(engine, "--saveEngine=s.plan")


@pytest.mark.parametrize("version", [V8, V10])
def test_flags_for_building_beside_a_loaded_engine_are_told(engine, version):
    idle = ("--minShapes=mel:1x80x3", "--maxShapes=mel:1x80x30", "--memPoolSize=workspace:64",
            "--builderOptimizationLevel=2", "--timingCacheFile=t", "--noTF32", "--fp16",
            "--sparsity=enable", "--profilingVerbosity=detailed")  # fmt: skip
    told = planned(engine, *idle, version=version).notes[-1]
    assert told.startswith("No effect on a loaded engine")
    names = [flag.partition("=")[0] for flag in idle]
    assert re.findall(r"--\w+", told) == [*names, "--onnx"]
    assert not planned(engine, "--exportLayerInfo=a", "--iterations=3", version=version).notes


def test_a_loaded_engine_is_timed_at_the_shape_that_stands_there(engine):
    """As in trtexec: without --shapes it is that of --optShapes."""
    made = planned(engine, "--optShapes=mel:1x80x9")
    assert (made.shape, made.options, made.notes) == ((1, 80, 9), None, ())
    assert planned(engine, "--optShapes=mel:1x80x9", "--shapes=mel:1x80x8").shape == (1, 80, 8)
    assert planned(engine).shape is None


def test_flags_for_timing_beside_skip_inference_are_told(onnx):
    made = planned(onnx, "--shapes=mel:1x80x9", "--skipInference", "--iterations=3", "--warmUp=1",
                   "--duration=1", "--avgRuns=2", "--percentile=50", "--streams=2",
                   "--useCudaGraph", "--noDataTransfers", "--useSpinWait")  # fmt: skip
    told = made.notes[-1]
    assert told.startswith("No effect with --skipInference")
    assert {*re.findall(r"--\w+", told)} == {
        "--skipInference", "--iterations", "--warmUp", "--duration", "--avgRuns", "--percentile",
        "--infStreams", "--useCudaGraph", "--noDataTransfers", "--useSpinWait",
    }  # fmt: skip
    assert planned(onnx, "--shapes=mel:1x80x9", "--skipInference", version=V11).notes == ()


def test_the_defaults_of_timing_follow_the_version_and_are_told(onnx):
    shape = "--shapes=mel:1x80x9"
    old, new = planned(onnx, shape), planned(onnx, shape, version=V11)
    assert (old.timing.transfers, old.timing.graph, old.timing.spin) == (True, False, False)
    assert (new.timing.transfers, new.timing.graph, new.timing.spin) == (False, True, True)
    assert old.notes == ()
    assert "--noDataTransfers --useCudaGraph --useSpinWait" in new.notes[0]
    explicit = planned(
        onnx, shape, "--includeDataTransfers", "--noCudaGraph", "--noSpinWait", version=V11
    )
    assert explicit.timing == old.timing and explicit.notes == ()
    with pytest.raises(FlagError, match="give one of them"):
        planned(onnx, shape, "--noCudaGraph", "--useCudaGraph", version=V11)


def test_with_several_streams_the_throughput_counts(onnx):
    (told,) = planned(onnx, "--shapes=mel:1x80x9", "--infStreams=2").notes
    assert "trust the throughput" in told
