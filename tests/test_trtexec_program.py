"""Our stand-in for trtexec as a whole, with a GPU and a TensorRT that are none."""

import json
import logging
import threading
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from onnx import TensorProto
from small_graphs import graph
from trtexec_parts import V8, V10, trace

from labutils.environment import MissingPackage
from labutils.trt import Profile, build, messages, trtexec
from labutils.trt.trtexec import exports, program

OPT = "--optShapes=mel:1x80x16"


@pytest.fixture
def onnx(tmp_path):
    (tmp_path / "a.onnx").write_bytes(graph().SerializeToString())
    return f"--onnx={tmp_path / 'a.onnx'}"


@pytest.fixture
def gpu(monkeypatch):
    """A machine where TensorRT 8.6 is there and builds what it is told; returns what was asked."""
    asked = SimpleNamespace(options=None, onnx=None, timing=None, graph=True)
    engine = SimpleNamespace(input="mel", n_mels=80, profiles=[Profile(frames=(8, 16, 32))])
    cuda = SimpleNamespace(
        is_available=lambda: True,
        get_device_name=lambda: "Fake GPU",
        get_device_capability=lambda: (9, 0),
    )

    def built(onnx, options, *, level):
        asked.onnx, asked.options, asked.level = onnx, options, level
        return SimpleNamespace(
            plan=b"plan", seconds=1.5, save=lambda path: Path(path).write_bytes(b"plan")
        )

    def measured(engine, shape, options):
        asked.timing, asked.shape = options, shape
        return [trace(2.0 * i) for i in range(200)], options.graph and asked.graph

    monkeypatch.setattr(program.versions, "version", lambda: V8)
    monkeypatch.setattr(program, "require", lambda name: SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(program, "build", built)
    monkeypatch.setattr(program, "load_engine", lambda data: nullcontext(engine))
    monkeypatch.setattr(program.timing, "measure", measured)
    info = json.dumps({"Layers": [{"Name": "conv", "LayerType": "CaskConvolution"}]})
    monkeypatch.setattr(program.inspect, "information", lambda engine, shape: info)
    monkeypatch.setattr(program.inspect, "layer_runs", lambda e, s, n: [{"conv": 0.5}] * n)
    return asked


def run(*arguments, **more):
    return trtexec.run(arguments, real=False, **more)


def test_the_stand_in_builds_times_and_writes_its_files(gpu, onnx, tmp_path):
    files = {name: tmp_path / f"{name}.out" for name in ("saveEngine", "exportTimes",
             "exportProfile", "exportLayerInfo")}  # fmt: skip
    made = run(
        onnx, "--minShapes=mel:1x80x8", OPT, "--maxShapes=mel:1x80x32",
        "--fp16", "--noDataTransfers", "--dumpProfile", "--dumpLayerInfo", "--warmUp=100",
        *(f"--{name}={path}" for name, path in files.items()),
    )  # fmt: skip
    assert made.passed and made.summary.passed and made.tool == "labutils.trt.trtexec", made.text
    assert made.summary.version == "8.6.1" and made.summary.device == "Fake GPU"
    assert made.summary.build_seconds == 1.5 and made.summary.queries == 150
    assert gpu.options.permit == ("float16",) and gpu.options.tf32 and gpu.level == "warning"
    assert gpu.onnx.name == "a.onnx" and gpu.onnx.data == (tmp_path / "a.onnx").read_bytes()
    assert gpu.shape == (1, 80, 16) and not gpu.timing.transfers
    assert files["saveEngine"].read_bytes() == b"plan"
    assert len(exports.read_times(files["exportTimes"])) == 150
    assert exports.read_profile(files["exportProfile"])[0] == 10
    assert "CaskConvolution" in files["exportLayerInfo"].read_text()
    assert "=== Profile (10 iterations ) ===" in made.text and "conv: CaskConv" in made.text
    assert "[I]    Time(ms)     Avg.(ms)   Median(ms)   Time(%)   Layer\n" in made.text
    assert "     100.0   Total\n" in made.text


def test_runs_of_the_average_and_percentiles_are_those_that_were_asked_for(gpu, onnx):
    made = run(onnx, OPT, "--avgRuns=50", "--percentile=25,75")
    assert "Trace averages of 50 runs:" in made.text
    assert made.text.count("Average on 50 runs") == 2  # 100 queries after the warm-up
    found = [figure for figure in made.summary.rows["Latency"] if "percentile" in figure]
    assert found == ["percentile(25%)", "percentile(75%)"]


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ("x:1x80x16", 'a.onnx has no input "x": its input is "mel"'),
        ("mel:1x100x16", "a.onnx takes 80 mel bands, the shapes have 100"),
    ],
)
def test_shapes_that_the_graph_does_not_take_are_refused_before_the_build(gpu, onnx, shape, words):
    made = run(onnx, f"--optShapes={shape}")
    assert not made.passed and words in made.summary.errors[0] and len(made.summary.errors) == 1
    assert gpu.options is None  # nothing was built


