"""Logs of trtexec: the real tool's of 8.6 to 11 are read, the stand-in's are written."""

import re

import numpy as np
import pytest
from trtexec_parts import log, trace

from labutils.trt import trtexec
from labutils.trt.trtexec import report, traces

# Logs of the real tool


def test_a_real_summary_is_read_in_full():
    run = trtexec.parse(log("timing"))
    assert run.passed and run.outcome == "PASSED" and run.errors == []
    assert (run.version, run.device) == ("8.6.1", "NVIDIA H200")
    assert run.command == "trtexec --loadEngine=v2.plan --shapes=mel:1x80x400"
    assert (run.queries, run.warm_ups, run.throughput_qps) == (4020, 262, 1339.48)
    assert list(run.rows) == list(traces.ROWS)
    assert run.ms() == 0.743835 and run.ms("Latency", "percentile(99%)") == 0.772217
    assert run.rows["H2D Latency"]["max"] == 0.0239868
    assert (run.host_walltime_s, run.gpu_compute_s) == (3.00116, 2.9914)
    assert run.load_seconds == 0.0638925 and run.build_seconds is None
    assert "PASSED" in run._repr_html_() and "1,339.5" in run._repr_html_()


@pytest.mark.parametrize(
    ("head", "version"),
    [
        ("[TensorRT v8601] # trtexec --a", "8.6.1"),
        ("[TensorRT v8412] # trtexec --a", "8.4.12"),
        ("[TensorRT v9300] # trtexec --a", "9.3.0"),
        ("[TensorRT v100001] # trtexec --a", "10.0.1"),
        ("[TensorRT v100500] [b18] # trtexec --a", "10.5.0"),
        ("[TensorRT v101602] [b10] # trtexec --a", "10.16.2"),
        ("[TensorRT v110000] [b114] # trtexec --a", "11.0.0"),
        ("[TensorRT v110300] [b99] # trtexec --a", "11.3.0"),
        ("[TensorRT is missing] # trtexec --a", ""),
        ("# trtexec --a", ""),
    ],
)
def test_every_version_begins_and_ends_a_log_in_its_way(head, version):
    for verdict, passed in (("PASSED", True), ("FAILED", False)):
        text = f"&&&& RUNNING TensorRT.trtexec {head}\n&&&& {verdict} TensorRT.trtexec {head}\n"
        run = trtexec.parse(text)
        assert (run.version, run.command, run.passed) == (version, "trtexec --a", passed)


def test_a_log_that_was_pasted_without_its_command_is_read():
    (run,) = trtexec.parse_all("&&&& RUNNING TensorRT.trtexec [TensorRT v110100] [b106]\n")
    assert (run.version, run.command, run.passed) == ("11.1.0", "", None)


# As trtexec 11.0 logs a run, cut.
ELEVEN = """\
&&&& RUNNING TensorRT.trtexec [TensorRT v110000] [b114] # trtexec --loadEngine=a.plan
[09/08/2026-10:20:17] [I] === Device Information ===
[09/08/2026-10:20:19] [I] Selected Device: NVIDIA B200
[09/08/2026-10:20:19] [I] Selected Device ID: 0
[09/08/2026-10:20:19] [I] TensorRT version: 11.0.0
[09/08/2026-10:20:19] [I] Engine deserialized in 0.023808 sec.
[09/08/2026-10:20:19] [I] Input binding for mel with dimensions 1x80x400 and type fp32 is created.
[09/08/2026-10:20:19] [I] Successfully captured CUDA graph for the current execution context.
[09/08/2026-10:20:22] [I] Warmup completed 4628 queries over 200 ms
[09/08/2026-10:20:22] [I] Timing trace has 69647 queries over 3.00009 s
[09/08/2026-10:20:22] [I]
[09/08/2026-10:20:22] [I] === Performance summary ===
[09/08/2026-10:20:22] [I] Throughput: 23215 qps
[09/08/2026-10:20:22] [I] Latency: min = 0.0395508 ms, max = 0.0682373 ms, mean = 0.0403384 ms
[09/08/2026-10:20:22] [I] H2D Latency: min = 0 ms, max = 0 ms, mean = 0 ms, median = 0 ms
[09/08/2026-10:20:22] [I] GPU Compute Time: mean = 0.0403384 ms, median = 0.0402832 ms
[09/08/2026-10:20:22] [I] Total Host Walltime: 3.00009 s
[09/08/2026-10:20:22] [V] === Explanations of the performance metrics ===
[09/08/2026-10:20:22] [V] Total Host Walltime: the host walltime from when the first query
[09/08/2026-10:20:22] [V] GPU Compute Time: the GPU latency to execute the kernels for a query.
[09/08/2026-10:20:22] [V] H2D Latency: the latency for host-to-device data transfers
[09/08/2026-10:20:22] [V] Latency: the summation of H2D Latency, GPU Compute Time, and D2H Latency.
&&&& PASSED TensorRT.trtexec [TensorRT v110000] [b114] # trtexec --loadEngine=a.plan
"""


