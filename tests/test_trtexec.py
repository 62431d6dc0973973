"""trtexec's logs, its flags by version, its summary and files; the stand-in with a fake GPU."""

import json
import re
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from labutils.environment import MissingPackage
from labutils.trt import Profile, trtexec
from labutils.trt.trtexec import exports, flags, plan, program, running, summary, timing, traces
from labutils.trt.trtexec.values import FlagError

LOGS = Path(__file__).parent / "trtexec_logs"
V8, V10, V11 = (8, 6, 1), (10, 16, 1), (11, 0, 0)


def log(name):
    return (LOGS / f"{name}.log").read_text()


def trace(start, compute=1.0, copy=0.1, enqueue=0.05):
    """One query: copy in, compute, copy out, without gaps."""
    a, b, c, d = np.cumsum([start, copy, compute, copy])
    return traces.Trace(enq=(start, start + enqueue), h2d=(a, b), compute=(b, c), d2h=(c, d))


# Logs of the real tool


def test_a_real_summary_is_read_in_full():
    run = trtexec.parse(log("timing"))
    assert run.passed and run.outcome == "PASSED" and run.errors == []
    assert (run.version, run.device) == ("8.6.1", "NVIDIA H200")
    assert run.command == "trtexec --loadEngine=v2.plan --shapes=mel:1x80x400"
    assert (run.queries, run.warm_ups, run.throughput_qps) == (4020, 262, 1339.48)
    assert list(run.rows) == list(traces.ROWS)
    assert run.ms() == 0.743835 and run.ms("Latency", "percentile(99%)") == 0.772217
    assert run.rows["H2D Latency"]["max"] == 0.0239868
    assert (run.host_walltime_s, run.gpu_compute_s) == (3.00116, 2.9914)
    assert run.load_seconds == 0.0638925 and run.build_seconds is None
    assert "PASSED" in run._repr_html_() and "1,339.5" in run._repr_html_()


def test_failures_keep_the_real_messages():
    outside, no_file, unknown = trtexec.parse_all(log("failures"))
    assert outside.passed is False and "does not satisfy any optimization" in outside.errors[0]
    assert outside.errors[1] == "Inference set up failed"
    assert no_file.passed is None and "Failed to parse ONNX" in no_file.errors[0]
    assert unknown.errors == ["Unknown option: --fpp16"]
    streams = trtexec.parse(log("two-streams"))
    assert streams.passed is False and "mOptimizationProfile >= 0" in " ".join(streams.errors)
    with pytest.raises(KeyError, match="nothing was timed"):
        outside.ms()


def test_a_build_tells_its_warnings_and_seconds():
    run = trtexec.parse(log("build"))
    assert run.build_seconds == 70.6173 and run.passed is None and run.rows == {}
    assert any("INT64 weights" in line for line in run.warnings)


def test_parse_wants_one_run():
    with pytest.raises(ValueError, match="3 runs.*parse_all"):
        trtexec.parse(log("failures"))
    with pytest.raises(ValueError, match="0 runs"):
        trtexec.parse("Throughput: 3 qps")
    with pytest.raises(KeyError, match="GPU Compute Time"):
        trtexec.parse(log("timing")).ms("Compute")


# The summary that is written


def test_what_is_written_reads_back_in_the_real_order():
    found = [trace(2.0 * i, compute=1 + i / 1000) for i in range(20)]
    lines = summary.report(found, warm_ups=3, warm_up_ms=200, average_of=10, percentiles=(50, 90))
    text = "&&&& RUNNING TensorRT.trtexec [TensorRT v101601] # trtexec --loadEngine=a\n"
    text += "\n".join(f"[11/21/2026-10:00:00] [{severity}] {line}" for severity, line in lines)
    run = trtexec.parse(text + "\n&&&& PASSED TensorRT.trtexec [TensorRT v101601] # trtexec\n")
    assert run.version == "10.16.1" and run.queries == 20 and run.warm_ups == 3
    wall = found[-1].d2h[1]
    assert run.throughput_qps == pytest.approx(1e3 * 20 / wall, rel=1e-5)
    assert run.ms() == pytest.approx(1.0095) and run.ms("Latency", "min") == pytest.approx(1.2)
    assert run.ms("GPU Compute Time", "percentile(90%)") == pytest.approx(1.017)
    real = [re.sub(r"^\[.*?\] \[I\] ", "", line) for line in log("timing").splitlines()]
    real, ours = (
        [re.split(r": | = |\d+ ", line)[0] for line in x] for x in (real, [t for _, t in lines])
    )
    shared = [word for word in dict.fromkeys(real) if word and word in ours]
    assert [word for word in dict.fromkeys(ours) if word in shared] == shared
    assert {*traces.ROWS, "Throughput", "Total Host Walltime", "Timing trace has "} <= {*shared}
    assert sum("Average on 10 runs" in line for _, line in lines) == 2


