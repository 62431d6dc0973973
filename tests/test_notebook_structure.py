"""Every notebook is built in the same way, and holds nothing that only one machine understands."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
from house_rules import banned
from nbformat import v4

from labutils.workbook import NOTEBOOKS, select

PARAMETERS = {"VOCODER", "CHECKPOINT", "AUDIO", "FAST"}
SECTIONS = ("What you will be able to do", "Claims checked", "Summary", "Where next")
TAGS = {"parameters", "setup", "exercise", "check", "hints", "solution"}
LONGEST = 30  # lines of a code cell that are not blank; what is longer belongs into labutils


def tags(cell):
    return set(cell.metadata.get("tags", []))


def structure_problems(path):
    """What is wrong with a notebook's structure, one line each."""
    notebook = nbformat.read(path, as_version=4)
    cells = notebook.cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    found = []
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        found.append(f"not a valid notebook: {error.message}")
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        found.append("kernelspec is not python3")
    if not cells or cells[0].cell_type != "markdown" or not re.match(r"# \S", cells[0].source):
        found.append("the first cell is no title (markdown that begins with '# ')")
    found += _parameter_problems([cell for cell in code if "parameters" in tags(cell)])
    found += _section_problems(path.name, cells)
    for cell in cells:
        if unknown := tags(cell) - TAGS:
            found.append(f"unknown tag {', '.join(sorted(unknown))}; known: {sorted(TAGS)}")
    for cell in code:
        lines = [line for line in cell.source.splitlines() if line.strip()]
        if not lines:
            found.append("an empty code cell")
        elif len(lines) > LONGEST and "exercise" not in tags(cell):
            found.append(f"a code cell of {len(lines)} lines, {LONGEST} at most: {lines[0][:60]}")
    found += [f"holds {line}" for cell in cells for text in _texts(cell) for line in banned(text)]
    found += _link_problems(path, cells)
    return found


def _parameter_problems(cells):
    if len(cells) != 1:
        return [f"{len(cells)} cells tagged 'parameters' instead of one"]
    values = {
        target.id: node.value
        for node in ast.parse(cells[0].source).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    }
    if missing := PARAMETERS - set(values):
        return [f"the parameters cell lacks {', '.join(sorted(missing))}"]
    if ast.unparse(values["FAST"]) != "False":
        return ["FAST is not False in the parameters cell"]
    return []


def _section_problems(name, cells):
    """Sections that are missing or out of order, and the number of exercises."""
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    headings = [match.strip().lower() for match in re.findall(r"^#{2,3}\s+(.+)$", text, re.M)]
    first = name.startswith("00")
    wanted = [section for section in SECTIONS if not (first and section == "Claims checked")]
    missing = [section for section in wanted if section.lower() not in headings]
    if missing:
        return [f"no section {section!r}" for section in missing]
    found = []
    order = sorted(wanted, key=lambda section: headings.index(section.lower()))
    if order != wanted:
        found.append(f"sections stand in the order {order}")
    exercises = sum("exercise" in tags(cell) for cell in cells)
    if not first and not 2 <= exercises <= 4:
        found.append(f"{exercises} exercises instead of two to four")
    return found


def _texts(cell):
    yield cell.source
    for output in cell.get("outputs", []):
        yield str(output.get("text", ""))
        for mime, value in output.get("data", {}).items():
            if not mime.startswith("image/"):
                yield str(value)


def _link_problems(path, cells):
    """Links of markdown cells to files that are not there."""
    found = []
    for cell in cells:
        if cell.cell_type != "markdown":
            continue
        prose = re.sub(r"```.*?```|`[^`\n]*`", "", cell.source, flags=re.S)
        links = re.findall(r"\]\(([^)\s]+)", prose)
        links += re.findall(r"""(?:href|src)=["']([^"']+)""", prose)
        for link in links:
            if re.match(r"[a-z]+:|#", link):
                continue
            if not (path.parent / link.split("#")[0]).exists():
                found.append(f"links to {link}, which is not there")
    return found


@pytest.mark.parametrize("path", select(), ids=lambda path: path.stem)
def test_notebook_is_built_like_the_others(path):
    assert structure_problems(path) == []


def test_each_notebook_has_a_number_of_its_own():
    """Gaps are those of the README's map: test_readme wants every number, written or planned."""
    names = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
    assert all(re.fullmatch(r"\d\d_[a-z0-9]+(_[a-z0-9]+)*\.ipynb", name) for name in names), names
    numbers = [name[:2] for name in names]
    assert len(set(numbers)) == len(numbers) and numbers[0] == "00"


