"""ONNX Runtime behind the runners' interface: agreement with PyTorch, refusals, fixed shapes."""

import numpy as np
import onnx
import pytest
from tiny_vocoders import tiny

from labutils import vocoders
from labutils.onnx_export import export, files, mend, to_fp16
from labutils.runners import MelError, OnnxRunner, Runner, RunnerError, TorchRunner

pytestmark = pytest.mark.xdist_group("onnx-runner")


@pytest.fixture(scope="module")
def model():
    return tiny("hifigan-v2")


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    return export(model, tmp_path_factory.mktemp("onnx") / "tiny.onnx", exporter="legacy").path


def make_mel(model, batch=1, frames=20, seed=0):
    return vocoders.speech_like_mel(model.config.mel, frames, batch=batch, seed=seed).numpy()


@pytest.mark.parametrize("family", ["melgan", "hifigan-v3", "bigvgan-base-24khz"])
def test_runners_agree_within_a_ten_thousandth_of_the_peak(family, tmp_path):
    model = tiny(family)
    made = export(model, tmp_path / "tiny.onnx", exporter="legacy")
    with TorchRunner(model) as torch_runner, OnnxRunner(made.path, threads=1) as onnx_runner:
        for batch, frames in ((1, 4), (3, 29)):
            mel = make_mel(model, batch, frames)
            expected, got = torch_runner.infer(mel), onnx_runner.infer(mel)
            assert got.shape == (batch, 8 * frames) and got.dtype == np.float32
            assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()


def test_the_configuration_comes_from_the_file(model, path):
    with OnnxRunner(path, threads=1) as runner:
        assert runner.config == model.config and isinstance(runner, Runner)
        assert runner.device == "cpu" and runner.threads == 1
        assert runner.name == "hifigan, ONNX Runtime on cpu, 1 thread"
    assert OnnxRunner(path, name="mine").name == "mine"


def test_what_a_benchmark_times_gives_the_same_audio(model, path):
    mel = make_mel(model, 2)
    with OnnxRunner(path, threads=2) as runner:
        launch = runner.prepare(mel)
        runner.synchronize()
        for _ in range(2):
            np.testing.assert_array_equal(launch()[0].numpy()[:, 0], runner.infer(mel))
    with pytest.raises(RunnerError, match="closed"):
        launch()
    with pytest.raises(RunnerError, match="closed"):
        runner.infer(mel)
    runner.close()


def test_without_its_optimiser(model, path):
    mel = make_mel(model)
    with OnnxRunner(path, optimise=False) as plain, OnnxRunner(path) as optimised:
        np.testing.assert_allclose(plain.infer(mel), optimised.infer(mel), atol=1e-5)


@pytest.mark.parametrize("keep_io", [True, False])
def test_half_precision_files_take_and_give_float32(model, path, keep_io, tmp_path):
    mel = make_mel(model, 2)
    half = to_fp16(path, tmp_path / "half.onnx", keep_io=keep_io)
    with OnnxRunner(half) as runner, TorchRunner(model) as reference:
        expected = reference.infer(mel)
        audio = runner.infer(mel)
        assert audio.dtype == np.float32
        assert 0 < np.abs(audio - expected).max() < 0.02 * np.abs(expected).max()
        runner.prepare(mel)()


def test_bad_mels_are_refused_by_name(model, path):
    with OnnxRunner(path) as runner:
        with pytest.raises(MelError, match="expected 10 mel bands, got 80"):
            runner.infer(np.zeros((1, 80, 20), np.float32))
        with pytest.raises(MelError, match="nan at batch 0, band 1, frame 2"):
            mel = make_mel(model)
            mel[0, 1, 2] = np.nan
            runner.prepare(mel)


def test_a_file_of_one_length_says_so(model, path, tmp_path):
    fixed = files.read(path)
    mend.name_dimensions(fixed.graph.input[0], (1, 10, 20))
    file = files.write(fixed, tmp_path / "fixed.onnx")
    with OnnxRunner(file) as runner:
        assert runner.infer(make_mel(model)).shape == (1, 160)
        with pytest.raises(MelError, match="fixed.onnx was exported for frames 20 only, got 21"):
            runner.infer(make_mel(model, frames=21))
        with pytest.raises(MelError, match="exported for batch 1 only, got 2"):
            runner.prepare(make_mel(model, batch=2))


def test_a_graph_that_fails_while_it_runs(model, path, tmp_path):
    class Longer:
        n_mels, hop_length, min_frames = 10, 16, 1

        def output_length(self, frames):
            return 16 * frames

    with OnnxRunner(path, Longer()) as runner, pytest.raises(RunnerError, match="expected .1, 320"):
        runner.infer(make_mel(model))
    broken = files.read(path)
    reshape = onnx.helper.make_node("Reshape", ["before", "shape"], ["audio"])
    broken.graph.node[-1].output[0] = "before"
    broken.graph.node.append(reshape)
    shape = onnx.numpy_helper.from_array(np.array([1, 1, 168]), "shape")
    broken.graph.initializer.append(shape)
    file = files.write(broken, tmp_path / "broken.onnx")
    with OnnxRunner(file) as runner, pytest.raises(RunnerError, match="Reshape"):
        runner.infer(make_mel(model))


def test_files_that_are_no_vocoder(model, path, tmp_path):
    with pytest.raises(RunnerError, match="no ONNX file at"):
        OnnxRunner(tmp_path / "none.onnx")
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(RunnerError, match="ONNX Runtime cannot load damaged.onnx: [^\n]*$"):
        OnnxRunner(damaged)
    with pytest.raises(RunnerError, match=r"takes .*10.*, but the configuration has 80 mel bands"):
        OnnxRunner(path, vocoders.preset("hifigan-v2"))
    bare = files.read(path)
    del bare.metadata_props[:]
    file = files.write(bare, tmp_path / "bare.onnx")
    with pytest.raises(RunnerError, match="bare.onnx does not carry its configuration"):
        OnnxRunner(file)
    with OnnxRunner(file, model.config) as runner:
        assert runner.infer(make_mel(model)).shape == (1, 160)
    two = files.read(path)
    two.graph.output.append(onnx.helper.make_tensor_value_info("other", 1, None))
    two.graph.node.append(onnx.helper.make_node("Identity", ["mel"], ["other"]))
    onnx.save(two, tmp_path / "two.onnx")
    with pytest.raises(RunnerError, match="two.onnx is no vocoder, it maps mel"):
        OnnxRunner(tmp_path / "two.onnx")


def test_bad_settings(path):
    with pytest.raises(RunnerError, match="NoSuchProvider is not in this ONNX Runtime, which has"):
        OnnxRunner(path, providers=["NoSuchProvider"])
    with pytest.raises(ValueError, match="threads: 1 or more, not 0"):
        OnnxRunner(path, threads=0)
