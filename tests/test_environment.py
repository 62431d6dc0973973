"""The survey, `require`, `has` and the versions line: what they say on machines of every kind."""

import re
import subprocess
import sys
import types

import pytest

from labutils import environment, tables
from labutils.environment import capabilities, machine, packages
from labutils.environment import overview as survey_module


@pytest.fixture
def broken_module(tmp_path, monkeypatch):
    """Makes an importable module with the given source and a fresh name."""

    def make(name, source):
        (tmp_path / f"{name}.py").write_text(source)
        return name

    monkeypatch.syspath_prepend(tmp_path)
    return make


def as_gpu_machine(monkeypatch, *, driver="580.65", cuda="13.0", torch_cuda="13.0", count=1):
    """Let the survey see a machine with GPUs."""
    gpu = machine.Gpu("NVIDIA H200", driver, 139.8)
    monkeypatch.setattr(machine, "gpus", lambda: [gpu] * count)
    monkeypatch.setattr(machine, "driver_cuda", lambda: cuda)
    monkeypatch.setattr(machine, "hidden_gpus", lambda: False)
    for module in (capabilities, survey_module):
        monkeypatch.setattr(module, "torch_cuda", lambda: torch_cuda)


def as_machine_without_gpu(monkeypatch):
    monkeypatch.setattr(machine, "gpus", lambda: [])
    monkeypatch.setattr(survey_module, "gpu_names", lambda: [])
    monkeypatch.setattr(capabilities, "torch_cuda", lambda: None)


def test_survey_has_the_rows_that_a_reader_needs():
    found = environment.survey()
    expected = (
        "CPU memory Python GPU driver torch nvcc tensorrt trtexec pycuda torch-tensorrt "
        "onnxruntime onnxsim librosa pesq anywidget"
    )
    for name in expected.split():
        row = found[name]
        assert row.state in {"ok", "missing", "too old"}
        assert row.state == "ok" or row.fix, name
        assert row.needed_for
    assert found["torch"].state == "ok"
    with pytest.raises(KeyError, match="rows are"):
        found["abacus"]


