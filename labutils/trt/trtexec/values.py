"""Values of trtexec's flags: shapes, sizes, counts, percentiles; every fault in one line."""

from __future__ import annotations

import math
import re
from pathlib import Path

__all__ = [
    "FlagError",
    "count",
    "level",
    "milliseconds",
    "path",
    "percentiles",
    "seconds",
    "shape",
    "sparsity",
    "verbosity",
    "workspace",
]

_MIB = {"": 1.0, "B": 2.0**-20, "K": 2.0**-10, "M": 1.0, "G": 2.0**10}


class FlagError(ValueError):
    """A command line that trtexec does not take; the text says what is wrong and what to do."""


def path(text: str) -> Path:
    return Path(text).expanduser()


def shape(text: str) -> tuple[str, tuple[int, int, int]]:
    """ "mel:1x80x400" as its name and (batch, n_mels, frames)."""
    if "," in text:
        raise ValueError("several inputs; this stand-in takes one, a vocoder's mel")
    name, colon, sizes = text.rpartition(":")
    if not colon or not name:
        raise ValueError("expected NAME:BATCHxBANDSxFRAMES, for instance mel:1x80x400")
    if not re.fullmatch(r"\d+x\d+x\d+", sizes):
        raise ValueError(f'"{sizes}" is not BATCHxBANDSxFRAMES, for instance 1x80x400')
    batch, bands, frames = (int(size) for size in sizes.split("x"))
    if 0 in (batch, bands, frames):
        raise ValueError("a size is 0; every size must be 1 or more")
    return name, (batch, bands, frames)


def workspace(text: str) -> int:
    """ "workspace:2048" in MiB; also with a suffix: "workspace:2G"."""
    pool, _, size = text.partition(":")
    if pool != "workspace":
        raise ValueError(f'pool "{pool}"; this stand-in sets the workspace: workspace:2048 (MiB)')
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([BKMG]?)", size.upper())
    if not found or float(found[1]) == 0:
        raise ValueError(f'"{size}" is not a size: workspace:2048 are 2048 MiB')
    return max(1, round(float(found[1]) * _MIB[found[2]]))


def level(text: str) -> int:
    if text not in {"0", "1", "2", "3", "4", "5"}:
        raise ValueError("the levels are 0 to 5")
    return int(text)


def count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError("expected a whole number, 1 or more")
    return int(text)


def milliseconds(text: str) -> float:
    return _number(text, 0.0, "milliseconds, 0 or more")


def seconds(text: str) -> float:
    """Seconds, 0 or more; trtexec's -1, a run without end, is refused."""
    return _number(text, 0.0, "seconds, 0 or more (a run without end, -1, is not for notebooks)")


def percentiles(text: str) -> tuple[float, ...]:
    found = tuple(_number(part, 0.0, "percentiles such as 90,95,99") for part in text.split(","))
    if max(found) > 100:
        raise ValueError("a percentile lies between 0 and 100")
    return found


def sparsity(text: str) -> bool:
    if text not in {"enable", "disable"}:
        raise ValueError('expected "enable" or "disable" ("force" would change the weights)')
    return text == "enable"


def verbosity(text: str) -> bool:
    """Whether the engine keeps all it knows of its layers."""
    if text not in {"detailed", "layer_names_only"}:
        raise ValueError('expected "detailed" or "layer_names_only"')
    return text == "detailed"


def _number(text: str, least: float, expected: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"expected {expected}") from None
    if not math.isfinite(number) or number < least:
        raise ValueError(f"expected {expected}")
    return number
