"""Variants of one network, their rows, the choice of the baseline, layouts and graph runners."""

import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from tiny_config import TinyConfig, make_mel
from torch import nn

from labutils import baseline, records, vocoders
from labutils.baseline import layouts, pictures, trials, variants
from labutils.baseline.variants import Variant
from labutils.runners import CompiledRunner, GraphRunner, RunnerError, torch_graph


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.config = TinyConfig()
        self.up = nn.ConvTranspose1d(5, 1, 8, stride=4, padding=2)
        self.weights = "random, seed 0"

    def forward(self, mel):
        return torch.tanh(self.up(mel))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Tiny().eval()


def switches():
    backends = torch.backends
    return backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32, backends.cudnn.benchmark


# Layouts


@pytest.mark.parametrize("name", ["melgan", "hifigan-v2", "hifigan-v3", "bigvgan-small"])
@torch.inference_mode()
def test_channels_last_computes_the_same(name):
    model = vocoders.create(name, seed=3)
    mel = vocoders.speech_like_mel(model.config.mel, 9, batch=2)
    twin = layouts.channels_last(model)
    expected = model(mel)
    torch.testing.assert_close(twin(mel), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    assert twin.config is model.config and not twin.training
    kinds = {type(m).__name__ for m in twin.modules()}
    assert not kinds & {"Conv1d", "ConvTranspose1d", "ReflectionPad1d", "AntiAliasedSnake"}


def test_channels_last_keeps_signals_in_that_layout():
    model = vocoders.create("hifigan-v2")
    twin, layers = layouts.channels_last(model), []
    for layer in twin.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda m, a, out: layers.append(out))
    with torch.inference_mode():
        twin(vocoders.speech_like_mel(model.config.mel, 6))
    wide = [out for out in layers if out.shape[1] > 1]
    assert wide and all(out.stride(1) == 1 for out in wide)


def test_channels_last_refuses_weight_norm():
    with pytest.raises(ValueError, match="fold the weight norm first"):
        layouts.channels_last(vocoders.create("hifigan-v3", weight_norm=True))


# Graph and compiled runners


class Recorder:
    """Stands in for capture_graph: the replay runs the network eagerly on the fixed input."""

    def __init__(self):
        self.captured, self.replays = [], 0

    def __call__(self, forward, mel, pool):
        audio = forward(mel).clone()
        self.captured.append((tuple(mel.shape), pool))

        def replay():
            self.replays += 1
            audio.copy_(forward(mel))

        return torch_graph.Captured(mel, audio, replay, pool or "the pool")


@pytest.fixture
def recorder():
    return Recorder()


def graph_runner(model, recorder, **more):
    return GraphRunner(model, device="cpu", dtype="float32", capture=recorder, **more)


def test_a_graph_per_shape_in_one_pool(model, recorder):
    with graph_runner(model, recorder) as runner:
        for batch, frames in ((1, 7), (2, 7), (1, 7), (2, 9)):
            mel = make_mel(batch, frames=frames, seed=frames)
            with torch.inference_mode():
                expected = model(torch.from_numpy(mel))[:, 0].numpy()
            np.testing.assert_array_equal(runner.infer(mel), expected)
        assert [shape for shape, _ in recorder.captured] == [(1, 5, 7), (2, 5, 7), (2, 5, 9)]
        assert [pool for _, pool in recorder.captured] == [None, "the pool", "the pool"]
        assert runner.shapes == [(2, 7), (1, 7), (2, 9)]
        assert "CUDA graph" in runner.name


def test_the_graph_not_used_for_longest_goes(model, recorder):
    with graph_runner(model, recorder, max_graphs=2) as runner:
        for frames in (4, 5, 4, 6):
            runner.infer(make_mel(frames=frames))
        assert runner.shapes == [(1, 4), (1, 6)]