def test_percentiles_are_those_of_measured_queries():
    values = np.arange(1.0, 101.0)
    assert [traces.percentile(values, q) for q in (90, 99, 100, 0)] == [90, 99, 100, 1]
    assert traces.percentile(np.array([3.0, 1.0]), 50) == 1


@pytest.mark.parametrize(
    ("odd", "warned"),
    [
        ({"enqueue": 0.9}, "bound by Enqueue Time"),
        ({"copy": 1.5}, "bound by host-to-device transfers"),
        ({}, None),
    ],
)
def test_warnings_come_where_trtexec_warns(odd, warned):
    lines = summary.report([trace(9.0 * i, **odd) for i in range(12)], warm_ups=0, warm_up_ms=0)
    told = [line for severity, line in lines if severity == "W"]
    assert (warned is None and told == []) or warned in told[0]


def test_an_unstable_gpu_is_told():
    mixed = [trace(9.0 * i, compute=1 + i % 2) for i in range(12)]
    told = [line for s, line in summary.report(mixed, warm_ups=0, warm_up_ms=0) if s == "W"]
    assert "unstable" in told[0] and "33.3333%" in told[0]


# Flags


def test_a_dropped_flag_answers_with_what_replaces_it():
    for arguments, version, words in (
        (["--fp16"], V11, "to_fp16"),
        (["--workspace=64"], V10, "--memPoolSize=workspace:MIB"),
        (["--buildOnly"], V11, "--skipInference"),
        (["--int8"], V11, "QuantizeLinear"),
        (["--noCudaGraph"], V8, "leave it out"),
    ):
        with pytest.raises(FlagError, match=re.escape(words)):
            flags.read(arguments, version)
    assert flags.read(["--fp16"], V8).values == {"fp16": True}
    assert "deprecated in TensorRT 10.16" in flags.read(["--fp16"], V10).notes[0]


def test_no_flag_is_offered_that_the_version_has_not():
    with pytest.raises(FlagError, match="--help") as refused:
        flags.read(["--fpp16"], V11)
    assert "--fp16" not in str(refused.value) and "--bf16" not in str(refused.value)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--fpp16", "did you mean --fp16"),
        ("--saveEngin=a", "--saveEngine"),
        ("--qqqqqqq", "Unknown option: --qqqqqqq"),
        ("onnx", "is no flag"),
        ("--onnx", "needs a value: --onnx=FILE"),
        ("--noTF32=1", "takes no value"),
        ("--refit", "not in this stand-in"),
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
    with pytest.raises(FlagError) as error:
        flags.read([argument], V8)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_the_table_of_flags_covers_three_versions():
    rows = {row["flag"].split("=")[0]: row for row in flags.rows()}
    assert len(rows) == len(flags.FLAGS)
    assert [rows["--fp16"][v] for v in ("8.6", "10", "11")] == ["kept", "deprecated", "dropped"]
    assert rows["--useCudaGraph"]["11"] == "does nothing"
    dropped = [flag for flag in flags.FLAGS if "dropped" in flag.states]
    assert dropped and all(flag.instead for flag in dropped)
    assert {row["flag"] for row in flags.rows(here=True)} < {row["flag"] for row in flags.rows()}


# The plan


@pytest.fixture
def onnx(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"graph")
    return f"--onnx={tmp_path / 'a.onnx'}"


def planned(*arguments, version=V8):
    return plan.make_plan(flags.read(arguments, version), version)


