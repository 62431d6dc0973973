"""Stale records: changes to the experiment, to weights, to covered code and to notebook cells."""

import nbformat
import papermill

from labutils import vocoders, weights
from labutils.records import Experiment, experiment, hashing


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
