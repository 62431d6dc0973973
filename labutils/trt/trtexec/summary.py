"""trtexec's summary: written in its order and words from traces, and read back from any log."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from labutils import tables
from labutils.trt.trtexec.traces import ROWS, Trace, durations, figures

__all__ = ["Line", "TrtexecSummary", "averages", "parse", "parse_all", "report"]

# A line of a log: its severity (I, W, E) and its text.
Line = tuple[str, str]

_ENQUEUE_BOUND = 0.8  # of the GPU's time: above it the host may be what is slow
_UNSTABLE = 1.0  # % of the mean

_RUNNING = re.compile(r"^&&&& RUNNING TensorRT\.trtexec \[TensorRT (?:v(\d+)|[^\]]*)\] # (.*)$")
_ENDED = re.compile(r"^&&&& (PASSED|FAILED) TensorRT\.trtexec")
_LOGGED = re.compile(r"^(?:\[\d\d/\d\d/\d{4}-\d\d:\d\d:\d\d\] )?\[([VIWEF])\] ?(.*)$")
_FIGURE = re.compile(r"([a-z]+(?:\([\d.]+%\))?) = ([-+.\deinfa]+) ms")
_NUMBERS = {
    "throughput_qps": re.compile(r"^Throughput: (\S+) qps$"),
    "host_walltime_s": re.compile(r"^Total Host Walltime: (\S+) s$"),
    "gpu_compute_s": re.compile(r"^Total GPU Compute Time: (\S+) s$"),
    "build_seconds": re.compile(r"^Engine built in (\S+) sec\.$"),
    "load_seconds": re.compile(r"^Engine deserialized in (\S+) sec\.$"),
}
_QUERIES = re.compile(r"^Timing trace has (\d+) queries over")
_WARM_UPS = re.compile(r"^Warmup completed (\d+) queries over")
_DEVICE = re.compile(r"^Selected Device: (.+)$")
_VERSION = re.compile(r"^TensorRT version: (\S+)$")


@dataclass
class TrtexecSummary:
    """What one run of trtexec said.

    Attributes:
        command: as it was called. version: of TensorRT, "8.6.1". device: the GPU's name.
        passed: None where the log ends without saying (cut short, or the tool crashed).
        throughput_qps: queries a second; a query is one input, whatever its batch.
        rows: {"GPU Compute Time": {"min": ms, ..., "percentile(99%)": ms}, ...}.
        queries, warm_ups: how many were timed, how many came before.
        host_walltime_s, gpu_compute_s, build_seconds, load_seconds: None where it does not say.
        warnings, errors: texts of the [W] and [E] lines, in their order.
    """

    command: str = ""
    version: str = ""
    device: str = ""
    passed: bool | None = None
    throughput_qps: float | None = None
    rows: dict[str, dict[str, float]] = field(default_factory=dict)
    queries: int | None = None
    warm_ups: int | None = None
    host_walltime_s: float | None = None
    gpu_compute_s: float | None = None
    build_seconds: float | None = None
    load_seconds: float | None = None
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def ms(self, row: str = "GPU Compute Time", figure: str = "median") -> float:
        """One figure of the summary in ms. Raises KeyError, naming what there is."""
        if row not in self.rows:
            there = ", ".join(self.rows) or "no figures: nothing was timed"
            raise KeyError(f'no row "{row}" ({there})')
        if figure not in self.rows[row]:
            raise KeyError(f'no figure "{figure}" ({", ".join(self.rows[row])})')
        return self.rows[row][figure]

    @property
    def outcome(self) -> str:
        return {True: "PASSED", False: "FAILED", None: "ended without PASSED or FAILED"}[
            self.passed
        ]

    def table(self) -> list[dict[str, Any]]:
        """One row of milliseconds for each of latency, enqueue, copies and compute."""
        return [{"ms": name} | dict(values) for name, values in self.rows.items()]

    def __repr__(self) -> str:
        lines = [f"trtexec {self.version} {self.outcome}".replace("  ", " ")]
        if self.throughput_qps is not None:
            lines.append(f"{self.throughput_qps:g} queries per second")
        lines += [text for text in (tables.text_table(self.table()),) if text]
        return "\n".join([*lines, *(f"error: {text}" for text in self.errors)])

    def _repr_html_(self) -> str:
        kind = {True: "good", False: "bad", None: "warn"}[self.passed]
        text = f"TensorRT {self.version}" + (f" on {self.device}" if self.device else "")
        if self.throughput_qps is not None:
            text += f": {self.throughput_qps:,.1f} queries per second"
        head = tables.strip([("trtexec", "quiet"), (self.outcome, kind)], text, self.command)
        notes = [("error", "bad", text) for text in self.errors]
        notes += [("warning", "warn", text) for text in self.warnings]
        shown = "".join(tables.strip([(word, colour)], line) for word, colour, line in notes)
        return head + tables.table(self.table()) + shown


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
    slower than the GPU, copies slower than the work, a GPU time that varies by more than 1 %.
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
    return [*(("I", line) for line in lines), *(("W", line) for line in _warnings(shown, varies))]


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


def parse(text: str) -> TrtexecSummary:
    """What a log of one run says. Raises ValueError for a text without a run, or with several."""
    runs = parse_all(text)
    if len(runs) != 1:
        raise ValueError(
            f"{len(runs)} runs of trtexec in this text"
            + (": use parse_all" if runs else ': expected a line "&&&& RUNNING TensorRT.trtexec"')
        )
    return runs[0]


def parse_all(text: str) -> list[TrtexecSummary]:
    """What each run in a log says, in their order; an empty list where there is none."""
    runs: list[TrtexecSummary] = []
    for line in text.splitlines():
        if started := _RUNNING.match(line):
            runs.append(TrtexecSummary(command=started[2], version=_release(started[1] or "")))
        elif runs and (ended := _ENDED.match(line)):
            runs[-1].passed = ended[1] == "PASSED"
        elif runs and (logged := _LOGGED.match(line)):
            _take(runs[-1], logged[1], logged[2].rstrip())
    return runs


def _take(run: TrtexecSummary, severity: str, text: str) -> None:
    if severity in "EF":
        run.errors.append(text)
    elif severity == "W":
        run.warnings.append(text)
    name, colon, rest = text.partition(": ")
    if colon and name in ROWS:
        run.rows[name] = {figure: float(value) for figure, value in _FIGURE.findall(rest)}
    for attribute, pattern in _NUMBERS.items():
        if found := pattern.match(text):
            setattr(run, attribute, float(found[1]))
    if found := _QUERIES.match(text):
        run.queries = int(found[1])
    if found := _WARM_UPS.match(text):
        run.warm_ups = int(found[1])
    if found := _DEVICE.match(text):
        run.device = found[1]
    if found := _VERSION.match(text):
        run.version = found[1]


def _release(number: str) -> str:
    """ "8601" as "8.6.1", "101601" as "10.16.1"."""
    if not number:
        return ""
    whole = int(number)
    major = whole // 1000 if whole < 10_000 else whole // 10_000
    return f"{major}.{whole // 100 % (10 if whole < 10_000 else 100)}.{whole % 100}"
