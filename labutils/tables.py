"""How results look in a notebook: caption strips with badges, tables, numbers; and as plain text.

Everything is inline style with fixed or half-transparent colours: the same markup is readable in
the light and the dark theme, in an exported page, and where JupyterLab removes <style> because a
notebook is not trusted yet.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

__all__ = [
    "badge",
    "code",
    "format_column",
    "format_number",
    "heading",
    "strip",
    "table",
    "text_table",
]

# White text on each of them has a contrast of 4.5 : 1 or more (WCAG 2 AA).
_COLOURS = {
    "good": "#2e7d32",
    "info": "#1f5fa8",
    "warn": "#965a00",
    "bad": "#b3261e",
    "quiet": "#656d76",
}
_TINTS = {
    "good": "rgba(46, 125, 50, 0.12)",
    "info": "rgba(31, 95, 168, 0.12)",
    "warn": "rgba(190, 115, 0, 0.14)",
    "bad": "rgba(179, 38, 30, 0.12)",
    "quiet": "rgba(128, 128, 128, 0.12)",
}
_LINE = "1px solid rgba(128, 128, 128, 0.35)"
_NOWRAP = "; white-space: nowrap"
_UNITS = {"ms": "ms", "seconds": "s", "mb": "MB", "db": "dB", "percent": "%"}  # ends of keys
_MISSING = "\N{EN DASH}"


def code(text: str) -> str:
    """Escaped HTML of a text in which `...` marks code; a short command stays on one line."""

    def mark(found: re.Match[str]) -> str:
        short = ' style="white-space: nowrap"' if len(found.group(1)) <= 40 else ""
        return f"<code{short}>{found.group(1)}</code>"

    return re.sub(r"`([^`]+)`", mark, escape(text, quote=False))


def badge(text: str, kind: str = "quiet") -> str:
    """A word on a coloured ground; `kind` is one of good, info, warn, bad, quiet."""
    return (
        f'<span style="background-color: {_COLOURS[kind]}; color: #ffffff; padding: 1px 8px; '
        f'border-radius: 3px; font-weight: 600; white-space: nowrap">{escape(text)}</span>'
    )


def strip(badges: Sequence[tuple[str, str]], text: str, note: str = "") -> str:
    """HTML of badges [(word, kind), ...] and a text, with a quieter note on a line of its own.

    The last badge's kind colours the strip.
    """
    marks = " ".join(badge(word, kind) for word, kind in badges)
    kind = badges[-1][1] if badges else "quiet"
    tail = f'<div style="opacity: 0.75">{code(note)}</div>' if note else ""
    return (
        f'<div style="border-left: 4px solid {_COLOURS[kind]}; background-color: {_TINTS[kind]}; '
        f'padding: 5px 10px; margin: 4px 0; line-height: 1.6">{marks} {code(text)}{tail}</div>'
    )


def format_number(value: float, decimals: int | None = None) -> str:
    """A number for reading: about three significant digits, commas from 10,000 on."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if not math.isfinite(value):
        return str(value)
    if decimals is None:
        if value != 0 and not 1e-4 <= abs(value) < 1e7:
            return f"{value:.2e}"
        decimals = _decimals(abs(value))
    text = f"{value:,.{decimals}f}"
    return text.replace(",", "") if abs(value) < 10_000 else text


def _decimals(magnitude: float) -> int:
    """Decimals that show three significant digits of a magnitude."""
    return 0 if magnitude == 0 else max(0, 2 - math.floor(math.log10(magnitude)))


def format_column(values: Iterable[Any]) -> list[str]:
    """The values of one column as text; its floats share their number of decimals.

    The smallest keeps three significant digits, unless the column spans more than four powers of
    ten: then each number stands for itself.
    """
    values = list(values)
    floats = [abs(v) for v in values if isinstance(v, float) and math.isfinite(v) and v != 0]
    decimals = None
    if floats and max(floats) / min(floats) < 1e4 and min(floats) >= 1e-4 and max(floats) < 1e7:
        decimals = min(_decimals(min(floats)), max(0, 5 - math.floor(math.log10(max(floats)))))
    return [_format(value, decimals) for value in values]


def _format(value: Any, decimals: int | None) -> str:
    if value is None:
        return _MISSING
    if isinstance(value, int | float):
        return format_number(value, decimals)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_format(item, None)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        shown = ", ".join(_format(item, None) for item in value[:6])
        return (
            shown if len(value) <= 6 else f"{shown}, \N{HORIZONTAL ELLIPSIS} ({len(value)} values)"
        )
    return str(value)


def heading(name: str) -> str:
    """A key of a row as the head of its column: build_seconds is "build (s)", snr_db "SNR (dB)".

    Names with spaces are words already and stay as they are.
    """
    if " " in name or "_" not in name:
        return name
    words, _, last = name.rpartition("_")
    unit = _UNITS.get(last)
    text = f"{words} ({unit})" if unit else name
    return re.sub(r"\bsnr\b", "SNR", text.replace("_", " "))


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def _cells(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]], list[bool]]:
    """Column names, the cells as text (row by row), and whether a column is of numbers."""
    names = _columns(rows)
    columns, numeric = [], []
    for name in names:
        values = [row.get(name) for row in rows]
        present = [v for v in values if v is not None]
        numeric.append(
            bool(present)
            and all(isinstance(v, int | float) and not isinstance(v, bool) for v in present)
        )
        columns.append(format_column(values))
    return names, [list(cells) for cells in zip(*columns, strict=True)], numeric


def table(
    rows: Sequence[Mapping[str, Any]],
    *,
    html_columns: Iterable[str] = (),
    widths: Mapping[str, str] | None = None,
    limit: int = 60,
) -> str:
    """HTML of a table: one row a mapping; numbers to the right, text to the left.

    Cells of `html_columns` are taken as they are, all others are escaped, with `...` as code.
    `widths` gives columns a share of the page, as in {"what to do": "40%"}. After `limit` rows the
    table says how many are left out.
    """
    if not rows:
        return ""
    names, cells, numeric = _cells(rows[:limit])
    raw = set(html_columns)
    sides = ["right" if number else "left" for number in numeric]
    base = "padding: 4px 12px; vertical-align: top"
    head = "".join(
        f'<th style="{base}; text-align: {side}; font-weight: 600; border-bottom: {_LINE}'
        f'{f"; width: {widths[name]}" if widths and name in widths else ""}">'
        f"{escape(heading(name), quote=False)}</th>"
        for name, side in zip(names, sides, strict=True)
    )
    body = []
    for row in cells:
        tds = []
        for name, cell, side in zip(names, row, sides, strict=True):
            short = _NOWRAP if len(cell) <= 24 and name not in raw else ""
            inside = cell if name in raw else code(cell)
            tds.append(f'<td style="{base}; text-align: {side}{short}">{inside}</td>')
        body.append(f"<tr>{''.join(tds)}</tr>")
    more = len(rows) - limit
    after = (
        f'<div style="opacity: 0.75; padding: 2px 12px">{more} more rows</div>' if more > 0 else ""
    )
    return (
        '<table style="border-collapse: collapse; margin: 4px 0; text-align: left">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>{after}"
    )


def text_table(rows: Sequence[Mapping[str, Any]], *, limit: int = 60) -> str:
    """The same table as aligned plain text, without a line break at its end."""
    if not rows:
        return ""
    names, cells, numeric = _cells(rows[:limit])
    lines = [[heading(name) for name in names], *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(names))]
    text = [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    ]
    if len(rows) > limit:
        text.append(f"{len(rows) - limit} more rows")
    return "\n".join(text)
