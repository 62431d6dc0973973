"""Runs a TensorRT engine on memory, copies and a stream of its own, through pycuda."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from labutils import cuda
from labutils.runners.base import Runner, RunnerError, VocoderShape
from labutils.runners.engine_lanes import EngineLanes

__all__ = ["PycudaRunner"]


class PycudaRunner(Runner):
    """A TensorRT engine behind the interface of all runners, without torch.

    `engine` is what `labutils.trt.load_engine` takes, or an Engine: that one stays open at the
    end. All memory is allocated once, for the largest shape of all profiles. With `pinned` mel and
    audio pass through page-locked host memory, and the host queues copy, inference and copy back
    before it waits once; without, they are copied from and to ordinary memory.

    It shares the GPU's primary context with torch. Its stream is a blocking one: it and the default
    stream wait for each other, so events on torch's default stream time it.

    Not for several threads at once. Raises MissingPackage without pycuda, CudaError without a GPU,
    OutOfMemoryError, RunnerError for an engine of another vocoder, EngineError as `load_engine`,
    MelError for a shape outside all profiles.
    """

    def __init__(
        self,
        engine: Any,
        config: VocoderShape,
        *,
        pinned: bool = True,
        device: str = "cuda",
        name: str | None = None,
    ) -> None:
        self._index = _index(device)
        self.config, self.device, self.pinned = config, device, pinned
        family = getattr(config, "family", "vocoder")
        kind = "pinned" if pinned else "pageable"
        self.name = name or f"{family}, TensorRT through pycuda on {device}, {kind} memory"
        with cuda.activate(self._index):
            self._own = cuda.Buffers(self._index)
            self._lanes = EngineLanes(engine, config, self.name)
            # Contexts go before the memory that they were lent, by `close` or with the last
            # reference.
            self._finalizer = weakref.finalize(self, _release, self._index, self._lanes, self._own)
            try:
                self._allocate()
            except BaseException:
                self._finalizer()
                raise
        self.max_frames, self.max_batch = self._lanes.max_frames, self._lanes.max_batch

    def _allocate(self) -> None:
        lanes, own = self._lanes, self._own
        self._stream = own.stream()
        self._mel = own.device_buffer(lanes.mel_size * lanes.mel_dtype.itemsize)
        self._audio = own.device_buffer(lanes.audio_size * lanes.audio_dtype.itemsize)
        scratch = own.device_buffer(lanes.scratch_bytes)
        lanes.lend(scratch.pointer, scratch.nbytes)
        self._host_mel = own.pinned(lanes.mel_size, lanes.mel_dtype) if self.pinned else None
        self._host_audio = own.pinned(lanes.audio_size, lanes.audio_dtype) if self.pinned else None

    @property
    def gpu_bytes(self) -> int:
        """GPU memory for mel, audio and what lies between the layers; not the engine's weights."""
        return self._own.nbytes

    def _execute(self, shape: tuple[int, ...], mel: cuda.DeviceBuffer) -> tuple[int, ...]:
        """Queue the inference; gives the audio's shape (batch, samples)."""
        handle, samples = self._stream.handle, self._lanes.samples(shape[2])
        lane = self._lanes.lane(shape, handle)
        lane.bind(shape, mel.pointer, self._audio.pointer, samples)
        lane.execute(handle)
        return shape[0], samples

    def _infer(self, mel: np.ndarray) -> np.ndarray:
        with cuda.activate(self._index):
            self._mel.upload(self._staged(mel), self._stream)
            shape = self._execute(mel.shape, self._mel)
            count = shape[0] * shape[1]
            if self._host_audio is None:
                host = np.empty(count, self._lanes.audio_dtype)
            else:
                host = self._host_audio.array[:count]
            self._audio.download(host, self._stream)
            self._stream.synchronize()
        return host.astype(np.float32).reshape(shape)  # a copy: the next call overwrites `host`

    def _staged(self, mel: np.ndarray) -> np.ndarray:
        """The mel in the engine's number format, in page-locked memory where that is wanted."""
        if self._host_mel is None:
            return mel.astype(self._lanes.mel_dtype, copy=False)
        staged = self._host_mel.array[: mel.size]
        np.copyto(staged, mel.ravel(), casting="same_kind")
        return staged

    def prepare(self, mel: np.ndarray) -> Callable[[], cuda.DeviceBuffer]:
        """As Runner.prepare; the call returns the buffer whose start is the audio."""
        self._need_open()
        mel = self._checked(mel).astype(self._lanes.mel_dtype, copy=False)
        shape = mel.shape
        on_device = cuda.DeviceBuffer(mel.nbytes, device=self._index)
        on_device.upload(mel)

        def launch() -> cuda.DeviceBuffer:
            self._need_open()
            with cuda.activate(self._index):
                self._execute(shape, on_device)
            return self._audio

        return launch

    def synchronize(self) -> None:
        """Wait for this runner's stream."""
        self._need_open()
        self._stream.synchronize()

    def _checked(self, mel: np.ndarray) -> np.ndarray:
        return self._lanes.checked(mel)

    def _close(self) -> None:
        self._finalizer()


def _release(index: int, lanes: EngineLanes, own: cuda.Buffers) -> None:
    with cuda.activate(index):
        own.wait()
        lanes.close()
        own.close()


def _index(device: str) -> int:
    kind, _, number = device.partition(":")
    if kind != "cuda" or not (number or "0").isdecimal():
        raise RunnerError(f'TensorRT needs an NVIDIA GPU, "cuda" or "cuda:1", not "{device}"')
    return int(number or 0)
