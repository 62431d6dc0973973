"""The first notebook in a real browser: it runs from the menu, and its sound can be heard."""

import os
from pathlib import Path

import pytest
from nbformat import v4, write

from labutils.workbook import NOTEBOOKS

pytestmark = pytest.mark.xdist_group("browser")

TONE = """
import numpy as np
from IPython.display import Audio, display
tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
display(Audio({samples}, rate=16000, normalize=False))
"""


def stand_in(folder: Path, *cells: str) -> Path:
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells], metadata=metadata)
    path = folder / "00_stand_in.ipynb"
    write(notebook, path)
    return path


def flaws(page) -> list[str]:
    """What keeps a notebook that was run from being one that sings."""
    found = [f"an error output: {text[:500]}" for text in page.errors()]
    sounds = page.sounds()
    if not sounds:
        found.append("no audio player")
    return found + [f"cannot be heard: {sound}" for sound in sounds if not sound.audible()]


def test_notebook_00_sings(open_in_lab, tmp_path):
    """WORKBOOK_SCREENSHOT names the file for the picture, for people to look at."""
    real = NOTEBOOKS / "00_start_here.ipynb"
    page = open_in_lab(
        real if real.is_file() else stand_in(tmp_path, TONE.format(samples="tone"), "1 + 1")
    )
    try:
        page.run_all()
    finally:
        page.screenshot(Path(os.environ.get("WORKBOOK_SCREENSHOT") or tmp_path / "notebook-00.png"))
    assert flaws(page) == []


# Negative controls: each would pass if the test above looked at nothing.
@pytest.mark.parametrize(
    ("cells", "flaw"),
    [
        ([TONE.format(samples="0 * tone")], "cannot be heard"),
        ([TONE.format(samples="0 * tone + 0.5")], "cannot be heard"),  # a constant moves no air
        (
            [TONE.format(samples="tone"), "raise RuntimeError('broken')", "1 + 1"],
            "RuntimeError: broken",
        ),
        (["1 + 1"], "no audio player"),
    ],
    ids=["silence", "constant", "error", "no-player"],
)
def test_a_notebook_that_does_not_sing_is_found_out(open_in_lab, tmp_path, cells, flaw):
    page = open_in_lab(stand_in(tmp_path, *cells))
    page.run_all()
    found = flaws(page)
    assert len(found) == 1 and flaw in found[0]


def test_waiting_ends_with_what_the_page_shows(open_in_lab, tmp_path):
    page = open_in_lab(stand_in(tmp_path, "import time; time.sleep(60)"))
    with pytest.raises(AssertionError, match="waited 1 s until .* code cells have run.*busy"):
        page.run_all(seconds=1)
