"""The README says what is there: commands, notebooks with their titles and minutes, links."""

import re

import nbformat
import pytest

from labutils import ROOT
from labutils.workbook import select

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", select(), ids=lambda path: path.stem)
def test_the_map_has_every_notebook_with_its_title_and_minutes(path):
    cells = nbformat.read(path, as_version=4).cells
    title = cells[0].source.splitlines()[0].removeprefix("# ")
    minutes = re.search(r"\*\*(\d+) minutes\*\*", "\n".join(c.source for c in cells[:4]))
    assert minutes, f"{path.name}: no '**N minutes**' near the top"
    row = next((line for line in README.splitlines() if f"(notebooks/{path.name})" in line), "")
    assert f"**[{title}](" in row and row.rstrip(" |").endswith(f"| {minutes[1]}"), (
        f"README: {row!r}"
    )


def test_what_is_planned_is_not_there_yet():
    planned = re.findall(r"^\| (\d\d) · .*\| planned", README, re.M)
    numbers = [path.name[:2] for path in select()]
    assert sorted([*planned, *numbers]) == [f"{i:02d}" for i in range(17)]


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md", "data/README.md"])
def test_links_lead_somewhere(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    local = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    missing = [link for link in local if not ((ROOT / name).parent / link).exists()]
    assert not missing


def test_the_commands_exist():
    makefile = (ROOT / "Makefile").read_text()
    commands = re.findall(r"(?:`|^    )make ([a-z-]+)", README, re.M)
    assert {"lab", "test", "notebooks", "book"} <= set(commands)
    for command in commands:
        assert re.search(rf"^{command}:", makefile, re.M), command
