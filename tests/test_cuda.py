"""Memory, copies, streams and events: freed in order, from every thread, with clear errors."""

import gc
import threading
import weakref

import numpy as np
import pytest
from fake_gpu import install_pycuda

from labutils import cuda, environment


@pytest.fixture
def driver(monkeypatch):
    return install_pycuda(monkeypatch)


def test_without_pycuda_one_line_says_how_to_get_it():
    if environment.has("pycuda"):
        pytest.skip("pycuda is here")
    with pytest.raises(environment.MissingPackage, match="pycuda is .*install"):
        cuda.DeviceBuffer(8)


def test_a_copy_there_and_back(driver):
    numbers = np.arange(6, dtype=np.float32).reshape(2, 3)
    back = np.zeros_like(numbers)
    with cuda.Buffers() as own:
        buffer = own.device_buffer(numbers.nbytes)
        buffer.upload(numbers)
        buffer.download(back)
    np.testing.assert_array_equal(back, numbers)
    assert driver.allocated == {} and driver.leaked == []


def test_asynchronous_copies_are_done_when_the_stream_is(driver):
    with cuda.Buffers() as own:
        stream, buffer = own.stream(), own.device_buffer(12)
        source, into = own.pinned((3,), "float32"), own.pinned(3, "float32")
        source.array[:], into.array[:] = [1, 2, 3], 0
        buffer.upload(source.array, stream)
        buffer.download(into.array, stream)
        assert not stream.done and not into.array.any()
        stream.synchronize()
        assert stream.done and into.array.tolist() == [1, 2, 3]


def test_events_mark_places_in_a_stream(driver):
    with cuda.Buffers() as own:
        stream, other = own.stream(), own.stream(blocking=False)
        first, last = own.event(), own.event(timing=False)
        assert first.done  # never recorded
        first.record(stream)
        last.record(stream)
        assert not last.done
        other.wait(last)
        other.synchronize()
        assert first.done and last.done and last.since(first) > 0
        assert (other._handle.flags, last._handle.flags, stream.handle > 0) == (1, 2, True)


def test_buffers_go_in_reverse_and_whatever_happens(driver):
    with pytest.raises(ZeroDivisionError), cuda.Buffers() as own:
        own.device_buffer(8)
        own.device_buffer(8)
        own.pinned(4, "float16")
        assert own.nbytes == 16
        raise ZeroDivisionError
    assert driver.order == ["pinned", "memory", "memory"] and own.closed and own.nbytes == 0
    own.close()
    with pytest.raises(cuda.CudaError, match="closed: make new ones"):
        own.device_buffer(8)


def test_buffers_wait_for_their_streams_first(driver):
    own, done = cuda.Buffers(), []
    stream = own.stream()
    own.device_buffer(8)
    stream._handle.queue.append(lambda: done.append(len(driver.allocated)))
    own.close()
    assert done == [1] and driver.allocated == {}


def test_a_stream_whose_work_failed_does_not_stop_the_freeing(driver, caplog):
    own = cuda.Buffers()
    own.device_buffer(8)
    own.stream()._handle.queue.append(lambda: 1 / 0)
    own.close()
    assert driver.allocated == {} and "division by zero" in caplog.text


def test_the_last_reference_frees_from_any_thread(driver):
    own = cuda.Buffers()
    own.device_buffer(8)
    own.pinned(2, "float32")
    held = [own, cuda.DeviceBuffer(8)]
    alive = weakref.ref(own)
    del own
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    gc.collect()
    assert alive() is None
    assert driver.allocated == {} and driver.pinned == {} and driver.leaked == []


def test_no_thread_keeps_a_context_on_its_stack(driver):
    with cuda.activate() as module:
        assert module is driver and len(driver.stack) == 1
        cuda.DeviceBuffer(8)
        assert len(driver.stack) == 1
    assert driver.stack == []
    with pytest.raises(cuda.OutOfMemoryError):
        cuda.DeviceBuffer(1 << 30)
    assert driver.stack == []


def test_one_context_for_all_threads(driver):
    with cuda.activate():
        (mine,) = driver.stack
        found = []
        thread = threading.Thread(target=lambda: found.append(cuda.memory_info()))
        thread.start()
        thread.join()
        with cuda.activate():
            assert driver.stack == [mine, mine]
    assert found == [(1 << 20, 1 << 20)]


def test_out_of_memory_says_what_was_asked_for_and_what_is_free(driver):
    held = cuda.DeviceBuffer(1 << 19)
    with pytest.raises(cuda.OutOfMemoryError) as caught:
        cuda.DeviceBuffer(3_000_000)
    text = str(caught.value)
    assert "3 MB (3000000 bytes)" in text and "524 kB (524288 bytes) of 1.05 MB" in text
    assert "\n" not in text and type(caught.value).__name__ == "OutOfMemoryError"  # records ask
    held.free()
    cuda.DeviceBuffer(1 << 20).free()


def test_an_allocation_that_fails_leaves_the_others_to_be_freed(driver):
    with pytest.raises(cuda.OutOfMemoryError), cuda.Buffers() as own:
        own.device_buffer(8)
        own.device_buffer(1 << 30)
    assert driver.allocated == {}


def test_what_was_freed_is_not_handed_out(driver):
    buffer, array = cuda.DeviceBuffer(8), cuda.PinnedArray(2, "float32")
    assert int(buffer) == buffer.pointer and "at 0x" in repr(buffer)
    for item, use in ((buffer, lambda: int(buffer)), (array, lambda: array.array)):
        item.free()
        item.free()
        assert item.freed and "freed" in repr(item)
        with pytest.raises(cuda.CudaError, match=f"this {item.what} was freed"):
            use()
    with pytest.raises(cuda.CudaError, match="freed"):
        buffer.upload(np.zeros(2, np.float32))


def test_a_view_keeps_pinned_memory_until_it_goes(driver):
    array = cuda.PinnedArray((2, 2), "float32")
    view = array.array[1]
    array.free()
    view[:] = 5  # would be somebody else's memory
    assert driver.pinned
    with cuda.activate():
        del view
    assert driver.pinned == {}


@pytest.mark.parametrize("nbytes", [0, -1, 1.5, "8", True])
def test_a_buffer_needs_a_whole_number_of_bytes(driver, nbytes):
    with pytest.raises(ValueError, match="whole number, 1 or more"):
        cuda.DeviceBuffer(nbytes)


def test_copies_that_do_not_fit_are_refused(driver):
    buffer = cuda.DeviceBuffer(8)
    with pytest.raises(cuda.CudaError, match=r"an array of \(3,\) float32 is 12 bytes, .* 8 bytes"):
        buffer.upload(np.zeros(3, np.float32))
    with pytest.raises(cuda.CudaError, match="not contiguous: .*ascontiguous"):
        buffer.download(np.zeros((2, 4), np.int8)[:, ::2])
    with pytest.raises(ValueError, match="every side must be 1 or more"):
        cuda.PinnedArray((2, 0), "float32")


def test_a_gpu_that_is_not_there(monkeypatch):
    install_pycuda(monkeypatch, gpus=2)
    cuda.DeviceBuffer(8, device=1)
    with pytest.raises(cuda.CudaError, match="there is no GPU 2: this machine has 2"):
        cuda.Stream(device=2)
    install_pycuda(monkeypatch, gpus=0)
    with pytest.raises(cuda.CudaError, match="no NVIDIA GPU can be used here: cuInit failed"):
        cuda.memory_info()