def test_shapes_become_a_profile(onnx):
    made = planned(
        onnx, "--minShapes=mel:1x80x32", "--optShapes=mel:1x80x400", "--maxShapes=mel:4x80x1000",
        "--memPoolSize=workspace:1G", "--noTF32", "--builderOptimizationLevel=1",
    )  # fmt: skip
    assert made.options.profiles == (Profile(frames=(32, 400, 1000), batch=(1, 1, 4)),)
    assert (made.options.workspace_mb, made.options.tf32) == (1024, False)
    assert (made.shape, made.input, made.n_mels) == ((1, 80, 400), "mel", 80)
    assert planned(onnx, "--shapes=mel:2x80x9").options.profiles == (Profile.fixed(9, batch=2),)


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


# Measuring


class FakeLane:
    """A lane of 1 ms queries on a clock of its own, two under way as on the GPU."""

    def __init__(self):
        self.waiting, self.now, self.queries = [], 0.0, 0

    def query(self):
        self.queries += 1
        self.waiting.append(trace(self.now, compute=0.8))
        self.now += 1.0

    def sync(self):
        return self.waiting.pop(0) if len(self.waiting) == 2 else None

    def drain(self):
        done, self.waiting = self.waiting, []
        return done


@pytest.mark.parametrize(
    ("iterations", "seconds", "least"), [(10, 0.05, 50), (80, 0.0, 80), (1, 0.0, 1)]
)
def test_the_loop_reaches_time_and_iterations_after_the_warm_up(iterations, seconds, least):
    options = timing.TimingOptions(
        True, False, False, warm_up_ms=20, iterations=iterations, seconds=seconds
    )
    lanes = [FakeLane(), FakeLane()]
    found = timing.loop(lanes, options)
    assert len(found) == sum(lane.queries for lane in lanes)
    timed = traces.after_warm_up(found, 20)
    assert all(t.compute[0] >= 20 for t in timed)
    assert 2 * least <= len(timed) <= 2 * least + 6


def test_lanes_that_are_not_in_step_have_all_their_iterations():
    late = FakeLane()
    late.now = -3.3  # more of its queries begin before the warm-up ends
    options = timing.TimingOptions(
        True, False, False, warm_up_ms=20, iterations=30, seconds=0, streams=2
    )
    found = timing.loop([FakeLane(), late], options)
    assert len(traces.after_warm_up(found, 20)) >= 60


class FakeGpu:
    """torch.cuda on a clock that moves 0.1 ms with everything that is asked of it."""

    def __init__(self):
        self.now, self.asked = 0.0, []
        self.synchronize, gpu = (lambda: None), self

        class Stream:
            def wait_event(self, event):
                assert event.at is not None

            def synchronize(self):
                pass

        class Event:
            def __init__(self, enable_timing, blocking=False):
                self.at, self.blocking = None, blocking

            def record(self, stream):
                gpu.now += 0.1
                self.at = gpu.now

            def synchronize(self):
                assert self.at is not None

            def elapsed_time(self, other):
                return other.at - self.at

        self.Stream, self.Event = Stream, Event
        self.stream = lambda stream: nullcontext()


class FakeBound:
    made = []

    def __init__(self, engine, shape):
        self.stream, self.closed, self.queries = timing.require("torch").cuda.Stream(), False, 0
        self.input = self.output = SimpleNamespace(
            shape=shape, dtype="float32", copy_=lambda other, non_blocking=False: None
        )
        FakeBound.made.append(self)

    def synchronize(self):
        pass

    def capture(self):
        return True

    def enqueue(self):
        self.queries += 1
        if engine_fails_at == self.queries:
            raise RuntimeError("enqueue failed")

    def close(self):
        self.closed = True


engine_fails_at = None


@pytest.fixture
def fake_gpu(monkeypatch):
    cuda = FakeGpu()

    def empty(shape, dtype, pin_memory):
        assert pin_memory
        return SimpleNamespace(copy_=lambda other, non_blocking=False: None)

    monkeypatch.setattr(timing, "require", lambda name: SimpleNamespace(cuda=cuda, empty=empty))
    monkeypatch.setattr(timing, "Bound", FakeBound)
    FakeBound.made.clear()


