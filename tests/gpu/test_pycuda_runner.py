"""pycuda for real: copies, streams, events, and engines beside torch in one process."""

import gc
import threading

import numpy as np
import pytest
import torch

from labutils import benchmark, cuda, environment, metrics, trt, vocoders
from labutils.runners import MelError, PycudaRunner, TensorRTRunner, TorchRunner
from labutils.runners.tf32 import tf32

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not environment.has("pycuda"), reason="needs pycuda"),
]
needs_tensorrt = pytest.mark.skipif(not environment.has("tensorrt"), reason="needs TensorRT")

SHAPES = [(1, 16), (1, 100), (4, 400), (2, 37), (1, 100)]  # (batch, frames)
MEGABYTE = 1 << 20


def mel_of(model, frames, batch=1, seed=0):
    return vocoders.speech_like_mel(model.config.mel, frames, batch=batch, seed=seed).numpy()


def free_memory():
    """Bytes free on the GPU, torch's cache given back first."""
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    return cuda.memory_info()[0]


@pytest.fixture(scope="module")
def engine(small_engine_fp16):
    with trt.load_engine(small_engine_fp16) as loaded:
        yield loaded


# labutils.cuda


@pytest.mark.parametrize("pinned", [True, False], ids=["pinned", "pageable"])
def test_copies_there_and_back_in_a_stream(pinned):
    numbers = np.random.default_rng(0).normal(size=(3, 1000)).astype(np.float32)
    with cuda.Buffers() as own:
        stream, buffer = own.stream(blocking=False), own.device_buffer(numbers.nbytes)
        source = own.pinned(numbers.shape, "float32").array if pinned else np.empty_like(numbers)
        into = own.pinned(numbers.shape, "float32").array if pinned else np.zeros_like(numbers)
        source[:], into[:] = numbers, 0
        first, last = own.event(), own.event()
        first.record(stream)
        buffer.upload(source, stream)
        buffer.download(into, stream)
        last.record(stream).synchronize()
        assert stream.done and last.done and 0 <= last.since(first) < 1000
        np.testing.assert_array_equal(into, numbers)


def test_torch_sees_the_memory_of_pycuda():
    class View:
        def __init__(self, buffer, count):
            self.__cuda_array_interface__ = {
                "shape": (count,), "typestr": "<f4", "data": (buffer.pointer, False), "version": 3,
            }  # fmt: skip

    with cuda.Buffers() as own:
        buffer = own.device_buffer(4 * 8)
        buffer.upload(np.arange(8, dtype=np.float32))
        shared = torch.as_tensor(View(buffer, 8), device="cuda")
        assert shared.data_ptr() == buffer.pointer  # one context: no copy
        shared.mul_(2)
        torch.cuda.synchronize()
        back = np.empty(8, np.float32)
        buffer.download(back)
        del shared
    assert back.tolist() == [0, 2, 4, 6, 8, 10, 12, 14]


def test_out_of_memory_names_the_bytes_and_the_next_allocation_works():
    free, total = cuda.memory_info()
    with pytest.raises(cuda.OutOfMemoryError) as caught:
        cuda.DeviceBuffer(total + MEGABYTE)
    assert f"({total + MEGABYTE} bytes)" in str(caught.value) and "free" in str(caught.value)
    cuda.DeviceBuffer(MEGABYTE).free()


@pytest.mark.alone
def test_memory_is_freed_by_the_garbage_collector_of_another_thread():
    cuda.DeviceBuffer(MEGABYTE).free()
    before = free_memory()
    gc.disable()
    try:
        own = cuda.Buffers()
        own.device_buffer(64 * MEGABYTE)
        own.stream()
        cycle = [own, cuda.DeviceBuffer(64 * MEGABYTE)]
        cycle.append(cycle)
        del own, cycle
        assert before - cuda.memory_info()[0] > 100 * MEGABYTE
        thread = threading.Thread(target=gc.collect)
        thread.start()
        thread.join()
        assert before - cuda.memory_info()[0] < 4 * MEGABYTE
    finally:
        gc.enable()


def test_pycudas_own_calls_work_in_the_same_context():
    with cuda.activate() as driver:
        name = driver.Device(0).name()
        memory = driver.mem_alloc(16)
        driver.memset_d32(memory, 7, 4)
        back = np.zeros(4, np.uint32)
        driver.memcpy_dtoh(back, memory)
        memory.free()
    assert name == torch.cuda.get_device_name(0) and back.tolist() == [7] * 4


# PycudaRunner


