"""Runs a reader's answer through the expectations of an exercise and says the outcome in one line.

A check is written as small functions that take the reader's function and call `expect`,
`expect_close` or `expect_shape`; the first expectation that is not met is what the reader reads:

    def output_length(fn):
        return check(
            fn,
            lambda fn: expect_close(fn(10), 2560, "samples for 10 frames at a hop of 256"),
            passed="each mel frame becomes hop_length samples",
        )
"""

import inspect
import linecache
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np

from labutils import tables

__all__ = [
    "CheckResult",
    "Unmet",
    "check",
    "expect",
    "expect_close",
    "expect_returned",
    "expect_shape",
]

PASSED, FAILED, NOT_ATTEMPTED = "passed", "failed", "not attempted"
_BADGES = {
    PASSED: ("passed", "good"),
    FAILED: ("not yet right", "bad"),
    NOT_ATTEMPTED: ("not attempted yet", "quiet"),
}


class Unmet(AssertionError):
    """An expectation that the reader's answer does not meet; its text is for the reader."""


@dataclass(frozen=True)
class CheckResult:
    """Outcome of a check: state "passed", "failed" or "not attempted"; truthy only if passed."""

    exercise: str
    state: str
    message: str = ""

    def __bool__(self) -> bool:
        return self.state == PASSED

    def __repr__(self) -> str:
        text = f"{self.exercise}: {_BADGES[self.state][0]}"
        return (f"{text}: {self.message}" if self.message else text).replace("`", "")

    def _repr_html_(self) -> str:
        text = f"`{self.exercise}`"
        return tables.strip(
            [_BADGES[self.state]], f"{text}: {self.message}" if self.message else text
        )


def check(
    fn: Callable[..., Any],
    *tests: Callable[[Callable[..., Any]], Any],
    name: str | None = None,
    passed: str = "",
) -> CheckResult:
    """Call each test with the reader's function and tell how far it got. Never raises.

    A stub that still raises NotImplementedError was not attempted; any other exception is a
    failure, told with its line. `passed` is the sentence that a right answer earns.
    """
    if not callable(fn):
        return CheckResult(
            name or "exercise", FAILED, f"expected a function, got {type(fn).__name__}"
        )
    name = name or getattr(fn, "__name__", "exercise")
    try:
        for test in tests:
            test(fn)
    except (Exception, SystemExit) as error:
        return _explain(fn, name, error)
    return CheckResult(name, PASSED, passed)


def _explain(fn: Callable[..., Any], name: str, error: BaseException) -> CheckResult:
    """The outcome that an exception of a test stands for."""
    frame = _frame_of(fn, error.__traceback__)
    line = frame.tb_lineno if frame else 0
    source = linecache.getline(frame.tb_frame.f_code.co_filename, line).strip() if frame else ""
    if isinstance(error, NotImplementedError) and frame:
        # torch raises it, too, for what a device or number format lacks: then there is a text
        # and the line of the reader's function is another.
        if "NotImplementedError" in source or not error.args:
            return CheckResult(name, NOT_ATTEMPTED)
    if isinstance(error, Unmet) or (isinstance(error, AssertionError) and frame is None):
        return CheckResult(name, FAILED, _one_line(error) or "an expectation is not met")
    what = f"{type(error).__name__}: {_one_line(error)}".removesuffix(": ")
    if frame is not None:
        where = f" in line {line}" + (f", `{source}`" if source and "`" not in source else "")
        return CheckResult(name, FAILED, f"your function raised {what}{where}")
    return CheckResult(name, FAILED, f"the check can not work with what it returned ({what})")


def _frame_of(fn: Callable[..., Any], traceback: TracebackType | None) -> TracebackType | None:
    """The innermost frame in the reader's function; None where the error did not pass it."""
    target = inspect.unwrap(fn)
    if inspect.isclass(target):
        codes = {member.__code__ for member in vars(target).values() if hasattr(member, "__code__")}
    else:
        codes = {getattr(target, "__code__", None)}
    found = None
    while traceback is not None:
        if traceback.tb_frame.f_code in codes:
            found = traceback
        traceback = traceback.tb_next
    return found


def _one_line(error: BaseException) -> str:
    try:
        text = " ".join(str(error).split())
    except Exception:
        return ""
    return text if len(text) <= 300 else text[:297] + "..."


def expect(condition: Any, message: str) -> None:
    """Raise Unmet with the message unless the condition holds."""
    if not condition:
        raise Unmet(message)


def expect_returned(value: Any, what: str = "") -> None:
    """Raise Unmet for None, which is what a function without a return gives."""
    where = f"{what}: " if what else ""
    expect(value is not None, f"{where}got None; does the function return its result?")


def _array(value: Any, what: str) -> np.ndarray:
    """The value as an array of numbers, Unmet in the reader's words otherwise."""
    expect_returned(value, what)
    if hasattr(value, "detach"):  # a torch tensor, whatever its device, with gradients or not
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        array = np.asarray(None)
    if array.dtype.kind not in "biufc":
        raise Unmet(f"{what}: expected numbers, got {type(value).__name__}")
    return array


def expect_shape(got: Any, shape: Sequence[int | None], what: str) -> None:
    """Expect an array or tensor of this shape; None in `shape` stands for any size."""
    found = _array(got, what).shape
    fits = len(found) == len(shape) and all(
        s is None or s == f for s, f in zip(shape, found, strict=True)
    )
    words = ", ".join("any" if s is None else str(s) for s in shape)
    expect(fits, f"{what}: expected the shape ({words}), got {_shape(found)}")


def expect_close(
    got: Any, expected: Any, what: str, *, rtol: float = 1e-5, atol: float = 1e-8, hint: str = ""
) -> None:
    """Expect numbers, arrays or tensors that agree: |got - expected| <= atol + rtol * |expected|.

    `what` names the quantity and its case, with its unit; `hint` is added where the values differ.
    """
    found, wanted = _array(got, what), _array(expected, what)
    if found.shape != wanted.shape:
        raise Unmet(f"{what}: expected the shape {_shape(wanted.shape)}, got {_shape(found.shape)}")
    if np.isnan(found).any() and not np.isnan(wanted).any():
        raise Unmet(f"{what}: got NaN{_tail(hint)}")
    wrong = ~np.isclose(found, wanted, rtol=rtol, atol=atol, equal_nan=True)
    if not wrong.any():
        return
    if found.ndim == 0:
        raise Unmet(f"{what}: expected {_show(wanted)}, got {_show(found)}{_tail(hint)}")
    with np.errstate(invalid="ignore"):
        distance = np.where(wrong, np.abs(found.astype(complex) - wanted), -1.0)
    worst = np.unravel_index(int(np.nanargmax(distance)), found.shape)
    place = ", ".join(str(int(i)) for i in worst)
    raise Unmet(
        f"{what}: {int(wrong.sum())} of {wrong.size} values differ, the most at [{place}]: "
        f"expected {_show(wanted[worst])}, got {_show(found[worst])}{_tail(hint)}"
    )


def _tail(hint: str) -> str:
    return f"; {hint}" if hint else ""


def _shape(shape: Sequence[int]) -> str:
    return f"({', '.join(str(size) for size in shape)})" if shape else "of a single number"


def _show(value: Any) -> str:
    value = np.asarray(value).item()
    return f"{value:.6g}" if isinstance(value, float) else str(value)
