"""Runners of TensorRT engines on a fake GPU: profiles, memory, order of calls, life and death."""

import gc
import weakref

import numpy as np
import pytest
import torch
from fake_gpu import FakeEngine, expected_audio
from runner_parts import CONFIG, TWO, FakeStream, aligned, install_gpu
from tiny_config import make_mel

from labutils import cuda
from labutils.runners import MelError, PycudaRunner, RunnerError, TensorRTRunner


@pytest.fixture
def gpu(monkeypatch):
    return install_gpu(monkeypatch)


@pytest.fixture(params=["torch", "torch graph", "pycuda", "pycuda pageable"])
def make_runner(gpu, request):
    """`make_runner(engine)`: a runner of each kind on the fake GPU."""
    if request.param.startswith("pycuda"):
        return lambda engine: PycudaRunner(engine, CONFIG, pinned=request.param == "pycuda")
    graph = request.param == "torch graph"
    return lambda engine: TensorRTRunner(engine, CONFIG, graph=graph, capture=gpu.capture)


SHAPES = [(1, 7), (2, 20), (1, 7), (3, 2), (1, 8), (2, 20)]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_every_shape_in_turn(gpu, make_runner, dtype):
    with make_runner(gpu.engine(TWO, dtype=dtype)) as runner:
        for seed, (batch, frames) in enumerate(SHAPES):
            mel = make_mel(batch, frames, seed=seed)
            expected = expected_audio(mel.astype(dtype), 4)
            first, again = runner.infer(mel), runner.infer(mel)
            assert first.dtype == np.float32 and first.shape == (batch, 4 * frames)
            np.testing.assert_allclose(first, expected, atol=2e-3 if dtype == np.float16 else 0)
            np.testing.assert_array_equal(first, again)
    assert gpu.driver.leaked == []


def test_a_result_is_the_callers_own(gpu, make_runner):
    with make_runner(gpu.engine()) as runner:
        first = runner.infer(make_mel(seed=1))
        copy = first.copy()
        runner.infer(make_mel(seed=2))
    np.testing.assert_array_equal(first, copy)


def test_the_narrowest_profile_serves_and_contexts_are_made_once(gpu):
    engine = gpu.engine(TWO)
    with TensorRTRunner(engine, CONFIG) as runner:
        assert (runner.max_frames, runner.max_batch) == (20, 4)
        for batch, frames in ((1, 7), (1, 8), (1, 9), (4, 8), (2, 20)):
            runner.infer(make_mel(batch, frames))
        assert [context.profile for context in engine.contexts] == [0, 1]
        scratch = {context.device_memory for context in engine.contexts}
        assert len(scratch) == 1 and None not in scratch


@pytest.mark.parametrize(("batch", "frames"), [(1, 21), (1, 1), (5, 8), (3, 10), (4, 20)])
def test_outside_all_profiles_the_ranges_are_named(gpu, make_runner, batch, frames):
    with make_runner(gpu.engine(TWO)) as runner:
        for call in (runner.infer, runner.prepare):
            with pytest.raises(MelError, match="2 to 8 .*6 to 20") as caught:
                call(make_mel(batch, frames))
            assert f"batch {batch}, {frames} frames" in str(caught.value)
        assert gpu.handles == []


@pytest.mark.parametrize(
    ("mel", "message"),
    [
        (np.where(make_mel() > 1, np.nan, make_mel()), "got nan at batch 0"),
        (make_mel(bands=6), "expected 5 mel bands, got 6"),
        (make_mel()[0], "add the batch"),
    ],
)
def test_bad_mels_are_refused_before_anything_runs(gpu, make_runner, mel, message):
    with make_runner(gpu.engine()) as runner, pytest.raises(MelError, match=message):
        runner.infer(mel)
    assert gpu.handles == []


