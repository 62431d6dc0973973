"""trtexec's flags: what each version does with them, and what is said of those it does not take."""

import re

import pytest
from trtexec_parts import V8, V10, V11

from labutils.trt.trtexec import flags
from labutils.trt.trtexec.values import FlagError


def refusal(argument, version):
    with pytest.raises(FlagError) as error:
        flags.read([argument], version)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_dropped_flag_answers_with_what_replaces_it():
    for argument, version, words in (
        ("--fp16", V11, "--fp16 was dropped: TensorRT 11 no longer has it. Instead: the types"),
        ("--fp16", V11, "to_fp16"),
        ("--workspace=64", V10, "--memPoolSize=workspace:MIB"),
        ("--buildOnly", V11, "--skipInference"),
        ("--int8", V11, "QuantizeLinear"),
        ("--bf16", V11, "AutoCast writes BF16"),
        ("--noCudaGraph", V8, "leave it out"),
        ("--minTiming=2", V11, "leave it out"),
        ("--profile=0", V8, "newer than TensorRT 8.6. Instead: one profile: --minShapes"),
        ("--loadRefOutputs=a", V10, "--loadRefOutputs is newer than TensorRT 10.16."),
    ):
        assert words in refusal(argument, version), argument
    assert "to_fp16" not in refusal("--bf16", V11)  # it writes FP16 only
    assert "has it not" not in refusal("--fp16", V11)
    assert flags.read(["--fp16"], V8).values == {"fp16": True}
    assert "deprecated in TensorRT 10.16" in flags.read(["--fp16"], V10).notes[0]


def test_no_flag_is_offered_that_the_version_lacks():
    told = refusal("--fpp16", V11)
    assert "--help" in told and "--fp16" not in told and "--bf16" not in told


@pytest.mark.parametrize("version", [V8, V10, V11])
def test_no_advice_names_a_flag_that_the_version_or_the_stand_in_lacks(version):
    names = 0
    for flag in flags.FLAGS:
        if flag.state(version[0]) == "kept" and flag.here:
            continue  # then nothing is said
        for name in re.findall(r"--\w+", flag.instead):
            named, names = flags.find_flag(name), names + 1
            assert named.here, f"{flag.name}: {flag.instead}"
            assert named.state(version[0]) not in ("dropped", "not yet"), f"{flag.name}: {name}"
    assert names > 5


@pytest.mark.parametrize(
    "name",
    ["refitFromOnnx", "loadRefOutputs", "tuneBuildRoutes", "setBuildRoute", "layerDeviceTypes",
     "dumpRefit", "noBuilderCache", "leanDLLPath"],
)  # fmt: skip
def test_flags_of_the_real_tool_are_known(name):
    told = refusal(f"--{name}=x", V11)
    assert f"--{name} is not in this stand-in for trtexec" in told and "not known" not in told


def test_what_11_does_by_itself_is_its_default():
    for name in ("--useCudaGraph", "--useSpinWait", "--noDataTransfers", "--separateProfileRun"):
        assert flags.read([name], V8).notes == flags.read([name], V10).notes == ()
        assert flags.read([name], V11).notes == (f"{name} is the default in TensorRT 11.0",)
    (told,) = flags.read(["--stronglyTyped"], V11).notes
    assert told.startswith("--stronglyTyped does nothing in TensorRT 11.0: leave it out")


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--fpp16", "--fpp16 is not known to this stand-in for trtexec (did you mean --fp16"),
        ("--saveEngin=a", "--saveEngine"),
        ("--qqqqqqq", "--qqqqqqq is not known to this stand-in for trtexec (its flags: --help)"),
        ("onnx", "is no flag"),
        ("--onnx", "needs a value: --onnx=FILE"),
        ("--noTF32=1", "takes no value"),
        ("--refit", "not in this stand-in for trtexec. The real trtexec has it"),
        ("--shapes=mel:1x80", "is not BATCHxBANDSxFRAMES"),
        ("--shapes=mel:1x80x0", "1 or more"),
        ("--shapes=1x80x3", "NAME:"),
        ("--shapes=a:1x1x1,b:1x1x1", "several inputs"),
        ("--builderOptimizationLevel=6", "0 to 5"),
        ("--memPoolSize=dlaSRAM:3", "workspace:2048"),
        ("--duration=-1", "without end"),
        ("--warmUp=nan", "milliseconds"),
        ("--percentile=90,101", "between 0 and 100"),
        ("--iterations=0", "1 or more"),
    ],
)
def test_a_wrong_flag_is_refused_in_one_line(argument, words):
    assert words in refusal(argument, V8)


def test_the_table_of_flags_covers_three_versions():
    rows = {row["flag"].split("=")[0]: row for row in flags.rows()}
    assert len(rows) == len(flags.FLAGS)
    assert all([*row] == ["flag", "8.6", "10", "11", "instead", "the stand-in"]
               for row in rows.values())  # fmt: skip
    assert [rows["--fp16"][v] for v in ("8.6", "10", "11")] == ["kept", "deprecated", "dropped"]
    assert [rows["--useCudaGraph"][v] for v in ("8.6", "11")] == ["kept", "the default"]
    dropped = [flag for flag in flags.FLAGS if "dropped" in flag.states]
    assert dropped and all(flag.instead for flag in dropped)
    assert {row["flag"] for row in flags.rows(here=True)} < {row["flag"] for row in flags.rows()}