def test_prepared_calls_of_one_shape_do_not_mix_their_inputs(model, recorder):
    first, second = make_mel(seed=1), make_mel(seed=2)
    with graph_runner(model, recorder) as runner:
        expected = [runner.infer(first), runner.infer(second)]
        calls = [runner.prepare(first), runner.prepare(second)]
        for index in (0, 1, 1, 0):
            np.testing.assert_array_equal(calls[index]()[:, 0].numpy(), expected[index])
        before = recorder.replays
        calls[0]()
        assert recorder.replays == before + 1 and len(recorder.captured) == 1


def test_a_closed_graph_runner_refuses(model, recorder):
    runner = graph_runner(model, recorder)
    launch = runner.prepare(make_mel())
    runner.close()
    with pytest.raises(RunnerError, match="closed"):
        launch()
    assert runner.shapes == []


def test_bad_construction(model):
    with pytest.raises(RunnerError, match="CUDA graphs need an NVIDIA GPU"):
        GraphRunner(model, device="cpu")
    with pytest.raises(ValueError, match='mode "fast" is not one of default'):
        CompiledRunner(model, mode="fast")
    with pytest.raises(ValueError, match="keep 1 or more"):
        GraphRunner(model, device="cpu", max_graphs=0, capture=lambda *a: None)


def test_without_a_mode_nothing_is_compiled(model):
    with CompiledRunner(model, mode=None) as runner:
        assert type(runner._model) is Tiny and "compiled" not in runner.name


# Variants


def test_switches_are_set_and_restored():
    before = switches()
    with pytest.raises(ZeroDivisionError), variants.backends(tf32=False):
        assert switches() == (False, False, True)
        with variants.backends(tf32=True, cudnn_benchmark=False):
            assert switches() == (True, True, False)
        assert switches() == (False, False, True)
        raise ZeroDivisionError
    assert switches() == before


def test_switches_are_restored_after_the_new_way_of_setting_them():
    """torch refuses to read the old switches then; a program that uses both must still run."""
    code = """
import torch
from labutils.baseline import variants
torch.backends.cudnn.conv.fp32_precision = "ieee"
torch.backends.cuda.matmul.fp32_precision = "tf32"
with variants.backends(tf32=True):
    assert torch.backends.cudnn.allow_tf32 and torch.backends.cuda.matmul.allow_tf32
assert not torch.backends.cudnn.allow_tf32 and torch.backends.cuda.matmul.allow_tf32
"""
    if not hasattr(torch.backends.cudnn, "conv"):
        pytest.skip("this torch has the old switches only")
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("way", [v for v in variants.CPU if not v.compile], ids=lambda v: v.name)
def test_every_variant_that_compiles_nothing(model, way):
    mel = make_mel(2, frames=11)
    with torch.inference_mode():
        reference = model(torch.from_numpy(mel))[:, 0].numpy()
    before = switches()
    row, audio = variants.measure(
        model, way, mel, device="cpu", reference=reference, runs=3, max_seconds=0.1
    )
    assert switches() == before
    assert audio.shape == reference.shape
    assert row["same_bits"] or row["snr_db"] > (20 if "BF16" in way.name else 100)
    assert (row["variant"], row["batch"], row["frames"], row["runs"]) == (way.name, 2, 11, 3)
    assert row["compile_seconds"] is None and 0 < row["first_call_seconds"]
    assert row["tflops"] > 0 and row["gb_per_s"] > 0
    assert row["times_real_time"] == pytest.approx(2 * 44 / 100 / (row["median_ms"] / 1e3))


def test_variants_build_what_their_names_say():
    for way in (*variants.GPU, *variants.CPU):
        assert ("FP16" in way.name) == ("float16" in (way.dtype, way.autocast)), way
        assert ("BF16" in way.name) == ("bfloat16" in (way.dtype, way.autocast)), way
        assert ("TF32" in way.name) == way.tf32, way
        assert ("graph" in way.name) == way.graph, way
        assert ("channels last" in way.name) == way.channels_last, way
        assert ("compile" in way.name or "max-autotune" in way.name) == bool(way.compile), way
    assert variants.GPU[0].name == variants.CPU[0].name == "FP32"


def test_a_missing_compiler_is_said(monkeypatch):
    monkeypatch.setattr(variants.shutil, "which", lambda name: None)
    assert "needs a C++ compiler" in variants.compiler_missing("cpu")
    monkeypatch.setattr(variants.shutil, "which", lambda name: f"/bin/{name}")
    assert variants.compiler_missing("cpu") is None