def test_prepared_calls_keep_their_inputs(gpu, make_runner):
    one, two = make_mel(seed=1), make_mel(seed=2)
    with make_runner(gpu.engine()) as runner:
        first, second = runner.prepare(one), runner.prepare(two)
        for call, mel in ((first, one), (second, two), (first, one), (first, one)):
            audio = call()
            if isinstance(audio, cuda.DeviceBuffer):
                got = np.empty((1, 28), np.float32)
                audio.download(got)
            else:
                got = audio[:, 0].numpy()
            np.testing.assert_array_equal(got, expected_audio(mel, 4))
        runner.infer(two)
        runner.synchronize()
    with pytest.raises(RunnerError, match="closed"):
        first()


def test_nothing_is_set_twice_for_the_same_shape(gpu, make_runner):
    engine = gpu.engine()
    with make_runner(engine) as runner:
        launch = runner.prepare(make_mel())
        for _ in range(3):
            launch()
        assert [context.shapes_set for context in engine.contexts] == [1]


def test_a_closed_runner_refuses_and_gives_its_memory_back(gpu, make_runner):
    engine = gpu.engine()
    contexts = [weakref.ref(item) for item in engine.contexts]
    runner = make_runner(engine)
    runner.infer(make_mel())
    contexts = [weakref.ref(item) for item in engine.contexts]
    engine.contexts.clear()
    runner.close()
    runner.close()
    assert [alive() for alive in contexts] == [None] and not engine.closed
    assert gpu.driver.allocated == {} and gpu.driver.pinned == {}
    for use in (runner.infer, runner.prepare):
        with pytest.raises(RunnerError, match="closed: make a new runner"):
            use(make_mel())


def test_the_last_reference_frees_without_close(gpu, make_runner):
    runner = make_runner(gpu.engine())
    runner.infer(make_mel())
    launch = runner.prepare(make_mel())
    alive = weakref.ref(runner)
    del runner, launch
    gc.collect()
    assert alive() is None
    assert gpu.driver.allocated == {} and gpu.driver.pinned == {} and gpu.driver.leaked == []


def test_after_an_exception_in_a_cell_a_new_runner_works(gpu, make_runner):
    engine = gpu.engine()
    with pytest.raises(RunnerError, match="could not launch"), make_runner(engine) as runner:
        runner.infer(make_mel())
        engine.refuse = "execute"
        # A graph replays: only a shape that is new to it has to be launched.
        runner.infer(make_mel(frames=9))
    assert runner.closed and gpu.driver.allocated == {}
    engine.refuse = ""
    with make_runner(engine) as runner:
        np.testing.assert_array_equal(runner.infer(make_mel()), expected_audio(make_mel(), 4))


@pytest.mark.parametrize("step", ["context", "profile", "infer"])
def test_what_tensorrt_refuses_is_said_in_one_line(gpu, make_runner, step):
    engine = gpu.engine()
    engine.refuse = step
    words = {"context": "no context", "profile": "no context for profile 0", "infer": "sizes"}
    with make_runner(engine) as runner, pytest.raises(RunnerError, match=words[step]) as caught:
        runner.infer(make_mel())
    assert "\n" not in str(caught.value)


def test_audio_of_another_length_never_reaches_the_buffer(gpu, make_runner):
    engine = gpu.engine()
    engine.samples = lambda frames: 100 * frames
    with make_runner(engine) as runner, pytest.raises(RunnerError, match=r"\(1, 1, 700\) for a"):
        runner.infer(make_mel())
    assert gpu.handles == []


def test_an_engine_of_another_vocoder_is_refused(gpu, make_runner):
    engine = gpu.engine()
    engine.n_mels = 80
    # The error holds the frames of the calls: nothing may lie there.
    with pytest.raises(RunnerError, match="takes 80 mel bands, the configuration has 5") as _error:
        make_runner(engine)
    assert gpu.driver.allocated == {}
    with pytest.raises(RunnerError, match="no profile"):
        broken = gpu.engine()
        broken.profiles = []
        make_runner(broken)
    with pytest.raises(RunnerError, match="mel is int8, expected float32 or float16"):
        make_runner(gpu.engine(dtype=np.int8))


