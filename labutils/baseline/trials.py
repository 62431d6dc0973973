"""Many variants of one network measured in a row: failures become rows, and time has an end."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch import nn

from labutils.baseline import variants
from labutils.baseline.variants import Variant

__all__ = ["noting", "rows"]

_GRACE = 60.0  # seconds beyond the budget that a variant which has begun may take
_LONGEST = 200.0  # seconds for one variant and input, building and measuring


class _OutOfTime(BaseException):
    """Not an Exception: torch.compile catches those."""


def rows(
    model: nn.Module,
    mels: Sequence[np.ndarray],
    ways: Sequence[Variant],
    *,
    device: str,
    seconds: float = 400.0,
    runs: int = 40,
    max_seconds: float = 14.0,
) -> Iterator[dict[str, Any]]:
    """Measure each variant for each mel (batch, n_mels, frames); yields one row as it is ready.

    The first variant is the reference of `snr_db`. A variant that fails gives a row with "error" in
    words, and so does one that begins after `seconds`, or does not end soon after.
    """
    begin = time.monotonic()
    references: dict[tuple[int, ...], np.ndarray] = {}
    for way in ways:
        for mel in mels:
            left = begin + seconds - time.monotonic()
            limit = min(max(left, 0.0) + _GRACE, _LONGEST)
            row: dict[str, Any] = {
                "variant": way.name, "batch": mel.shape[0], "frames": mel.shape[2],
            }  # fmt: skip
            reason = variants.compiler_missing(device) if way.compile else None
            try:
                with noting(row), _limit(limit):
                    if reason or left <= 0:
                        raise RuntimeError(reason or "not measured: time")
                    row, audio = variants.measure(
                        model, way, mel, device=device, reference=references.get(mel.shape),
                        runs=runs, max_seconds=max_seconds,
                    )  # fmt: skip
                    if way == ways[0]:
                        references[mel.shape] = audio
            except _OutOfTime:
                row["error"] = f"not measured: time (stopped after {limit:.0f} s)"
            with contextlib.suppress(Exception):  # a broken context must not end the run
                variants.release(device)
            yield row


@contextlib.contextmanager
def noting(row: dict[str, Any]) -> Iterator[None]:
    """Put the words of an exception in the block into row["error"]; whatever failed, go on."""
    try:
        yield
    except Exception as error:
        row["error"] = _words(error)


def _words(error: Exception) -> str:
    text = " ".join(str(error).split())[:300]
    return text if type(error) is RuntimeError else f"{type(error).__name__}: {text}"


@contextlib.contextmanager
def _limit(seconds: float) -> Iterator[None]:
    """Raise _OutOfTime in the block after so many seconds, where the system has alarms."""
    main_thread = threading.current_thread() is threading.main_thread()
    if not hasattr(signal, "SIGALRM") or not main_thread:
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise _OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
