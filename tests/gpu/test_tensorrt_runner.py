"""TensorRT engines on torch's memory: the sound of PyTorch, graphs, and memory that comes back."""

import gc
import threading

import numpy as np
import pytest
import torch
from tiny_vocoders import tiny

from labutils import benchmark, environment, metrics, onnx_export, trt, vocoders
from labutils.runners import MelError, RunnerError, TensorRTRunner, TorchRunner
from labutils.runners.tf32 import tf32

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not environment.has("tensorrt"), reason="needs TensorRT"),
]

SHAPES = [(1, 16), (1, 100), (4, 400), (2, 37), (1, 100), (3, 400)]  # (batch, frames)
MEGABYTE = 1 << 20


def mel_of(model, frames, batch=1, seed=0):
    return vocoders.speech_like_mel(model.config.mel, frames, batch=batch, seed=seed).numpy()


@pytest.fixture(scope="module")
def engines(small_engine_fp32, small_engine_fp16):
    """The two engines, loaded once for this file."""
    with (
        trt.load_engine(small_engine_fp32) as fp32,
        trt.load_engine(small_engine_fp16) as fp16,
    ):
        yield {"FP32": fp32, "FP16": fp16}


@pytest.fixture(scope="module")
def expected(small_vocoder):
    """`expected(mel)`: audio by PyTorch in FP32 without TF32."""
    with TorchRunner(small_vocoder, device="cuda") as runner:

        def infer(mel):
            with tf32(False):
                return runner.infer(mel)

        yield infer


def free_memory():
    """Bytes free on the GPU, torch's cache given back first."""
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    return torch.cuda.mem_get_info()[0]


@pytest.mark.parametrize(("precision", "least"), [("FP32", 80), ("FP16", 45)])
@pytest.mark.parametrize("graph", [False, True], ids=["launches", "graph"])
def test_the_sound_of_pytorch_at_every_shape(
    engines, expected, small_vocoder, precision, least, graph
):
    with TensorRTRunner(engines[precision], small_vocoder.config, graph=graph) as runner:
        for seed, (batch, frames) in enumerate(SHAPES):
            mel = mel_of(small_vocoder, frames, batch, seed)
            audio = runner.infer(mel)
            assert audio.shape == (batch, frames * small_vocoder.config.hop_length)
            snr = metrics.snr_db(expected(mel).ravel(), audio.ravel())
            assert snr > least, (batch, frames, snr)


def test_a_graph_gives_the_bits_of_the_plain_run_for_every_shape_and_input(engines, small_vocoder):
    config = small_vocoder.config
    with (
        TensorRTRunner(engines["FP16"], config) as plain,
        TensorRTRunner(engines["FP16"], config, graph=True) as graph,
    ):
        for turn in range(2):  # the second time every graph is there
            for batch, frames in SHAPES:
                mel = mel_of(small_vocoder, frames, batch, seed=turn)
                np.testing.assert_array_equal(graph.infer(mel), plain.infer(mel))
        assert set(graph.shapes) == set(SHAPES)


def test_few_graphs_are_kept_and_all_are_right(engines, small_vocoder):
    config = small_vocoder.config
    with (
        TensorRTRunner(engines["FP16"], config) as plain,
        TensorRTRunner(engines["FP16"], config, graph=True, max_graphs=2) as graph,
    ):
        for frames in (20, 30, 20, 40, 20, 30):
            mel = mel_of(small_vocoder, frames, seed=frames)
            np.testing.assert_array_equal(graph.infer(mel), plain.infer(mel))
            assert len(graph.shapes) <= 2