@pytest.mark.parametrize(
    ("fixed", "asked", "words"),
    [
        ((2, 80, "frames"), ("1x80x8", "1x80x16"), "a batch of 2 only, the shapes ask for 1:"),
        (("batch", 80, 16), ("1x80x8", "1x80x16"), "frames of 16 only, the shapes ask for 8, 16:"),
        ((1, 80, 16), ("1x80x16", "1x80x16"), None),
    ],
)
def test_a_size_that_the_file_has_fixed_is_asked_for(gpu, tmp_path, fixed, asked, words):
    path = tmp_path / "fixed.onnx"
    path.write_bytes(graph(shape=fixed).SerializeToString())
    low, best = asked
    made = run(f"--onnx={path}", f"--minShapes=mel:{low}", f"--optShapes=mel:{best}",
               f"--maxShapes=mel:{best}")  # fmt: skip
    assert made.passed == (words is None) == (gpu.options is not None), made.text
    assert words is None or words in made.summary.errors[0]


def test_fp16_on_10_converts_a_graph_but_not_one_that_is_fp16(gpu, onnx, tmp_path, monkeypatch):
    monkeypatch.setattr(program.versions, "version", lambda: V10)
    half = graph(kind=TensorProto.FLOAT16).SerializeToString()

    def to_fp16(path, out):
        assert path == tmp_path / "a.onnx"
        out.write_bytes(half)
        return out

    monkeypatch.setattr("labutils.onnx_export.to_fp16", to_fp16)
    made = run(onnx, OPT, "--fp16")
    assert made.passed and gpu.onnx.data == half and gpu.options.permit == ()
    assert "the graph was converted" in made.summary.warnings[-1]
    (tmp_path / "a.onnx").write_bytes(half)
    monkeypatch.setattr("labutils.onnx_export.to_fp16", None)  # it would refuse the file
    made = run(onnx, OPT, "--fp16")
    assert made.passed and gpu.onnx.data == half
    assert made.summary.warnings[-1] == "--fp16: a.onnx holds FP16 already and is built as it is"


def test_what_is_left_out_is_told(gpu, onnx, tmp_path):
    assert "left out" not in run(onnx, OPT, "--useCudaGraph").text
    gpu.graph = False
    made = run(onnx, OPT, "--useCudaGraph")
    assert made.passed
    assert "The CUDA graph was left out: launched kernel by kernel." in made.summary.warnings
    made = run(f"--loadEngine={tmp_path / 'a.onnx'}", "--noTF32")
    assert made.passed and "--noTF32" in made.summary.warnings[0]


def test_a_new_timing_cache_is_for_the_real_tool_too(gpu, onnx, tmp_path):
    path = tmp_path / "new" / "timings.bin"
    assert run(onnx, OPT, f"--timingCacheFile={path}").passed
    assert gpu.options.timing_cache == path and path.read_bytes() == b""
    path.write_bytes(b"timings")
    assert run(onnx, OPT, f"--timingCacheFile={path}").passed and path.read_bytes() == b"timings"


def test_the_library_builds_the_graph_that_was_checked(gpu, onnx, tmp_path, monkeypatch, tensorrt):
    module, path = tensorrt("10.16.1"), tmp_path / "timings.bin"
    monkeypatch.setattr(program.versions, "version", lambda: V10)
    monkeypatch.setattr(program.versions, "machine_facts", lambda: {"gpu": "Fake GPU"})
    monkeypatch.setattr(program, "build", build)
    made = run(onnx, OPT, f"--timingCacheFile={path}", "--builderOptimizationLevel=2")
    assert made.passed, made.text
    assert module.seen["profiles"] == [((1, 80, 16),) * 3] and module.seen["level"] == 2
    assert path.read_bytes() == b"conv 1 ms"  # as the real tool keeps it
    assert "[I] a.onnx: building (" in made.text
    assert "[W] [TRT] a warning of the builder\n" in made.text


def speaks(asked, shown=()):
    """A build that logs as TensorRT and labutils do; notes what was shown meanwhile."""
    log = logging.getLogger("labutils.trt")

    def spoken(onnx, options, *, level):
        for severity in ("VERBOSE", "INFO", "WARNING", "ERROR"):
            messages.dispatch(severity, f"{severity.lower()} of TensorRT")
        # As Progress tells it while TensorRT is silent: from a thread.
        thread = threading.Thread(target=log.info, args=("a.onnx: building (1.0 s)",))
        thread.start()
        thread.join()
        asked.options, asked.level, asked.shown = options, level, list(shown)
        return SimpleNamespace(plan=b"plan", seconds=1.5)

    return spoken


