"""pyproject.toml is the one list of dependencies; what else installs agrees with it."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
import yaml
from house_rules import banned
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from labutils import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Comes with torch where it is built for CUDA; constraints.txt has to hold on every machine.
CUDA_ONLY = re.compile(r"nvidia-|cuda-|triton$|tensorrt|torch-tensorrt|pycuda")
# Modules of the extra `gpu`, which a machine without a GPU cannot install, by distribution.
GPU_MODULES = {"tensorrt": "tensorrt", "torch_tensorrt": "torch-tensorrt", "pycuda": "pycuda"}


def requirements(*extras):
    """Direct requirements by name, of the project and of its extras."""
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


def constraints():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def pins():
    found = {}
    for requirement in constraints():
        (specifier,) = requirement.specifier
        assert specifier.operator == "==" and "*" not in specifier.version, requirement
        found[canonicalize_name(requirement.name)] = Version(specifier.version)
    return found


def tracked():
    """The files that git knows; the test is skipped where this is no git checkout."""
    try:
        names = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


def test_constraints_pin_exact_versions_for_every_machine():
    versions = pins()
    assert len(versions) == len(constraints())  # none twice
    for name, version in versions.items():
        assert version.local is None, f"{name}: a local version exists in one index only"
        assert not CUDA_ONLY.match(name), f"{name}: is not there without CUDA"


def test_every_direct_requirement_is_pinned_within_its_range():
    versions = pins()
    for name, requirement in requirements("dev", "pesq").items():
        assert name in versions, f"{name} is not pinned in constraints.txt"
        assert requirement.specifier.contains(versions[name]), f"{requirement}: {versions[name]}"
        assert requirement.specifier, f"{name} has no lower bound"


def test_torch_is_pinned_inside_a_range_that_starts_at_2_11():
    torch = requirements()["torch"].specifier
    assert pins()["torch"] == Version("2.13.0")
    assert torch.contains("2.11.0") and torch.contains("2.13.0") and not torch.contains("2.10.0")


def test_the_gpu_extra_fits_the_pinned_torch():
    gpu = requirements("gpu")
    assert gpu["torch-tensorrt"].specifier == SpecifierSet("==2.13.*")
    assert gpu["tensorrt"].specifier == SpecifierSet("==11.0.*")  # what torch-tensorrt 2.13 demands
    assert gpu["torch-tensorrt"].specifier.contains(pins()["torch"])
    assert "pycuda" in gpu


@pytest.mark.skipif(sys.platform != "linux", reason="other systems need other packages")
def test_what_the_requirements_need_is_pinned_and_nothing_else():
    needed, queue = set(), list(requirements("dev", "pesq").values())
    seen = set()
    while queue:
        requirement = queue.pop()
        name = canonicalize_name(requirement.name)
        if (name, *sorted(requirement.extras)) in seen or CUDA_ONLY.match(name):
            continue
        seen.add((name, *sorted(requirement.extras)))
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # PESQ without a compiler
        needed.add(name)
        for line in map(Requirement, lines):
            extras = requirement.extras or {""}
            if line.marker is None or any(line.marker.evaluate({"extra": x}) for x in extras):
                queue.append(line)
    versions = set(pins())
    assert needed - versions == set(), "needed, not pinned"
    # A package that is not installed here is for another Python; one that is must be needed.
    installed = {canonicalize_name(found.name) for found in metadata.distributions()}
    assert (versions & installed) - needed == set(), "pinned, not needed"


def test_conda_installs_the_same_project_with_the_gpu_extra():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = [item["pip"] for item in conda["dependencies"] if isinstance(item, dict)]
    assert pip == ["-c constraints.txt", "-e .[gpu]"]
    assert conda["channels"] == ["conda-forge", "nodefaults"]
    packages = [item for item in conda["dependencies"] if isinstance(item, str)]
    by_name = dict(re.match(r"([a-z-]+)(.*)", package).groups() for package in packages)
    assert set(by_name) == {"python", "pip", "pycuda"}
    assert by_name["pycuda"] == str(requirements("gpu")["pycuda"].specifier)
    assert SpecifierSet(PROJECT["requires-python"]).contains(by_name["python"].strip("=") + ".0")
    assert f"Python {by_name['python'].strip('=')}" in (ROOT / "constraints.txt").read_text()


def test_every_import_is_declared():
    """Imports of the package, the tests and the notebooks come from a direct requirement."""
    providers = metadata.packages_distributions()
    declared = set(requirements("dev", "pesq", "gpu"))
    scripts = [path for folder in ("tests", "data") for path in (ROOT / folder).rglob("*.py")]
    local = {"labutils", *(path.stem for path in scripts)}
    unknown = {}
    for path, source in _sources():
        for module in _imports(source):
            if module in sys.stdlib_module_names or module in local:
                continue
            names = {canonicalize_name(name) for name in providers.get(module, [])}
            names.add(GPU_MODULES.get(module, canonicalize_name(module)))
            if not names & declared:
                unknown.setdefault(module, path.name)
    assert unknown == {}, "imported, not in pyproject.toml"


def _sources():
    for folder in ("labutils", "tests", "data"):
        for path in (ROOT / folder).rglob("*.py"):
            yield path, path.read_text(encoding="utf-8")
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                yield path, cell.source


def _imports(source):
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a cell with a magic; the others of its notebook are seen
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (item.name.split(".")[0] for item in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


def test_licence():
    assert PROJECT["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text and "Version 2.0, January 2004" in text and len(text) > 10000


def test_no_file_names_a_machine_or_a_registry():
    found = {}
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # sound, weights, pictures
        lines = banned(text)
        if path == ROOT / ".ci" / "run":  # may use what stands beside some checkouts
            lines = [line for line in lines if not line.startswith("a folder beside")]
        if lines:
            found[str(path.relative_to(ROOT))] = lines
    assert found == {}


def test_the_tree_stays_small():
    size = sum(path.stat().st_size for path in tracked())
    assert size < 25e6, f"{size / 1e6:.1f} MB"


# The Makefile, with a stand-in for Python that writes down what it is asked to do.

STAND_IN = """#!/bin/sh
echo "$@" >> "$ASKED"
case "$*" in
    *sys.version_info*) exit ${TOO_OLD:-0} ;;
    *"-m venv"*) mkdir -p "$VENV/bin" && cp "$0" "$VENV/bin/python" ;;
    *pesq*) exit ${NO_COMPILER:-0} ;;
    *"pip "*install*) exit ${NO_NETWORK:-0} ;;
