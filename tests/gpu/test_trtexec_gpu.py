"""Our trtexec and the inspector with a real TensorRT: a HiFi-GAN built, timed, taken apart."""

import numpy as np
import pytest
import torch

from labutils import locks, vocoders
from labutils.environment import has
from labutils.onnx_export import export, to_fp16
from labutils.trt import bound, inspect, load_engine, names, trtexec, versions
from labutils.trt.trtexec import exports, timing, traces

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not has("tensorrt"), reason="needs TensorRT and a GPU"),
]
SHAPES = ("--minShapes=mel:1x80x16", "--optShapes=mel:1x80x100", "--maxShapes=mel:2x80x200")
# Given on every version: 11 turned the defaults round.
DEFAULTS_OF_8 = {
    "transfers": ("--noDataTransfers", "--includeDataTransfers"),
    "graph": ("--noCudaGraph", "--useCudaGraph"),
}


def switches(*, transfers, graph):
    """The flags for what is wanted that this version has."""
    wanted = []
    for on, (off_flag, on_flag) in (
        (transfers, DEFAULTS_OF_8["transfers"]),
        (graph, DEFAULTS_OF_8["graph"]),
    ):
        flag = on_flag if on else off_flag
        if trtexec.flags.find_flag(flag).state(versions.version()[0]) != "not yet":
            wanted.append(flag)
    return wanted


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A HiFi-GAN as ONNX, FP32 and FP16, built by the first test of this file."""
    folder = tmp_path_factory.mktemp("trtexec")
    model = vocoders.create("hifigan-small")
    assert model.config.n_mels == 80
    export(model, folder / "fp32.onnx", exporter="legacy")
    to_fp16(folder / "fp32.onnx", folder / "fp16.onnx")
    return folder


@pytest.fixture(scope="module")
def built(folder, timing_cache):
    """The run that builds an FP16 engine, times it and writes everything.

    Of several processes one builds at a time: those after it find the timings of the first.
    """
    flags = [
        f"--onnx={folder / 'fp16.onnx'}", *SHAPES, "--builderOptimizationLevel=1",
        "--memPoolSize=workspace:1024", "--noTF32", f"--timingCacheFile={timing_cache}",
        f"--saveEngine={folder / 'fp16.plan'}", "--shapes=mel:1x80x100", "--duration=1",
        *switches(transfers=True, graph=False),
        f"--exportTimes={folder / 'times.json'}", f"--exportProfile={folder / 'profile.json'}",
        f"--exportLayerInfo={folder / 'layers.json'}", "--dumpProfile", "--dumpLayerInfo",
    ]  # fmt: skip
    with locks.locked(timing_cache.with_name("trtexec.lock")):
        return trtexec.run(flags, real=False)


@pytest.fixture(scope="module")
def engine(built, folder):
    assert built.passed, built.text
    with load_engine(folder / "fp16.plan") as engine:
        yield engine


def test_an_engine_is_built_timed_and_told_of(built, timing_cache):
    assert built.passed, built.text
    run = built.summary
    assert run.build_seconds > 0 and run.load_seconds > 0 and run.throughput_qps > 0
    assert list(run.rows) == list(traces.ROWS) and run.queries >= 10
    parts = sum(run.ms(row) for row in ("H2D Latency", "GPU Compute Time", "D2H Latency"))
    assert run.ms("Latency") == pytest.approx(parts, rel=0.1)
    assert 0 < run.ms("H2D Latency") < run.ms("Latency")
    assert run.device == torch.cuda.get_device_name()
    assert timing_cache.stat().st_size > 0


def test_its_files_read_back(built, folder):
    assert built.passed, built.text
    times = exports.read_times(folder / "times.json")
    assert len(times) == built.summary.queries
    assert all(t.h2d[1] <= t.compute[0] + 0.01 and t.compute[1] <= t.d2h[0] + 0.01 for t in times)
    assert all(t.compute[1] > t.compute[0] for t in times)
    count, layers = exports.read_profile(folder / "profile.json")
    assert count == 10 and len(layers) > 10
    found = inspect.layers(folder / "layers.json")
    assert found.detailed and {row["name"] for row in found.rows} & {row["name"] for row in layers}


def test_a_graph_without_copies(built, folder):
    assert built.passed, built.text
    run = trtexec.run(
        [f"--loadEngine={folder / 'fp16.plan'}", "--shapes=mel:2x80x150", "--duration=0.5",
         "--warmUp=100", "--percentile=50,99", "--useSpinWait",
         *switches(transfers=False, graph=True)],
        real=False,
    )  # fmt: skip
    assert run.passed, run.text
    assert run.summary.ms("H2D Latency") == 0 and "left out" not in run.text
    assert "percentile(50%)" in run.summary.rows["Latency"]
    assert run.summary.ms() < 1e3


def test_a_graph_gives_the_same_bits(engine):
    mel = vocoders.speech_like_mel(vocoders.create("hifigan-small").config.mel, 60).numpy()
    with bound.Bound(engine, mel.shape, mel=mel) as held:
        held.enqueue()
        held.synchronize()
        expected = held.output.cpu().numpy().copy()
        assert np.isfinite(expected).all() and expected.std() > 0
        assert held.capture()
        held.output.zero_()
        torch.cuda.synchronize()
        held.enqueue()
        held.synchronize()
        assert np.array_equal(held.output.cpu().numpy(), expected)


def test_two_streams_at_once(engine, monkeypatch):
    enqueue = bound.Bound.enqueue

    def enqueue_long(self):
        with torch.cuda.stream(self.stream):
            torch.cuda._sleep(20_000_000)  # cycles: some 10 ms in which the host goes on
        enqueue(self)

    monkeypatch.setattr(bound.Bound, "enqueue", enqueue_long)
    options = timing.TimingOptions(
        True, False, False, warm_up_ms=20, iterations=20, seconds=0.1, streams=2
    )
    found, _ = timing.measure(engine, (1, 80, 50), options)
    timed = traces.after_warm_up(found, 20)
    assert len(timed) >= 40
    begins = sorted(t.compute for t in timed)
    assert any(b[0] < a[1] for a, b in zip(begins, begins[1:], strict=False))  # they overlap


def test_the_inspector_shows_what_became_of_the_nodes(engine):
    found = inspect.layers(engine)
    assert found.detailed and len(found) > 10
    assert [tensor["name"] for tensor in found.io] == [engine.input, engine.output]
    assert "FP16" in " ".join(found.precisions())
    assert found.precisions().get("?", 0) < len(found) / 5  # shapes are known, so are the formats
    convolution = found.fused("conv_post/Conv")
    assert "Conv" in " ".join(convolution["nodes"])
    assert max(len(row["nodes"]) for row in found.rows) > 1  # something was fused


def test_layer_times_belong_to_layers_and_draw(engine):
    mel = vocoders.speech_like_mel(vocoders.create("hifigan-small").config.mel, 100).numpy()
    times = inspect.layer_times(engine, mel, runs=5)
    found = inspect.layers(engine)
    known = {row["name"] for row in found.rows}
    assert sum(ms for name, ms in times.items() if name in known) > 0.9 * sum(times.values())
    picture = inspect.picture(found, times, by="kind")
    assert len(picture.axes[0].patches) == len(found)


def test_failures_are_one_line(built, folder):
    assert built.passed, built.text
    for arguments, words in (
        ([f"--loadEngine={folder / 'fp16.plan'}", "--shapes=mel:1x80x4000"], "4000 frames"),
        ([f"--loadEngine={folder / 'fp32.onnx'}"], "can not be loaded"),
        ([f"--onnx={folder / 'cache'}", "--shapes=mel:1x80x20"], "no such file"),
    ):
        run = trtexec.run(arguments, real=False)
        assert run.status == 1 and len(run.summary.errors) >= 1
        assert words in run.summary.errors[-1]


def test_the_table_of_names_holds_for_the_installed_tensorrt():
    import tensorrt

    column = {8: "8.6", 9: "10", 10: "10"}.get(versions.version()[0], "11")
    there = {row["looked for"]: row["there"] for row in names.installed(tensorrt)}
    for row in names.table().rows:
        answers = [there[place] for place in row["looked for"].split(", ")]
        expected = "yes" if all(answers) else "only" if any(answers) else "no"
        if "Dims.volume" in row["looked for"] or len(answers) == 1:
            assert row[column].startswith(expected), row
