"""The sources of a notebook: a hash of its cells, and the modules of labutils that they use."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path

from labutils import ROOT
from labutils.records.hashing import SourceError, fingerprint_text

__all__ = ["cells_hash", "module_file", "used_modules"]


def cells_hash(cells: Iterable[str]) -> str:
    """16 hexadecimal digits for code cells; comments and layout do not count.

    Lines for IPython (`%magic`, `!command`) are read as IPython reads them. A cell that is no
    Python at all counts as text.
    """
    digest = hashlib.sha256()
    for cell in cells:
        try:
            text = fingerprint_text(_python(cell), "a cell")
        except SourceError:
            text = cell
        digest.update(text.encode() + b"\0")
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

    A name that a package only passes on is followed to the module that defines it, and a package
    counts only where a name of its own is used: a new file in `labutils/checks` leaves the
    notebooks of the others as they are.
    """
    trees = []
    for source in sources:
        try:
            trees.append(ast.parse(_python(source)))
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


def _python(cell: str) -> str:
    """A cell as plain Python: magics become calls."""
    try:
        ast.parse(cell)
    except SyntaxError:
        from IPython.core.inputtransformer2 import TransformerManager

        return TransformerManager().transform_cell(cell)
    return cell


def _chain(node: ast.expr) -> list[str] | None:
    """`a.b.c` as ["a", "b", "c"]; None where the root is not a plain name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [node.id, *reversed(parts)] if isinstance(node, ast.Name) else None


def _definer(dotted: str, root: Path) -> str | None:
    """The module that defines `dotted`; None for a bare package or a name of nothing here."""
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
    """Where `name` comes from if the package's __init__ imports it; else the package itself."""
    for node in ast.walk(ast.parse(init.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        parents = package.split(".")
        above = parents[: len(parents) - node.level + 1] if node.level else []
        origin = ".".join([*above, *([node.module] if node.module else [])])
        for item in node.names:
            if (item.asname or item.name) == name and origin != package:
                return _definer(f"{origin}.{item.name}", root)
    return package
