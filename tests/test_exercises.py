"""Every exercise: the stub is "not attempted", its printed solution passes, wrong answers fail.

Wrong answers stand in tests/exercises/nbNN.py:
WRONG = {"function": [(source of a wrong answer, fragment of the message that it must bring), ...]}.
"""

import ast
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from labutils.workbook import select

ANSWERS = Path(__file__).parent / "exercises"


class BadNotebook(AssertionError):
    """An exercise that is not built as agreed."""


@dataclass(frozen=True)
class Exercise:
    """One exercise as it stands in a notebook; all fields but `hints` are Python source."""

    name: str
    stub: str
    check: str
    hints: int
    solution: str


def tags(cell):
    return cell.metadata.get("tags", [])


def functions(source):
    return {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}


def find_exercises(notebook):
    """The exercises of a notebook in their order; BadNotebook where a part is missing."""
    cells = notebook.cells
    starts = [index for index, cell in enumerate(cells) if "exercise" in tags(cell)]
    return [
        _exercise(cells[start:end])
        for start, end in zip(starts, [*starts[1:], len(cells)], strict=True)
    ]


def _exercise(cells):
    stub = cells[0].source
    defined = list(functions(stub))
    if len(defined) != 1:
        raise BadNotebook(
            f"an exercise defines {len(defined)} functions instead of one: {stub[:80]}"
        )
    name = defined[0]
    code = [cell for cell in cells[1:] if cell.cell_type == "code"]
    if not code or "check" not in tags(code[0]):
        raise BadNotebook(f"{name}: the next code cell is not tagged 'check'")
    if name not in code[0].source:
        raise BadNotebook(f"{name}: the check does not mention it")
    solutions = [cell.source for cell in cells if "solution" in tags(cell)]
    if len(solutions) != 1:
        raise BadNotebook(f"{name}: {len(solutions)} cells tagged 'solution' instead of one")
    blocks = re.findall(r"^```python\n(.*?)^```", solutions[0], re.S | re.M)
    if len(blocks) != 1 or "<details" not in solutions[0]:
        raise BadNotebook(f"{name}: the solution is not one ```python block inside <details>")
    if name not in functions(blocks[0]):
        raise BadNotebook(f"{name}: the solution does not define it")
    asked, given = (ast.unparse(functions(text)[name].args) for text in (stub, blocks[0]))
    if asked != given:
        raise BadNotebook(f"{name}: the solution takes ({given}), the stub ({asked})")
    before = cells[: next(i for i, cell in enumerate(cells) if "solution" in tags(cell))]
    prose = "".join(cell.source for cell in before if cell.cell_type == "markdown")
    return Exercise(name, stub, code[0].source, prose.count("<details"), blocks[0])


def run_check(exercise, answer, setup):
    """What the check cell says of an answer, in a copy of the names that the setup cells made."""
    names = dict(setup)
    exec(compile(answer, f"<answer to {exercise.name}>", "exec"), names)
    tree = ast.parse(exercise.check)
    last = tree.body.pop()
    if not isinstance(last, ast.Expr):
        raise BadNotebook(f"{exercise.name}: the check cell does not end in an expression")
    exec(compile(tree, "<check>", "exec"), names)
    return eval(compile(ast.Expression(last.value), "<check>", "eval"), names)


def exercise_problems(notebook, wrong):
    """What is wrong with the exercises of a notebook, one line each."""
    try:
        exercises = find_exercises(notebook)
    except BadNotebook as error:
        return [str(error)]
    setup = {"__name__": "__main__"}
    for cell in notebook.cells:
        if "setup" in tags(cell):
            exec(compile(cell.source, "<setup>", "exec"), setup)
    unknown = sorted(set(wrong) - {exercise.name for exercise in exercises})
    found = [f"wrong answers for {name}, which is no exercise" for name in unknown]
    for exercise in exercises:
        name, answers = exercise.name, wrong.get(exercise.name, [])
        if not exercise.hints:
            found.append(f"{name}: no hints")
        if len(answers) < 2:
            found.append(f"{name}: {len(answers)} known wrong answers, two at least are needed")
        cases = [("the stub", exercise.stub, "not attempted", "")]
        cases += [("the solution", exercise.solution, "passed", "")]
        cases += [
            (f"wrong answer {number}", answer, "failed", fragment)
            for number, (answer, fragment) in enumerate(answers)
        ]
        for what, answer, state, fragment in cases:
            try:
                result = run_check(exercise, answer, setup)
            except Exception as error:
                found.append(f"{name}: {what}: the check raised {error!r}")
                continue
            if result.state != state:
                found.append(f"{name}: {what}: {result.state!r} for {state!r}: {result.message}")
            elif fragment not in result.message:
                found.append(f"{name}: {what}: no {fragment!r} in: {result.message}")
            elif state == "failed" and not fragment:
                found.append(f"{name}: {what}: names no fragment of the message")
    return found


