"""A GPU of which `labutils.trt.bound` is tested: it writes down what is called, in which order."""

import contextlib
import weakref
from types import SimpleNamespace

import numpy as np


class OutOfMemoryError(RuntimeError):
    """As torch's."""


class Context:
    """Of TensorRT."""

    def __init__(self, gpu):
        self.gpu, self.shape, self.addresses = gpu, None, {}

    def set_input_shape(self, name, shape):
        assert name == "mel" and all(type(size) is int for size in shape)
        self.shape = shape
        return self.gpu.refuse != "shape"

    def infer_shapes(self):
        return ["sizes"] if self.gpu.refuse == "infer" else []

    def get_tensor_shape(self, name):
        assert name == "audio"
        return (np.int64(self.shape[0]), 1, np.int64(4 * self.shape[2]))

    def set_tensor_address(self, name, address):
        self.addresses[name] = address
        return self.gpu.refuse != "address"

    def execute_async_v3(self, handle):
        assert handle == self.gpu.stream.cuda_stream and len(self.addresses) == 2
        self.gpu.log.append("captured" if self.gpu.capturing else "launched")
        return self.gpu.refuse != "execute"

    def __del__(self):
        self.gpu.log.append("context freed")


class Tensor:
    def __init__(self, gpu, shape, dtype):
        self.gpu, self.shape, self.dtype, self.filled = gpu, shape, dtype, None

    def data_ptr(self):
        return id(self)

    def copy_(self, other):
        self.filled = other
        self.gpu.log.append("filled")

    def uniform_(self, low, high):
        self.filled = (low, high)
        self.gpu.log.append("filled")

    def __del__(self):
        self.gpu.log.append("tensor freed")


class Graph:
    def __init__(self, gpu):
        self.gpu = gpu

    def replay(self):
        assert self.gpu.current == self.gpu.stream, "a graph is launched on torch's current stream"
        self.gpu.log.append("replayed")

    def __del__(self):
        self.gpu.log.append("graph freed")


class Gpu:
    """The fakes of one test. `log` tells what went on, `refuse` what fails."""

    def __init__(self):
        self.log, self.refuse, self.capturing = [], "", False
        self.current, self.contexts = "torch's current stream", []
        self.stream = SimpleNamespace(
            cuda_stream=7, synchronize=self.wait, wait_stream=lambda other: self.after(other)
        )

    def wait(self):
        self.log.append("waited")
        if self.refuse == "wait":
            raise RuntimeError("CUDA error: an illegal memory access\nwas encountered")

    def after(self, other):
        self.log.append(f"waits for {other}")

    def empty(self, shape, dtype, device):
        assert device == "cuda"
        made = sum(entry == "allocated" for entry in self.log)
        if self.refuse == f"memory {made}":
            raise OutOfMemoryError("CUDA out of memory")
        self.log.append("allocated")
        return Tensor(self, shape, dtype)

    @contextlib.contextmanager
    def on(self, stream):
        before, self.current = self.current, stream
        yield
        self.current = before

    @contextlib.contextmanager
    def graph(self, graph, stream, capture_error_mode):
        assert stream == self.stream and capture_error_mode == "thread_local"
        self.capturing = True
        try:
            yield
        finally:
            self.capturing = False
        if self.refuse == "capture":
            raise RuntimeError("operation not permitted when stream is capturing")

    def new_context(self, profile=0, stream=0):
        assert stream == 7
        if self.refuse == "context":
            raise RuntimeError("no memory for a context")
        self.contexts.append((profile, context := Context(self)))
        self.contexts[-1] = (profile, weakref.ref(context))
        return context

    def alive(self):
        """How many contexts there are now."""
        return sum(context() is not None for _, context in self.contexts)
