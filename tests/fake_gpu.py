"""A GPU made of host memory: enough of pycuda and of a TensorRT engine to test what uses them.

It is stricter than the real ones: asynchronous work is done when its stream is waited for and not
before, and what is freed outside its context counts as leaked.
"""

import ctypes
import functools
import itertools
import sys
import threading
from types import ModuleType

import numpy as np

from labutils.cuda import context
from labutils.trt.profiles import Profile

_numbers = itertools.count(1)


class FakeDriver(ModuleType):
    """Stands in for `pycuda.driver`. `allocated`, `pinned`, `leaked`, `order` tell what went on."""

    class Error(Exception):
        pass

    class MemoryError(Error, MemoryError):
        pass

    class LogicError(Error):
        pass

    def __init__(self, *, total=1 << 20, gpus=1):
        super().__init__("pycuda.driver")
        self.total, self.gpus = total, gpus
        self.allocated, self.pinned, self.leaked = {}, {}, []
        self.order = []  # what was freed, in order
        self.streams, self.local = {}, threading.local()
        driver = self

        class Device:
            def __init__(self, number):
                self.number = number

            @staticmethod
            def count():
                return driver.gpus

            def retain_primary_context(self):
                return Context(self.number)

        class Context:
            def __init__(self, number):
                self.number = number

            def push(self):
                driver.stack.append(self)

            @staticmethod
            def pop():
                driver.stack.pop()

        self.Device = Device
        self.Stream = lambda flags=0: Stream(self, flags)
        self.Event = lambda flags=0: Event(self, flags)

    @property
    def stack(self):
        if not hasattr(self.local, "stack"):
            self.local.stack = []
        return self.local.stack

    def init(self, flags=0):
        if not self.gpus:
            raise self.Error("cuInit failed: no CUDA-capable device is detected")

    def need_context(self):
        if not self.stack:
            raise self.LogicError("no currently active context?")

    def mem_get_info(self):
        self.need_context()
        return self.total - sum(map(len, self.allocated.values())), self.total

    def mem_alloc(self, nbytes):
        if nbytes > self.mem_get_info()[0]:
            raise self.MemoryError("cuMemAlloc failed: out of memory")
        return Allocation(self, self.allocated, nbytes)

    def pagelocked_empty(self, shape, dtype):
        self.need_context()
        count = int(np.prod(shape))
        memory = Allocation(self, self.pinned, count * np.dtype(dtype).itemsize)
        memory.__array_interface__ = {
            "version": 3, "shape": tuple(shape), "typestr": np.dtype(dtype).str,
            "data": (memory.address, False),
        }  # fmt: skip
        return np.asarray(memory)

    def memcpy_htod(self, dst, src):
        self.need_context()
        ctypes.memmove(int(dst), src.ctypes.data, src.nbytes)

    def memcpy_dtoh(self, into, src):
        self.need_context()
        for stream in self.streams.values():
            stream.drain()  # the default stream waits for blocking ones
        ctypes.memmove(into.ctypes.data, int(src), into.nbytes)

    def memcpy_htod_async(self, dst, src, stream):
        self.need_context()
        kept = src if self.is_pinned(src) else src.copy()
        stream.queue.append(lambda: ctypes.memmove(int(dst), kept.ctypes.data, kept.nbytes))

    def memcpy_dtoh_async(self, into, src, stream):
        self.need_context()
        stream.queue.append(lambda: ctypes.memmove(into.ctypes.data, int(src), into.nbytes))
        if not self.is_pinned(into):
            stream.drain()

    def is_pinned(self, array):
        address = array.ctypes.data
        return any(start <= address < start + len(m) for start, m in self.pinned.items())


class Allocation:
    def __init__(self, driver, table, nbytes):
        self.driver, self.table = driver, table
        memory = bytearray(nbytes)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        table[self.address] = memory

    def __int__(self):
        return self.address

    def __del__(self):
        if self.driver.stack:
            self.driver.order.append("pinned" if self.table is self.driver.pinned else "memory")
            del self.table[self.address]
        else:
            self.driver.leaked.append(self.address)


