"""What trtexec prints of a measurement: summary, warnings and layer profile, in its order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from labutils.trt.trtexec.exports import profile_rows
from labutils.trt.trtexec.traces import ROWS, Trace, durations, figures

__all__ = ["Line", "averages", "profile_lines", "report"]

# A line of a log: its severity (V, I, W, E) and its text.
Line = tuple[str, str]

_ENQUEUE_BOUND = 0.8  # of the GPU's time: above it the host may be what is slow
_UNSTABLE = 1.0  # % of the mean
# The names and their order are trtexec's, the sentences are ours.
_EXPLAINED = {
    "Total Host Walltime": "from the launch of the first query after the warm-up to the end of the "
    "last, on the host's clock.",
    "GPU Compute Time": "what the kernels of one query take on the GPU.",
    "Total GPU Compute Time": "the sum of it over all queries. Well below Total Host Walltime, the "
    "GPU waits: for the host, or for copies.",
    "Throughput": "queries by Total Host Walltime. Well below one query by GPU Compute Time, the "
    "GPU waits, too.",
    "Enqueue Time": "what the host takes to launch one query. Above GPU Compute Time, the GPU "
    "waits for the host.",
    "H2D Latency": "the copy of one query's inputs to the GPU.",
    "D2H Latency": "the copy of one query's outputs back.",
    "Latency": "H2D Latency, GPU Compute Time and D2H Latency together: one query, without waits.",
}


def report(
    traces: Sequence[Trace],
    *,
    warm_ups: int,
    warm_up_ms: float,
    average_of: int = 10,
    percentiles: Sequence[float] = (90, 95, 99),
) -> list[Line]:
    """The lines that trtexec prints after a measurement, from the queries after the warm-up.

    `traces` in the order of their beginning, one at least. The warnings are trtexec's: the host
    slower than the GPU, copies slower than the work, a GPU time that varies by more than 1 %. The
    explanations at the end are for a verbose log only, severity V.
    """
    wall_ms = traces[-1].d2h[1] - traces[0].h2d[0]
    times = durations(traces)
    shown = {name: figures(times[name], percentiles) for name in ROWS}
    compute = shown["GPU Compute Time"]
    total = compute["mean"] * len(traces) / 1e3
    lines = [
        f"Warmup completed {warm_ups} queries over {warm_up_ms:g} ms",
        f"Timing trace has {len(traces)} queries over {wall_ms / 1e3:g} s",
        "",
        "=== Trace details ===",
        f"Trace averages of {average_of} runs:",
        *averages(times, average_of),
        "",
        "=== Performance summary ===",
        f"Throughput: {1e3 * len(traces) / wall_ms:g} qps",
        *(f"{name}: {_words(shown[name])}" for name in ROWS),
        f"Total Host Walltime: {wall_ms / 1e3:g} s",
        f"Total GPU Compute Time: {total:g} s",
    ]
    varies = 100 * float(times["GPU Compute Time"].std()) / compute["mean"]
    return [
        *(("I", line) for line in lines),
        *(("W", line) for line in _warnings(shown, varies)),
        ("I", "Explanations of the performance metrics are printed in the verbose logs."),
        ("V", ""),
        ("V", "=== Explanations of the performance metrics ==="),
        *(("V", f"{name}: {text}") for name, text in _EXPLAINED.items()),
        ("I", ""),
    ]


def averages(times: Mapping[str, Any], size: int) -> list[str]:
    """ "Average on 10 runs" lines; queries that fill no group of `size` are left out."""
    lines = []
    for start in range(0, len(times["Latency"]) - size + 1, size):
        gpu, host, enqueue = (
            float(times[row][start : start + size].mean())
            for row in ("GPU Compute Time", "Latency", "Enqueue Time")
        )
        lines.append(
            f"Average on {size} runs - GPU latency: {gpu:g} ms - Host latency: {host:g} ms "
            f"(enqueue {enqueue:g} ms)"
        )
    return lines


def _words(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} = {value:g} ms" for name, value in values.items())


def _warnings(shown: Mapping[str, Mapping[str, float]], varies: float) -> list[str]:
    medians = {name: values["median"] for name, values in shown.items()}
    gpu, lines = medians["GPU Compute Time"], []
    if medians["Enqueue Time"] > _ENQUEUE_BOUND * gpu:
        lines += [
            "* Throughput may be bound by Enqueue Time rather than GPU Compute and the GPU may be "
            "under-utilized.",
            "  If not already in use, --useCudaGraph (utilize CUDA graphs where possible) may "
            "increase the throughput.",
        ]
    for row, copies in (
        ("H2D Latency", "host-to-device transfers for the inputs"),
        ("D2H Latency", "device-to-host transfers for the outputs"),
    ):
        if medians[row] >= gpu:
            lines += [
                f"* Throughput may be bound by {copies} rather than GPU Compute and the GPU may "
                "be under-utilized.",
                "  Add --noDataTransfers flag to disable data transfers.",
            ]
    if varies > _UNSTABLE:
        lines += [
            f"* GPU compute time is unstable, with coefficient of variance = {varies:g}%.",
            "  If not already in use, locking GPU clock frequency or adding --useSpinWait may "
            "improve the stability.",
        ]
    return lines


def profile_lines(runs: Sequence[Mapping[str, float]]) -> list[str]:
    """`--dumpProfile`: a line for each layer, in trtexec's columns, and their sum.

    `runs` are {layer: ms} for each run. The sum's median is that of whole runs, as trtexec's is.
    """
    whole = [sum(run.values()) for run in runs] or [0.0]
    total = {
        "name": "Total",
        "timeMs": sum(whole),
        "averageMs": float(np.mean(whole)),
        "medianMs": float(np.median(whole)),
        "percentage": 100.0,
    }
    return [
        f"=== Profile ({len(runs)} iterations ) ===",
        "   Time(ms)     Avg.(ms)   Median(ms)   Time(%)   Layer",
        *(
            f"{row['timeMs']:11.2f}{row['averageMs']:13.4f}{row['medianMs']:13.4f}"
            f"{row['percentage']:10.1f}   {row['name']}"
            for row in [*profile_rows(runs), total]
        ),
    ]
