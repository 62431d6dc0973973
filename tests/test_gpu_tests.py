"""The run of the GPU tests: what becomes of each test stands in its record."""

import json
import os
import subprocess
import sys
import time

import pytest

from labutils import ROOT, gpu_tests

SUITE = """
import pytest

pytestmark = pytest.mark.gpu

@pytest.fixture
def broken():
    raise OSError("no engine")

@pytest.fixture
def untidy():
    yield
    raise OSError("still there")

def test_good(): pass
def test_bad(): assert 1 + 1 == 3, "counting"
def test_left_out(): pytest.skip("needs 2 GPUs")
def test_no_start(broken): pass
def test_no_end(untidy): pass
"""
# As the command line does it, but on this machine and with the suite of this test.
RUN = """
import sys
from pathlib import Path
from labutils import gpu_tests

gpu_tests.gpu_tests.needs = ()
gpu_tests.FOLDER = Path(sys.argv[1])
sys.exit(gpu_tests.main(sys.argv[2:]))
"""


@pytest.fixture
def run(tmp_path):
    """`run(suite, *arguments)`: exit status, what was printed, and the record or None."""

    def start(suite, *arguments, stop_at=None):
        folder, records = tmp_path / "suite", tmp_path / "records"
        folder.mkdir(exist_ok=True)
        (folder / "test_suite.py").write_text(suite)
        (folder / "test_others.py").write_text("def test_cpu(): raise OSError")
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(folder), "--save", str(records), *arguments],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={
                "PATH": "", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
                "CUDA_MPS_PIPE_DIRECTORY": "mps",
            },
        )  # fmt: skip
        if stop_at:
            end = time.monotonic() + 60
            while not (tmp_path / stop_at).exists() and time.monotonic() < end:
                time.sleep(0.05)
            process.terminate()
        output, _ = process.communicate(timeout=120)
        written = sorted(records.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        record = json.loads(written[-1].read_text()) if written else None
        return process.returncode, output, record

    return start


def test_a_run_that_is_asked_to_end_records_what_it_has(run):
    suite = """
import time
from pathlib import Path
import pytest

pytestmark = pytest.mark.gpu

def test_first(): pass

def test_long():
    Path("begun").touch()
    time.sleep(60)

def test_never(): pass
"""
    status, output, record = run(suite, stop_at="begun")
    data = record["data"]
    assert status == data["exit_status"] == 2, output
    outcomes = {n.rpartition("::")[2]: row["outcome"] for n, row in data["outcomes"].items()}
    assert outcomes == {"test_first": "passed", "test_long": "unfinished"}
    assert (data["tests"], data["passed"], data["unfinished"]) == (2, 1, 1)


def test_every_outcome_is_recorded_with_its_reason(run):
    status, output, record = run(SUITE)
    data = record["data"]
    assert status == data["exit_status"] == 1, output
    assert (data["tests"], data["passed"], data["failed"]) == (5, 1, 1)
    assert (data["error"], data["skipped"]) == (2, 1)
    rows = {name.rpartition("::")[2]: row for name, row in data["outcomes"].items()}
    assert rows["test_good"] | {"seconds": 0} == {"outcome": "passed", "seconds": 0, "why": ""}
    assert rows["test_bad"]["outcome"] == "failed" and "counting" in rows["test_bad"]["why"]
    assert rows["test_left_out"] | {"seconds": 0} == {
        "outcome": "skipped", "seconds": 0, "why": "needs 2 GPUs",
    }  # fmt: skip
    assert rows["test_no_start"]["why"] == "OSError: no engine"
    assert (rows["test_no_end"]["outcome"], rows["test_no_end"]["why"]) == (
        "error", "OSError: still there",
    )  # fmt: skip
    assert {"labutils.trt", "labutils.cuda", "labutils.runners"} <= set(record["source"]["covers"])
    assert set(data["files"]) == {"test_others.py", "test_suite.py"}


def test_workers_share_the_gpu_but_not_with_what_wants_it_alone(run, tmp_path):
    suite = """
import os
import time
from pathlib import Path
import pytest

pytestmark = pytest.mark.gpu

@pytest.fixture(autouse=True)
def noted(request):
    name = request.node.name
    with open("told", "a") as file:
        print(name, "begins", os.getpid(), os.environ.get("CUDA_MPS_PIPE_DIRECTORY"), file=file)
    yield
    with open("told", "a") as file:
        print(name, "ends", os.getpid(), file=file)

@pytest.mark.parametrize("number", range(4))
def test_shared(number): time.sleep(0.3)

@pytest.mark.alone
@pytest.mark.parametrize("number", range(2))
def test_alone(number): assert number
"""
    status, output, record = run(suite, "--workers", "2")
    data = record["data"]
    assert status == data["exit_status"] == 1, output
    assert (data["tests"], data["passed"], data["failed"], data["workers"]) == (6, 5, 1, 2)
    assert record["arguments"] == {"selection": None}, "not the record that notebooks show"
    told = [line.split() for line in (tmp_path / "told").read_text().splitlines()]
    alone = [line for line in told if line[0].startswith("test_alone")]
    assert told[-len(alone) :] == alone and len(alone) == 4
    assert len({line[2] for line in told if line not in alone}) == 2
    assert [line[3] for line in told if line[1] == "begins"] == ["mps"] * 4 + ["None"] * 2


def test_engines_are_shared_by_all_processes_of_a_run_and_go_with_it(run, tmp_path):
    suite = """
import os
from pathlib import Path
import pytest

@pytest.mark.gpu
@pytest.mark.parametrize("number", [0, 1, pytest.param(2, marks=pytest.mark.alone)])
def test_engines(number):
    folder = Path(os.environ["LABUTILS_GPU_TEST_ENGINES"])
    (folder / str(number)).touch()
    Path(f"told{number}").write_text(f"{folder}\\n{len(list(folder.iterdir()))}")
"""
    status, output, _ = run(suite, "--workers", "2")
    assert status == 0, output
    told = [(tmp_path / f"told{number}").read_text().split("\n") for number in range(3)]
    assert told[0][0] == told[1][0] == told[2][0] and told[2][1] == "3"
    assert not os.path.exists(told[0][0])


def test_workers_without_any_test_are_an_error(run):
    status, _, record = run("def test_cpu(): pass", "--workers", "2")
    assert status == record["data"]["exit_status"] == 5


def test_a_selection_is_a_record_of_its_own(run):
    status, _, record = run(SUITE, "-k", "good")
    assert status == 0 and record["data"]["tests"] == 1
    assert record["arguments"] == {"selection": ["-k", "good"]}


def test_a_suite_that_can_not_be_read_is_an_error(run):
    status, _, record = run("import labutils.nowhere")
    assert status == 2 and record["data"]["error"] == 1
    (why,) = [row["why"] for row in record["data"]["outcomes"].values()]
    assert "labutils.nowhere" in why


def test_the_hash_is_of_what_the_tests_do(run):
    before = run(SUITE, "-k", "good")[2]["data"]["files"]
    assert run(f"# a comment\n{SUITE}", "-k", "good")[2]["data"]["files"] == before
    assert run(SUITE.replace("1 + 1", "1 + 2"), "-k", "good")[2]["data"]["files"] != before


def test_without_a_gpu_one_line_says_so(monkeypatch, caplog, capsys):
    monkeypatch.setattr(gpu_tests.gpu_tests, "missing", lambda: ["cuda"])
    assert gpu_tests.main([]) == 1
    assert "06-gpu-tests can not be measured here: needs cuda" in caplog.text


@pytest.mark.parametrize("variables", [[], ["RECORD=there"], ["RECORD=there", "TESTS=-k graph"]])
def test_make_test_gpu(variables, tmp_path):
    # Where `make test` runs this, its own flags and variables stay outside.
    alone = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    done = subprocess.run(
        ["make", "-n", "test-gpu", f"VENV={tmp_path}", *variables],
        cwd=ROOT, capture_output=True, text=True, env=alone,
    )  # fmt: skip
    asked = done.stdout.strip().splitlines()[-1].split()
    expected = [f"{tmp_path}/bin/python", "-m", "labutils.gpu_tests"]
    expected += ["--save", "there"] if variables else []
    expected += ["-k", "graph"] if len(variables) > 1 else []
    assert asked == expected and "xdist" not in done.stdout