# Rows and the choice


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


def row(variant, ms, snr, batch=1, **more):
    return {
        "variant": variant, "batch": batch, "median_ms": ms, "snr_db": snr, "same_bits": False,
        "times_real_time": 1000 / ms,
    } | more  # fmt: skip


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


@pytest.fixture
def experiment(model, tmp_path, monkeypatch):
    """The experiment on the processor with a tiny network, and a folder of records of its own."""
    monkeypatch.setattr(records, "RECORDS", tmp_path)
    monkeypatch.setattr(variants, "GPU", (Variant("FP32"), Variant("BF16", "bfloat16")))
    monkeypatch.setattr(vocoders, "create", lambda name: model)
    monkeypatch.setattr(baseline, "FRAMES", {"melgan": 7})
    model.config.__dict__["mel"] = vocoders.preset("melgan").mel
    monkeypatch.setattr(
        vocoders, "speech_like_mel", lambda mel, f, batch: torch.from_numpy(make_mel(batch, f))
    )
    on_cpu = trials.rows
    monkeypatch.setattr(trials, "rows", lambda *a, device, **k: on_cpu(
        *a, device="cpu", **k, runs=3, max_seconds=0.1))  # fmt: skip
    made = records.Experiment(baseline.measured.__wrapped__, "03-baseline")
    monkeypatch.setattr(baseline, "measured", made)
    return made


def test_the_record_holds_rows_and_baselines_and_is_read_again(experiment, tmp_path):
    done = experiment.measure(vocoder="melgan", save=tmp_path)
    assert done["complete"] and [r["batch"] for r in done["rows"]] == [1, 8, 1, 8]
    assert done["weights"] == "random, seed 0"
    for batch in (1, 8):
        assert baseline.of("melgan", batch) == baseline.best(done["rows"], batch)
    assert baseline.of("hifigan-v1") == {}
    path = baseline.picture(["melgan", "hifigan-v1"], [1, 8], tmp_path / "bars.png").save(
        tmp_path / "again.png"
    )
    assert path.stat().st_size > 10_000 and (tmp_path / "bars.png").exists()


def test_the_command_writes_the_record(experiment, tmp_path, monkeypatch):
    monkeypatch.setenv(baseline.SECONDS, "1")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    arguments = ["--vocoder", "melgan", "--save", str(tmp_path), "--seconds", "30"]
    assert baseline.main(arguments) == 0
    (path,) = tmp_path.glob("*.json")
    assert path.name.startswith("03-baseline--vocoder=melgan.")
    assert baseline.main([*arguments[:-1], "0"]) == 1