def test_what_tensorrt_says_stands_in_the_log(gpu, onnx, monkeypatch):
    monkeypatch.setattr(program, "build", speaks(gpu))
    made = run(onnx, OPT)
    assert "warning of TensorRT" in "\n".join(made.summary.warnings)
    for line in ("[W] [TRT] warning of TensorRT", "[E] [TRT] error of TensorRT",
                 "[I] a.onnx: building (1.0 s)"):  # fmt: skip
        assert f"{line}\n" in made.text
    assert "verbose of TensorRT" not in made.text and "Explanations of the" in made.text
    assert "=== Explanations" not in made.text and "[V]" not in made.text
    assert gpu.level == "warning"
    loud = run(onnx, OPT, "--verbose")
    for line in ("[V] [TRT] verbose of TensorRT", "[I] [TRT] info of TensorRT",
                 "[V] === Explanations of the performance metrics ==="):  # fmt: skip
        assert f"{line}\n" in loud.text
    assert gpu.level == "verbose"  # the build keeps these lines, too
    assert loud.summary.rows == made.summary.rows and loud.summary.ms() == pytest.approx(1.0)
    assert logging.getLogger("labutils.trt").handlers == []


def test_lines_are_shown_as_they_come(gpu, onnx, monkeypatch):
    shown = []
    monkeypatch.setattr(program, "build", speaks(gpu, shown))
    made = run(onnx, OPT, show=shown.append)
    assert gpu.shown[-1].endswith("[I] a.onnx: building (1.0 s)")
    assert gpu.shown[0].startswith("&&&& RUNNING") and len(gpu.shown) < len(shown)
    assert shown == made.text.splitlines()


def test_a_show_that_fails_does_not_break_into_tensorrt(gpu, onnx, monkeypatch):
    monkeypatch.setattr(program, "build", speaks(gpu))
    calls = []

    def show(line):
        calls.append(line)
        if "TensorRT" in line and "[TRT]" in line:
            raise ValueError("no room")

    with pytest.raises(ValueError, match="no room"):
        run(onnx, OPT, show=show)
    assert gpu.options is not None and "[TRT]" in calls[-1]  # built, and not called again


def test_the_stand_in_fails_as_trtexec_does(gpu, onnx, tmp_path, monkeypatch):
    engine = tmp_path / "a.onnx"  # any file
    for arguments, words in (
        ([f"--loadEngine={engine}", "--shapes=x:1x80x16"], 'no input "x": its input is "mel"'),
        ([f"--loadEngine={engine}", "--shapes=mel:1x100x16"], "takes 80 mel bands"),
        (["--loadEngine=none.plan"], "no such file: none.plan"),
        ([f"--loadEngine={engine}", f"--saveEngine={tmp_path / 's'}"], "nothing to write"),
        ([f"--loadEngine={engine}", "--shapes=mel:1x80x16", "--warmUp=9999"], "--duration"),
    ):
        made = run(*arguments)
        assert made.status == 1 and made.summary.passed is False and not made.passed
        assert len(made.summary.errors) == 1 and words in made.summary.errors[0]
    assert not (tmp_path / "s").exists()

    def broken(engine, shape, options):
        raise RuntimeError("CUDA out of memory.\nTried to allocate")

    monkeypatch.setattr(program.timing, "measure", broken)
    made = run(f"--loadEngine={engine}")
    assert made.summary.errors == ["CUDA out of memory. Tried to allocate"]


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--onnx=a", "-h"], []])
def test_help_lists_the_flags(arguments):
    made = run(*arguments)
    assert made.passed and made.summary.errors == []
    assert "--builderOptimizationLevel=0..5" in made.text and "--workspace" not in made.text


def test_without_tensorrt_one_line_says_how_to_get_it(onnx, monkeypatch):
    def missing():
        raise MissingPackage("tensorrt is not installed; pip install it")

    monkeypatch.setattr(program.versions, "version", missing)
    made = run(onnx, OPT)
    assert made.status == 1 and made.summary.errors == ["tensorrt is not installed; pip install it"]
    wrong = run(onnx, "--fp16")
    assert "was dropped: TensorRT 11 no longer has it" in wrong.summary.errors[0]
    assert wrong.summary.version == ""
    (told,) = wrong.summary.warnings
    assert told == "without TensorRT the flags are read as TensorRT 11 takes them"
