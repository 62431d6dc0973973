"""What a failed cell holds, and that it is let go of."""

import sys
import weakref

import pytest

from labutils import last_error


class Memory:
    """Stands for memory on the GPU."""


def failing(seen):
    memory = Memory()
    seen.append(weakref.ref(memory))
    raise ValueError("in the middle")


@pytest.fixture
def shell():
    interactive = pytest.importorskip("IPython.core.interactiveshell")
    shell = interactive.InteractiveShell.instance()
    yield shell
    shell.user_ns.clear()
    interactive.InteractiveShell.clear_instance()


def test_a_failed_cell_of_ipython_holds_its_variables_until_forget(shell, capsys):
    seen = []
    shell.push({"failing": failing, "seen": seen})
    shell.run_cell("failing(seen)", store_history=False)
    assert seen[0]() is not None, "if this is none, IPython keeps nothing and forget has no use"
    last_error.forget()
    assert seen[0]() is None


def test_what_python_keeps_is_let_go_of():
    seen = []
    try:
        failing(seen)
    except ValueError as error:
        sys.last_value, sys.last_traceback = error, error.__traceback__
    assert seen[0]() is not None
    last_error.forget()
    assert seen[0]() is None
    assert not hasattr(sys, "last_value")


def test_without_an_error_nothing_happens():
    last_error.forget()
    last_error.forget()
