"""The tests that need a GPU, run with a record of what came out and of the code that they ran.

python -m labutils.gpu_tests [--save data/records] [tests/gpu/test_x.py ...] [-k WORDS]

They run in this process, one after the other, and figures of memory are of one process alone. With
`--workers 8` so many processes share the GPU, best with NVIDIA's MPS running; tests that are marked
"alone" come after them, one by one. Engines that many tests want are built once in a run.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import logging
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from labutils import ROOT, records
from labutils.environment import MissingPackage, require
from labutils.records.hashing import SourceError, fingerprint_text

__all__ = ["Report", "changed_since", "gpu_tests", "main"]

FOLDER = ROOT / "tests" / "gpu"
_LONGEST = 300  # characters of a reason
_STUCK = 240  # seconds in one test after which the log shows where it is
_OUTCOMES = ("passed", "failed", "error", "skipped", "unfinished")
_WORKERS = "LABUTILS_GPU_TEST_WORKERS"  # environment variable, for it is no part of a record's name
_ENGINES = "LABUTILS_GPU_TEST_ENGINES"  # folder of the engines that all processes of a run share
_ENDED, _NOTHING = (0, 1), 5  # pytest's status: all passed, some failed; no test was selected
_MPS = "CUDA_MPS_PIPE_DIRECTORY"
# What the tests run, by what they import; labutils.environment only says which of them are skipped.
_COVERS = [
    f"labutils.{name}" for name in (
        "audio", "baseline", "benchmark", "concurrency", "cuda", "engines.precision", "evaluation",
        "locks", "metrics", "onnx_export", "quantization", "runners", "shapes", "training", "trt",
        "vocoders",
    )
]  # fmt: skip
# What they use: a record names the versions of what its own process has imported, and with several
# workers that is not the process that tests.
_USED = ("tensorrt", "pycuda", "onnx", "onnxruntime", "triton")

log = logging.getLogger(__name__)


class Report:
    """A plugin of pytest that notes every test: outcome, seconds, and why where it did not pass."""

    def __init__(self) -> None:
        self.tests: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        name = report.nodeid.removeprefix("tests/gpu/")
        row = self.tests.setdefault(name, {"outcome": "unfinished", "seconds": 0.0, "why": ""})
        row["seconds"] = round(row["seconds"] + report.duration, 3)
        if report.skipped:
            row |= {"outcome": "skipped", "why": _reason(report)}
        elif report.failed:
            # A test that ran and whose clean-up fails has failed, too.
            outcome = "failed" if report.when == "call" else "error"
            row |= {"outcome": outcome, "why": _reason(report)}
        elif report.when == "call":
            row["outcome"] = "passed"

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            name = report.nodeid.removeprefix("tests/gpu/")
            self.tests[name] = {"outcome": "error", "seconds": 0.0, "why": _reason(report)}

    def counts(self) -> dict[str, int]:
        found = Counter(row["outcome"] for row in self.tests.values())
        return {word: found[word] for word in _OUTCOMES}


def _reason(report: Any) -> str:
    """What went wrong in one line, or why a test was skipped."""
    if isinstance(report.longrepr, tuple):  # file, line and reason of a skipped test
        text = report.longrepr[2].removeprefix("Skipped: ")
    else:
        crash = getattr(report.longrepr, "reprcrash", None)
        lines = str(report.longrepr).strip().splitlines() or [""]
        marked = [line[1:] for line in lines if line.startswith("E ")]  # pytest's mark of errors
        text = crash.message if crash else (marked or lines)[-1]
    line = " ".join(text.replace(f"{ROOT}/", "").split())
    return line[:_LONGEST]


@records.experiment("06-gpu-tests", needs="cuda", covers=_COVERS)
def gpu_tests(selection: list[str] | None = None) -> records.Noted:
    """All tests of tests/gpu, or those that arguments of pytest select.

    Gives {"tests", "passed", "failed", "error", "skipped", "unfinished", "exit_status", "workers",
    "files": {name: hash}, "outcomes": {test: {"outcome", "seconds", "why"}}}; `changed_since` reads
    the hashes. Raises MissingPackage without pytest.
    """
    report, workers = Report(), int(os.environ.get(_WORKERS) or 1)
    files = _hashes()  # before the run: a file may be edited while it lasts
    with tempfile.TemporaryDirectory() as folder:
        os.environ[_ENGINES] = folder
        try:
            status = _run_all(report, workers, _where(selection or []))
        finally:
            del os.environ[_ENGINES]
    for name in _USED:
        with suppress(MissingPackage):
            require(name)
    data = {
        "tests": len(report.tests),
        **report.counts(),
        "exit_status": status,
        "workers": workers,
        "files": files,
        "outcomes": report.tests,
    }
    return records.Noted(data)


def changed_since(record: Mapping[str, Any]) -> list[str]:
    """Names of the files of GPU tests that are other than those that a record was made with.

    `record` is what `gpu_tests.recorded()` gives, or its data. A name is as in tests/gpu, with
    "../" before a module of tests/ that the tests use; a file that is new or gone is named, too.
    Comments and docstrings do not count. Raises RecordError for a record without figures.
    """
    before, now = record["files"], _hashes()
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


def _run_all(report: Report, workers: int, where: Sequence[str]) -> int:
    """Run the tests, those that are marked "alone" after the others; pytest's status of all."""
    if workers == 1:
        return _run(report, "gpu", where)
    status = _run(report, "gpu and not alone", where, workers)
    if status not in (*_ENDED, _NOTHING):
        return status
    # A test that crashes would take MPS's other clients with it.
    os.environ.pop(_MPS, None)
    both = {status, _run(report, "gpu and alone", where, 1)}
    return max(both - {_NOTHING}, default=_NOTHING)


