"""Experiments and their records: names, choice, staleness, provenance, damage, and the display."""

import dataclasses
import json
import os
import sys
import textwrap

import nbformat
import numpy as np
import papermill
import pytest

from labutils import environment, records, vocoders, weights
from labutils.records import (
    Experiment,
    Noted,
    RecordError,
    experiment,
    hashing,
    measurement,
    provenance,
)
from labutils.records import files as record_files


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder of its own for records, which is read, and written only when asked."""
    place = tmp_path / "records"
    monkeypatch.setattr(records, "RECORDS", place)
    monkeypatch.delenv("LABUTILS_RECORD", raising=False)
    return place


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(environment, "has", lambda need: need not in {"cuda", "tensorrt"})


@experiment("speed")
def speed(frames=100, dtype="float32"):
    """Any docstring."""
    return [{"model": "melgan", "frames": frames, "ms": 4.7361}, {"model": "v1", "ms": 19.6}]


@experiment("gpu-speed", needs=("cuda", "tensorrt"), covers=[measurement])
def gpu_speed(batch=1):
    return {"ms": 2.34}


def make_record(folder, instance, *, file, machine="nvidia-h200", date="2026-11-20", **changes):
    """Write a record as another machine would have."""
    record = {
        "format": 1,
        "experiment": instance.name,
        "arguments": {},
        "machine": machine,
        "data": {"ms": 2.34},
        "provenance": {
            "date": f"{date}T10:00:00+00:00",
            "machine": machine.upper().replace("-", " "),
            "gpu": {"count": 1},
            "packages": {"torch": "2.11.0+cu130", "tensorrt": "8.6.1"},
        },
        "source": instance.source,
        **changes,
    }
    folder.mkdir(exist_ok=True)
    (folder / file).write_text(json.dumps(record))


def test_a_call_measures_here_and_writes_nothing(folder):
    result = speed(frames=10)
    assert not result.recorded and not result.stale and result.available and result
    assert result.data[0] == {"model": "melgan", "frames": 10, "ms": 4.7361}
    assert result[1]["ms"] == 19.6 and len(result) == 2
    assert result.caption.startswith("measured here, ")
    torch = environment.require("torch").__version__.split("+")[0]
    assert f"torch {torch}" in result.caption and "+" not in result.caption
    assert result.provenance["date"][:10] in result.caption
    assert not folder.exists() and result.path is None


def test_environment_variable_names_the_folder_of_records(folder, monkeypatch):
    monkeypatch.setenv("LABUTILS_RECORD", str(folder))
    first = speed(frames=10, dtype="float16")
    assert first.path.name.startswith("speed--frames=10--dtype=float16.")
    assert [path.name for path in folder.iterdir()] == [first.path.name]  # no temporary file left
    again = speed.recorded(10, dtype="float16")
    assert again.recorded and not again.stale and again.data == first.data
    assert again.caption.startswith("recorded on ")


def test_measure_saves_where_it_is_told(tmp_path):
    result = speed.measure(save=tmp_path / "elsewhere")
    assert result.path.parent == tmp_path / "elsewhere" and result.path.is_file()
    assert not speed.recorded().available


def test_a_write_that_fails_leaves_the_old_record_and_no_rest(folder, monkeypatch):
    path = speed.measure(save=folder).path
    before = path.read_text()

    def full(*paths):
        raise OSError("no space left on device")

    monkeypatch.setattr(record_files.os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        speed.measure(save=folder)
    assert path.read_text() == before and list(folder.iterdir()) == [path]


def test_defaults_are_not_part_of_the_name_and_arguments_tell_records_apart(folder):
    path = speed.measure(save=folder).path
    assert (
        path == speed.measure(100, save=folder).path == speed.measure(frames=100, save=folder).path
    )
    assert speed.recorded().available and not speed.recorded(frames=10).available
    other = speed.measure(frames=10, save=folder).path
    assert other != path and speed.recorded(frames=10)[0]["frames"] == 10


def test_arguments_become_file_names_that_every_system_takes(folder):
    @experiment("names")
    def names(a, b=None, flag=False):
        return 1

    for a in [
        "x/y",
        "..",
        'q"*?:<>|\\',
        "--",
        "a--b=1",
        0.5,
        [1, 8],
        {"k": [1, "/"]},
        "ä",
        "",
        True,
    ]:
        path = names.measure(a, flag=True, save=folder).path
        assert path.parent == folder and path.is_file()
        assert not set(path.name) & set('/\\:*?"<>|')
        assert names.recorded(a, flag=True).available
    assert len(list(folder.iterdir())) == 11
    long = names.measure("x" * 500, save=folder).path
    assert len(long.name) < 255 and names.recorded("x" * 500).available
    assert not names.recorded("x" * 499).available


def test_arguments_that_are_no_plain_data_are_refused_by_name():
    with pytest.raises(RecordError, match="argument frames of speed is of type object"):
        speed(frames=object())


def test_without_its_needs_the_record_is_shown(folder, no_gpu):
    make_record(folder, gpu_speed, file="gpu-speed.nvidia-h200.json", arguments={"batch": 1})
    result = gpu_speed()
    assert result.recorded and result.available and not result.stale
    assert result["ms"] == 2.34 and "ms" in result and dict(result) == {"ms": 2.34}
    assert result.caption == (
        "recorded on NVIDIA H200, TensorRT 8.6.1 (2023-05), "
        "torch 2.11.0+cu130 (2026-03), 2026-11-20"
    )
    assert result.note == "not measured here: needs an NVIDIA GPU and TensorRT"
    with pytest.raises(RecordError, match="needs cuda, tensorrt"):
        gpu_speed.measure()


def test_without_needs_and_record_nothing_crashes_until_a_figure_is_read(no_gpu):
    result = gpu_speed(batch=8)
    assert not result.available and not result and result.data is None
    assert "gpu-speed--batch=8" in result.caption
    assert "gpu-speed--batch=8" in result._repr_html_() and repr(result)
    with pytest.raises(RecordError, match="no figures of gpu-speed"):
        result["ms"]


def test_the_newest_record_is_shown_without_a_gpu(folder, no_gpu):
    make_record(folder, speed, file="speed.nvidia-h200.json", date="2026-11-20")
    make_record(folder, speed, file="speed.nvidia-l4.json", machine="nvidia-l4", date="2026-12-01")
    make_record(
        folder, speed, file="speed.nvidia-a10.json", machine="nvidia-a10", date="2025-01-01"
    )
    assert speed.recorded().provenance["machine"] == "NVIDIA L4"


def test_the_record_of_the_same_gpu_comes_before_newer_ones(folder, monkeypatch):
    monkeypatch.setattr(environment, "has", lambda need: True)
    monkeypatch.setattr(provenance, "machine_name", lambda: "NVIDIA H200")
    make_record(folder, speed, file="speed.nvidia-h200.json", date="2026-11-20")
    make_record(folder, speed, file="speed.nvidia-l4.json", machine="nvidia-l4", date="2026-12-01")
    assert speed.recorded().provenance["machine"] == "NVIDIA H200"


def test_an_experiment_is_not_answered_by_one_with_a_longer_name(folder):
    make_record(folder, speed, file="speed-long.nvidia-h200.json", experiment="speed-long")
    assert not speed.recorded().available
    make_record(folder, speed, file="speed.nvidia-h200.json", experiment="renamed")
    assert not speed.recorded().available


def test_a_parameter_added_later_keeps_old_records_for_its_default_only(folder):
    def before(frames):
        return 1

    def after(frames, batch=1):
        return 1

    Experiment(before, "grown").measure(5, save=folder)
    grown = Experiment(after, "grown")
    assert grown.recorded(5).available and grown.recorded(5).stale
    assert not grown.recorded(5, batch=8).available


def test_a_changed_default_does_not_pass_off_the_old_record(folder):
    def before(batch=1):
        return batch

    def after(batch=8):
        return batch

    Experiment(before, "changed").measure(save=folder)
    changed = Experiment(after, "changed")
    assert not changed.recorded().available
    assert changed.recorded(batch=1).data == 1


def test_a_record_of_changed_code_is_stale(folder, no_gpu):
    def one():
        return 1

    def two():
        return 2

    Experiment(one, "cell").measure(save=folder)
    shown = Experiment(two, "cell").recorded()
    assert shown.stale and shown.changed == ("this cell",) and shown.data == 1
    assert shown.caption.endswith("recorded with an earlier version of this cell")
    assert "stale" in shown._repr_html_()
    assert not Experiment(one, "cell").recorded().stale


def test_other_weights_make_a_record_stale(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    weights.shipped_file("melgan").write_bytes(b"first")
    weights.shipped_file("other").write_bytes(b"never read by it")

    @experiment("of-weights")
    def of_weights():
        weights.note("melgan")
        yield 1
        yield 2

    weights.note("other")  # outside
    of_weights.measure(save=folder)
    assert not of_weights.recorded().stale
    weights.shipped_file("other").write_bytes(b"second")
    assert not of_weights.recorded().stale
    weights.shipped_file("melgan").write_bytes(b"second")
    shown = of_weights.recorded()
    assert shown.stale and shown.changed == ("the weights of melgan",) and shown.data == 2
    weights.shipped_file("melgan").unlink()
    assert of_weights.recorded().stale


def test_the_shipped_weights_that_are_loaded_are_noted():
    with weights.noting() as outer:
        with weights.noting() as inner:
            vocoders.load("hifigan-small")
        vocoders.load("melgan")
        vocoders.create("hifigan-v1")
    assert set(inner) == {"hifigan-small"} and set(outer) == {"hifigan-small", "melgan"}
    assert weights.changed(outer) == [] and weights.changed({"melgan": "0"}) == ["melgan"]


def test_a_change_in_covered_code_is_named(folder, tmp_path, monkeypatch):
    module = tmp_path / "covered_module.py"
    module.write_text("X = 1\n")
    monkeypatch.syspath_prepend(tmp_path)

    def figures():
        return 1

    def make():
        return Experiment(figures, "covering", covers=["covered_module", hashing])

    make().measure(save=folder)
    assert not make().recorded().stale
    module.write_text('"""Now with a docstring."""\nX = 1  # and a comment\n')
    assert not make().recorded().stale
    module.write_text("X = 2\n")
    assert make().recorded().changed == ("covered_module",)
    assert Experiment(figures, "covering").recorded().stale  # less is covered than was


EXPERIMENT_CELL = (
    "@experiment('in-a-cell', covers=[helper])\n"
    "def in_a_cell(n=2):\n"
    '    """A docstring."""\n'
    "    return {'n': helper(n) * 3}\n"
)
SHOW = "shown = in_a_cell.recorded()\nprint(shown.stale, list(shown.changed))"
NOTEBOOK_CELLS = [
    "FOLDER = ''",
    "import labutils.records as records\nfrom pathlib import Path\n"
    "from labutils.records import experiment\nrecords.RECORDS = Path(FOLDER)",
    "def helper(x):\n    return x",
    EXPERIMENT_CELL,
    "in_a_cell.measure(save=FOLDER)\nprint(in_a_cell.source['function'])",
    EXPERIMENT_CELL.replace("A docstring", "Another") + "# and a comment\n" + SHOW,
    EXPERIMENT_CELL.replace("* 3", "* 4") + SHOW,
    "def helper(x):\n    return x + 1",
    EXPERIMENT_CELL + SHOW,
    "shown",
]


def test_experiments_of_notebook_cells_through_papermill(tmp_path, folder):
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in NOTEBOOK_CELLS]
    notebook.cells[0].metadata["tags"] = ["parameters"]
    notebook.metadata["kernelspec"] = {
        "name": "python3", "display_name": "Python 3", "language": "python",
    }  # fmt: skip
    source, target = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    nbformat.write(notebook, source)
    papermill.execute_notebook(
        source, target, parameters={"FOLDER": str(folder)}, progress_bar=False, log_output=False
    )
    outputs = [cell.outputs for cell in nbformat.read(target, 4).cells]
    texts = [output[0].text.strip() for output in outputs if output and "text" in output[0]]
    expected = hashing.fingerprint_text(EXPERIMENT_CELL, "f", without_decorator="experiment")
    assert texts == [expected, "False []", "True ['this cell']", "True ['helper']"]
    assert "text/html" in outputs[-1][0].data
    assert "recorded on" in outputs[-1][0].data["text/plain"]


def test_damaged_records_give_one_clear_line(folder, no_gpu):
    make_record(folder, speed, file="speed.nvidia-h200.json")
    path = folder / "speed.nvidia-h200.json"
    whole = path.read_text()
    broken = [
        whole[: len(whole) // 2],
        "",
        "[]",
        "{}",
        whole.replace("2.34", "NaN"),
        whole.replace('"format": 1', '"format": 99'),
        whole.replace('"provenance": {', '"provenance": [], "x": {'),
        whole.replace('"gpu": {"count": 1}', '"gpu": {"count": "many"}'),
        whole.replace('"covers": {}', '"covers": 7'),
        whole.replace('"machine": "nvidia-h200"', '"machine": null'),
        whole.replace('"data": {"ms": 2.34}', '"data": null'),
    ]
    for text in broken:
        assert text != whole
        path.write_text(text)
        result = speed.recorded()
        assert not result.available and result.damaged
        assert result.caption == "record damaged: speed.nvidia-h200.json"
        assert "\n" not in repr(result)
        assert "record damaged" in result._repr_html_()
        with pytest.raises(RecordError, match="speed.nvidia-h200.json"):
            records.read_record(path)
    path.write_bytes(b"\xff\xfe\x00")
    assert speed.recorded().damaged


def test_a_damaged_record_beside_a_whole_one_is_passed_over_and_named(folder, no_gpu):
    make_record(folder, speed, file="speed.nvidia-h200.json")
    (folder / "speed.nvidia-l4.json").write_text("{")
    result = speed.recorded()
    assert result.available and result["ms"] == 2.34
    assert "speed.nvidia-l4.json" in result.note


def test_plain_data():
    @dataclasses.dataclass
    class Timing:
        ms: np.float32
        runs: tuple[int, ...]

    value = {
        "a": np.float32(0.5), "b": np.arange(3), "c": (1, np.int64(2)), "d": Timing(1.5, (1, 2)),
        "e": np.bool_(True), "f": environment.require("torch").ones(2), "g": None, "h": np.array(3),
    }  # fmt: skip
    result = measurement.plain(value, "x")
    assert result == {
        "a": 0.5, "b": [0, 1, 2], "c": [1, 2], "d": {"ms": 1.5, "runs": [1, 2]}, "e": True,
        "f": [1.0, 1.0], "g": None, "h": 3,
    }  # fmt: skip
    assert json.loads(json.dumps(result)) == result and type(result["a"]) is float


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"rows": [1.0, {"ms": float("nan")}]}, r'result of bad\["rows"\]\[1\]\["ms"\] is nan'),
        ([np.float32("inf")], r"result of bad\[0\] is inf"),
        ({8: 1.0}, "has the key 8; a record's keys are text"),
        ({"model": object()}, r'\["model"\] is of type object'),
        ({"when": 1j}, "complex"),
        (b"bytes", "bytes"),
        (None, "returned nothing"),
    ],
)
def test_what_is_no_plain_figure_is_refused_by_name(value, where, folder):
    @experiment("bad")
    def bad():
        return value

    with pytest.raises(RecordError, match=where):
        bad.measure(save=folder)
    assert not folder.exists() or not list(folder.iterdir())


def test_measured_and_recorded_figures_look_the_same(folder):
    @experiment("alike")
    def alike():
        return {"curve": np.linspace(0, 1, 3), "pair": (1, 2)}

    assert alike.measure(save=folder).data == alike.recorded().data


@pytest.mark.parametrize("name", ["Speed", "a b", "a--b", "a.b", "", "-a", "a_b", "a/b"])
def test_bad_names_are_refused(name):
    with pytest.raises(ValueError, match="can not be called"):
        Experiment(make_record, name)


def test_bad_needs_and_parameters_are_refused_where_they_are_written():
    def figures():
        return 1

    with pytest.raises(ValueError, match="is not a need"):
        Experiment(figures, "x", needs="2gpus")

    def saving(save):
        return 1

    def any_number(*values):
        return 1

    for function in (saving, any_number):
        with pytest.raises(ValueError, match="parameters"):
            Experiment(function, "x")


def test_an_error_of_the_measurement_is_for_the_reader_to_see():
    @experiment("failing")
    def failing():
        raise ZeroDivisionError("in the experiment")

    with pytest.raises(ZeroDivisionError):
        failing()


def test_out_of_memory_shows_the_record_if_there_is_one(folder):
    class OutOfMemoryError(RuntimeError):
        """Named as torch's."""

    @experiment("big")
    def big():
        raise OutOfMemoryError("CUDA out of memory")

    with pytest.raises(OutOfMemoryError):
        big()
    make_record(folder, big, file="big.nvidia-h200.json")
    result = big()
    assert result.recorded and "ran out of memory" in result.note