def test_an_engine_that_the_runner_loaded_is_closed_by_it(gpu, make_runner, monkeypatch):
    from labutils.runners import engine_lanes

    engine = gpu.engine()
    monkeypatch.setattr(engine_lanes, "load_engine", lambda plan: engine)
    with make_runner(b"a plan"):
        assert not engine.closed
    assert engine.closed
    engine.closed, engine.n_mels = False, 3
    with pytest.raises(RunnerError, match="3 mel bands"):
        make_runner(b"a plan")
    assert engine.closed


# TensorRTRunner alone


def test_beside_the_default_stream_and_on_any_other(gpu):
    with TensorRTRunner(gpu.engine(), CONFIG) as runner:
        mel = torch.from_numpy(make_mel())
        runner.launch(mel)
        (side,) = gpu.handles
        assert FakeStream.log == [(side, "waits for", 0), (0, "waits for", side)] and side != 0
        gpu.current = FakeStream()
        runner.launch(mel)
        assert gpu.handles[1] == gpu.current.cuda_stream and len(FakeStream.log) == 2


def test_launch_takes_tensors_and_sees_what_is_written_into_them(gpu):
    for graph in (False, True):
        with TensorRTRunner(gpu.engine(), CONFIG, graph=graph, capture=gpu.capture) as runner:
            mel = aligned(make_mel(2))
            assert runner.launch(mel).shape == (2, 1, 28)
            mel += 1
            for part in (mel, mel[1:]):  # the second starts in the middle of the batch
                expected = expected_audio(part.numpy(), 4)
                np.testing.assert_array_equal(runner.launch(part)[:, 0].numpy(), expected)


@pytest.mark.parametrize("graph", [False, True])
def test_launch_takes_tensors_of_any_mode_and_leaves_no_gradients(gpu, graph):
    plain = aligned(make_mel())
    with torch.inference_mode():
        inferred = plain.clone()
    with TensorRTRunner(gpu.engine(), CONFIG, graph=graph, capture=gpu.capture) as runner:
        for mel in (plain.clone().requires_grad_(), inferred, plain):
            audio = runner.launch(mel)
            assert not audio.requires_grad
            np.testing.assert_array_equal(audio[:, 0].numpy(), expected_audio(make_mel(), 4))
        with torch.inference_mode():
            runner.launch(inferred)
        runner.infer(make_mel())


def test_launch_refuses_what_the_engine_can_not_read(gpu):
    with TensorRTRunner(gpu.engine(), CONFIG) as runner:
        mel = torch.from_numpy(make_mel())
        for bad, message in (
            (mel.half(), "expected a contiguous mel of torch.float32 on cpu, got torch.float16"),
            (mel.mT.contiguous().mT, "not contiguous: use mel.to"),
            (mel[0], r"\(batch, 5, frames\), got \(5, 7\)"),
            (torch.zeros(1, 5, 21), "2 to 20"),
        ):
            with pytest.raises(MelError, match=message):
                runner.launch(bad)


def test_a_graph_for_each_shape_and_the_oldest_goes(gpu):
    engine = gpu.engine()
    with TensorRTRunner(engine, CONFIG, graph=True, max_graphs=2, capture=gpu.capture) as runner:
        for frames in (5, 6, 5, 7, 5, 6):
            mel = make_mel(frames=frames, seed=frames)
            np.testing.assert_array_equal(runner.infer(mel), expected_audio(mel, 4))
        assert [shape[2] for shape in gpu.captures] == [5, 6, 7, 6]
        assert runner.shapes == [(1, 5), (1, 6)]
        assert len(engine.contexts) == 4  # one each: a captured context must not change
        assert gpu.handles.count("replay") == 6


