"""The saved notebooks: run them in place, make a book of them, find outputs that are out of date.

python -m labutils.workbook run [01 02 ...]     every notebook, or those whose numbers are given
python -m labutils.workbook book [01 ...]       the same into HTML with sound, in book/
python -m labutils.workbook check [01 ...]      what is wrong with the saved outputs
"""

from __future__ import annotations

import argparse
import html
import logging
import re
import time
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from labutils import ROOT
from labutils.records.hashing import fingerprint_text
from labutils.whole_file import whole_file
from labutils.workbook.embedded_sound import holds_sound, strip_sound
from labutils.workbook.sources import cells_hash, module_file, used_modules

__all__ = [
    "NOTEBOOKS",
    "book",
    "main",
    "problems",
    "run",
    "select",
    "source_hashes",
]

NOTEBOOKS = ROOT / "notebooks"
LARGEST = 1_500_000  # bytes of one saved notebook
CELL_TIMEOUT = 3600  # seconds

log = logging.getLogger(__name__)


def select(names: Sequence[str] = (), folder: Path = NOTEBOOKS) -> list[Path]:
    """Notebooks in their order; `names` are numbers ("01"), names or paths.

    Raises ValueError for one that is not there.
    """
    every = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not names:
        return every
    chosen = []
    for name in names:
        stem = Path(name).name.removesuffix(".ipynb")
        found = [
            path for path in every if path.stem == stem or path.stem.split("_")[0] == stem.zfill(2)
        ]
        if not found:
            raise ValueError(
                f"no notebook {name!r}; there are: {', '.join(path.stem for path in every)}"
            )
        chosen += found
    return chosen


def source_hashes(notebook: NotebookNode, root: Path = ROOT) -> dict[str, str]:
    """What the outputs depend on: a hash of the code cells, and one of each module they use."""
    cells = [cell.source for cell in _code_cells(notebook)]
    hashes = {"cells": cells_hash(cells)}
    for module in sorted(used_modules(cells, root=root)):
        source = module_file(module, root).read_text(encoding="utf-8")
        hashes[module] = fingerprint_text(source, module)
    return hashes


def problems(path: Path, root: Path = ROOT) -> list[str]:
    """What is wrong with the saved outputs of a notebook, one line each; empty if up to date."""
    found = []
    if (size := path.stat().st_size) > LARGEST:
        found.append(f"{size / 1e6:.1f} MB; at most {LARGEST / 1e6:.1f} MB may be saved")
    notebook = nbformat.read(path, as_version=4)
    code = _code_cells(notebook)
    never = [cell for cell in code if cell.execution_count is None]
    if never:
        found.append(
            f"{len(never)} of {len(code)} code cells were never run, "
            f"the first: {_first_line(never[0])}"
        )
    for cell in code:
        for output in cell.outputs:
            if output.output_type == "error":
                found.append(
                    f"an error is saved: {output.ename}: {output.evalue} in: {_first_line(cell)}"
                )
    if holds_sound(notebook):
        found.append("holds embedded sound")
    saved = notebook.metadata.get("workbook", {}).get("sources")
    if saved is None:
        found.append("holds no hash of its sources")
    else:
        now = source_hashes(notebook, root)
        changed = sorted(
            name for name in saved.keys() | now.keys() if saved.get(name) != now.get(name)
        )
        if changed:
            found.append(f"changed since it was run: {', '.join(changed)}")
    number = path.name.split("_")[0]
    return [f"{path.name}: {line} (mend it with: make notebooks NB={number})" for line in found]


def run(path: Path) -> None:
    """Run a notebook and save it in place: outputs without sound, with the hash of its sources.

    Raises nbclient's CellExecutionError where a cell fails; the file then stays as it was.
    """
    notebook = _execute(path, widgets=False)
    strip_sound(notebook)
    notebook.metadata["workbook"] = {"sources": source_hashes(notebook)}
    _write(path, nbformat.writes(notebook) + "\n")


def book(paths: Sequence[Path], folder: Path) -> Path:
    """Run notebooks into HTML pages with sound in `folder`, with an index; return the index."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(template_name="lab")
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for path in paths:
        notebook = _execute(path, widgets=True)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = re.sub(r"(\]\([\w./-]*\d\d_\w+)\.ipynb", r"\1.html", cell.source)
        title = _title(notebook) or path.stem
        resources = {"metadata": {"name": title, "path": str(path.parent)}}
        body, _ = exporter.from_notebook_node(notebook, resources=resources)
        _write(folder / f"{path.stem}.html", body)
        rows.append(f'<li><a href="{path.stem}.html">{html.escape(title)}</a></li>')
    head = '<!doctype html><meta charset="utf-8"><title>Vocoder workbook</title>'
    index = folder / "index.html"
    _write(index, f"{head}\n<h1>Vocoder workbook</h1>\n<ul>\n" + "\n".join(rows) + "\n</ul>\n")
    return index


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns 0, or 1 where something failed or is out of date."""
    parser = argparse.ArgumentParser(
        prog="python -m labutils.workbook", description="The saved notebooks."
    )
    parser.add_argument("task", choices=("run", "book", "check"))
    parser.add_argument(
        "names", nargs="*", metavar="NN", help="numbers of notebooks; all without any"
    )
    parser.add_argument("--folder", type=Path, default=NOTEBOOKS, help="where the notebooks are")
    parser.add_argument("--book", type=Path, default=ROOT / "book", help="where the HTML pages go")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    log.setLevel(logging.INFO)
    try:
        paths = select(options.names, options.folder)
    except ValueError as error:
        parser.error(str(error))
    if options.task == "book":
        log.info("%s", book(paths, options.book))
        return 0
    bad = 0
    for path in paths:
        if options.task == "check":
            lines = problems(path)
        else:
            start = time.monotonic()
            lines = _try_run(path)
            log.info("%s: %.0f s", path.name, time.monotonic() - start)
        for line in lines:
            log.error("%s", line)
        bad += bool(lines)
    return 1 if bad else 0


def _try_run(path: Path) -> list[str]:
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    try:
        run(path)
    except (CellExecutionError, CellTimeoutError) as error:
        return [f"{path.name}: not saved, a cell failed:\n{error}"]
    return []


def _execute(path: Path, *, widgets: bool) -> NotebookNode:
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    for cell in _code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    notebook.metadata.pop("widgets", None)
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=CELL_TIMEOUT,
        record_timing=False,
        store_widget_state=widgets,
        resources={"metadata": {"path": str(path.parent)}},
    )
    return client.execute()


def _code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def _first_line(cell: NotebookNode) -> str:
    return cell.source.strip().splitlines()[0][:80]


def _title(notebook: NotebookNode) -> str:
    lines = notebook.cells[0].source.splitlines() if notebook.cells else []
    return lines[0].lstrip("# ").strip() if lines else ""


def _write(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