def test_a_verbose_log_of_11_keeps_its_figures_though_it_explains_the_rows():
    run = trtexec.parse(ELEVEN)
    assert (run.version, run.device, run.passed) == ("11.0.0", "NVIDIA B200", True)
    assert (run.queries, run.warm_ups, run.throughput_qps) == (69647, 4628, 23215)
    assert run.ms() == 0.0402832 and run.ms("Latency", "max") == 0.0682373
    assert run.ms("H2D Latency") == 0 and run.host_walltime_s == 3.00009


def test_failures_keep_the_real_messages():
    outside, no_file, unknown = trtexec.parse_all(log("failures"))
    assert outside.passed is False and "does not satisfy any optimization" in outside.errors[0]
    assert outside.errors[1] == "Inference set up failed"
    assert no_file.passed is None and "Failed to parse ONNX" in no_file.errors[0]
    assert unknown.errors == ["Unknown option: --fpp16"]
    streams = trtexec.parse(log("two-streams"))
    assert streams.passed is False and "mOptimizationProfile >= 0" in " ".join(streams.errors)
    with pytest.raises(KeyError, match="nothing was timed"):
        outside.ms()


def test_a_build_tells_its_warnings_and_seconds():
    run = trtexec.parse(log("build"))
    assert run.build_seconds == 70.6173 and run.passed is None and run.rows == {}
    assert any("INT64 weights" in line for line in run.warnings)


def test_parse_wants_one_run():
    with pytest.raises(ValueError, match="3 runs.*parse_all"):
        trtexec.parse(log("failures"))
    with pytest.raises(ValueError, match="0 runs"):
        trtexec.parse("Throughput: 3 qps")
    with pytest.raises(KeyError, match="GPU Compute Time"):
        trtexec.parse(log("timing")).ms("Compute")


# The summary that is written


def text_of(lines):
    """These lines as a whole log of 10.16."""
    text = "\n".join(f"[11/21/2026-10:00:00] [{severity}] {line}" for severity, line in lines)
    head, end = (f"&&&& {word} TensorRT.trtexec [TensorRT v101601] # trtexec --loadEngine=a"
                 for word in ("RUNNING", "PASSED"))  # fmt: skip
    return f"{head}\n{text}\n{end}\n"


