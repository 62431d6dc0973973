"""What only a fresh Python process shows: first calls, and a GPU allocator with other settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from labutils import ROOT

__all__ = ["FreshProcessError", "first_calls", "in_fresh_process", "vary_lengths"]


class FreshProcessError(RuntimeError):
    """The other process failed or did not end; the text carries the last line that it wrote."""


def in_fresh_process(
    task: str,
    *,
    environment: Mapping[str, str] | None = None,
    timeout: float = 300,
    **arguments: Any,
) -> dict[str, Any]:
    """Run `first_calls` or `vary_lengths` in a new Python and return what it returns.

    `environment` holds variables that are set there in addition. Raises FreshProcessError,
    ValueError for an unknown task.
    """
    if task not in _TASKS:
        raise ValueError(f'no task "{task}": choose one of {", ".join(_TASKS)}')
    command = [
        sys.executable,
        "-m",
        "labutils.fresh_process",
        task,
        json.dumps(arguments),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, cwd=ROOT,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise FreshProcessError(f"{task} did not end within {timeout:g} s") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise FreshProcessError(f"{task} failed: {lines[-1]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def first_calls(
    vocoder: str,
    frames: int,
    *,
    calls: int = 30,
    device: str = "cpu",
    dtype: str = "float32",
    cudnn_benchmark: bool = False,
) -> dict[str, Any]:
    """The first calls of a vocoder of this name, each waited for.

    Returns ``import_s`` (PyTorch and this package), ``create_s`` (random weights and moving them
    to the device) and ``calls_ms``, one figure a call. Says something new only in a process that
    has not run a network yet.
    """
    start = time.perf_counter()
    import torch

    from labutils import runners, vocoders

    imported = time.perf_counter()
    torch.backends.cudnn.benchmark = cudnn_benchmark
    model = vocoders.create(vocoder)
    log_mel = vocoders.speech_like_mel(model.config.mel, frames).numpy()
    times = []
    with runners.TorchRunner(model, device=device, dtype=dtype) as runner:
        launch = runner.prepare(log_mel)
        runner.synchronize()
        created = time.perf_counter()
        for _ in range(calls):
            begin = time.perf_counter()
            launch()
            runner.synchronize()
            times.append(1e3 * (time.perf_counter() - begin))
    return {"import_s": imported - start, "create_s": created - imported, "calls_ms": times}


def vary_lengths(
    vocoder: str, lengths: Sequence[int], *, device: str = "cuda", dtype: str = "float32"
) -> dict[str, float]:
    """Run a vocoder once for each of `lengths` (mel frames) and see what the GPU's allocator took.

    Returns ``peak_tensors_mb``, the most that tensors needed at one time, and ``peak_taken_mb``,
    the most that the allocator took from the GPU for them.
    """
    import torch

    from labutils import runners, vocoders

    model = vocoders.create(vocoder)
    with runners.TorchRunner(model, device=device, dtype=dtype) as runner:
        for frames in lengths:
            runner.infer(vocoders.speech_like_mel(model.config.mel, frames).numpy())
        return {
            "peak_tensors_mb": torch.cuda.max_memory_allocated(device) / 1e6,
            "peak_taken_mb": torch.cuda.max_memory_reserved(device) / 1e6,
        }


_TASKS = {"first_calls": first_calls, "vary_lengths": vary_lengths}


def _main(task: str, arguments: str) -> None:
    sys.stdout.write(json.dumps(_TASKS[task](**json.loads(arguments))) + "\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
