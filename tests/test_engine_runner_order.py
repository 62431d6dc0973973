"""In which order runners of engines wait, read and let go; the addresses that TensorRT is given."""

import gc
import weakref

import numpy as np
import pytest
import torch
from fake_gpu import FakeContext
from runner_parts import CONFIG, aligned, install_gpu
from tiny_config import make_mel

from labutils import cuda
from labutils.runners import PycudaRunner, TensorRTRunner


@pytest.fixture
def gpu(monkeypatch):
    return install_gpu(monkeypatch)


@pytest.fixture
def log(gpu, monkeypatch):
    """What went on, in order: "launched", "waited" (or "waited for the stream"), what was freed."""
    log = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: log.append("waited"))
    gpu.current.synchronize = lambda: log.append("waited for the stream")
    execute = FakeContext.execute_async_v3

    def launched(context, handle):
        log.append("launched")
        return execute(context, handle)

    monkeypatch.setattr(FakeContext, "execute_async_v3", launched)
    return log


def watch(log, things):
    """Note when each of {name: object} is gone."""
    for name, thing in things.items():
        weakref.finalize(thing, log.append, f"{name} freed")


def ended(runner, how):
    """End a runner that only the list `runner` still holds."""
    if how == "close":
        runner.pop().close()
    else:
        runner.clear()
        gc.collect()


@pytest.mark.parametrize("how", ["close", "last reference"])
@pytest.mark.parametrize("graph", [False, True])
def test_torchs_runner_waits_then_frees_contexts_before_their_memory(gpu, log, graph, how):
    engine = gpu.engine()
    runner = [TensorRTRunner(engine, CONFIG, graph=graph, capture=gpu.capture)]
    runner[0].infer(make_mel())
    watch(log, runner[0]._buffers | {"context": engine.contexts.pop()})
    if graph:
        watch(log, {"graph": runner[0]._graphs[(1, 5, 7)][1]})
    log.clear()
    ended(runner, how)
    memory = {"mel freed", "audio freed", "host mel freed", "host audio freed", "scratch freed"}
    before = ["graph freed", "context freed"] if graph else ["context freed"]
    assert log[: 1 + len(before)] == ["waited", *before]
    assert set(log[1 + len(before) :]) == memory


@pytest.mark.parametrize("how", ["close", "last reference"])
def test_pycudas_runner_waits_then_frees_contexts_before_their_memory(gpu, log, how):
    engine = gpu.engine()
    engine.launch = lambda stream, work: gpu.launch(stream, lambda: (work(), log.append("done")))
    runner = [PycudaRunner(engine, CONFIG)]
    runner[0].infer(make_mel())
    watch(log, {"context": engine.contexts.pop()})
    gpu.driver.order = log  # of what the driver frees
    with cuda.activate(0):
        runner[0]._execute((1, 5, 7), runner[0]._mel)  # nobody waits for it
    log.clear()
    ended(runner, how)
    assert log[:2] == ["done", "context freed"]
    assert set(log[2:]) == {"memory", "pinned"} and gpu.driver.leaked == []


def test_a_graph_that_goes_may_still_be_running(gpu, log):
    with TensorRTRunner(
        gpu.engine(), CONFIG, graph=True, max_graphs=1, capture=gpu.capture
    ) as runner:
        runner.infer(make_mel(frames=5))
        watch(log, {"graph": runner._graphs[(1, 5, 5)][1]})
        log.clear()
        runner.infer(make_mel(frames=6))
        assert log.index("waited") < log.index("graph freed") < log.index("launched")


def test_the_profile_of_a_new_graph_is_set_before_another_stream_runs_it(gpu, log):
    with TensorRTRunner(gpu.engine(), CONFIG, graph=True, capture=gpu.capture) as runner:
        log.clear()
        runner.infer(make_mel())
        assert log.index("waited for the stream") < log.index("launched")


@pytest.mark.parametrize("graph", [False, True])
def test_audio_is_read_after_the_stream_has_written_it(gpu, log, graph, monkeypatch):
    with TensorRTRunner(gpu.engine(), CONFIG, graph=graph, capture=gpu.capture) as runner:
        runner.infer(make_mel())
        host = runner._buffers["host audio"]
        # As on a GPU, the host's memory holds something else until the copy is done.
        gpu.current.synchronize = lambda: (log.append("waited for the stream"), host.fill_(0.25))
        log.clear()
        audio = runner.infer(make_mel())
        assert log[-1] == "waited for the stream"
        np.testing.assert_array_equal(audio, np.full((1, 28), 0.25, np.float32))


# Addresses


@pytest.mark.parametrize(
    ("beyond", "copied"), [(0, False), (256, False), (4, True), (64, True), (128, True)]
)
def test_only_a_mel_at_an_odd_address_is_copied(gpu, beyond, copied):
    engine = gpu.engine()
    with TensorRTRunner(engine, CONFIG) as runner:
        mel = aligned(make_mel(), beyond)
        audio = runner.launch(mel)
        own = runner._buffers["mel"].data_ptr()
        (context,) = engine.contexts
        assert context.addresses["mel"] == (own if copied else mel.data_ptr())
        assert audio.shape == (1, 1, 28)