def wrong_answers(path):
    """WRONG of the notebook's file in tests/exercises; empty where there is none."""
    file = ANSWERS / f"nb{path.name[:2]}.py"
    if not file.is_file():
        return {}
    spec = importlib.util.spec_from_file_location(f"wrong_answers_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.WRONG


@pytest.mark.parametrize("path", select(), ids=lambda path: path.stem)
def test_exercises(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notebook = nbformat.read(path, as_version=4)
    assert exercise_problems(notebook, wrong_answers(path)) == []


def test_wrong_answers_belong_to_a_notebook():
    numbers = {f"nb{path.name[:2]}" for path in select()}
    assert {file.stem for file in ANSWERS.glob("nb*.py")} <= numbers


# The test of the tests: one small notebook, and each thing that can be wrong with it.

SETUP = """
from types import SimpleNamespace

def verdict(fn):
    try:
        value = fn(3)
    except NotImplementedError:
        return SimpleNamespace(state="not attempted", message="")
    state = "passed" if value == 6 else "failed"
    return SimpleNamespace(state=state, message=f"3 gives {value}, not 6")
"""
STUB = 'def double(x: int) -> int:\n    """Twice x."""\n    raise NotImplementedError'
SOLUTION = "<details><summary>Solution</summary>\n\n```python\ndef double(x: int) -> int:\n"
SOLUTION += "    return 2 * x\n```\n</details>"
WRONG = {
    "double": [
        ("def double(x):\n    return x", "3 gives 3"),
        ("def double(x):\n    return x ** 2", "3 gives 9"),
    ]
}


def small_notebook():
    def cell(source, *tags):
        return v4.new_code_cell(source, metadata={"tags": list(tags)})

    return v4.new_notebook(
        cells=[
            cell(SETUP, "setup"),
            cell("raise RuntimeError('not a setup cell')"),
            cell(STUB, "exercise"),
            cell("verdict(double)", "check"),
            v4.new_markdown_cell("<details><summary>Hint</summary>Add it to itself.</details>"),
            v4.new_markdown_cell(SOLUTION, metadata={"tags": ["solution"]}),
        ]
    )


def test_a_good_exercise_has_no_problems():
    assert exercise_problems(small_notebook(), WRONG) == []


def replaced(index, old, new):
    def edit(notebook):
        assert old in notebook.cells[index].source
        notebook.cells[index].source = notebook.cells[index].source.replace(old, new)

    return edit


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (replaced(2, "raise NotImplementedError", "return 2 * x"), "the stub: 'passed' for"),
        (replaced(5, "2 * x", "3 * x"), "the solution: 'failed' for 'passed': 3 gives 9"),
        (replaced(5, "2 * x", "1 / 0"), "the solution: the check raised ZeroDivisionError"),
        (replaced(5, "double", "twice"), "the solution does not define it"),
        (replaced(5, "x: int", "y: int"), "the solution takes (y: int), the stub (x: int)"),
        (replaced(5, "```python", "```"), "the solution is not one"),
        (replaced(4, "details", "p"), "no hints"),
        (replaced(3, "verdict(double)", "verdict(abs)"), "the check does not mention it"),
        (replaced(3, "verdict(double)", "x = double"), "does not end in an expression"),
        (replaced(0, "value == 6", "True"), "wrong answer 0: 'passed' for 'failed'"),
        (replaced(0, "3 gives", "it gives"), "wrong answer 0: no '3 gives 3' in: it gives 3"),
        (lambda nb: nb.cells.pop(3), "the next code cell is not tagged 'check'"),
        (lambda nb: nb.cells.pop(5), "0 cells tagged 'solution'"),
        (lambda nb: nb.cells.append(nb.cells[5]), "2 cells tagged 'solution'"),
        (replaced(2, "def double", "def help(): ...\ndef double"), "2 functions instead of one"),
    ],
)
def test_each_flaw_of_an_exercise_is_found(edit, problem):
    notebook = small_notebook()
    edit(notebook)
    found = exercise_problems(notebook, WRONG)
    assert any(problem in line for line in found), found


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"double": WRONG["double"][:1]}, "double: 1 known wrong answers, two at least are needed"),
        (WRONG | {"triple": []}, "wrong answers for triple, which is no exercise"),
        ({"double": [(source, "") for source, _ in WRONG["double"]]}, "names no fragment"),
    ],
)
def test_each_flaw_of_the_wrong_answers_is_found(wrong, problem):
    assert any(problem in line for line in exercise_problems(small_notebook(), wrong))
