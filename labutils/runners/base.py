"""What every runner promises, whichever backend is behind it, and the check of its input."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np

__all__ = ["MelError", "Runner", "RunnerError", "VocoderShape", "check_mel"]


class MelError(ValueError):
    """A mel that the vocoder can not take; the text says what was expected and what came."""


class RunnerError(RuntimeError):
    """A runner that is closed, or a backend that did not give what it must."""


class VocoderShape(Protocol):
    """What a runner wants to know of a vocoder's configuration."""

    @property
    def n_mels(self) -> int: ...

    @property
    def hop_length(self) -> int: ...

    def output_length(self, frames: int) -> int: ...


def check_mel(
    mel: np.ndarray,
    config: VocoderShape,
    *,
    max_frames: int | None = None,
    max_batch: int | None = None,
) -> np.ndarray:
    """The mel (batch, n_mels, frames) as contiguous float32, or MelError with one line.

    Refuses by name: no array, another number of dimensions or of bands, no numbers, NaN, infinity
    and what overflows float32, no frames or fewer than the network takes, more frames or a larger
    batch than allowed. Float64 and float16 are converted, integers are not mels.
    """
    if not isinstance(mel, np.ndarray):
        hint = ": use mel.cpu().numpy()" if hasattr(mel, "cpu") else ""
        raise MelError(f"expected a numpy array, got {type(mel).__name__}{hint}")
    shape = f"(batch, {config.n_mels}, frames)"
    if mel.ndim != 3:
        hint = ": add the batch with mel[None]" if mel.ndim == 2 else ""
        raise MelError(f"expected a mel of shape {shape}, got {mel.shape}{hint}")
    if mel.dtype.kind != "f":
        raise MelError(f"expected a mel of floating-point numbers, got {mel.dtype}")
    batch, bands, frames = mel.shape
    if bands != config.n_mels:
        hint = ": are bands and frames swapped?" if frames == config.n_mels else ""
        raise MelError(f"expected {config.n_mels} mel bands, got {bands} in {mel.shape}{hint}")
    least = getattr(config, "min_frames", 1)
    if frames < least:
        raise MelError(f"expected {least} frames or more, got {frames}")
    if batch < 1:
        raise MelError("expected a batch of 1 or more, got 0")
    if max_frames is not None and frames > max_frames:
        raise MelError(f"expected {max_frames} frames at the most, got {frames}")
    if max_batch is not None and batch > max_batch:
        raise MelError(f"expected a batch of {max_batch} at the most, got {batch}")
    with np.errstate(over="ignore"):
        mel = np.ascontiguousarray(mel, dtype=np.float32)
    finite = np.isfinite(mel)
    if not finite.all():
        row, band, frame = (int(i) for i in np.argwhere(~finite)[0])
        raise MelError(
            f"expected finite numbers, got {mel[row, band, frame]} at batch {row}, band {band}, "
            f"frame {frame} ({int((~finite).sum())} such values)"
        )
    return mel


class Runner(ABC):
    """A vocoder ready to run on one backend. Use it in a `with` block, or call `close`.

    `name` says what runs, `config` is the vocoder's configuration, `device` is "cpu" or "cuda",
    with an index where there are several. `max_frames` and `max_batch` bound the input, None does
    not.
    A backend implements `_infer`, `prepare`, `synchronize` and `_close`.
    """

    name: str
    config: VocoderShape
    device: str
    max_frames: int | None = None
    max_batch: int | None = None
    _closed: bool = False

    def infer(self, mel: np.ndarray) -> np.ndarray:
        """Audio (batch, hop_length * frames), float32, of a log mel (batch, n_mels, frames).

        Copies to the device and back are part of it. Raises MelError for a mel that does not fit,
        RunnerError after `close` and where the backend's output has another shape.
        """
        self._need_open()
        mel = self._checked(mel)
        audio = self._infer(mel)
        expected = (mel.shape[0], self.config.output_length(mel.shape[2]))
        if audio.shape != expected:
            raise RunnerError(f"{self.name} gave audio of {audio.shape}, expected {expected}")
        return np.ascontiguousarray(audio, dtype=np.float32)

    @abstractmethod
    def prepare(self, mel: np.ndarray) -> Callable[[], Any]:
        """A call without arguments that launches the device's work for this mel, and no more.

        The input is on the device already and the output stays there: this is what a benchmark
        times, with `synchronize` at the end. What it returns belongs to the backend and may be
        overwritten by the next call. After `close` it raises RunnerError. Raises MelError.
        """

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until the device has done all that was launched."""

    @abstractmethod
    def _infer(self, mel: np.ndarray) -> np.ndarray:
        """Audio (batch, samples) of a mel that has been checked."""

    @abstractmethod
    def _close(self) -> None:
        """Release the backend; called once."""

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Release the model and its memory. Calling it again does nothing."""
        if not self._closed:
            self._closed = True
            self._close()

    def _checked(self, mel: np.ndarray) -> np.ndarray:
        return check_mel(mel, self.config, max_frames=self.max_frames, max_batch=self.max_batch)

    def _need_open(self) -> None:
        if self._closed:
            raise RunnerError(f"{self.name} is closed: make a new runner")

    def __enter__(self) -> Self:
        self._need_open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}{', closed' if self._closed else ''}>"