def test_provenance_tells_what_a_reader_must_know(folder):
    @experiment("noted", needs="numpy")
    def noted():
        return Noted({"ms": 1.0}, tactic_sources="none", clips=6)

    record = json.loads(noted.measure(save=folder).path.read_text())
    facts = record["provenance"]
    assert facts["notes"] == {"clips": 6} and facts["seconds"] >= 0
    assert facts["packages"]["numpy"] == np.__version__
    assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
    assert facts["cpu"]["name"] and facts["cpu"]["cores"] >= 1
    for key in ("gpu", "cuda", "tensorrt", "threads", "commit", "dirty"):
        assert key in facts
    assert record["source"]["function"] == noted.source["function"]
    assert str(os.path.expanduser("~")) not in json.dumps(record)


def test_measurement_display():
    html = speed(frames=10)._repr_html_()
    assert html.count("measured here") == 1 and "<table" in html
    assert "4.74" in html and "19.60" in html and "melgan" in html
    assert "<style" not in html and "var(" not in html
    text = repr(speed(frames=10))
    assert "melgan" in text and "4.74" in text and text.startswith("measured here")


@pytest.mark.parametrize(
    ("data", "fragments"),
    [
        ({"ms": 1.0, "runs": 30}, ["value", "1.00", "30"]),
        ({"fp16": {"ms": 1.0}, "fp32": {"ms": 2.0}}, ["fp16", "fp32", "ms"]),
        ({"rows": [{"a": 1}], "note": "x"}, ["rows", "note"]),
        ({"step": [1, 2, 3], "loss": [0.5, 0.4, 0.3]}, ["step", "loss", "0.400"]),
        ({"curve": list(range(500))}, ["(500 values)"]),
        (3.14159, ["3.14"]),
        ([], []),
        ([1, 2], ["1, 2"]),
        ({"deep": {"a": {"b": [1, {"c": None}]}}}, ["deep", "b 1, c"]),
    ],
)
def test_any_plain_data_can_be_shown(data, fragments):
    shown = measurement.Measurement("x", "measured here, somewhere", data)
    for fragment in fragments:
        assert fragment in repr(shown) and fragment in shown._repr_html_()


def test_documented_example_of_the_module_is_python():
    lines = [line for line in records.__doc__.splitlines() if line.startswith("    ")]
    compile(textwrap.dedent("\n".join(lines)), "example", "exec")


def test_a_function_that_yields_leaves_what_it_had_when_it_breaks_off(folder):
    @experiment("long-run")
    def long_run(steps=3, broken=False):
        rows = []
        for step in range(steps):
            rows.append({"step": step})
            yield rows
        if broken:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        long_run.measure(steps=2, broken=True, save=folder)
    (path,) = folder.glob("long-run--*.json")
    assert records.read_record(path)["data"] == [{"step": 0}, {"step": 1}]
    left = long_run.recorded(steps=2, broken=True)
    assert left.broken_off and "broken off" in left.caption
    done = long_run.measure(save=folder)
    assert done.data == [{"step": 0}, {"step": 1}, {"step": 2}]
    whole = long_run.recorded()
    assert whole.data == done.data and not whole.broken_off and "broken" not in whole.caption
    with pytest.raises(RecordError, match="yielded nothing"):
        long_run.measure(steps=0)
