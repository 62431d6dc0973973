"""One vocoder's engines for an experiment: built where they are needed, within a budget of time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from labutils import vocoders
from labutils.engines import trials as engine_trials
from labutils.engines.building import Builder, Built
from labutils.engines.graphs import Graphs, GraphSpec
from labutils.engines.rewrites import AS_IT_IS
from labutils.engines.settings import Settings, settings
from labutils.metrics.scores import snr_db
from labutils.shapes import lengths, trials
from labutils.trt import BuildOptions, Profile

__all__ = ["RANGE", "Bench", "bench"]

RANGE = (16, 1024)  # frames that every engine takes
_CHECKED = 256  # frames at which an engine's sound is compared with PyTorch's
_USUAL = 256  # frames of the sentence in the middle
_LEAST = 10.0  # seconds: nothing begins with less left


class Bench:
    """A preset with random weights, and its FP16 engines of any batch and length.

    `left` is what remains of the budget, in seconds.
    """

    def __init__(self, vocoder: str, level: int, given: Settings, made: Graphs, make: Builder):
        self.model = vocoders.create(vocoder)
        self.config = self.model.config
        self._level, self._given, self._make, self._made = level, given, make, made
        self._spec = GraphSpec(vocoder, AS_IT_IS, True, None)
        self._begin = time.monotonic()
        made.ask(self._spec)  # it is exported while PyTorch is measured

    @property
    def left(self) -> float:
        return self._given.seconds - (time.monotonic() - self._begin)

    def need_time(self) -> None:
        if self.left < _LEAST:
            raise RuntimeError("not measured: time")

    def build(self, profiles: Sequence[Profile]) -> Built:
        """An engine of these profiles. Raises RuntimeError or TimeoutError out of time."""
        self.need_time()
        options = BuildOptions(
            tuple(profiles), optimization_level=self._level,
            timing_cache=self._given.timing_cache,
        )  # fmt: skip
        path = self._made.get(self._spec, self.left + 60)
        return self._make.build(path, options, seconds=self.left + 60)

    def checked(self, runner: Any) -> float:
        """SNR of a runner against PyTorch in FP32 without TF32, in dB."""
        (mel,) = trials.mels_of(self.config, [_CHECKED])
        reference = engine_trials.reference_audio(self.model, mel[None])
        return snr_db(reference.ravel(), runner.infer(mel[None]).ravel())

    def sentences(self, count: int, seed: int) -> list[np.ndarray]:
        """Mels of lengths by chance, such that every bucket's guard has room."""
        rate, guard = self.config.mel.frame_rate, self.config.receptive_field
        drawn = lengths.log_normal(
            count, rate, seed=seed, median=_USUAL / rate, shortest=(RANGE[0] + 1) / rate,
            longest=(RANGE[1] - guard - 1) / rate,
        )  # fmt: skip
        return trials.mels_of(self.config, drawn.frames)


@contextlib.contextmanager
def bench(vocoder: str, level: int) -> Iterator[Bench]:
    """A Bench with the settings of the environment; its processes end with the block."""
    with settings(500.0) as given, Graphs(given.graphs) as made, Builder(given.engines) as make:
        yield Bench(vocoder, level, given, made, make)