esac
"""


@pytest.fixture
def make(tmp_path):
    """`make(target, variables)`: its exit status, its output, and the calls of Python."""
    python = tmp_path / "python"
    python.write_text(STAND_IN)
    python.chmod(0o755)
    asked = tmp_path / "asked"

    def run(target, *variables, **environment):
        asked.write_text("")
        venv = f"{tmp_path}/venv"
        kept = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
        done = subprocess.run(
            ["make", target, f"PYTHON={python}", f"VENV={venv}", *variables],
            cwd=ROOT,
            env=kept | {"ASKED": str(asked), "VENV": venv} | environment,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr, asked.read_text().splitlines()

    return run


def installs(asked):
    return [line.split(" install ")[1] for line in asked if " install " in line]


def test_make_installs_once_and_then_runs(make):
    status, output, asked = make("test")
    assert status == 0 and any("-m venv" in line for line in asked)
    assert "PESQ was left out" not in output
    assert installs(asked) == [
        "-c constraints.txt -e .[dev]",
        "-q -c constraints.txt -e .[pesq]",
    ]
    assert "f0(" in asked[-2]  # the pitch functions are compiled before tests run side by side
    assert asked[-1] == "-m pytest -n 2 --dist loadgroup"
    assert make("test", "TESTS=tests/test_mel.py")[2] == [f"{asked[-1]} tests/test_mel.py"]
    assert make("notebooks", "NB=01")[2] == ["-m labutils.workbook run 01"]
    assert make("book")[2] == ["-m labutils.workbook book"]
    assert make("records")[2] == ["-m labutils.remeasure --save data/records"]
    asked_for = make("records", "RECORD=there", "STEPS=--missing gates")[2]
    assert asked_for == ["-m labutils.remeasure --save there --missing gates"]
    (lab,) = make("lab", "LAB_ARGS=--no-browser")[2]
    assert lab.startswith("-m jupyterlab ") and lab.endswith(" --no-browser")
    assert "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb" in lab


def test_what_librosa_compiles_was_compiled_by_make():
    """Numba's cache has a race: processes that fill it side by side can crash at address 0."""
    if not list(Path(sys.prefix).glob(".installed-*")):
        pytest.skip("this environment was not made by make")
    code = "import numpy; from labutils.metrics import compare; "
    code += "s = numpy.sin(numpy.arange(22050) / 20); compare(s, s, 22050)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"NUMBA_DEBUG_CACHE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "data loaded from" in done.stdout and "data saved to" not in done.stdout


def test_torch_comes_first_from_the_index_that_is_asked_for(make):
    _, _, asked = make("install", "TORCH_INDEX=https://index.example/cpu")
    first = "--no-deps --index-url https://index.example/cpu -c constraints.txt torch"
    assert installs(asked)[:2] == [first, "-c constraints.txt -e .[dev]"]


def test_without_a_compiler_one_line_says_so_and_all_goes_on(make):
    status, output, _ = make("install", NO_COMPILER="1")
    assert status == 0
    assert len([line for line in output.splitlines() if "PESQ was left out" in line]) == 1


def test_an_installation_that_fails_is_tried_again(make):
    assert make("test", NO_NETWORK="1")[0] != 0
    status, _, asked = make("test")
    assert status == 0 and installs(asked) and not any("-m venv" in line for line in asked)


def test_an_old_python_is_refused_in_one_line(make):
    status, output, asked = make("install", TOO_OLD="1")
    assert status != 0 and "is not Python 3.11 or newer" in output and installs(asked) == []


def test_changed_requirements_are_installed(make, tmp_path):
    make("install")
    (stamp,) = (tmp_path / "venv").glob(".installed-*")
    assert make("install")[2] == []
    os.utime(stamp, (0, 0))
    assert installs(make("install")[2])


def test_ci_runs_make_test():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert re.search(r"^make test$", script.read_text(), re.M)
