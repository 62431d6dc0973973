"""Saved notebooks: hashes of their sources, sound left out, stale outputs found, HTML pages."""

import logging

import nbformat
import pytest
from nbformat import v4

from labutils import workbook
from labutils.workbook.embedded_sound import SOUND_NOTE, strip_sound
from labutils.workbook.sources import cells_hash, used_modules

TONE = """
import numpy as np
from IPython.display import Audio, display
display(Audio(0.1 * np.sin(np.arange(8000) / 3), rate=16000, normalize=False))
"""
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


def saved(path, *cells):
    notebook = v4.new_notebook(
        cells=[v4.new_markdown_cell("# A title"), *map(v4.new_code_cell, cells)]
    )
    notebook.metadata.update(KERNEL)
    nbformat.write(notebook, path)
    return path


def read(path):
    return nbformat.read(path, as_version=4)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A notebook with a sound that was run and saved; tests copy it before they change it."""
    path = saved(
        tmp_path_factory.mktemp("ran") / "01_tone.ipynb",
        TONE,
        "6 * 7",
        "",
        "from labutils.workbook import sources",
    )
    workbook.run(path)
    return path


@pytest.fixture
def copy(ran, tmp_path):
    path = tmp_path / ran.name
    path.write_bytes(ran.read_bytes())
    return path


def change(path, edit):
    notebook = read(path)
    edit(notebook)
    nbformat.write(notebook, path)
    return workbook.problems(path)


@pytest.mark.parametrize("path", workbook.select(), ids=lambda path: path.stem)
def test_saved_outputs_are_up_to_date(path):
    assert workbook.problems(path) == []


def test_run_saves_outputs_without_sound_and_leaves_nothing_else(ran):
    assert workbook.problems(ran) == []
    text = ran.read_text()
    assert text.count(SOUND_NOTE) == 1 and "data:audio/" not in text
    assert read(ran).cells[2].outputs[0].data["text/plain"] == "42"
    assert list(ran.parent.iterdir()) == [ran]
    assert sorted(read(ran).metadata.workbook.sources) == ["cells", "labutils.workbook.sources"]


def test_a_failing_cell_leaves_the_file_as_it_was(tmp_path, caplog):
    path = saved(tmp_path / "01_broken.ipynb", "1 / 0")
    before = path.read_bytes()
    assert workbook.main(["run", "01", "--folder", str(tmp_path)]) == 1
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    assert "01_broken.ipynb: not saved" in caplog.text and "ZeroDivisionError" in caplog.text


def test_check_tells_what_is_wrong_by_its_exit_status(copy, caplog):
    caplog.set_level(logging.INFO)
    assert workbook.main(["check", "--folder", str(copy.parent)]) == 0
    change(copy, lambda notebook: notebook.cells[2].update(source="6 * 8"))
    assert workbook.main(["check", "--folder", str(copy.parent)]) == 1
    assert (
        "01_tone.ipynb: changed since it was run: cells (mend it with: make notebooks NB=01)"
        in caplog.text
    )


@pytest.mark.parametrize(
    ("edit", "found"),
    [
        (lambda nb: nb.cells[2].update(source="6 * 8"), "changed since it was run: cells"),
        (
            lambda nb: nb.metadata.workbook.sources.update({"labutils.gone": "0"}),
            "run: labutils.gone",
        ),
        (lambda nb: nb.metadata.pop("workbook"), "no hash of its sources"),
        (
            lambda nb: nb.cells[2].update(execution_count=None),
            "1 of 3 code cells were never run, the first: 6 * 7",
        ),
        (
            lambda nb: nb.cells[2].outputs.append(
                v4.new_output("error", ename="E", evalue="v", traceback=[])
            ),
            "an error is saved: E: v in: 6 * 7",
        ),
        (
            lambda nb: nb.cells[2].outputs.append(
                v4.new_output("display_data", {"audio/wav": "UklG"})
            ),
            "embedded sound",
        ),
        (
            lambda nb: (
                nb.cells[2]
                .outputs[0]
                .data.update({"text/html": '<a href="data:audio/mpeg;base64,SUQz">'})
            ),
            "embedded sound",
        ),
        (
            lambda nb: (
                nb.cells[2]
                .outputs[0]
                .data.update({"text/html": "play('UklGRiQAAABXQVZFZm10IBAA')"})
            ),
            "embedded sound",
        ),
        (
            lambda nb: nb.metadata.update(widgets={"state": {"src": "data:audio/wav;base64,UklG"}}),
            "embedded sound",
        ),
        (
            lambda nb: nb.cells[2].outputs[0].data.update({"text/html": "x" * 1_600_000}),
            "at most 1.5 MB",
        ),
    ],
)
def test_each_flaw_is_found(copy, edit, found):
    lines = change(copy, edit)
    assert len(lines) == 1 and found in lines[0]


def test_comments_docstrings_layout_and_text_do_not_make_outputs_stale(copy):
    def edit(notebook):
        notebook.cells[0].source = "# Another title"
        notebook.cells[2].source = "# why\n6*7"

    assert change(copy, edit) == []


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ('def f(x):\n    """Says."""\n    return x', "def f(x):  # says\n    return (x)", True),
        ('class A:\n    """Says."""\n    x = 1', "class A:\n    x = 1", True),
        ("x = 1", "x = 2", False),
        ("x = 1", "x = 1.0", False),
        ("x = '1'", "x = 1", False),
        ("x = None", "x = []", False),
        ("f(a, b)", "f(b, a)", False),
        ("%timeit f()", "%timeit   f()  # slow", False),
        ("!ls -l", "!ls", False),
        ("def f(:", "def f(: ", False),
    ],
)
def test_a_hash_follows_meaning(before, after, same):
    assert (cells_hash([before]) == cells_hash([after])) is same
    assert cells_hash([before, after]) != cells_hash([before])


def test_modules_that_the_cells_use_directly(tmp_path):
    files = {
        "labutils/__init__.py": "ROOT = 1",
        "labutils/mel.py": "",
        "labutils/show.py": "",
        "labutils/unused.py": "",
        "labutils/checks/__init__.py": "from labutils.checks import nb00, nb01\n"
        "from .core import CheckResult, check",
        "labutils/checks/core.py": "",
        "labutils/checks/nb00.py": "",
        "labutils/checks/nb01.py": "",
        "labutils/vocoders/__init__.py": "from .presets import preset as named\ndef create(): ...",
        "labutils/vocoders/presets.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    def used(*sources):
        return sorted(
            name.removeprefix("labutils.") for name in used_modules(sources, root=tmp_path)
        )

    assert used("import torch", "x = 1") == []
    assert used("from labutils import mel, show as pictures") == ["mel", "show"]
    assert used("%matplotlib inline\nimport labutils.mel as m") == ["mel"]
    assert used("from labutils.mel import MelConfig") == ["mel"]
    assert used("from labutils.mel import *") == ["mel"]
    assert used("from labutils import checks", "checks.nb01.output_length(f)") == ["checks.nb01"]
    assert used("from labutils.checks import check") == ["checks.core"]
    assert used("from labutils.vocoders import named") == ["vocoders.presets"]
    assert used("from labutils import vocoders", "model = vocoders.create()") == ["vocoders"]
    assert used("import labutils", "labutils.vocoders.named()") == ["vocoders.presets"]
    assert used("from labutils import ROOT") == ["labutils"]


def test_a_changed_module_makes_outputs_stale(tmp_path):
    (tmp_path / "labutils").mkdir()
    module = tmp_path / "labutils" / "mel.py"
    module.write_text("floor = 1e-5")
    notebook = v4.new_notebook(cells=[v4.new_code_cell("from labutils import mel")])
    first = workbook.source_hashes(notebook, tmp_path)
    module.write_text("floor = 1e-5  # as in HiFi-GAN")
    assert workbook.source_hashes(notebook, tmp_path) == first
    module.write_text("floor = 1e-6")
    second = workbook.source_hashes(notebook, tmp_path)
    assert second["cells"] == first["cells"] and second["labutils.mel"] != first["labutils.mel"]


def test_sound_is_replaced_wherever_it_stands_and_pictures_stay():
    picture = '<img src="data:image/png;base64,iVBORw0KGgo=">'
    grid = (
        f'<div>{picture}<audio controls src="data:audio/wav;base64,UklG"></audio>'
        '<audio controls>\n<source src="data:audio/flac;rate=1;base64,ZkxhQw==" type="audio/flac"/>'
        "\n</audio>"
        '<a href="data:audio/wav;base64,UklG">save</a></div>'
    )
    outputs = [
        v4.new_output("display_data", {"text/html": grid, "text/plain": "<players>"}),
        v4.new_output("display_data", {"audio/mpeg": "SUQz"}),
        v4.new_output("stream", text="data"),
    ]
    notebook = v4.new_notebook(cells=[v4.new_code_cell("x", outputs=outputs)])
    assert strip_sound(notebook) == 4
    html = outputs[0].data["text/html"]
    assert (
        "data:audio" not in html
        and "<audio" not in html
        and picture in html
        and ">save</a></div>" in html
    )
    assert html.count(f"<em>{SOUND_NOTE}</em>") == 2
    assert outputs[1].data == {"text/html": f"<em>{SOUND_NOTE}</em>"}
    assert strip_sound(notebook) == 0


def test_select_goes_by_number_name_or_path(tmp_path):
    paths = [saved(tmp_path / name, "1") for name in ("00_a.ipynb", "01_b.ipynb", "10_c.ipynb")]
    saved(tmp_path / "draft.ipynb", "1")
    assert workbook.select(folder=tmp_path) == paths
    assert workbook.select(["1", "notebooks/10_c.ipynb"], tmp_path) == paths[1:]
    assert workbook.select(["00_a"], tmp_path) == paths[:1]
    with pytest.raises(ValueError, match="no notebook '02'; there are: 00_a, 01_b, 10_c"):
        workbook.select(["02"], tmp_path)
    with pytest.raises(SystemExit):
        workbook.main(["run", "02", "--folder", str(tmp_path)])


def test_the_book_keeps_the_sound_and_its_links_lead_to_pages(ran, tmp_path):
    path = tmp_path / "00_first.ipynb"
    notebook = read(ran)
    notebook.cells[0].source = "# First & title\n\n"
    notebook.cells[0].source += "Next: [tone](01_tone.ipynb), [again](./01_tone.ipynb#a)"
    nbformat.write(notebook, path)
    index = workbook.book([path], tmp_path / "book")
    page = (tmp_path / "book" / "00_first.html").read_text()
    assert "data:audio/wav" in page and SOUND_NOTE not in page
    assert 'href="01_tone.html"' in page and 'href="./01_tone.html#a"' in page
    assert '<a href="00_first.html">First &amp; title</a>' in index.read_text()
