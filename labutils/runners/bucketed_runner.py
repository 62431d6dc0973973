"""Any runner in few shapes: mels of every length are filled with silence, run, and cut again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from labutils.runners.base import MelError, Runner, check_mel
from labutils.shapes import padding

__all__ = ["BucketedRunner"]


class BucketedRunner(Runner):
    """A runner whose inner runner sees a few shapes only: one CUDA graph or profile for each.

    `buckets` are numbers of frames, `batches` numbers of sentences; every call is padded with
    silence to the smallest of both that hold it. `guard` frames of silence are put after each
    sentence before its bucket is chosen: with the vocoder's receptive field, which is the default,
    the sound does not depend on the bucket or on the other sentences of the batch, but for
    rounding. With fewer, the last frames hear how much silence follows.

    `runner` is closed with it. Raises ValueError for buckets or batches that are no whole numbers
    above 0 and for a negative guard, MelError for a mel that does not fit.
    """

    def __init__(
        self,
        runner: Runner,
        buckets: Sequence[int],
        *,
        batches: Sequence[int] = (1,),
        guard: int | None = None,
        name: str | None = None,
    ) -> None:
        self.buckets, self.batches = _sizes(buckets, "buckets"), _sizes(batches, "batches")
        field = getattr(runner.config, "receptive_field", 0)
        self.guard = field if guard is None else guard
        if self.guard < 0 or self.buckets[-1] <= self.guard:
            raise ValueError(
                f"guard of {self.guard} frames: 0 or more, and less than the largest bucket, "
                f"{self.buckets[-1]}"
            )
        self.inner, self.config, self.device = runner, runner.config, runner.device
        self.max_frames, self.max_batch = self.buckets[-1] - self.guard, self.batches[-1]
        self.name = name or f"{runner.name}, in {len(self.buckets)} buckets"

    def shape(self, batch: int, frames: int) -> tuple[int, int]:
        """(batch, frames) that the inner runner gets for so many sentences of so many frames."""
        return (
            padding.bucket(batch, self.batches),
            padding.bucket(frames + self.guard, self.buckets),
        )

    def infer_many(self, mels: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Audio (samples,) of each mel (n_mels, frames), in the order of the mels.

        They may be of unequal length. Those of about the same length share a call; a batch is one
        call of the inner runner. Raises MelError for a mel that does not fit, before any is run.
        """
        self._need_open()
        checked = [self._one(mel, i) for i, mel in enumerate(mels)]
        lengths = [mel.shape[1] for mel in checked]
        found: dict[int, np.ndarray] = {}
        for chosen in padding.group(lengths, self.batches[-1]):
            batch, frames = self.shape(len(chosen), max(lengths[i] for i in chosen))
            stacked = padding.stack(
                [checked[i] for i in chosen], self.config, frames=frames, batch=batch
            )
            sounds = self.inner.infer(stacked)
            cut = padding.cut(sounds, [lengths[i] for i in chosen], self.config)
            found |= dict(zip(chosen, cut, strict=True))
        return [found[i] for i in range(len(mels))]

    def _one(self, mel: np.ndarray, number: int) -> np.ndarray:
        if not isinstance(mel, np.ndarray) or mel.ndim != 2:
            shape = getattr(mel, "shape", type(mel).__name__)
            raise MelError(f"mel {number}: expected (n_mels, frames), got {shape}")
        try:
            return check_mel(mel[None], self.config, max_frames=self.max_frames)[0]
        except MelError as error:
            raise MelError(f"mel {number}: {error}") from None

    def _padded(self, mel: np.ndarray) -> np.ndarray:
        batch, frames = self.shape(mel.shape[0], mel.shape[2])
        return padding.stack(list(mel), self.config, frames=frames, batch=batch)

    def _infer(self, mel: np.ndarray) -> np.ndarray:
        sounds = self.inner.infer(self._padded(mel))
        return sounds[: mel.shape[0], : self.config.output_length(mel.shape[2])]

    def prepare(self, mel: np.ndarray) -> Callable[[], Any]:
        """As Runner.prepare, of the inner runner: what the call returns has the bucket's shape."""
        self._need_open()
        return self.inner.prepare(self._padded(self._checked(mel)))

    def synchronize(self) -> None:
        """Wait for the inner runner's device."""
        self.inner.synchronize()

    def _close(self) -> None:
        self.inner.close()


def _sizes(values: Sequence[int], what: str) -> tuple[int, ...]:
    whole = all(hasattr(v, "__index__") and not isinstance(v, bool) for v in values)
    sizes = tuple(sorted({int(v) for v in values})) if whole else ()
    if not sizes or sizes[0] < 1:
        raise ValueError(f"{what}: expected whole numbers above 0, got {list(values)}")
    return sizes
