"""What a log of trtexec says, of the real one or of the stand-in, of 8.6 to 11."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from labutils import tables
from labutils.trt.trtexec.traces import ROWS

__all__ = ["TrtexecSummary", "parse", "parse_all"]

# "[TensorRT v8601] # trtexec ..."; newer ones name their build, too: "[TensorRT v110000] [b114]".
_RUNNING = re.compile(
    r"^&&&& RUNNING TensorRT\.trtexec(?: \[TensorRT (?:v(\d+)|[^\]]*)\])?"
    r"(?: \[[^\]]*\])*(?: # (.*))?$"
)
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
            command, number = started[2] or "", started[1] or ""
            runs.append(TrtexecSummary(command=command, version=_release(number)))
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
    name, _, rest = text.partition(": ")
    # A verbose log explains its rows afterwards, under the same names and without figures.
    if name in ROWS and (found := _FIGURE.findall(rest)):
        run.rows[name] = {figure: float(value) for figure, value in found}
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
    """ "8601" as "8.6.1", "101602" as "10.16.2": from 10 on the minor version has two digits."""
    if not number:
        return ""
    whole = int(number)
    major, minor = divmod(whole // 100, 10 if whole < 10_000 else 100)
    return f"{major}.{minor}.{whole % 100}"
