"""What a piece of code is made of: hashes that change with its meaning, not with its comments, docstrings or layout,
and the modules of this package that a notebook's cells use."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from labutils import ROOT

__all__ = ["canonical", "module_file", "source_hash", "used_modules"]

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def canonical(source: str) -> str:
    """The syntax tree of `source` as text, without comments, docstrings and layout; the same on every Python version.

    `ast.dump` would not do: its text differs between Python versions. Lines for IPython (`%magic`, `!command`) are
    read as IPython reads them. Text that is no Python at all stands for itself.
    """
    try:
        return repr(_plain(_parse(source)))
    except SyntaxError:
        return source


def source_hash(*sources: str) -> str:
    """16 hexadecimal digits that stay the same as long as no source changes its meaning."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(canonical(source).encode() + b"\0")
    return digest.hexdigest()[:16]


def module_file(dotted: str, root: Path = ROOT) -> Path | None:
    """The file of the module or package `dotted` below `root`; None where there is none."""
    base = root.joinpath(*dotted.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def used_modules(sources: Iterable[str], package: str = "labutils", root: Path = ROOT) -> set[str]:
    """Dotted names of the modules in `package` whose names the sources use directly.

    A name that a package only passes on is followed to the module that defines it, and a package counts only where a
    name of its own is used, so that a new file in `labutils/checks` leaves the notebooks of the others as they are.
    """
    trees = []
    for source in sources:
        try:
            trees.append(_parse(source))
        except SyntaxError:
            continue
    nodes = [node for tree in trees for node in ast.walk(tree)]
    aliases: dict[str, str] = {}
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            for item in node.names:
                if item.name.split(".")[0] == package:
                    names.add(item.name)
                    aliases[item.asname or package] = item.name if item.asname else package
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == package:
            for item in node.names:
                dotted = node.module if item.name == "*" else f"{node.module}.{item.name}"
                names.add(dotted)
                aliases[item.asname or item.name] = dotted
    for node in nodes:
        if isinstance(node, ast.Attribute) and (chain := _chain(node)) and chain[0] in aliases:
            names.add(".".join([aliases[chain[0]], *chain[1:]]))
    found = {_definer(name, root) for name in names}
    return {name for name in found if name}


def _parse(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError:
        from IPython.core.inputtransformer2 import TransformerManager

        return ast.parse(TransformerManager().transform_cell(source))


def _plain(value: object) -> object:
    if isinstance(value, ast.Constant):
        return ("Constant", type(value.value).__name__, repr(value.value))
    if isinstance(value, ast.AST):
        return (type(value).__name__, *_fields(value))
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return repr(value)


def _fields(node: ast.AST) -> Iterator[tuple[str, object]]:
    """Fields that are set: newer Pythons add fields, which are empty in older code."""
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(node, _DOCUMENTED) and ast.get_docstring(node) is not None:
            value = value[1:]
        if value is not None and value != []:
            yield name, _plain(value)


def _chain(node: ast.expr) -> list[str] | None:
    """`a.b.c` as ["a", "b", "c"]; None where the root is not a plain name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id, *reversed(parts)] if isinstance(node, ast.Name) else None


def _definer(dotted: str, root: Path) -> str | None:
    """The module that defines `dotted`; None for a bare package, or a name that nothing here defines."""
    parts = dotted.split(".")
    for depth in range(len(parts), 0, -1):
        module = ".".join(parts[:depth])
        path = module_file(module, root)
        if path is None:
            continue
        if path.name != "__init__.py":
            return module
        if depth == len(parts):
            return None
        return _passed_on(path, module, parts[depth], root)
    return None


def _passed_on(init: Path, package: str, name: str, root: Path) -> str | None:
    for node in ast.walk(ast.parse(init.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            for item in node.names:
                if (item.asname or item.name) == name and f"{origin}.{item.name}" != f"{package}.{name}":
                    return _definer(f"{origin}.{item.name}", root)
    return package
