"""One owner for everything that an inference needs, which gives it all back at the end."""

import logging
import weakref
from types import TracebackType
from typing import Any, Self, TypeVar

from labutils.cuda.context import CudaError, Resource
from labutils.cuda.memory import DeviceBuffer, PinnedArray
from labutils.cuda.queues import Event, Stream

__all__ = ["Buffers"]

log = logging.getLogger(__name__)
_Kind = TypeVar("_Kind", bound=Resource)


class Buffers:
    """Owns buffers, pinned arrays, streams and events of one GPU and frees them in reverse order.

    Use it in a `with` block, or call `close`. Without either they go with the last reference to
    the Buffers. Before freeing it waits for its streams. An allocation that fails leaves those
    before it as they are, to be freed by `close`.
    """

    def __init__(self, device: int = 0) -> None:
        self.device = device
        self._items: list[Resource] = []
        self._finalizer = weakref.finalize(self, _free_all, self._items)

    def device_buffer(self, nbytes: int) -> DeviceBuffer:
        """GPU memory. Raises as DeviceBuffer."""
        return self._own(DeviceBuffer, nbytes)

    def pinned(self, shape: int | tuple[int, ...], dtype: Any) -> PinnedArray:
        """A page-locked host array. Raises as PinnedArray."""
        return self._own(PinnedArray, shape, dtype)

    def stream(self, *, blocking: bool = True) -> Stream:
        return self._own(Stream, blocking=blocking)

    def event(self, *, timing: bool = True) -> Event:
        return self._own(Event, timing=timing)

    def _own(self, kind: type[_Kind], *args: Any, **options: Any) -> _Kind:
        if self.closed:
            raise CudaError("these Buffers are closed: make new ones")
        item = kind(*args, **options, device=self.device)
        self._items.append(item)
        return item

    def wait(self) -> None:
        """Wait for all streams; an error of their work is logged, not raised."""
        _wait(self._items)

    @property
    def nbytes(self) -> int:
        """Bytes of GPU memory that are held."""
        held = (item for item in self._items if isinstance(item, DeviceBuffer))
        return sum(item.nbytes for item in held if not item.freed)

    @property
    def closed(self) -> bool:
        return not self._finalizer.alive

    def close(self) -> None:
        """Free all. Calling it again does nothing."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{len(self._items)} items, {self.nbytes} bytes"
        return f"<Buffers on GPU {self.device}, {state}>"


def _wait(items: list[Resource]) -> None:
    for item in items:
        if isinstance(item, Stream) and not item.freed:
            try:
                item.synchronize()
            except Exception as error:  # what failed work used is freed all the same
                log.warning("a stream ended with an error: %s", error)


def _free_all(items: list[Resource]) -> None:
    _wait(items)
    while items:
        items.pop().free()
