"""What a record of GPU tests says of the code that ran: modules, test files, package versions."""

import ast
import os
import subprocess
import sys

import pytest

from labutils import ROOT, gpu_tests, records
from labutils.records import Measurement, RecordError

PASSES = "import pytest\n\n@pytest.mark.gpu\ndef test_one(): assert 1 + 1 == 2\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A tests/gpu of its own: one file, which uses a module beside its folder."""
    folder = tmp_path / "tests" / "gpu"
    folder.mkdir(parents=True)
    (folder / "test_one.py").write_text("from helper import one\n\ndef test_one(): assert one()\n")
    (folder.parent / "helper.py").write_text("import os\n\ndef one(): return 1\n")
    (folder.parent / "unused.py").write_text("")
    (folder.parent / "conftest.py").write_text("def a(): import unused\n")
    monkeypatch.setattr(gpu_tests, "FOLDER", folder)
    return folder


def record(**data):
    """What `gpu_tests.recorded()` gives of a run now."""
    return Measurement("06-gpu-tests", "recorded", {"files": gpu_tests._hashes()} | data)


def run(folder, tmp_path, *arguments, path=()):
    """The record of a run of `folder` in a process of its own."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom labutils import gpu_tests\n"
        "gpu_tests.gpu_tests.needs = ()\ngpu_tests.FOLDER = Path(sys.argv[1])\n"
        "sys.exit(gpu_tests.main(sys.argv[2:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), "--save", str(tmp_path / "records"), *arguments],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env={"PATH": "", "PYTHONPATH": os.pathsep.join([str(ROOT), *map(str, path)])},
    )  # fmt: skip
    (written,) = (tmp_path / "records").glob("*.json")
    return records.read_record(written), done


# Test files


def test_a_record_made_of_these_files_has_changed_in_nothing(folder):
    made = record()
    assert list(made["files"]) == ["test_one.py", "../conftest.py", "../helper.py"]
    assert gpu_tests.changed_since(made) == gpu_tests.changed_since(made.data) == []


@pytest.mark.parametrize("name", ["test_one.py", "../helper.py", "../conftest.py"])
def test_a_file_that_does_something_else_is_named(folder, name):
    made, path = record(), folder / name
    before = path.read_text()
    path.write_text(f"# a comment\n{before}")
    assert gpu_tests.changed_since(made) == []
    path.write_text(f"{before}\nMORE = 1\n")
    assert gpu_tests.changed_since(made) == [name]


def test_an_assertion_that_asserts_nothing_any_more_is_noticed(folder):
    made, path = record(), folder / "test_one.py"
    path.write_text(path.read_text().replace("assert one()", "assert True"))
    assert gpu_tests.changed_since(made) == ["test_one.py"]


def test_new_files_and_those_that_are_gone_are_named(folder):
    made = record()
    (folder / "test_one.py").rename(folder / "test_two.py")
    assert gpu_tests.changed_since(made) == ["test_one.py", "test_two.py"]


def test_without_figures_there_is_nothing_to_compare():
    with pytest.raises(RecordError):
        gpu_tests.changed_since(Measurement("06-gpu-tests", "no record yet", available=False))


def test_the_files_are_those_that_ran_and_not_what_became_of_them_meanwhile(folder, tmp_path):
    before = gpu_tests._hashes()["test_one.py"]
    edits = "import pytest\nfrom pathlib import Path\n\n@pytest.mark.gpu\ndef test_edits():\n"
    (folder / "test_two.py").write_text(
        edits + "    Path('tests/gpu/test_one.py').write_text('from helper import one')\n"
    )
    made, done = run(folder, tmp_path)
    assert made["data"]["passed"] == 1, done.stdout
    assert made["data"]["files"]["test_one.py"] == before
    assert gpu_tests.changed_since(made["data"]) == ["test_one.py"]


def test_a_file_that_can_not_be_parsed_does_not_cost_the_record(folder, tmp_path):
    (folder / "test_broken.py").write_text("def test_(:\n")
    made, done = run(folder, tmp_path)
    assert made["data"]["exit_status"] == done.returncode == 2
    assert gpu_tests.changed_since(made["data"]) == []


# Versions and modules


@pytest.mark.parametrize("workers", ["1", "2"])
def test_versions_are_recorded_whichever_process_ran_the_tests(tmp_path, workers):
    site, suite = tmp_path / "site", tmp_path / "suite"
    for name, version in (("tensorrt", "8.6.1"), ("pycuda", "2026.1")):
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_text("")
        (site / f"{name}-{version}.dist-info").mkdir()
        facts = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (site / f"{name}-{version}.dist-info" / "METADATA").write_text(facts)
    suite.mkdir()
    (suite / "test_one.py").write_text(PASSES)
    made, done = run(suite, tmp_path, "--workers", workers, path=[site])
    assert made["data"]["passed"] == 1, done.stdout
    assert made["provenance"]["tensorrt"]["bindings"] == "8.6.1"
    packages = made["provenance"]["packages"]
    assert (packages["tensorrt"], packages["pycuda"]) == ("8.6.1", "2026.1")
    assert {"onnx", "onnxruntime"} <= packages.keys()


def test_a_broken_package_does_not_cost_the_record(tmp_path):
    site, suite = tmp_path / "site", tmp_path / "suite"
    (site / "tensorrt").mkdir(parents=True)
    (site / "tensorrt" / "__init__.py").write_text("raise OSError('libnvinfer.so is missing')")
    suite.mkdir()
    (suite / "test_one.py").write_text(PASSES)
    made, done = run(suite, tmp_path, path=[site])
    assert made["data"]["passed"] == 1, done.stderr
    assert made["provenance"]["tensorrt"] is None


def imports(path):
    """The modules of labutils that a file imports anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "labutils":
            yield from (f"labutils.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_a_change_in_whatever_the_tests_import_makes_the_record_older():
    covered = gpu_tests.gpu_tests.source["covers"]
    files = [gpu_tests.FOLDER / name for name in gpu_tests._hashes()]
    assert len(files) > 10 and ROOT / "tests" / "tiny_vocoders.py" in [f.resolve() for f in files]
    used = {name for path in files for name in imports(path) if name.startswith("labutils.")}
    used -= {"labutils.ROOT", "labutils.environment", "labutils.environment.has"}
    left_out = {name for name in used if not any(f"{name}.".startswith(f"{c}.") for c in covered)}
    assert left_out == set() and len(used) > 20