def _run(report: Report, marked: str, where: Sequence[str], workers: int = 0) -> int:
    """Run the tests with these marks, in this process or in `workers` others; pytest's status."""
    pytest = require("pytest")
    fixed = ["-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider", "-v"]
    fixed += ["-o", f"faulthandler_timeout={_STUCK}"]
    # Without xdist: each process builds the engines that the tests share again.
    fixed += ["-n", str(workers)] if workers else ["-p", "no:xdist"]
    return int(pytest.main([*fixed, "-m", marked, *where], plugins=[report]))


def _where(selection: Sequence[str]) -> list[str]:
    """The arguments, and the whole folder unless they name a file or a folder."""
    named = any(Path(part.split("::")[0]).exists() for part in selection)
    return [*selection] if named else [str(FOLDER), *selection]


def _hashes() -> dict[str, str]:
    """Each file of GPU tests, each module of tests/ that they use, and the hash of what it does."""
    found: dict[str, str] = {}
    beside = FOLDER.parent
    waiting = [*sorted(FOLDER.glob("*.py")), beside / "conftest.py"]
    while waiting:
        path = waiting.pop(0)
        name = path.name if path.parent == FOLDER else f"../{path.name}"
        if name in found or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        try:
            found[name] = fingerprint_text(text, name)
        except SourceError:  # the run tells of it, and its record is kept
            found[name] = hashlib.sha256(text.encode()).hexdigest()[:16]
            continue
        waiting += [beside / f"{module}.py" for module in _imported(text)]
    return found


def _imported(text: str) -> Iterator[str]:
    """Names of the modules that a file imports at its beginning."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns pytest's exit status, or 1 where there is no GPU to run on."""
    parser = argparse.ArgumentParser(
        prog="python -m labutils.gpu_tests",
        description="Run the tests that need a GPU; further arguments go to pytest.",
    )
    parser.add_argument(
        "--save", type=Path, help="folder for the record (default: LABUTILS_RECORD, else none)"
    )
    parser.add_argument("--workers", type=int, help="processes at once (default 1); see above")
    options, rest = parser.parse_known_args(arguments)
    if options.workers:
        os.environ[_WORKERS] = str(options.workers)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    log.setLevel(logging.INFO)
    # Asked to end, pytest breaks off the test that runs; what came out until then is recorded.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        done = gpu_tests.measure(rest or None, save=options.save)
    except (records.RecordError, ImportError) as error:
        log.error("%s", error)
        return 1
    log.info("%s", {key: done[key] for key in ("tests", *_OUTCOMES)})
    if done.path:
        log.info("%s", done.path)
    return done["exit_status"]


if __name__ == "__main__":
    sys.exit(main())
