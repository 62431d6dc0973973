"""How a host waits for a GPU: it spins, gives way, or sleeps until it is woken; what that takes."""

from __future__ import annotations

import ctypes
import os
import platform
import threading
import time
from typing import Any

import numpy as np

from labutils import records
from labutils.baseline.trials import noting
from labutils.environment import require
from labutils.isolated import isolated

__all__ = ["MODES", "wake_up_ms", "waited", "waits"]

# CUctx_flags of the driver API: what a context's cuCtxSynchronize does, and all that builds on it.
MODES = {"spins": 1, "gives way": 2, "sleeps": 4, "CUDA's choice": 0}


def wake_up_ms(tries: int = 100, pause: float = 0.002) -> np.ndarray:
    """Milliseconds until a sleeping thread runs, ``(tries,)``: half of a question and its answer.

    Before each try all sleep for `pause` seconds, so that a processor may have gone to sleep, too.
    """
    question, answer = os.pipe(), os.pipe()

    def reply() -> None:
        for _ in range(tries):
            os.write(answer[1], os.read(question[0], 1))

    other = threading.Thread(target=reply, daemon=True)
    other.start()
    times = []
    for _ in range(tries):
        time.sleep(pause)
        start = time.perf_counter()
        os.write(question[1], b"?")
        os.read(answer[0], 1)
        times.append(500 * (time.perf_counter() - start))
    other.join()
    for end in (*question, *answer):
        os.close(end)
    return np.array(times)


def waited(mode: str, gpu_ms: float = 2.0, runs: int = 50) -> dict[str, Any]:
    """Some milliseconds of GPU work, waited for in one of the `MODES`, again and again.

    Medians: the GPU's own time, the host's until it goes on, the difference, and the processor time
    that the wait took. Only for a process that has not used CUDA yet: a context keeps its mode.
    Raises RuntimeError where the driver refuses.
    """
    torch = require("torch")
    driver = ctypes.CDLL("nvcuda.dll" if platform.system() == "Windows" else "libcuda.so.1")
    status = driver.cuInit(0) or driver.cuDevicePrimaryCtxSetFlags_v2(0, MODES[mode])
    if status:
        raise RuntimeError(f"the driver does not let the context wait so: error {status}")
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def run(cycles: float) -> tuple[float, float, float]:
        start, busy = time.perf_counter(), time.process_time()
        begin.record()
        torch.cuda._sleep(int(cycles))  # a kernel that counts cycles: nothing varies but the wait
        end.record()
        torch.cuda.synchronize()
        host = 1e3 * (time.perf_counter() - start)
        return begin.elapsed_time(end), host, 1e3 * (time.process_time() - busy)

    cycles = 1e6
    for _ in range(20):  # the clock rises at first
        cycles *= gpu_ms / run(cycles)[0]
    gpu, host, busy = np.median([run(cycles) for _ in range(runs)], axis=0)
    return {
        "the host": mode, "GPU (ms)": gpu, "until the host goes on (ms)": host,
        "late by (ms)": host - gpu, "processor time (ms)": busy,
    }  # fmt: skip


@records.experiment("06-waits", needs="cuda", covers=["labutils.engines.waiting"])
def waits(gpu_ms: float = 2.0) -> dict[str, Any]:
    """Each way to wait, in a process of its own, and how long a wake-up takes on this machine.

    Gives {"rows": rows of `waited`, "wake-up (ms)": {"median", "p95"}}.
    """
    rows = []
    for mode in MODES:
        row: dict[str, Any] = {"the host": mode}
        with noting(row):
            row = isolated("labutils.engines.waiting:waited", mode, gpu_ms)
        rows.append(row)
    median, late = np.percentile(wake_up_ms(), [50, 95])
    return {"rows": rows, "wake-up (ms)": {"median": float(median), "p95": float(late)}}
