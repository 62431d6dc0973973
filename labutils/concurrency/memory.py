"""Who holds the GPU's memory, step by step, and whether an inference leaves some behind."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from labutils import benchmark
from labutils.benchmark.footprint import device_bytes, process_bytes
from labutils.environment import require

__all__ = ["Ledger", "gpu_ledger", "hunt", "judge", "sessions", "who_holds"]

_MB = 1e6
Read = Callable[[], float]


class Ledger:
    """Notes how much memory each step took. `readers` are {name: a function that gives bytes}.

    The first reader is the whole, the others are parts of it; a row has the step, by how many MB
    the whole has changed, and what each reader says now.
    """

    def __init__(self, readers: Mapping[str, Read]) -> None:
        if not readers:
            raise ValueError("a ledger needs something to read")
        self._readers = dict(readers)
        self._last = self._read()
        self.rows: list[dict[str, Any]] = []

    def _read(self) -> dict[str, float]:
        gc.collect()
        return {name: float(read()) / _MB for name, read in self._readers.items()}

    def note(self, step: str, expected_bytes: float | None = None) -> dict[str, Any]:
        """The row of what was done since the last note; `expected_bytes` is what it should take."""
        now = self._read()
        whole = next(iter(now))
        row: dict[str, Any] = {"step": step, "change (MB)": now[whole] - self._last[whole]}
        row["expected (MB)"] = None if expected_bytes is None else expected_bytes / _MB
        row |= {f"{name} (MB)": value for name, value in now.items()}
        self._last = now
        self.rows.append(row)
        return row


def gpu_ledger(device: str = "cuda") -> Ledger:
    """A ledger of a GPU: all that is in use on it, torch's tensors, torch's tensors and cache."""
    torch = require("torch")

    def settled(read: Read) -> Read:
        def call() -> float:
            torch.cuda.synchronize(device)
            return read()

        return call

    return Ledger({
        "GPU": settled(lambda: device_bytes(device)),
        "torch's tensors": lambda: torch.cuda.memory_allocated(device),
        "with torch's cache": lambda: torch.cuda.memory_reserved(device),
    })  # fmt: skip


def who_holds(plan: str, vocoder: str, frames: int) -> list[dict[str, Any]]:
    """The life of a service in steps, with the GPU's memory after each; for `isolated`."""
    import numpy as np

    from labutils import runners, vocoders
    from labutils.concurrency.contexts import open_contexts
    from labutils.trt import Messages, load_engine

    torch, trt = require("torch"), require("tensorrt")
    torch.zeros(1, device="cuda")
    ledger = gpu_ledger()
    runtime = trt.Runtime(Messages().logger)
    ledger.note("TensorRT starts")
    engine = load_engine(plan)
    ledger.note("an engine is loaded", engine.plan_bytes)
    shape, scratch = (1, engine.n_mels, frames), engine.scratch_bytes
    with open_contexts(engine, shape, 1) as first:
        ledger.note("a context, its mel and its audio", scratch + _ends(first))
        first[0].enqueue()
        first[0].synchronize()
        ledger.note("its first inference")
        with open_contexts(engine, shape, 3) as more:
            ledger.note("three contexts more", 3 * scratch + _ends(more))
            more.clear()
        ledger.note("they are closed", -3 * scratch)
        with open_contexts(engine, shape, 3, shared=True) as more:
            ledger.note("three on one lent block", scratch + _ends(more))
            more.clear()
        ledger.note("they are closed")
        first.clear()
    ledger.note("the first one is closed", -scratch)
    torch.cuda.empty_cache()
    ledger.note("torch.cuda.empty_cache()")
    shipped = vocoder in vocoders.shipped()
    model = vocoders.load(vocoder) if shipped else vocoders.create(vocoder)
    mel = vocoders.speech_like_mel(model.config.mel, frames).numpy()
    with runners.TorchRunner(model, device="cuda") as runner:
        ledger.note("the same network in torch, FP32", sum(p.nbytes for p in model.parameters()))
        kept = np.array(runner.infer(mel))
        ledger.note("its first inference")
    ledger.note("it is closed")
    torch.cuda.empty_cache()
    ledger.note("torch.cuda.empty_cache()")
    engine.close()
    ledger.note("the engine is closed", -engine.plan_bytes)
    del runtime, kept
    return ledger.rows


def sessions(path: str, frames: int) -> list[dict[str, Any]]:
    """Two sessions of ONNX Runtime in one process, with its memory after each step; for `isolated`.

    `frames` is the length of the longest mel; a short one has a sixteenth of it.
    """
    from pathlib import Path

    from labutils import vocoders
    from labutils.runners import OnnxRunner

    first = OnnxRunner(path, threads=1)  # what the library itself takes belongs to no step
    mel = vocoders.speech_like_mel(first.config.mel, frames).numpy()
    short = mel[:, :, : max(1, frames // 16)]
    first.close()
    size = Path(path).stat().st_size
    ledger = Ledger({"process": process_bytes})
    first = OnnxRunner(path, threads=1)
    ledger.note("a session of ONNX Runtime", size)
    first.infer(short)
    ledger.note(f"its first inference, {short.shape[2]} frames")
    first.infer(mel)
    ledger.note(f"an inference of {frames} frames")
    first.infer(short)
    ledger.note(f"{short.shape[2]} frames again")
    second = OnnxRunner(path, threads=1)
    ledger.note("a second session", size)
    second.infer(mel)
    ledger.note(f"its inference of {frames} frames")
    second.close()
    ledger.note("the second one is closed")
    first.close()
    ledger.note("the first one is closed")
    return ledger.rows


def _ends(bounds: Sequence[Any]) -> int:
    return sum(bound.input.nbytes + bound.output.nbytes for bound in bounds)


def judge(levels: Sequence[float]) -> dict[str, Any]:
    """What `benchmark.leak_test` says of levels in bytes that were read before.

    A tenth of a MB a call is no leak: drivers and libraries take memory in blocks.
    """
    given = iter(levels)
    return benchmark.leak_test(
        lambda: None, len(levels), warmup=0, read=lambda: int(next(given)), tolerance_mb=0.002
    )


def hunt(
    call: Callable[[], Any],
    runs: int = 1000,
    *,
    readers: Mapping[str, Read],
    warmup: int = 10,
    kept: int = 100,
) -> dict[str, Any]:
    """Call `runs` times and follow several readings of memory at once.

    Returns {reader: {"growth_mb_per_call", "leaks", "verdict", "levels_mb"}} with about `kept`
    levels of each. Raises ValueError for fewer than 8 runs.
    """
    if runs < 8:
        raise ValueError(f"{runs} runs can not tell a leak from a start-up cost: take 8 or more")
    for _ in range(warmup):
        call()
    levels: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(runs):
        call()
        for name, read in readers.items():
            levels[name].append(float(read()))
    found = {}
    for name, values in levels.items():
        judged = judge(values)
        step = max(1, len(values) // kept)
        found[name] = {
            "calls": runs, "growth_mb_per_call": judged["growth_mb_per_call"],
            "leaks": judged["leaks"], "verdict": judged["verdict"],
            "levels_mb": judged["levels_mb"][::step],
        }  # fmt: skip
    return found