def good_notebook():
    cells = [
        v4.new_markdown_cell("# Title\n\n## What you will be able to do\n\n[see](#claims)"),
        v4.new_code_cell(
            'VOCODER = "a"\nCHECKPOINT = None\nAUDIO: str | None = None\nFAST = False',
            metadata={"tags": ["parameters"]},
        ),
        v4.new_code_cell("def f(): ...", metadata={"tags": ["exercise"]}),
        v4.new_code_cell("def g(): ...", metadata={"tags": ["exercise"]}),
        v4.new_markdown_cell("## Claims checked\n## Summary\n## Where next\n[self](01_x.ipynb)"),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def problems_after(tmp_path, edit, name="01_x.ipynb"):
    notebook = good_notebook()
    edit(notebook)
    path = tmp_path / name
    path.write_text(nbformat.writes(notebook))
    return structure_problems(path)


def test_a_good_notebook_has_no_problems(tmp_path):
    assert problems_after(tmp_path, lambda notebook: None) == []


def test_the_first_notebook_needs_no_claims_and_no_exercises(tmp_path):
    def edit(notebook):
        notebook.cells[4].source = "## Summary\n## Where next"
        del notebook.cells[2:4]

    assert problems_after(tmp_path, edit, "00_start.ipynb") == []


def set_source(index, text):
    return lambda notebook: notebook.cells[index].update(source=text)


HOME_OUTPUT = v4.new_output("stream", text="/".join(["", "home", "anna", "x.onnx"]))


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda nb: nb.metadata.kernelspec.update(name="venv"), "kernelspec is not python3"),
        (set_source(0, "## What you will be able to do"), "the first cell is no title"),
        (lambda nb: nb.cells[1].metadata.update(tags=[]), "0 cells tagged 'parameters'"),
        (set_source(1, "VOCODER = AUDIO = FAST = False"), "the parameters cell lacks CHECKPOINT"),
        (set_source(1, "VOCODER = AUDIO = CHECKPOINT = 0; FAST = True"), "FAST is not False"),
        (set_source(4, "## Claims checked\n## Where next"), "no section 'Summary'"),
        (
            set_source(4, "## Summary\n## Claims checked\n## Where next"),
            "sections stand in the order",
        ),
        (lambda nb: nb.cells[3].metadata.update(tags=["exercice"]), "unknown tag exercice"),
        (lambda nb: nb.cells.pop(3), "1 exercises instead of two to four"),
        (lambda nb: nb.cells.append(v4.new_code_cell("x = 1\n" * 31)), "a code cell of 31 lines"),
        (lambda nb: nb.cells.append(v4.new_code_cell("")), "an empty code cell"),
        (lambda nb: nb.cells[2].outputs.append(HOME_OUTPUT), "holds a path of one machine"),
        (lambda nb: nb.cells.append(v4.new_markdown_cell("[a](99.ipynb)")), "links to 99.ipynb"),
        (lambda nb: nb.cells[2].update(execution_count="x"), "not a valid notebook"),
    ],
)
def test_each_problem_is_found(tmp_path, edit, problem):
    found = problems_after(tmp_path, edit)
    assert any(line.startswith(problem) for line in found), found


def test_long_exercises_and_base64_are_let_through(tmp_path):
    def edit(notebook):
        notebook.cells[2].source = "x = 1\n" * 40
        data = {"text/html": '<img src="data:image/png;base64,AAAA/root/AAAA">'}
        notebook.cells[2].outputs.append(v4.new_output("display_data", data))

    assert problems_after(tmp_path, edit) == []


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        (["see ../", "shared/x"], "a folder beside the checkout"),
        (["https://", "pypi.", "org/simple"], "the host of a package registry"),
        (["https://download.", "pytorch.", "org/whl/cpu"], "the host of a package registry"),
        (["cd /", "work/main"], "a path of one machine"),
        ([str(Path(__file__).parent), "/x"], "the path of this checkout"),
    ],
)
def test_banned_text_is_found(parts, what):
    assert any(line.startswith(what) for line in banned("".join(parts)))


def test_ordinary_text_is_not_banned():
    assert banned("https://pytorch.org/home/x, data/root/x, ./work/x, /homework/y") == []