def test_zero_copy_from_a_tensor_on_any_stream(engines, small_vocoder):
    with TensorRTRunner(engines["FP32"], small_vocoder.config) as runner:
        mel = mel_of(small_vocoder, 50, batch=2)
        host = runner.infer(mel)
        tensor = torch.from_numpy(mel).cuda()
        np.testing.assert_array_equal(runner.launch(tensor)[:, 0].cpu().numpy(), host)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            doubled = runner.launch(tensor) * 2  # in the same stream: after the launch
        stream.synchronize()
        np.testing.assert_array_equal(doubled[:, 0].cpu().numpy(), host * 2)
        # A slice that starts at no multiple of 256 bytes.
        one = mel_of(small_vocoder, 37, batch=3)
        part = torch.from_numpy(one).cuda()[1:2]
        expected = runner.infer(one[1:2])
        np.testing.assert_array_equal(runner.launch(part)[:, 0].cpu().numpy(), expected)


def test_the_prepared_call_is_timed_by_events_and_does_not_wait(engines, small_vocoder):
    config, mel = small_vocoder.config, mel_of(small_vocoder, 100)
    for graph in (False, True):
        with TensorRTRunner(engines["FP16"], config, graph=graph) as runner:
            timing = benchmark.measure(runner, mel, warmup=3, runs=5)
            assert timing.clock == "CUDA events" and timing.median_ms > 0


def test_outside_the_profile_is_refused_with_its_range(engines, small_vocoder):
    with TensorRTRunner(engines["FP32"], small_vocoder.config) as runner:
        for batch, frames in ((1, 15), (1, 401), (5, 100)):
            with pytest.raises(MelError, match="1 to 4 .*16 to 400"):
                runner.infer(mel_of(small_vocoder, frames, batch))
        nan = mel_of(small_vocoder, 20)
        nan[0, 3, 7] = np.nan
        with pytest.raises(MelError, match="nan at batch 0, band 3, frame 7"):
            runner.infer(nan)
        assert np.isfinite(runner.infer(mel_of(small_vocoder, 20))).all()  # and it still works


@pytest.mark.parametrize("graph", [False, True], ids=["launches", "graph"])
def test_after_an_exception_in_a_cell_a_new_runner_works(engines, small_vocoder, graph):
    config, mel = small_vocoder.config, mel_of(small_vocoder, 64)
    with TensorRTRunner(engines["FP16"], config, graph=graph) as runner:
        before = runner.infer(mel)
    with (
        pytest.raises(ZeroDivisionError),
        TensorRTRunner(engines["FP16"], config, graph=graph) as broken,
    ):
        broken.prepare(mel)()  # work is in flight
        raise ZeroDivisionError
    assert broken.closed
    forgotten = TensorRTRunner(engines["FP16"], config, graph=graph)
    forgotten.prepare(mel)()
    del forgotten  # without close
    with TensorRTRunner(engines["FP16"], config, graph=graph) as runner:
        np.testing.assert_array_equal(runner.infer(mel), before)


def test_a_capture_that_was_broken_off_does_no_harm(engines, small_vocoder):
    config, mel = small_vocoder.config, mel_of(small_vocoder, 48)
    with TensorRTRunner(engines["FP16"], config, graph=True) as runner:
        execute, calls = runner._execute, []

        def broken(*arguments):
            calls.append(arguments)
            if len(calls) == 4:  # three warm-up launches, then the captured one
                raise RuntimeError("broken off")
            return execute(*arguments)

        runner._execute = broken
        with pytest.raises(RunnerError, match="broken off.*use graph=False"):
            runner.infer(mel)
        del runner._execute
        assert runner.shapes == []
        got = runner.infer(mel)
    with TensorRTRunner(engines["FP16"], config) as plain:
        np.testing.assert_array_equal(got, plain.infer(mel))


@pytest.mark.alone
def test_close_gives_the_memory_back(small_engine_fp32, small_vocoder):
    config = small_vocoder.config

    def use(graph, forget):
        runner = TensorRTRunner(small_engine_fp32, config, graph=graph)
        for frames in (40, 400):
            runner.infer(mel_of(small_vocoder, frames, batch=4))
        held = free_memory()
        if not forget:
            runner.close()
        return held

    use(False, False)  # libraries load
    use(True, False)
    before = free_memory()
    for graph in (False, True):
        for forget in (False, True):
            held = use(graph, forget)
            assert before - held > 4 * MEGABYTE, "the runner holds nothing: the test is blind"
            assert before - free_memory() < 4 * MEGABYTE, f"graph {graph}, forgotten {forget}"


