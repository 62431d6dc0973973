"""Memory on the GPU, page-locked memory of the host, and copies between them."""

import math
from typing import Any

import numpy as np

from labutils.cuda.context import CudaError, OutOfMemoryError, Resource, activate, tell
from labutils.cuda.queues import Stream

__all__ = ["DeviceBuffer", "PinnedArray"]


class DeviceBuffer(Resource):
    """`nbytes` of GPU memory at `pointer`, which never moves; `int(buffer)` is the pointer.

    Raises ValueError for less than one byte, OutOfMemoryError that says what was asked for and
    what is free.
    """

    what = "buffer"

    def __init__(self, nbytes: int, *, device: int = 0) -> None:
        if isinstance(nbytes, bool) or not hasattr(nbytes, "__index__") or nbytes < 1:
            raise ValueError(f"a buffer of {nbytes!r} bytes: expected a whole number, 1 or more")
        self.nbytes = int(nbytes)
        super().__init__(self._allocate, device)
        self.pointer = int(self._handle)

    def _allocate(self, driver: Any) -> Any:
        try:
            return driver.mem_alloc(self.nbytes)
        except driver.MemoryError:
            free, total = driver.mem_get_info()
            raise OutOfMemoryError(
                f"no GPU memory for {tell(self.nbytes)}: {tell(free)} of {tell(total)} are free; "
                "close runners that are done, torch.cuda.empty_cache() gives back torch's cache"
            ) from None

    def __int__(self) -> int:
        self._handle  # noqa: B018  an address that was freed must not be handed out
        return self.pointer

    def upload(self, array: np.ndarray, stream: Stream | None = None) -> None:
        """Copy a host array to the start of the buffer.

        With a stream the call returns at once where `array` is pinned: it must not change or go
        before the stream is done. Of other arrays CUDA first copies the data away. Without a
        stream the call returns when the data is there. Raises CudaError for an array that is
        larger than the buffer or not contiguous.
        """
        handle = self._fitting(array)
        with activate(self.device) as driver:
            if stream is None:
                driver.memcpy_htod(handle, array)
            else:
                driver.memcpy_htod_async(handle, array, stream._handle)

    def download(self, into: np.ndarray, stream: Stream | None = None) -> None:
        """Fill a host array from the start of the buffer; as `upload`, the other way round.

        With a stream and a pinned array the data is there when the stream is done, not before.
        """
        handle = self._fitting(into)
        with activate(self.device) as driver:
            if stream is None:
                driver.memcpy_dtoh(into, handle)
            else:
                driver.memcpy_dtoh_async(into, handle, stream._handle)

    def _fitting(self, array: np.ndarray) -> Any:
        if not array.flags.c_contiguous:
            raise CudaError(
                f"an array of {array.shape} with strides {array.strides} is not contiguous: copy "
                "from or into one that is (np.ascontiguousarray, np.empty)"
            )
        if array.nbytes > self.nbytes:
            raise CudaError(
                f"an array of {array.shape} {array.dtype} is {tell(array.nbytes)}, the buffer "
                f"holds {tell(self.nbytes)}"
            )
        return self._handle

    def __repr__(self) -> str:
        place = "freed" if self.freed else f"at {self.pointer:#x}"
        return f"<DeviceBuffer of {self.nbytes} bytes, {place}>"


class PinnedArray(Resource):
    """A numpy array, `.array`, in page-locked host memory: the GPU copies it by itself.

    Copies from and to it are faster and run beside the host's work. It is never swapped out, so
    take megabytes of it, not gigabytes. After `free` the memory goes as soon as the
    last view of it is gone. Raises OutOfMemoryError, and ValueError for a shape without elements.
    """

    what = "pinned array"

    def __init__(self, shape: int | tuple[int, ...], dtype: Any, *, device: int = 0) -> None:
        self.shape = (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)
        self.dtype = np.dtype(dtype)
        self.nbytes = math.prod(self.shape) * self.dtype.itemsize
        if min(self.shape, default=0) < 1:
            raise ValueError(f"a pinned array of shape {self.shape}: every side must be 1 or more")
        super().__init__(self._allocate, device)

    def _allocate(self, driver: Any) -> np.ndarray:
        try:
            return driver.pagelocked_empty(self.shape, self.dtype)
        except driver.MemoryError:
            raise OutOfMemoryError(
                f"no page-locked host memory for {tell(self.nbytes)}: use a smaller profile, or "
                "ordinary memory"
            ) from None

    @property
    def array(self) -> np.ndarray:
        """The memory as an array of `shape` and `dtype`. Raises CudaError after `free`."""
        return self._handle

    def __repr__(self) -> str:
        return f"<PinnedArray {self.shape} {self.dtype}{', freed' if self.freed else ''}>"