def test_survey_imports_nothing_heavy():
    code = (
        "import sys; from labutils import environment; environment.survey();"
        "print([m for m in ('torch', 'numpy', 'librosa', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_a_gpu_nothing_alarms_and_records_are_promised(monkeypatch):
    as_machine_without_gpu(monkeypatch)
    found = environment.survey()
    assert found["GPU"].state == "missing" and not found["GPU"].matters
    assert "recorded" in found["GPU"].fix and "recorded" in found.verdict
    assert not found["tensorrt"].matters or found["tensorrt"].state == "ok"
    assert "Look at" not in found.verdict or "tensorrt" not in found.verdict


def test_with_a_gpu_missing_gpu_packages_matter_and_have_their_command(monkeypatch):
    as_gpu_machine(monkeypatch)
    monkeypatch.setattr(capabilities, "version_of", lambda name: None)
    monkeypatch.setattr(capabilities, "tool", lambda name: None)
    found = environment.survey()
    for name in ("tensorrt", "pycuda", "torch-tensorrt"):
        assert found[name].state == "missing" and found[name].matters
        assert 'pip install -e ".[gpu]"' in found[name].fix
    assert "headers" in found["pycuda"].fix and "C++ compiler" in found["pycuda"].fix
    assert "in no pip wheel" in found["trtexec"].fix
    assert "labutils.trt.trtexec" in found["trtexec"].fix
    assert "tensorrt" in found.verdict


def test_old_driver_is_named_with_the_one_that_is_needed(monkeypatch):
    as_gpu_machine(monkeypatch, driver="560.35", cuda="12.6", torch_cuda="13.0")
    row = environment.survey()["driver"]
    assert row.state == "too old" and "580" in row.fix and "13.0" in row.fix
    as_gpu_machine(monkeypatch, driver="560.35", cuda="12.6", torch_cuda="12.9")
    assert environment.survey()["driver"].state == "ok"


def test_cpu_build_of_torch_beside_a_gpu_is_found(monkeypatch):
    as_gpu_machine(monkeypatch, torch_cuda=None)
    found = environment.survey()
    assert "CPU build" in found["CUDA of torch"].fix and found["CUDA of torch"].matters
    assert "can not use it" in found.verdict


def test_hidden_gpu_is_told(monkeypatch):
    as_gpu_machine(monkeypatch)
    monkeypatch.setattr(machine, "hidden_gpus", lambda: True)
    assert "CUDA_VISIBLE_DEVICES" in environment.survey()["GPU"].fix


def test_old_package_is_too_old(monkeypatch):
    monkeypatch.setattr(
        capabilities, "version_of", lambda name: "2.9.1+cu128" if name == "torch" else "99"
    )
    row = environment.survey()["torch"]
    assert row.state == "too old" and "2.11" in row.fix and "--upgrade" in row.fix
    html = environment.survey()._repr_html_()
    assert "2.9.1+cu128" in html and "too old" in html


def test_survey_never_raises(monkeypatch):
    def explode(*args):
        raise RuntimeError("no such luck")

    monkeypatch.setattr(machine, "gpus", explode)
    monkeypatch.setattr(machine, "memory_gb", explode)
    found = environment.survey()
    assert any("no such luck" in row.fix for row in found)
    assert found._repr_html_() and repr(found)


def test_survey_as_html_and_text(monkeypatch):
    as_machine_without_gpu(monkeypatch)
    html = environment.survey()._repr_html_()
    for name in ("CPU", "GPU", "torch", "onnxsim", "trtexec"):
        assert name in html and name in repr(environment.survey())
    assert html.count("<tr>") < len(environment.survey().rows)  # packages that are fine share one
    assert "<style" not in html and "var(" not in html  # both are removed from untrusted outputs
    assert "<code" in html and "`" not in html
    text = repr(environment.survey())
    assert "CPU" in text and "<" not in text
    lines = {line.split("  ")[0]: line for line in text.splitlines()}
    assert "none" in lines["GPU"] and "needs a GPU" in lines["CUDA of torch"]
    assert "missing" not in lines["GPU"] + lines["CUDA of torch"]


def test_require_returns_the_module():
    assert environment.require("json") is sys.modules["json"]
    assert environment.require("os.path").join("a", "b")


def test_require_names_package_need_and_command_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)  # "not there" to the import system
    monkeypatch.setattr(environment, "version_of", lambda name: None)
    with pytest.raises(environment.MissingPackage) as caught:
        environment.require("tensorrt")
    text = str(caught.value)
    assert not isinstance(caught.value, environment.BrokenPackage)
    assert text.startswith("tensorrt is not installed") and "\n" not in text
    assert "notebooks 05" in text and 'pip install -e ".[gpu]"' in text


def test_require_of_an_unknown_package():
    with pytest.raises(environment.MissingPackage, match="pip install no-such-package"):
        environment.require("no_such_package.part")


@pytest.mark.parametrize(
    ("source", "original"),
    [
        ("import a_part_that_is_missing", "No module named 'a_part_that_is_missing'"),
        ("raise OSError('libnvinfer.so.10: cannot open\\n shared object')", "libnvinfer.so.10"),
        ("raise RuntimeError('CUDA driver version is insufficient')", "insufficient"),
    ],
)
def test_broken_install_gives_another_line_with_the_original_text(broken_module, source, original):
    name = broken_module(f"broken_{abs(hash(source))}", source)
    with pytest.raises(environment.BrokenPackage) as caught:
        environment.require(name)
    text = str(caught.value)
    assert "is installed but can not be imported" in text and original in text
    assert "\n" not in text
    assert isinstance(caught.value, ImportError) and caught.value.__cause__ is not None
    assert environment.has(name) is False


def test_has_needs_that_are_met_and_not_met():
    assert environment.has("json")
    assert not environment.has("no_such_package")
    assert not environment.has("99 gpus")


@pytest.mark.parametrize("need", ["2gpus", "two gpus", "tensor-rt", "", "2 gpuss"])
def test_a_misspelt_need_is_refused(need):
    with pytest.raises(ValueError, match="is not a need"):
        environment.has(need)