@pytest.mark.alone
@pytest.mark.parametrize("graph", [False, True], ids=["launches", "graph"])
def test_two_hundred_inferences_take_no_more_memory(engines, small_vocoder, graph):
    mels = [mel_of(small_vocoder, frames, batch) for batch, frames in ((1, 100), (4, 400), (2, 33))]
    with TensorRTRunner(engines["FP16"], small_vocoder.config, graph=graph) as runner:
        for mel in mels * 3:
            runner.infer(mel)
        before = free_memory()
        for i in range(200):
            runner.infer(mels[i % 3])
        assert before - free_memory() < 2 * MEGABYTE


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    """A vocoder of few channels, whose engines build in seconds, and its ONNX file."""
    model = tiny("hifigan-small")
    path = tmp_path_factory.mktemp("miniature") / "miniature.onnx"
    onnx_export.export(model, path)
    return model, path


def test_several_profiles_each_with_its_own_context(build_small, miniature):
    model, path = miniature
    profiles = (trt.Profile((16, 32, 64), (1, 1, 4)), trt.Profile((32, 200, 300), (1, 1, 2)))
    built = build_small(path, profiles=profiles)
    shapes = [(4, 64), (1, 300), (1, 20), (2, 200), (1, 40)]
    with tf32(False), TorchRunner(model, device="cuda") as reference:
        for graph in (False, True):
            with TensorRTRunner(built, model.config, graph=graph) as runner:
                assert (runner.max_frames, runner.max_batch) == (300, 4)
                for batch, frames in shapes:
                    mel = mel_of(model, frames, batch)
                    snr = metrics.snr_db(reference.infer(mel).ravel(), runner.infer(mel).ravel())
                    assert snr > 80, (graph, batch, frames, snr)
                with pytest.raises(MelError, match="16 to 64 .*32 to 300"):
                    runner.infer(mel_of(model, 100, batch=3))


def test_half_precision_mel_and_audio(build_small, miniature):
    model, path = miniature
    half = onnx_export.to_fp16(path, path.with_name("half.onnx"), exclude=(), keep_io=False)
    built = build_small(half, profiles=(trt.Profile((16, 64, 128)),))
    mel = mel_of(model, 64)
    with (
        tf32(False),
        TorchRunner(model, device="cuda") as reference,
        TensorRTRunner(built, model.config) as runner,
    ):
        audio = runner.infer(mel)
        assert audio.dtype == np.float32
        assert runner.launch(torch.from_numpy(mel).cuda().half()).dtype == torch.float16
        with pytest.raises(MelError, match="contiguous mel of torch.float16"):
            runner.launch(torch.from_numpy(mel).cuda())
        assert metrics.snr_db(reference.infer(mel).ravel(), audio.ravel()) > 40


def test_two_runners_on_one_engine_in_two_threads(engines, small_vocoder):
    config = small_vocoder.config
    mels = [mel_of(small_vocoder, 100, seed=seed) for seed in (1, 2)]
    with (
        TensorRTRunner(engines["FP32"], config) as one,
        TensorRTRunner(engines["FP32"], config) as two,
    ):
        right = [one.infer(mel) for mel in mels]
        two.infer(mels[0])  # each has its context, made in this thread
        failed = []

        def work(runner, mel, audio):
            with torch.cuda.stream(torch.cuda.Stream()):
                try:
                    for _ in range(20):
                        np.testing.assert_array_equal(runner.infer(mel), audio)
                except Exception as error:
                    failed.append(error)

        jobs = zip((one, two), mels, right, strict=True)
        threads = [threading.Thread(target=work, args=job) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failed == []
