"""Stand-ins of pycuda and TensorRT on which an inference by hand is rehearsed without a GPU.

A stream that does its work when somebody waits for it, and a context that refuses what a real one
refuses, in the same way: by False, which is easily overlooked, or by an exception.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from labutils.checks.core import Unmet, expect, expect_close, expect_shape

__all__ = ["BANDS", "HOP", "MOST", "Rehearsal"]

BANDS, HOP, MOST = 4, 8, (4, 20)  # of the stand-in engine; the largest batch and frames


class _Memory:
    """Device memory; int() gives its address."""

    def __init__(self, address: int, values: int) -> None:
        self.address = address
        self.values = np.full(values, np.nan, np.float32)

    def __int__(self) -> int:
        return self.address


class _Stream:
    """Work is done in its order, and only when somebody waits for it."""

    handle = 94_000_001

    def __init__(self) -> None:
        self.work: deque[Callable[[], None]] = deque()

    def synchronize(self) -> None:
        while self.work:
            self.work.popleft()()


class _Driver:
    """What an inference needs of pycuda.driver."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self.Context = type("Context", (), {"synchronize": staticmethod(stream.synchronize)})

    def _put(self, stream: Any, what: str, work: Callable[[], None]) -> None:
        expect(
            stream is self._stream,
            f"{what} without the stream: it goes to the default stream, which knows nothing of "
            "the order in yours",
        )
        stream.work.append(work)

    def memcpy_htod_async(self, dest: Any, src: Any, stream: Any = None) -> None:
        expect(
            isinstance(dest, _Memory) and isinstance(src, np.ndarray),
            "memcpy_htod_async(dest, src, stream) copies from the host's array to device memory",
        )
        expect(
            src.size <= dest.values.size, f"{src.size} values copied to room for {dest.values.size}"
        )

        def copy() -> None:
            dest.values[: src.size] = src.ravel()

        self._put(stream, "memcpy_htod_async", copy)

    def memcpy_dtoh_async(self, dest: Any, src: Any, stream: Any = None) -> None:
        expect(
            isinstance(dest, np.ndarray) and isinstance(src, _Memory),
            "memcpy_dtoh_async(dest, src, stream) copies from device memory to the host's array",
        )
        flat = dest.reshape(-1)
        expect(
            np.shares_memory(flat, dest) and dest.size <= src.values.size,
            f"memcpy_dtoh_async can not fill an array of {dest.shape}",
        )

        def copy() -> None:
            flat[:] = src.values[: flat.size]

        self._put(stream, "memcpy_dtoh_async", copy)

    def _waiting(self, *_: Any, **__: Any) -> None:
        raise Unmet(
            "this copy holds up the host and goes to the default stream; use the one that ends in "
            "_async, with the stream"
        )

    memcpy_htod = memcpy_dtoh = _waiting


class _Context:
    """An execution context of an engine with the input "mel" and the output "audio"."""

    def __init__(self, stream: _Stream, memory: Sequence[_Memory]) -> None:
        self._stream = stream
        self._memory = {int(part): part for part in memory}
        self._shape: tuple[int, ...] | None = None
        self._addresses: dict[str, int] = {}
        self.fails = False
        self.asked_early = False  # the sound's shape, before the mel's was known
        self.runs = 0

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool:
        shape = tuple(int(size) for size in shape)
        fits = len(shape) == 3 and shape[1] == BANDS
        fits = fits and 1 <= shape[0] <= MOST[0] and 1 <= shape[2] <= MOST[1]
        if name != "mel" or not fits:
            return False  # and the shape stays what it was
        self._shape = shape
        return True

    def infer_shapes(self) -> list[str]:
        return [] if self._shape else ["mel"]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        expect(name in ("mel", "audio"), f"the engine has no tensor {name!r}: mel and audio")
        batch, bands, frames = self._shape or (-1, BANDS, -1)
        self.asked_early |= self._shape is None and name == "audio"
        if name == "mel":
            return batch, bands, frames
        return batch, 1, frames * HOP if frames > 0 else -1

    def set_tensor_address(self, name: str, address: int) -> bool:
        if type(address) is not int:
            raise TypeError(
                "set_tensor_address(name, address) takes a plain int, as int(memory) gives it, "
                f"not {type(address).__name__}"
            )
        expect(address in self._memory, f"{name}: {address} is the address of no device memory")
        if name not in ("mel", "audio"):
            return False
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        if type(stream_handle) is not int:
            raise TypeError(
                "execute_async_v3(stream_handle) takes the number of a stream, stream.handle, "
                f"not {type(stream_handle).__name__}"
            )
        expect(stream_handle == _Stream.handle, f"{stream_handle} is not the stream's handle")
        if self.fails or self._shape is None or len(self._addresses) < 2:
            return False
        batch, _, frames = self._shape
        mel, audio = (self._memory[self._addresses[name]] for name in ("mel", "audio"))

        def run() -> None:
            given = mel.values[: batch * BANDS * frames].reshape(batch, BANDS, frames)
            audio.values[: batch * frames * HOP] = _sound(given).ravel()

        self._stream.work.append(run)
        self.runs += 1
        return True


def _sound(mel: np.ndarray) -> np.ndarray:
    """Audio (batch, 1, samples) of the stand-in engine."""
    return np.repeat(mel.mean(1, keepdims=True), HOP, axis=2).astype(np.float32)


class Rehearsal:
    """Everything that an inference is given, allocated once for the largest shape."""

    def __init__(self) -> None:
        batch, frames = MOST
        self.stream = _Stream()
        self.on_gpu = {
            "mel": _Memory(0x7F0000000000, batch * BANDS * frames),
            "audio": _Memory(0x7F0000100000, batch * frames * HOP),
        }
        self.context = _Context(self.stream, list(self.on_gpu.values()))
        self.audio = np.full(batch * frames * HOP, np.nan, np.float32)
        self.cuda = _Driver(self.stream)
        self._random = np.random.default_rng(6)

    def mel(self, batch: int, frames: int) -> np.ndarray:
        return self._random.normal(size=(batch, BANDS, frames)).astype(np.float32)

    def call(self, fn: Callable[..., Any], mel: np.ndarray) -> Any:
        try:
            return fn(self.context, self.cuda, self.stream, mel, self.on_gpu, self.audio)
        except Exception:
            if self.context.asked_early:
                raise Unmet(
                    "get_tensor_shape('audio') before set_input_shape is (-1, 1, -1): the context "
                    "can not know yet how long the sound will be"
                ) from None
            raise

    def expect_sound(self, fn: Callable[..., Any], mel: np.ndarray, what: str) -> np.ndarray:
        got = self.call(fn, mel)
        expect(
            not self.stream.work,
            f"{what}: it returned while the stream still had {len(self.stream.work)} things to "
            "do; the sound was read before it was there",
        )
        expect(self.context.runs > 0, f"{what}: the engine never ran")
        wanted = _sound(mel)
        expect_shape(got, wanted.shape, what)
        hint = "the stream works in the order of the calls: copy in, execute, copy out"
        expect_close(got, wanted, what, rtol=1e-4, atol=1e-5, hint=hint)
        return got
