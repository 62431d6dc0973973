"""Streams, in which the GPU works in order, and events, which mark a place in one."""

from labutils.cuda.context import Resource, activate

__all__ = ["Event", "Stream"]

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING
_NO_TIMING = 2  # CU_EVENT_DISABLE_TIMING


class Stream(Resource):
    """A queue of work. What is put into one stream runs in order; several may run side by side.

    `blocking` is CUDA's default: work waits for the default stream's and the other way round, so
    an event of torch sees it. With False nothing waits that is not told to. `handle` is what
    `execute_async_v3` takes.
    """

    what = "stream"

    def __init__(self, *, blocking: bool = True, device: int = 0) -> None:
        super().__init__(lambda driver: driver.Stream(0 if blocking else _NON_BLOCKING), device)

    @property
    def handle(self) -> int:
        return int(self._handle.handle)

    @property
    def done(self) -> bool:
        """Whether all its work is done; asks, does not wait."""
        with activate(self.device):
            return bool(self._handle.is_done())

    def synchronize(self) -> None:
        """Wait until all its work is done. Errors of that work come out here."""
        with activate(self.device):
            self._handle.synchronize()

    def wait(self, event: "Event") -> None:
        """Work put in from now on starts after the event; the host does not wait."""
        with activate(self.device):
            self._handle.wait_for_event(event._handle)


class Event(Resource):
    """A mark in a stream: asks whether the GPU has come by, and how long it took between two."""

    what = "event"

    def __init__(self, *, timing: bool = True, device: int = 0) -> None:
        super().__init__(lambda driver: driver.Event(0 if timing else _NO_TIMING), device)

    def record(self, stream: Stream | None = None) -> "Event":
        """Set the mark after all that is in the stream now (None: the default stream)."""
        with activate(self.device):
            self._handle.record(None if stream is None else stream._handle)
        return self

    @property
    def done(self) -> bool:
        """Whether the GPU has come by; True, too, for an event that was never recorded."""
        with activate(self.device):
            return bool(self._handle.query())

    def synchronize(self) -> "Event":
        """Wait until the GPU has come by."""
        with activate(self.device):
            self._handle.synchronize()
        return self

    def since(self, start: "Event") -> float:
        """Milliseconds of the GPU's clock from `start` to here; both done, both with timing."""
        with activate(self.device):
            return float(self._handle.time_since(start._handle))