@needs_tensorrt
@pytest.mark.parametrize("pinned", [True, False], ids=["pinned", "pageable"])
def test_the_sound_of_pytorch_at_every_shape(engine, small_vocoder, pinned):
    with (
        tf32(False),
        TorchRunner(small_vocoder, device="cuda") as reference,
        PycudaRunner(engine, small_vocoder.config, pinned=pinned) as runner,
    ):
        for seed, (batch, frames) in enumerate(SHAPES):
            mel = mel_of(small_vocoder, frames, batch, seed)
            snr = metrics.snr_db(reference.infer(mel).ravel(), runner.infer(mel).ravel())
            assert snr > 45, (batch, frames, snr)


@needs_tensorrt
def test_pycuda_and_torch_agree_in_one_process(engine, small_vocoder):
    config = small_vocoder.config
    with (
        PycudaRunner(engine, config) as own,
        TensorRTRunner(engine, config) as plain,
        TensorRTRunner(engine, config, graph=True) as graph,
    ):
        for turn in range(3):
            for batch, frames in SHAPES:
                mel = mel_of(small_vocoder, frames, batch, seed=turn)
                audio = own.infer(mel)
                np.testing.assert_array_equal(plain.infer(mel), audio)
                np.testing.assert_array_equal(graph.infer(mel), audio)


@needs_tensorrt
def test_refusals_leave_the_runner_well(engine, small_vocoder):
    with PycudaRunner(engine, small_vocoder.config) as runner:
        before = runner.infer(mel_of(small_vocoder, 20))
        with pytest.raises(MelError, match="1 to 4 .*16 to 400"):
            runner.infer(mel_of(small_vocoder, 401))
        nan = mel_of(small_vocoder, 20)
        nan[0, 0, 0] = np.nan
        with pytest.raises(MelError, match="nan at batch 0"):
            runner.infer(nan)
        np.testing.assert_array_equal(runner.infer(mel_of(small_vocoder, 20)), before)


@needs_tensorrt
def test_the_prepared_call_computes_what_infer_does(engine, small_vocoder):
    mels = [mel_of(small_vocoder, 50, seed=seed) for seed in (1, 2)]
    with PycudaRunner(engine, small_vocoder.config) as runner:
        expected = [runner.infer(mel) for mel in mels]
        launches = [runner.prepare(mel) for mel in mels]
        for i in (0, 1, 0):
            audio = launches[i]()
            runner.synchronize()
            got = np.empty_like(expected[i])
            audio.download(got)
            np.testing.assert_array_equal(got, expected[i])
        timing = benchmark.measure(runner, mels[0], warmup=3, runs=5)
        assert timing.median_ms > 0


@needs_tensorrt
def test_after_an_exception_in_a_cell_a_new_runner_works(small_engine_fp16, small_vocoder):
    config, mel = small_vocoder.config, mel_of(small_vocoder, 64)
    with PycudaRunner(small_engine_fp16, config) as runner:
        before = runner.infer(mel)
    with pytest.raises(ZeroDivisionError), PycudaRunner(small_engine_fp16, config) as broken:
        broken.prepare(mel)()  # work is in flight
        raise ZeroDivisionError
    assert broken.closed
    forgotten = PycudaRunner(small_engine_fp16, config)
    forgotten.prepare(mel)()
    del forgotten  # without close
    with PycudaRunner(small_engine_fp16, config) as runner:
        np.testing.assert_array_equal(runner.infer(mel), before)


@needs_tensorrt
@pytest.mark.alone
def test_close_gives_the_memory_back(small_engine_fp16, small_vocoder):
    config, mel = small_vocoder.config, mel_of(small_vocoder, 400, batch=4)
    with PycudaRunner(small_engine_fp16, config) as runner:
        runner.infer(mel)  # libraries load
    before = free_memory()
    for forget in (False, True):
        runner = PycudaRunner(small_engine_fp16, config)
        runner.infer(mel)
        held = free_memory()
        assert before - held > 4 * MEGABYTE, "the runner holds nothing: the test is blind"
        if not forget:
            runner.close()
        del runner
        assert before - free_memory() < 4 * MEGABYTE, f"forgotten {forget}"


@pytest.mark.alone
@needs_tensorrt
@pytest.mark.parametrize("pinned", [True, False], ids=["pinned", "pageable"])
def test_two_hundred_inferences_take_no_more_memory(engine, small_vocoder, pinned):
    mels = [mel_of(small_vocoder, frames, batch) for batch, frames in ((1, 100), (4, 400), (2, 33))]
    with PycudaRunner(engine, small_vocoder.config, pinned=pinned) as runner:
        for mel in mels * 3:
            runner.infer(mel)
        before = free_memory()
        for i in range(200):
            runner.infer(mels[i % 3])
        assert before - free_memory() < 2 * MEGABYTE