class Stream:
    def __init__(self, driver, flags):
        driver.need_context()
        self.driver, self.flags, self.queue = driver, flags, []
        self.handle = next(_numbers)
        driver.streams[self.handle] = self

    def drain(self):
        while self.queue:
            self.queue.pop(0)()

    def synchronize(self):
        self.driver.need_context()
        self.drain()

    def is_done(self):
        return not self.queue

    def wait_for_event(self, event):
        self.queue.append(event.synchronize)


class Event:
    def __init__(self, driver, flags):
        driver.need_context()
        self.driver, self.flags, self.stream, self.at = driver, flags, None, None

    def record(self, stream=None):
        self.stream, self.at = stream, None
        stream.queue.append(self.happen)
        return self

    def happen(self):
        self.at = next(_numbers)

    def query(self):
        return self.stream is None or self.at is not None

    def synchronize(self):
        if self.at is None and self.stream is not None:
            self.stream.drain()

    def time_since(self, start):
        return float(self.at - start.at)


def install_pycuda(monkeypatch, **options):
    """Put a FakeDriver in place of pycuda's and give it."""
    driver, package = FakeDriver(**options), ModuleType("pycuda")
    package.driver = driver
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", driver)
    # A cache of its own: the contexts of a fake must not be kept for the next one.
    monkeypatch.setattr(context, "_primary", functools.cache(context._primary.__wrapped__))
    return driver


def expected_audio(mel, hop):
    """What the fake engine makes of a mel (batch, n_mels, frames): (batch, hop * frames)."""
    return np.repeat(mel.astype(np.float32).mean(axis=1) / 2, hop, axis=1).astype(np.float32)


class FakeEngine:
    """As labutils.trt.Engine. `launch(handle, work)` says what becomes of an inference."""

    input, output, plan_bytes = "mel", "audio", 1000

    def __init__(self, config, profiles=None, *, launch, dtype=np.float32, scratch_bytes=64):
        self.config, self.n_mels = config, config.n_mels
        self.profiles = list(profiles or [Profile((2, 4, 20), (1, 1, 3))])
        self.launch, self._dtype, self.scratch_bytes = launch, np.dtype(dtype), scratch_bytes
        self.engine, self.contexts, self.closed = self, [], False
        self.samples = config.output_length  # of this many frames
        self.refuse = ""

    def dtype(self, name):
        return self._dtype

    def new_context(self, profile=0, stream=0):
        raise AssertionError("runners lend their own memory")

    def create_execution_context_without_device_memory(self):
        if self.refuse == "context":
            return None
        self.contexts.append(FakeContext(self))
        return self.contexts[-1]

    def close(self):
        self.closed = True


class FakeContext:
    def __init__(self, engine):
        self.engine, self.device_memory, self.profile = engine, None, None
        self.shape, self.addresses, self.shapes_set, self.runs = None, {}, 0, 0

    @property
    def active_optimization_profile(self):
        return -1 if self.profile is None else self.profile

    def set_optimization_profile_async(self, profile, stream):
        assert self.device_memory, "memory is lent first"
        self.profile = profile
        return self.engine.refuse != "profile"

    def set_input_shape(self, name, shape):
        assert name == "mel" and all(type(size) is int for size in shape)
        self.shapes_set += 1
        self.shape = shape
        return self.engine.profiles[self.profile].holds(shape[0], shape[2])

    def infer_shapes(self):
        return ["sizes"] if self.engine.refuse == "infer" else []

    def get_tensor_shape(self, name):
        assert name == "audio"
        return (self.shape[0], 1, self.engine.samples(self.shape[2]))

    def set_tensor_address(self, name, address):
        assert type(address) is int and address
        self.addresses[name] = address
        return True

    def execute_async_v3(self, handle):
        assert type(handle) is int
        if self.engine.refuse == "execute":
            return False
        self.runs += 1
        self.engine.launch(handle, self.work(self.shape, dict(self.addresses)))
        return True

    def work(self, shape, addresses):
        dtype, hop = self.engine.dtype("mel"), self.engine.config.hop_length

        def run():
            size = int(np.prod(shape)) * dtype.itemsize
            source = np.frombuffer(ctypes.string_at(addresses["mel"], size), dtype)
            audio = expected_audio(source.reshape(shape), hop).astype(dtype)
            ctypes.memmove(addresses["audio"], audio.ctypes.data, audio.nbytes)

        return run