def test_a_prepared_graph_only_replays(gpu):
    with TensorRTRunner(gpu.engine(), CONFIG, graph=True, capture=gpu.capture) as runner:
        launch = runner.prepare(make_mel())
        before, copied = len(gpu.handles), []
        runner._graphs[(1, 5, 7)][1].mel.copy_ = copied.append
        launch()
        launch()
        assert gpu.handles[before:] == ["replay", "replay"] and copied == []


def test_a_mel_that_came_in_before_a_failure_does_not_stay(gpu):
    engine = gpu.engine()
    with TensorRTRunner(engine, CONFIG, graph=True, capture=gpu.capture) as runner:
        launch = runner.prepare(make_mel(seed=1))
        engine.refuse = "execute"
        with pytest.raises(RunnerError):
            runner.infer(make_mel(frames=9, seed=2))
        np.testing.assert_array_equal(launch()[:, 0].numpy(), expected_audio(make_mel(seed=1), 4))


def test_a_capture_that_fails_says_what_to_do(gpu):
    def capture(forward, mel, pool=None):
        raise RuntimeError("operation not permitted\nwhen stream is capturing")

    with TensorRTRunner(gpu.engine(), CONFIG, graph=True, capture=capture) as runner:
        with pytest.raises(RunnerError, match="not permitted when .*; use graph=False"):
            runner.infer(make_mel())
        assert runner.shapes == []
    with pytest.raises(ValueError, match="0 graphs: keep 1 or more"):
        TensorRTRunner(gpu.engine(), CONFIG, graph=True, max_graphs=0)


def test_a_runner_made_in_inference_mode_works_outside_of_it(gpu):
    with torch.inference_mode():
        runner = TensorRTRunner(gpu.engine(), CONFIG)
    with runner:
        np.testing.assert_array_equal(runner.infer(make_mel()), expected_audio(make_mel(), 4))


def test_tensorrt_needs_a_gpu():
    engine = FakeEngine(CONFIG, launch=None)
    with pytest.raises(RunnerError, match='needs an NVIDIA GPU, not "cpu"'):
        TensorRTRunner(engine, CONFIG, device="cpu")
    with pytest.raises(RunnerError, match="NVIDIA GPU"):
        PycudaRunner(engine, CONFIG, device="cpu")
    if not torch.cuda.is_available():
        with pytest.raises(RunnerError, match="torch finds no NVIDIA GPU"):
            TensorRTRunner(engine, CONFIG)


# PycudaRunner alone


def test_memory_is_allocated_once_for_the_largest_shape(gpu):
    with PycudaRunner(gpu.engine(TWO), CONFIG) as runner:
        before = set(gpu.driver.allocated) | set(gpu.driver.pinned)
        # 2 mels of 5 bands and 20 frames, the audio of either profile's largest, and 64 bytes
        assert runner.gpu_bytes == 4 * max(4 * 5 * 8, 2 * 5 * 20) + 4 * 4 * max(32, 40) + 64
        for batch, frames in SHAPES:
            runner.infer(make_mel(batch, frames))
        assert set(gpu.driver.allocated) | set(gpu.driver.pinned) == before


def test_copies_and_inference_share_one_stream_and_the_host_waits_once(gpu, monkeypatch):
    with PycudaRunner(gpu.engine(), CONFIG) as runner:
        waits, stream = [], runner._stream._handle
        before = stream.synchronize
        stream.synchronize = lambda: (waits.append(len(stream.queue)), before())
        runner.infer(make_mel())
        assert waits == [3]  # copy, inference, copy back
        assert gpu.handles == [stream.handle]


def test_out_of_memory_frees_what_was_there(monkeypatch, gpu):
    gpu.driver.total = 1500  # the mel has room, the audio has not
    with pytest.raises(cuda.OutOfMemoryError, match="no GPU memory for") as _error:
        PycudaRunner(gpu.engine(), CONFIG)
    assert gpu.driver.allocated == {} and gpu.driver.pinned == {}
