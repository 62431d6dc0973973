"""Every notebook runs from top to bottom in fast mode, from an empty folder.

The aim is 45 s on 2 cores. A slower run is a warning, not a failure: machines differ.
"""

import time
import warnings

import nbformat
import papermill
import pytest

from labutils.workbook import select

AIM = 45  # seconds in fast mode
CELL_TIMEOUT = 600  # seconds; only a cell that hangs takes so long


def run_fast(path, folder):
    """The notebook with its outputs, run in fast mode with `folder` as its working directory."""
    done = folder / path.name
    start = time.monotonic()
    papermill.execute_notebook(
        path,
        done,
        parameters={"FAST": True},
        kernel_name="python3",
        cwd=folder,
        progress_bar=False,
        execution_timeout=CELL_TIMEOUT,
    )
    seconds = time.monotonic() - start
    if seconds > AIM:
        warnings.warn(
            f"{path.name} took {seconds:.0f} s in fast mode; the aim is {AIM} s", stacklevel=2
        )
    return nbformat.read(done, as_version=4)


@pytest.mark.parametrize("path", select(), ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path):
    notebook = run_fast(path, tmp_path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    assert code and all(cell.execution_count for cell in code)
    assert [out for cell in code for out in cell.outputs if out.output_type == "error"] == []


def stand_in(path, *cells):
    made = [nbformat.v4.new_code_cell("FAST = False", metadata={"tags": ["parameters"]})]
    made += [nbformat.v4.new_code_cell(cell) for cell in cells]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=made, metadata=metadata), path)
    return path


def test_fast_mode_and_the_folder_reach_the_notebook(tmp_path):
    path = stand_in(
        tmp_path / "source.ipynb", "from pathlib import Path", "print(FAST, Path.cwd())"
    )
    (tmp_path / "empty").mkdir()
    notebook = run_fast(path, tmp_path / "empty")
    assert notebook.cells[-1].outputs[0].text.strip() == f"True {(tmp_path / 'empty').resolve()}"


def test_a_notebook_with_an_error_fails(tmp_path):
    path = stand_in(tmp_path / "source.ipynb", "1 / 0")
    (tmp_path / "empty").mkdir()
    with pytest.raises(papermill.PapermillExecutionError, match="ZeroDivisionError"):
        run_fast(path, tmp_path / "empty")
