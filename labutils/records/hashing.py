"""A hash of what source code does: comments, docstrings and layout do not count.

A record is made on one machine and read on others, so the hash must not depend on the version of
Python: it is taken from the syntax tree in a notation of our own (`ast.dump` changes with Python).
"""

import ast
import hashlib
import importlib.util
import inspect
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["SourceError", "fingerprint", "fingerprint_text", "name_of"]

# Fields of the syntax tree that say how something was written, not what it does.
_LAYOUT = {"ctx", "kind", "type_comment", "type_ignores"}


class SourceError(ValueError):
    """Source code that can not be read or parsed; the text says which and why it matters."""


def fingerprint(target: Any, *, without_decorator: str | None = None) -> str:
    """Hash of a function, class, module or package (16 hexadecimal digits).

    `target` may also be a module's dotted name: it is then found without being imported. A package
    stands for all Python files in its folder. Decorators called `without_decorator` do not count.
    Works for functions defined in a notebook cell. Raises SourceError.
    """
    if isinstance(target, str):
        return _module_files(target, _files_of_name(target))
    if isinstance(target, types.ModuleType):
        return _module_files(target.__name__, _files_of_module(target))
    target = inspect.unwrap(target)
    name = name_of(target)
    if not isinstance(target, types.FunctionType | types.MethodType | type):
        raise SourceError(f"{name} is no function, class or module: it has no source to hash")
    if getattr(target, "__name__", "") == "<lambda>":
        raise SourceError("a lambda has no source of its own: define the function with def")
    try:
        source = inspect.getsource(target)
    except (OSError, TypeError) as error:
        raise SourceError(
            f"the source of {name} can not be read ({error}), so nobody could tell later whether "
            "it has changed: define it in a notebook cell or in a file"
        ) from error
    if source[:1].isspace():  # an indented definition; dedenting would change long strings
        source = "if True:\n" + source
    return fingerprint_text(source, name, without_decorator=without_decorator)


def fingerprint_text(source: str, name: str, *, without_decorator: str | None = None) -> str:
    """Hash of a piece of Python source called `name` in errors. Raises SourceError."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise SourceError(f"the source of {name} can not be parsed: {error}") from error
    for node in ast.walk(tree):
        _drop_docstring(node)
        decorators = getattr(node, "decorator_list", None)
        if decorators and without_decorator:
            node.decorator_list = [d for d in decorators if _called(d) != without_decorator]
    return hashlib.sha256(_notation(tree).encode()).hexdigest()[:16]


def name_of(target: Any) -> str:
    """A readable, machine-independent name for a function, class, module or module name."""
    if isinstance(target, str):
        return target
    if isinstance(target, types.ModuleType):
        return target.__name__
    target = inspect.unwrap(target)
    module = getattr(target, "__module__", "") or ""
    name = getattr(target, "__qualname__", None) or repr(target)
    return name if module in {"", "__main__"} else f"{module}.{name}"


def _drop_docstring(node: ast.AST) -> None:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
        return
    if ast.get_docstring(node, clean=False) is not None:
        node.body = node.body[1:]


def _called(decorator: ast.expr) -> str:
    """Last name of a decorator: experiment for @records.experiment("x")."""
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    return getattr(target, "attr", getattr(target, "id", ""))


def _notation(node: Any) -> str:
    """The tree as text; empty fields are left out: a Python that adds fields changes nothing."""
    if isinstance(node, ast.AST):
        fields = (
            f"{name}={_notation(value)}"
            for name, value in ast.iter_fields(node)
            if name not in _LAYOUT and value is not None and value != []
        )
        return f"{type(node).__name__}({','.join(fields)})"
    if isinstance(node, list):
        return f"[{','.join(_notation(item) for item in node)}]"
    return f"{type(node).__name__}:{node!r}"


def _files_of_name(name: str) -> list[tuple[str, Path]]:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError) as error:
        raise SourceError(f"there is no module {name}: {error}") from error
    if spec is None:
        raise SourceError(f"there is no module {name}")
    if spec.submodule_search_locations:
        return _files_in(spec.submodule_search_locations)
    return [(name, Path(spec.origin))] if spec.origin else []


def _files_of_module(module: types.ModuleType) -> list[tuple[str, Path]]:
    if hasattr(module, "__path__"):
        return _files_in(module.__path__)
    file = getattr(module, "__file__", None)
    return [(module.__name__, Path(file))] if file else []


def _files_in(folders: Iterable[str]) -> list[tuple[str, Path]]:
    """Name relative to the package and path of each Python file below it."""
    found = [
        (path.relative_to(folder).as_posix(), path)
        for folder in folders
        for path in Path(folder).rglob("*.py")
    ]
    return sorted(found)


def _module_files(name: str, files: list[tuple[str, Path]]) -> str:
    if not files or any(path.suffix != ".py" for _, path in files):
        raise SourceError(f"{name} has no Python source that could be hashed")
    parts = []
    for relative, path in files:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(f"the source of {name} can not be read: {error}") from error
        parts.append(f"{relative}:{fingerprint_text(text, name)}")
    if len(parts) == 1:
        return parts[0].rpartition(":")[2]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