def test_gpu_packages_count_only_with_a_gpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycuda", types.ModuleType("pycuda"))
    torch = environment.require("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not environment.has("cuda") and not environment.has("pycuda")
    assert environment.device() == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert environment.has("cuda") and environment.has("pycuda") and environment.has("1 gpu")
    assert not environment.has("2 gpus")
    assert environment.device() == "cuda"


def test_tools_are_found_on_the_path(tmp_path, monkeypatch):
    program = tmp_path / "trtexec"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment.tool("trtexec") == program
    assert environment.has("trtexec")


def test_versions_line():
    line = environment.versions("torch", "no_such_package")
    assert re.search(r"Python 3\.\d+\.\d+, torch 2\.\d+", repr(line))
    assert "no-such-package missing" in repr(line)
    html = line._repr_html_()
    assert "<strong>" in html and "missing" in html and "running on" in html


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cuda: Optional[str] = '13.0'", "13.0"),
        ('cuda = "12.8"', "12.8"),
        ("cuda: Optional[str] = None\ncuda_extra = '1.0'", None),
    ],
)
def test_cuda_of_torch_is_read_from_its_version_file(tmp_path, monkeypatch, text, expected):
    (tmp_path / "version.py").write_text(f"__version__ = '2.13.0'\n{text}\n")
    monkeypatch.setattr(packages, "package_folder", lambda name: tmp_path)
    assert packages.torch_cuda() == expected


def test_nvidia_smi_is_read(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\n"
        'case "$*" in *query-gpu*) echo "NVIDIA H200, 580.65.06, 143771, 1980, [N/A], 1980, 3201,'
        ' 700.00";; *) echo "| NVIDIA-SMI 580.65.06   CUDA Version: 13.0 |";; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    (gpu,) = machine.gpus()
    assert gpu.name == "NVIDIA H200" and gpu.driver == "580.65.06"
    assert gpu.memory_gb == pytest.approx(140.4, abs=0.1)
    assert gpu.sm_clock == 1980 and gpu.memory_clock is None and gpu.power_limit_w == 700
    assert machine.nvidia_smi(*"abcdefgh")[0]["e"] is None
    assert machine.driver_cuda() == "13.0"
    program.write_text("#!/bin/sh\necho 'has failed because it could not communicate'; exit 9\n")
    assert machine.gpus() == [] and machine.driver_cuda() is None


def test_slug():
    assert machine.slug("NVIDIA GeForce RTX 4090") == "nvidia-geforce-rtx-4090"
    assert machine.slug("AMD Ryzen 9 (TM) 2.5GHz/x") == "amd-ryzen-9-tm-2-5ghz-x"
    assert machine.slug("@@") == "unknown"


def test_numbers_are_shown_with_sensible_digits():
    shown = tables.format_column([4.7361, 33.512, 412.0])
    assert shown == ["4.74", "33.51", "412.00"]
    assert tables.format_column([1e-7, 3.0]) == ["1.00e-07", "3.00"]
    assert tables.format_column([1, None, 12000, True]) == ["1", "–", "12,000", "yes"]
    assert tables.format_number(2026) == "2026"
    assert tables.format_number(0.0) == "0"
    assert tables.format_number(2113.4) == "2113"


def test_table_escapes_text_and_says_what_it_leaves_out():
    html = tables.table([{"a_b": "<x> & `code`"}] * 5, limit=3)
    assert "&lt;x&gt; &amp; <code" in html and ">code</code>" in html and "a b" in html
    assert html.count("<tr>") == 4 and "2 more rows" in html
    assert "2 more rows" in tables.text_table([{"a": 1}] * 5, limit=3)


@pytest.mark.parametrize(
    ("key", "head"),
    [
        ("build_seconds", "build (s)"),
        ("snr_db", "SNR (dB)"),
        ("median_ms", "median (ms)"),
        ("times_real_time", "times real time"),
        ("seconds", "seconds"),
        ("per_second", "per second"),
        ("first pass (ms)", "first pass (ms)"),
        ("what it_is", "what it_is"),
    ],
)
def test_keys_become_heads_of_columns(key, head):
    assert tables.heading(key) == head
    assert f">{head}</th>" in tables.table([{key: 1}])
    assert tables.text_table([{key: 1}]).splitlines()[0].strip() == head