@pytest.mark.parametrize("transfers", [True, False])
def test_every_query_on_the_gpu_becomes_one_trace(fake_gpu, transfers):
    options = timing.TimingOptions(
        transfers, True, True, warm_up_ms=1, iterations=20, seconds=0, streams=2
    )
    found, graph = timing.measure(None, (1, 80, 9), options)
    assert graph and len(found) == sum(bound.queries for bound in FakeBound.made)
    assert len(FakeBound.made) == 2 and all(bound.closed for bound in FakeBound.made)
    for query in found:
        copy_in, copy_out = (end - start for start, end in (query.h2d, query.d2h))
        assert (copy_in > 0.05) == (copy_out > 0.05) == transfers
        assert query.h2d[1] <= query.compute[0] < query.compute[1] <= query.d2h[0]
        assert query.enq[1] >= query.enq[0]
    starts = [query.compute[0] for query in found]
    assert len(set(starts)) == len(starts)  # no query is counted twice


def test_a_lane_is_closed_though_a_query_fails(fake_gpu, monkeypatch):
    monkeypatch.setitem(globals(), "engine_fails_at", 3)
    with pytest.raises(RuntimeError, match="enqueue failed"):
        timing.measure(None, (1, 80, 9), timing.TimingOptions(True, False, False, streams=2))
    assert [bound.closed for bound in FakeBound.made] == [True, True]


# Files


def test_files_of_times_and_profiles_read_back(tmp_path):
    found = [trace(2.0 * i) for i in range(3)]
    path = exports.write_times(tmp_path / "times.json", found)
    assert exports.read_times(path) == found
    row = json.loads(path.read_text())[0]
    assert list(row) == [
        "startEnqMs", "endEnqMs", "startH2dMs", "endH2dMs", "startComputeMs", "endComputeMs",
        "startD2hMs", "endD2hMs", "h2dMs", "computeMs", "d2hMs", "latencyMs",
    ]  # fmt: skip
    assert row["latencyMs"] == pytest.approx(1.2)
    runs = [{"a": 1.0, "b": 3.0}, {"a": 2.0, "b": 2.0}, {"a": 3.0, "b": 1.0}]
    count, rows = exports.read_profile(exports.write_profile(tmp_path / "p.json", runs))
    assert count == 3 and [row["name"] for row in rows] == ["a", "b"]
    assert rows[0] == {
        "name": "a", "timeMs": 6.0, "averageMs": 2.0, "medianMs": 2.0, "percentage": 50.0
    }  # fmt: skip
    assert [file.name for file in tmp_path.iterdir()] in (
        ["times.json", "p.json"],
        ["p.json", "times.json"],
    )


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "times.json"
    for text, words in (("[{", "no JSON"), ("{}", "a list"), ('[{"startEnqMs": 1}]', "missing")):
        path.write_text(text)
        with pytest.raises(exports.ExportError, match=f"times.json.*{words}"):
            exports.read_times(path)
    path.write_text("[]")
    with pytest.raises(exports.ExportError, match="exportProfile"):
        exports.read_profile(path)


# The stand-in as a whole, with a fake GPU