def test_what_is_written_reads_back_in_the_real_order():
    found = [trace(2.0 * i, compute=1 + i / 1000) for i in range(20)]
    lines = report.report(found, warm_ups=3, warm_up_ms=200, average_of=10, percentiles=(50, 90))
    run = trtexec.parse(text_of(lines))
    assert run.version == "10.16.1" and run.queries == 20 and run.warm_ups == 3
    wall = found[-1].d2h[1]
    assert run.throughput_qps == pytest.approx(1e3 * 20 / wall, rel=1e-5)
    assert run.ms() == pytest.approx(1.0095) and run.ms("Latency", "min") == pytest.approx(1.2)
    assert run.ms("GPU Compute Time", "percentile(90%)") == pytest.approx(1.017)
    real = [re.sub(r"^\[.*?\] \[I\] ", "", line) for line in log("timing").splitlines()]
    ours = [text for severity, text in lines if severity != "V"]
    real, ours = ([re.split(r": | = |\d+ ", line)[0] for line in x] for x in (real, ours))
    shared = [word for word in dict.fromkeys(real) if word and word in ours]
    assert [word for word in dict.fromkeys(ours) if word in shared] == shared
    assert {*traces.ROWS, "Throughput", "Total Host Walltime", "Timing trace has "} <= {*shared}
    assert shared[-1].startswith("Explanations of the performance metrics are printed in")
    assert sum("Average on 10 runs" in line for _, line in lines) == 2


def test_the_explanations_are_for_a_verbose_log_and_name_the_rows():
    lines = report.report([trace(2.0 * i) for i in range(3)], warm_ups=0, warm_up_ms=0)
    explained = [text for severity, text in lines if severity == "V"]
    assert explained[:2] == ["", "=== Explanations of the performance metrics ==="]
    names = [text.split(": ")[0] for text in explained[2:]]
    assert {*traces.ROWS, "Throughput", "Total Host Walltime"} <= {*names}
    assert all(len(text.split(": ")[1]) > 10 for text in explained[2:])
    first = next(i for i, (severity, _) in enumerate(lines) if severity == "V")
    assert lines[first - 1][1].endswith("in the verbose logs.") and lines[-1] == ("I", "")


def test_percentiles_are_those_of_measured_queries():
    values = np.arange(1.0, 101.0)
    assert [traces.percentile(values, q) for q in (90, 99, 100, 0)] == [90, 99, 100, 1]
    assert traces.percentile(np.array([3.0, 1.0]), 50) == 1


@pytest.mark.parametrize(
    ("odd", "warned"),
    [
        ({}, None),
        ({"enqueue": 0.79}, None),
        ({"enqueue": 0.81}, "bound by Enqueue Time"),
        ({"copy": 0.99, "back": 0.0}, None),
        ({"copy": 1.0, "back": 0.0}, "bound by host-to-device transfers for the inputs"),
        ({"copy": 0.0, "back": 0.99}, None),
        ({"copy": 0.0, "back": 1.0}, "bound by device-to-host transfers for the outputs"),
    ],
)
def test_warnings_come_where_trtexec_warns(odd, warned):
    lines = report.report([trace(8.0 * i, **odd) for i in range(12)], warm_ups=0, warm_up_ms=0)
    told = [line for severity, line in lines if severity == "W"]
    if warned is None:
        assert told == []
    else:
        assert len(told) == 2 and warned in told[0] and told[1].startswith("  ")


@pytest.mark.parametrize(("swing", "varies"), [(0.5, "50%"), (0.011, "1.1%"), (0.009, None)])
def test_a_gpu_that_varies_by_more_than_a_hundredth_is_told(swing, varies):
    mixed = [trace(8.0 * i, compute=1 + swing * (-1) ** i) for i in range(12)]
    told = [line for s, line in report.report(mixed, warm_ups=0, warm_up_ms=0) if s == "W"]
    assert (told == []) == (varies is None)
    if told:
        assert "unstable" in told[0] and f"variance = {varies}." in told[0] and len(told) == 2


def test_the_layers_are_printed_in_the_real_columns_with_their_sum():
    runs = [{"a": 1.0, "b": 3.0}, {"a": 2.0, "b": 0.5}, {"a": 9.0, "b": 1.0}]
    head, columns, *rows = report.profile_lines(runs)
    assert head == "=== Profile (3 iterations ) ==="
    assert columns == "   Time(ms)     Avg.(ms)   Median(ms)   Time(%)   Layer"
    assert rows == [
        "      12.00       4.0000       2.0000      72.7   a",
        "       4.50       1.5000       1.0000      27.3   b",
        "      16.50       5.5000       4.0000     100.0   Total",  # the median of whole runs
    ]