def test_the_command_without_a_gpu_says_so(tmp_path, caplog, monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.setenv(baseline.SECONDS, "1")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    assert baseline.main(["--vocoder", "melgan", "--save", str(tmp_path)]) == 1
    assert "needs cuda" in caplog.text and list(tmp_path.iterdir()) == []


def test_a_record_made_by_the_command_is_not_stale_in_a_notebook():
    """Functions of a module that runs as a command are called __main__: none may be covered."""
    covered = set(baseline.measured.source["covers"])
    assert {
        "labutils.baseline.variants",
        "labutils.baseline.trials",
        "labutils.baseline.layouts",
    } < covered
    assert all(name.startswith("labutils.") for name in covered)
    assert "labutils.baseline" not in covered


# Tables and pictures made of the records


def made_up_rows():
    return [
        row("FP32", 20.0, None),
        row("TF32", 10.0, 70.0, compile_seconds=None),
        row("FP16", 5.0, 60.0),
        row("FP16, graph", 4.0, 60.0),
        {"variant": "FP16, compile, graph", "batch": 1, "error": "not measured: time"},
        row("FP32", 160.0, None, batch=8),
    ]


@pytest.fixture
def one_record(monkeypatch):
    """A record of MelGAN and of no other vocoder."""
    rows = made_up_rows()
    data = {"rows": rows, "baseline": {"1": baseline.best(rows, 1), "8": baseline.best(rows, 8)}}

    class Shown:
        @staticmethod
        def recorded(vocoder):
            if vocoder == "melgan":
                return records.Measurement("03-baseline", "recorded on a GPU", data, recorded=True)
            return records.Measurement("03-baseline", f"no {vocoder}", available=False)

    monkeypatch.setattr(baseline, "measured", Shown)


def test_tables_of_the_records(one_record):
    (line,) = baseline.summary(batch=1)
    assert line["vocoder"] == "melgan" and line["times faster"] == 5.0
    assert line["the baseline is"] == "FP16, graph"
    assert list(baseline.recorded_rows("melgan", 8)) == ["FP32"]
    assert baseline.recorded_rows("hifigan-v1") == {}
    (line,) = baseline.compare("FP32", "TF32", "FP16")
    assert line == {
        "vocoder": "melgan", "FP32 (ms)": 20.0, "TF32 (ms)": 10.0, "FP16 (ms)": 5.0,
        "FP32 to FP16: times faster": 4.0,
    }  # fmt: skip
    (line,) = baseline.compare("FP16, compile, graph", "FP16")
    assert line["FP16, compile, graph (ms)"] is None
    assert line["FP16, compile, graph to FP16: times faster"] is None
    with pytest.raises(ValueError, match="no variant fp16; there are: FP32; TF32"):
        baseline.compare("FP32", "fp16")
    with pytest.raises(ValueError, match='no figure "median"; there are: .*median_ms'):
        baseline.compare("FP32", key="median")
    (line,) = baseline.compare("TF32", key="compile_seconds")
    assert line == {"vocoder": "melgan", "TF32 (s)": None}
    (line,) = baseline.steps(batch=1)
    assert (line["FP32 to TF32"], line["to FP16"], line["graph"]) == (2.0, 2.0, 1.25)
    assert line["compile"] is line["channels last"] is None
    assert baseline.caption(["melgan"]) == "recorded on a GPU"
    assert baseline.caption(["melgan", "melgan", "hifigan-v1"]).count("\n") == 1


def texts(drawn):
    return [text.get_text() for ax in drawn.axes for text in ax.texts]


def test_the_bars_say_what_was_not_measured_and_mark_the_baseline(one_record):
    drawn = baseline.picture(["melgan", "hifigan-v1"])
    assert texts(drawn).count("no record yet") == 1
    assert {"250 (baseline)", "not measured", "200"} <= set(texts(drawn))
    assert "FP16, graph" in drawn.alt


def test_noisy_variants_are_marked_with_their_snr():
    rows = [row("FP32", 20.0, None), row("BF16", 4.0, 31.0)]
    drawn = pictures.variants_picture({"a": (rows, "FP32")}, minimum_snr=40)
    assert any("31 dB" in text for text in texts(drawn))
    assert not any("31 dB" in t for t in texts(pictures.variants_picture({"a": (rows, None)})))


def test_pictures_leave_out_rows_that_failed():
    failed = {"error": "out of memory"}
    launches = [
        {"frames": 8, "eager_ms": 2.0, "graph_ms": 0.5, "host_ms": 1.9},
        {"frames": 16, **failed},
    ]
    (ax,) = pictures.launch_picture(launches).axes
    assert [len(line.get_xdata()) for line in ax.lines] == [1, 1, 1]
    calls = [
        {"frames": 9, "search": False, "first_ms": 2.0, "later_ms": 1.0},
        {"frames": 10, "search": True, **failed},
    ]
    (ax,) = pictures.first_calls_picture(calls).axes
    assert sorted(len(line.get_xdata()) for line in ax.lines) == [0, 0, 1, 1]
    batches = [{"batch": b, "eager_ms": ms} for b, ms in ((1, 10.0), (2, 16.0))]
    batches.append({"batch": 4, **failed})
    speed, wait = pictures.batch_picture(batches, 2.0).axes
    assert list(speed.lines[0].get_ydata()) == [200.0, 250.0]
    assert list(wait.lines[0].get_ydata()) == [10.0, 16.0]


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
