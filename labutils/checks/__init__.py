"""What the exercises call: one module a notebook, as in `checks.nb01.output_length(my_function)`.

The modules are loaded when they are named, so that `from labutils import checks` is all that a
notebook needs.
"""

import importlib
import re
from types import ModuleType

from labutils.checks.core import (
    CheckResult,
    Unmet,
    check,
    expect,
    expect_close,
    expect_shape,
)

__all__ = ["CheckResult", "Unmet", "check", "expect", "expect_close", "expect_shape"]


def __getattr__(name: str) -> ModuleType:
    if re.fullmatch(r"nb\d\d", name):
        try:
            return importlib.import_module(f"labutils.checks.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"labutils.checks.{name}":
                raise
    raise AttributeError(f"labutils.checks has no {name}")
