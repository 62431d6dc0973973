"""One bound shape of an engine on a fake GPU: what is called in which order, and what is let go."""

import gc
from types import SimpleNamespace

import numpy as np
import pytest
from fake_bound_gpu import Gpu, Graph, OutOfMemoryError

from labutils.trt import Profile, bound
from labutils.trt.bound import Bound, BoundError

SHAPE = (1, 80, 16)


@pytest.fixture
def gpu(monkeypatch):
    gpu = Gpu()
    cuda = SimpleNamespace(
        Stream=lambda: gpu.stream, current_stream=lambda: gpu.current, stream=gpu.on,
        graph=gpu.graph, CUDAGraph=lambda: Graph(gpu),
    )  # fmt: skip
    torch = SimpleNamespace(
        cuda=cuda, empty=gpu.empty, from_numpy=lambda array: array, as_tensor=lambda array: array
    )
    monkeypatch.setattr(bound, "require", {"torch": torch}.get)
    return gpu


@pytest.fixture
def engine(gpu):
    kinds = {"mel": np.dtype("float32"), "audio": np.dtype("float16")}
    return SimpleNamespace(
        input="mel", output="audio", n_mels=80, dtype=kinds.get, new_context=gpu.new_context,
        profiles=[Profile((8, 16, 64)), Profile((8, 16, 32))],
    )  # fmt: skip


# Input and output


def test_input_and_output_have_the_engines_shapes_and_types(gpu, engine):
    with Bound(engine, SHAPE) as held:
        assert (held.input.shape, held.input.dtype) == (SHAPE, np.float32)
        assert (held.output.shape, held.output.dtype) == ((1, 1, 64), np.float16)
        assert held.context.addresses == {"mel": id(held.input), "audio": id(held.output)}
        assert held.input.filled == (-1, 1) and gpu.contexts[0][0] == 1, "the narrowest profile"
    with Bound(engine, [np.int64(1), 80, 16], profile=0) as held:
        assert held.input.shape == SHAPE and gpu.contexts[1][0] == 0


def test_the_stream_waits_for_the_filling_which_is_on_torchs_own(gpu, engine):
    with Bound(engine, SHAPE) as held:
        held.enqueue()
    assert gpu.log[:5] == [
        "allocated", "allocated", "filled", "waits for torch's current stream", "launched",
    ]  # fmt: skip


@pytest.mark.parametrize("shape", [(80, 1), (1, 80, 1), (80, 16), (1, 80, 17), (2, 80, 16)])
def test_a_mel_of_another_shape_is_refused_and_not_spread(gpu, engine, shape):
    with pytest.raises(BoundError) as caught:
        Bound(engine, SHAPE, mel=np.zeros(shape, np.float32))
    assert str(caught.value) == f"the mel is {shape}, expected {SHAPE}"
    assert gpu.contexts == []


def test_a_mel_may_be_an_array_a_tensor_or_a_list(gpu, engine):
    array = np.ones(SHAPE, np.float32)
    tensor = SimpleNamespace(shape=SHAPE, cpu=lambda: array)
    for mel in (array, tensor, array.tolist()):
        with Bound(engine, SHAPE, mel=mel) as held:
            assert held.input.filled is mel or np.array_equal(held.input.filled, array)


@pytest.mark.parametrize("shape", [(80, 16), (1, 1, 80, 16), 16, None])
def test_what_is_no_shape_is_refused_in_words(gpu, engine, shape):
    with pytest.raises(BoundError) as caught:
        Bound(engine, shape)
    assert str(caught.value) == f"expected a shape (batch, n_mels, frames), got {shape}"


def test_shapes_that_do_not_fit_are_refused(gpu, engine):
    with pytest.raises(ValueError, match="no profile holds batch 1, 80 frames"):
        Bound(engine, (1, 80, 80))
    with pytest.raises(BoundError, match="takes 80 mel bands, got 100"):
        Bound(engine, (1, 100, 16))
    assert gpu.contexts == []


# Calls


