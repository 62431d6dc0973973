"""The context in which pycuda works: the GPU's primary one, which torch and TensorRT use, too."""

import functools
import logging
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from labutils.environment import require

__all__ = ["CudaError", "OutOfMemoryError", "Resource", "activate", "memory_info", "tell"]

log = logging.getLogger(__name__)


class CudaError(RuntimeError):
    """Something that CUDA refused, or a thing that was freed before; the text says which."""


class OutOfMemoryError(CudaError):
    """The GPU, or page-locked host memory, is full; the text says how much was asked for."""


@functools.cache
def _primary(device: int) -> tuple[Any, Any]:
    """`pycuda.driver`, and its handle of a GPU's primary context, kept until the process ends.

    `pycuda.autoprimaryctx` does the same at import, but leaves the context on the stack of the
    thread that imported it: other threads have none then.
    """
    driver = require("pycuda.driver")
    try:
        driver.init()
        count = driver.Device.count()
    except driver.Error as error:
        raise CudaError(f"no NVIDIA GPU can be used here: {error}") from None
    if not 0 <= device < count:
        raise CudaError(f"there is no GPU {device}: this machine has {count}")
    return driver, driver.Device(device).retain_primary_context()


@contextmanager
def activate(device: int = 0) -> Iterator[Any]:
    """Within the block the primary context of a GPU is this thread's; gives `pycuda.driver`.

    Every call of this package does it itself. Use it around calls of pycuda's own. Raises
    MissingPackage without pycuda, CudaError without that GPU.
    """
    driver, context = _primary(device)
    with _current(context):
        yield driver


@contextmanager
def _current(context: Any) -> Iterator[None]:
    # Pushed and popped each time, about a microsecond: a thread that ends with a context on
    # pycuda's stack takes the whole process with it.
    context.push()
    try:
        yield
    finally:
        context.pop()


def memory_info(device: int = 0) -> tuple[int, int]:
    """Bytes free on a GPU and bytes in all; what torch keeps in its cache is not free."""
    with activate(device) as driver:
        free, total = driver.mem_get_info()
    return int(free), int(total)


def tell(nbytes: int) -> str:
    """A number of bytes as "3.2 GB (3200000000 bytes)"."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if nbytes >= size:
            return f"{nbytes / size:.3g} {unit} ({nbytes} bytes)"
    return f"{nbytes} bytes"


class Resource:
    """Something that CUDA lends: made at once, freed by `free` or with the last reference.

    `make` gets `pycuda.driver` and returns pycuda's object, which nobody else may keep. `what`
    names it in errors. Freeing works from every thread, also from the garbage collector's.
    """

    what = "resource"

    def __init__(self, make: Callable[[Any], Any], device: int = 0) -> None:
        self.device = device
        with activate(device) as driver:
            self._held = [make(driver)]
        # The finalizer must not know `self`, or it would keep it alive.
        self._free = weakref.finalize(self, _drop, _primary(device)[1], self._held)

    @property
    def freed(self) -> bool:
        return not self._free.alive

    def free(self) -> None:
        """Give it back. Calling it again does nothing."""
        self._free()

    @property
    def _handle(self) -> Any:
        if not self._held:
            raise CudaError(f"this {self.what} was freed: make a new one")
        return self._held[0]


def _drop(context: Any, held: list[Any]) -> None:
    """Let pycuda's object go while its context is current: elsewhere it would never be freed."""
    try:
        with _current(context):
            held.clear()
    except Exception as error:  # after a failed kernel every call fails, and freeing goes on
        log.warning("a CUDA object could not be freed: %s", error)
        held.clear()