@pytest.fixture
def gpu(monkeypatch):
    """A machine where TensorRT 8.6 is there and builds what it is told; returns what was asked."""
    asked = SimpleNamespace(options=None, onnx=None, timing=None)
    engine = SimpleNamespace(input="mel", n_mels=80, profiles=[Profile(frames=(8, 16, 32))])
    cuda = SimpleNamespace(
        is_available=lambda: True,
        get_device_name=lambda: "Fake GPU",
        get_device_capability=lambda: (9, 0),
    )

    def built(onnx, options, *, level):
        asked.onnx, asked.options = onnx, options
        return SimpleNamespace(
            plan=b"plan", seconds=1.5, save=lambda path: Path(path).write_bytes(b"plan")
        )

    def measured(engine, shape, options):
        asked.timing, asked.shape = options, shape
        return [trace(2.0 * i) for i in range(200)], options.graph

    monkeypatch.setattr(program.versions, "version", lambda: V8)
    monkeypatch.setattr(program, "require", lambda name: SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(program, "build", built)
    monkeypatch.setattr(program, "load_engine", lambda data: nullcontext(engine))
    monkeypatch.setattr(program.timing, "measure", measured)
    info = json.dumps({"Layers": [{"Name": "conv", "LayerType": "CaskConvolution"}]})
    monkeypatch.setattr(program.inspect, "information", lambda engine, shape: info)
    monkeypatch.setattr(program.inspect, "layer_runs", lambda e, s, n: [{"conv": 0.5}] * n)
    return asked


def test_the_stand_in_builds_times_and_writes_its_files(gpu, onnx, tmp_path):
    files = {name: tmp_path / f"{name}.out" for name in ("saveEngine", "exportTimes",
             "exportProfile", "exportLayerInfo")}  # fmt: skip
    run = trtexec.run(
        [onnx, "--minShapes=mel:1x80x8", "--optShapes=mel:1x80x16", "--maxShapes=mel:1x80x32",
         "--fp16", "--noDataTransfers", "--dumpProfile", "--dumpLayerInfo", "--warmUp=100",
         *(f"--{name}={path}" for name, path in files.items())],
        real=False,
    )  # fmt: skip
    assert run.passed and run.summary.passed and run.tool == "labutils.trt.trtexec", run.text
    assert run.summary.version == "8.6.1" and run.summary.device == "Fake GPU"
    assert run.summary.build_seconds == 1.5 and run.summary.queries == 150
    assert gpu.options.permit == ("float16",) and gpu.options.tf32
    assert gpu.shape == (1, 80, 16) and not gpu.timing.transfers
    assert files["saveEngine"].read_bytes() == b"plan"
    assert len(exports.read_times(files["exportTimes"])) == 150
    assert exports.read_profile(files["exportProfile"])[0] == 10
    assert "CaskConvolution" in files["exportLayerInfo"].read_text()
    assert "=== Profile (10 iterations ) ===" in run.text and "conv: CaskConv" in run.text


def test_the_stand_in_fails_as_trtexec_does(gpu, onnx, tmp_path, monkeypatch):
    engine = tmp_path / "a.onnx"  # any file
    for arguments, words in (
        ([f"--loadEngine={engine}", "--shapes=x:1x80x16"], 'no input "x": its input is "mel"'),
        ([f"--loadEngine={engine}", "--shapes=mel:1x100x16"], "takes 80 mel bands"),
        (["--loadEngine=none.plan"], "no such file: none.plan"),
        ([f"--loadEngine={engine}", "--shapes=mel:1x80x16", "--warmUp=9999"], "--duration"),
    ):
        run = trtexec.run(arguments, real=False)
        assert run.status == 1 and run.summary.passed is False
        assert len(run.summary.errors) == 1 and words in run.summary.errors[0]

    def broken(engine, shape, options):
        raise RuntimeError("CUDA out of memory.\nTried to allocate")

    monkeypatch.setattr(program.timing, "measure", broken)
    run = trtexec.run([f"--loadEngine={engine}"], real=False)
    assert run.summary.errors == ["CUDA out of memory. Tried to allocate"]


def test_help_lists_the_flags():
    run = trtexec.run(["--help"], real=False)
    assert run.status == 0 and "--builderOptimizationLevel=0..5" in run.text
    assert "--workspace" not in run.text


def test_without_tensorrt_one_line_says_how_to_get_it(onnx, monkeypatch):
    def missing():
        raise MissingPackage("tensorrt is not installed; pip install it")

    monkeypatch.setattr(program.versions, "version", missing)
    run = trtexec.run([onnx, "--optShapes=mel:1x80x16"], real=False)
    assert run.status == 1 and run.summary.errors == ["tensorrt is not installed; pip install it"]
    wrong = trtexec.run([onnx, "--fp16"], real=False)
    assert "dropped" in wrong.summary.errors[0] and wrong.summary.version == ""


def test_a_real_trtexec_is_used_where_there_is_one(tmp_path, monkeypatch):
    tool = tmp_path / "trtexec"
    tool.write_text(f'#!/bin/sh\ncat "{LOGS / "timing.log"}"\n')
    tool.chmod(0o755)
    monkeypatch.setattr(running, "tool", lambda name: tool)
    run = trtexec.run(["--loadEngine=v2.plan"])
    assert run.tool == "trtexec" and run.passed and run.summary.throughput_qps == 1339.48
    assert trtexec.find() == tool
    tool.write_text("#!/bin/sh\nexit 139\n")
    run = trtexec.run(["--loadEngine=v2.plan"])
    assert not run.passed and "status 139" in run.summary.errors[0]
    monkeypatch.setattr(running, "tool", lambda name: None)
    with pytest.raises(FileNotFoundError, match="no trtexec here"):
        trtexec.run([], real=True)