def test_a_call_that_fails_is_no_silence(gpu, engine):
    with Bound(engine, SHAPE) as held:
        held.enqueue()
        gpu.refuse = "execute"
        with pytest.raises(BoundError, match="execute_async_v3 failed"):
            held.enqueue()


def test_a_capture_runs_once_outside_and_then_only_replays(gpu, engine):
    with Bound(engine, SHAPE) as held:
        assert held.graph is None and held.capture() and held.graph is not None
        assert gpu.log[-3:] == ["launched", "waited", "captured"]
        held.enqueue()
        assert gpu.log[-1] == "replayed" and gpu.current == "torch's current stream"
        assert held.capture() and gpu.log[-1] == "replayed", "it is not captured again"


@pytest.mark.parametrize("what", ["capture", "execute"])
def test_where_a_capture_fails_kernels_are_launched_one_by_one(gpu, engine, caplog, what):
    with Bound(engine, SHAPE) as held:
        enqueue = held.context.execute_async_v3
        held.context.execute_async_v3 = lambda handle: (
            enqueue(handle) and not (gpu.capturing and what == "execute")
        )
        gpu.refuse = "capture" if what == "capture" else ""
        assert held.capture() is False and held.graph is None
        assert "no CUDA graph, launching kernel by kernel: " in caplog.text
        gpu.log.clear()
        held.enqueue()
        assert gpu.log == ["launched"] and not gpu.capturing
        held.context.execute_async_v3 = None  # it would keep the context


# What is let go


def test_close_waits_then_frees_graph_context_and_tensors_in_this_order(gpu, engine):
    held = Bound(engine, SHAPE)
    assert held.capture()
    gpu.log.clear()
    held.close()
    assert gpu.log == ["waited", "graph freed", "context freed", "tensor freed", "tensor freed"]
    held.close()
    assert len(gpu.log) == 5, "again does nothing"
    assert (held.context, held.graph, held.input, held.output) == (None,) * 4


def test_dropped_without_close_it_waits_and_frees_as_well(gpu, engine):
    held = Bound(engine, SHAPE)
    held.enqueue()
    gpu.log.clear()
    del held
    gc.collect()
    assert gpu.log == ["waited", "context freed", "tensor freed", "tensor freed"]


@pytest.mark.parametrize(
    ("refuse", "error"),
    [
        ("memory 0", OutOfMemoryError), ("memory 1", OutOfMemoryError), ("shape", BoundError),
        ("infer", BoundError), ("address", BoundError), ("context", RuntimeError),
    ],
)  # fmt: skip
def test_what_fails_while_it_is_made_keeps_no_memory(gpu, engine, refuse, error):
    gpu.refuse = refuse
    with pytest.raises(error) as caught:
        Bound(engine, SHAPE)
    # The error is still there, and with it the variables of all calls that it came through.
    assert caught.value is not None and gpu.alive() == 0
    made = gpu.log.count("allocated")
    assert gpu.log.count("tensor freed") == made and len(gpu.contexts) == (refuse != "context")


def test_work_that_failed_hides_no_error_and_frees_all(gpu, engine, caplog):
    with pytest.raises(ZeroDivisionError), Bound(engine, SHAPE):
        gpu.refuse = "wait"
        raise ZeroDivisionError
    assert gpu.alive() == 0 and gpu.log.count("tensor freed") == 2
    (record,) = caplog.records
    assert record.levelname == "WARNING" and "\n" not in record.message
    assert "the last work on the GPU failed: CUDA error: an illegal memory access" in record.message


def test_synchronize_raises_what_close_only_tells(gpu, engine, caplog):
    held = Bound(engine, SHAPE)
    gpu.refuse = "wait"
    with pytest.raises(RuntimeError, match="illegal memory access"):
        held.synchronize()
    held.close()
    assert "illegal memory access" in caplog.text


def test_after_close_it_says_so(gpu, engine):
    held = Bound(engine, SHAPE)
    assert held.capture()
    held.close()
    for call in (held.enqueue, held.capture):
        with pytest.raises(BoundError, match="^this Bound is closed: make a new one$"):
            call()
