"""Does an ONNX file give what PyTorch gives, at lengths and batches that its export never saw?"""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from labutils import tables
from labutils.environment import require
from labutils.onnx_export import files
from labutils.vocoders import speech_like_mel

__all__ = ["ParityReport", "parity"]


@dataclass(frozen=True)
class ParityReport:
    """The differences of a file from PyTorch; truthy if each is within `tolerance`.

    `rows` hold batch, frames, `peak` of PyTorch's audio, `error` (the largest difference), its
    ratio to the peak, the signal-to-noise ratio in dB, and whether the case passed; `reason` says
    what went wrong where no audio of the right length came.
    """

    path: Path
    rows: list[dict[str, Any]]
    tolerance: float

    def __bool__(self) -> bool:
        return all(row["passed"] for row in self.rows)

    @property
    def worst(self) -> float:
        """The largest error relative to the peak; infinite where no audio could be compared."""
        return max(row["error / peak"] for row in self.rows)

    def __repr__(self) -> str:
        bad = [row for row in self.rows if not row["passed"]]
        if not bad:
            return (
                f"{self.path.name} agrees with PyTorch in all {len(self.rows)} cases: the largest "
                f"error is {self.worst:.1e} of the peak ({self.tolerance:.0e} allowed)"
            )
        case = bad[0]
        reason = case["reason"] or f"the error is {case['error / peak']:.1e} of the peak"
        return (
            f"{self.path.name} differs from PyTorch in {len(bad)} of {len(self.rows)} cases, at "
            f"batch {case['batch']} and {case['frames']} frames: {reason}"
        )

    def _repr_html_(self) -> str:
        badge = ("agrees", "good") if self else ("differs", "bad")
        shown = [
            {k: v for k, v in row.items() if k != "reason" or any(r["reason"] for r in self.rows)}
            for row in self.rows
        ]
        return tables.strip([badge], repr(self)) + tables.table(shown)


def parity(
    model: nn.Module,
    path: str | os.PathLike[str],
    lengths: Sequence[int],
    batches: Iterable[int] = (1, 3),
    *,
    tolerance: float = 1e-4,
    seed: int = 0,
) -> ParityReport:
    """Compare a file with the generator that it was made from, on ONNX Runtime's CPU provider.

    `lengths` in frames: short ones, long ones, odd ones, none that the export saw. `tolerance` is
    the largest difference allowed, as a fraction of the peak of PyTorch's audio. Each case feeds a
    seeded speech-like mel. A file that cannot run a case fails that case, it does not raise. Of an
    FP16 file a processor shows the rounded weights alone: see `evaluator.evaluate`.

    Raises ValueError for no lengths, or the one of the example that the export ran; OnnxError for a
    file that ONNX Runtime cannot load.
    """
    path, lengths, batches = Path(path), list(lengths), list(batches)
    proto = files.read(path)
    seen = int(files.metadata(proto).get("export.frames", 0))
    half = proto.graph.input[0].type.tensor_type.elem_type == require("onnx").TensorProto.FLOAT16
    del proto  # ONNX Runtime reads the file itself: large models need not stand in memory twice
    if not lengths or not batches:
        raise ValueError("no lengths or no batches to compare at")
    if seen in lengths:
        raise ValueError(f"the export ran with {seen} frames: choose lengths that it never saw")
    session = _session(path)
    rows = []
    for frames in lengths:
        for batch in batches:
            mel = _mel(model.config, frames, batch, seed)
            with torch.inference_mode():
                expected = model(torch.from_numpy(mel)).numpy()
            case = _compare(session, mel.astype(np.float16) if half else mel, expected)
            case["passed"] = case["error / peak"] <= tolerance
            rows.append({"batch": batch, "frames": frames, **case})
    return ParityReport(path, rows, tolerance)


def _session(path: Path) -> Any:
    runtime = require("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what fails is reported in the row
    options.intra_op_num_threads = torch.get_num_threads()
    # On a busy machine threads that spin while they wait for others take minutes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own types share no public base
        reason = f"ONNX Runtime cannot load {path.name}: {files.runtime_message(error)}"
        raise files.OnnxError(reason) from None


def _mel(config: Any, frames: int, batch: int, seed: int) -> np.ndarray:
    if hasattr(config, "mel"):
        return speech_like_mel(config.mel, frames, batch=batch, seed=seed).numpy()
    return np.random.default_rng(seed).normal(size=(batch, config.n_mels, frames)).astype("f4")


def _compare(session: Any, mel: np.ndarray, expected: np.ndarray) -> dict[str, Any]:
    peak = float(np.abs(expected).max())
    row = {"peak": peak, "error": math.inf, "error / peak": math.inf, "SNR (dB)": -math.inf}
    try:
        got = session.run(None, {session.get_inputs()[0].name: mel})[0]
    except Exception as error:
        return {**row, "reason": files.runtime_message(error)}
    if got.shape != expected.shape:
        return {**row, "reason": f"audio of {got.shape}, expected {expected.shape}"}
    noise = got.astype(np.float64) - expected
    if not np.isfinite(noise).all():
        return {**row, "reason": "NaN or infinite values in the audio"}
    error = float(np.abs(noise).max())
    signal, power = (float(np.square(s, dtype=np.float64).sum()) for s in (expected, noise))
    row |= {
        "error": error,
        "error / peak": error / peak if peak else error and math.inf,
        "reason": "",
    }
    row["SNR (dB)"] = 10 * math.log10(signal / power) if power and signal else math.inf
    return row
