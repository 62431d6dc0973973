"""Calibration: run speech through the network and note which values each tensor takes."""

import contextlib
import io
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labutils.environment import require
from labutils.evaluation import log_mel
from labutils.onnx_export import files
from labutils.onnx_export.files import OnnxError
from labutils.quantization.layers import KINDS

__all__ = ["METHODS", "Ranges", "SegmentReader", "calibrate", "segments"]

METHODS = ("minmax", "entropy", "percentile")
_LEVELS = 128  # magnitudes that symmetric INT8 can tell apart


@dataclass(frozen=True)
class Ranges:
    """What a calibration found: for each tensor the values that INT8 shall span.

    `method` is one of METHODS; `count` and `frames` tell how many mels it saw, and how many frames
    in all. `data` is onnxruntime's own object, which the quantizer reads.
    """

    method: str
    count: int
    frames: int
    data: Any

    def of(self, tensor: str) -> tuple[float, float]:
        """The smallest and the largest value of a tensor. KeyError for one that was not seen."""
        low, high = self.data[tensor].range_value
        return float(np.min(low)), float(np.max(high))

    def __len__(self) -> int:
        return len(list(self.data.keys()))

    def __repr__(self) -> str:
        seen = f"{self.method}, {self.count} mels, {self.frames} frames"
        return f"ranges of {len(self)} tensors: {seen}"


class SegmentReader:
    """Hands mels (1, n_mels, frames) to onnxruntime's calibration one by one."""

    def __init__(self, mels: Sequence[np.ndarray], name: str = "mel") -> None:
        self._mels, self._name = list(mels), name
        self._next: Iterator[np.ndarray] = iter(self._mels)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """{input's name: mel}, or None at the end."""
        mel = next(self._next, None)
        return None if mel is None else {self._name: mel}

    def rewind(self) -> None:
        """Begin again with the first mel."""
        self._next = iter(self._mels)

    def __len__(self) -> int:
        return len(self._mels)


def segments(
    clips: Sequence[Any], config: Any, *, frames: int = 64, per_clip: int = 3
) -> list[np.ndarray]:
    """Pieces of the log mels of clips, spread evenly over each: float32 (1, n_mels, frames).

    `clips` are `audio.SpeechClip`s, `config` is the vocoder's. Take clips that neither trained the
    vocoder's judge nor serve as its test. A clip shorter than `frames` is taken whole. Raises
    ValueError for no clips or counts below 1.
    """
    if not clips or frames < 1 or per_clip < 1:
        raise ValueError(f"{len(clips)} clips, {per_clip} pieces of {frames} frames: not 1 or more")
    found = []
    for clip in clips:
        mel = log_mel(clip.load(), clip.sample_rate, config)
        room = max(0, mel.shape[2] - frames)
        # The middle of each part: clips begin and end in silence.
        starts = {round(room * (i + 0.5) / per_clip) for i in range(per_clip)}
        found += [np.ascontiguousarray(mel[..., s : s + frames]) for s in sorted(starts)]
    return found


def calibrate(
    path: str | os.PathLike[str],
    mels: Sequence[np.ndarray],
    *,
    method: str = "minmax",
    percentile: float = 99.99,
    bins: int = 512,
) -> Ranges:
    """Run float32 mels (1, n_mels, frames) through a file and find the range of each tensor.

    "minmax" takes the most extreme values seen; "percentile" leaves out what lies above that
    `percentile` of magnitudes; "entropy" cuts where the distribution changes least, by
    Kullback-Leibler divergence (onnxruntime's version of it), looking at `bins` steps of each
    range. onnxruntime's own default is 128, as many as INT8 has: then there is nothing to cut, and
    the result is that of "minmax". More steps take much longer. All ranges are symmetric about 0,
    as TensorRT wants. The last two methods hold every value of every tensor in memory: give them
    pieces of a second, not whole recordings.

    Raises ValueError for an unknown method, a percentile outside 50 to 100 and no mels; OnnxError
    for a mel that holds NaN or infinity.
    """
    if method not in METHODS:
        raise ValueError(f"no method {method!r}; there are: {', '.join(METHODS)}")
    if not 50 < percentile <= 100:
        raise ValueError(f"percentile {percentile}: above 50 and at most 100")
    if bins < _LEVELS:
        raise ValueError(f"{bins} bins: {_LEVELS} at least, the levels that INT8 has")
    if not mels:
        raise ValueError("no mels to calibrate with: pass segments(clips, config)")
    for number, mel in enumerate(mels):
        if not np.isfinite(mel).all():
            raise OnnxError(f"mel {number} holds NaN or infinity: no range would be right")
    module = require("onnxruntime.quantization.calibrate")
    kinds = {
        "minmax": module.CalibrationMethod.MinMax,
        "entropy": module.CalibrationMethod.Entropy,
        "percentile": module.CalibrationMethod.Percentile,
    }
    name = files.read(path).graph.input[0].name
    settings: dict[str, Any] = {"symmetric": True}
    if method == "percentile":
        settings["percentile"] = percentile
    if method == "entropy":
        settings |= {"num_bins": bins, "num_quantized_bins": _LEVELS}
    with tempfile.TemporaryDirectory() as folder, quiet():
        calibrator = module.create_calibrator(
            Path(path),
            list(KINDS),
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=kinds[method],
            extra_options=settings,
        )
        calibrator.collect_data(SegmentReader(mels, name))
        data = calibrator.compute_data()
    return Ranges(method, len(mels), sum(mel.shape[2] for mel in mels), data)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what onnxruntime's quantization prints and logs to the root logger."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(before)
