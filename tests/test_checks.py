"""How checks read an answer: three states, a line in words, and no exception ever."""

import sys

import numpy as np
import pytest
import torch

from labutils import checks
from labutils.checks import CheckResult, check, expect, expect_close, expect_shape


def stub(frames: int) -> int:
    """As an exercise hands it out."""
    raise NotImplementedError


def doubled(fn):
    expect_close(fn(3), 6, "twice 3")


def zero(fn):
    expect_close(fn(0), 0, "twice 0", hint="mind the empty input")


def test_a_right_answer_passes():
    result = check(lambda x: 2 * x, doubled, zero, name="double", passed="two of each")
    assert result and result.state == "passed"
    assert repr(result) == "double: passed: two of each"


def test_an_untouched_stub_is_not_attempted():
    result = check(stub, doubled)
    assert not result and result.state == "not attempted" and result.exercise == "stub"
    assert repr(result) == "stub: not attempted yet"


def test_a_stub_with_a_text_is_not_attempted_either():
    def exercise(x):
        raise NotImplementedError("write this")

    assert check(exercise, doubled).state == "not attempted"


def test_not_implemented_by_torch_is_a_failure_of_the_answer():
    def exercise(x):
        return _library_call()

    def _library_call():
        raise NotImplementedError("\"conv\" not implemented for 'Half'")

    result = check(exercise, doubled)
    assert result.state == "failed" and "not implemented for 'Half'" in result.message


def test_a_wrong_answer_fails_with_what_was_expected():
    result = check(lambda x: 3 * x, doubled, zero, name="double")
    assert result.state == "failed" and not result
    assert result.message == "twice 3: expected 6, got 9"
    second = check(lambda x: 2 * x if x else 1, doubled, zero)
    assert second.message == "twice 0: expected 0, got 1; mind the empty input"


def test_an_exception_of_the_answer_is_told_with_its_line():
    def exercise(x):
        values = [1, 2]
        return values[x]

    result = check(exercise, doubled)
    line = exercise.__code__.co_firstlineno + 2
    assert result.state == "failed"
    assert result.message == (
        f"your function raised IndexError: list index out of range in line {line}, "
        "`return values[x]`"
    )


def test_an_exception_below_the_answer_names_the_line_in_the_answer():
    def exercise(x):
        return torch.zeros(2) @ torch.zeros(3)

    message = check(exercise, doubled).message
    assert "RuntimeError" in message and "`return torch.zeros(2) @ torch.zeros(3)`" in message
    assert "\n" not in message


def test_a_bug_with_the_returned_value_is_not_blamed_on_a_line():
    result = check(lambda x: {}, lambda fn: fn(1)["audio"])
    assert result.state == "failed" and "what it returned (KeyError: 'audio')" in result.message


@pytest.mark.parametrize(
    "error", [ValueError("x" * 900), SystemExit(3), RecursionError(), Exception()]
)
def test_no_exception_gets_through(error):
    def exercise(x):
        raise error

    result = check(exercise, doubled)
    assert result.state == "failed" and type(error).__name__ in result.message
    assert len(result.message) < 500


def test_an_exception_without_readable_text():
    class Silent(Exception):
        def __str__(self):
            raise RuntimeError

    def exercise(x):
        raise Silent

    assert "Silent" in check(exercise, doubled).message


def test_the_readers_interrupt_is_not_swallowed():
    def exercise(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(exercise, doubled)


@pytest.mark.parametrize("thing", [None, 3, "text"])
def test_something_that_is_no_function(thing):
    result = check(thing, doubled, name="double")
    assert result.state == "failed" and "expected a function" in result.message


def test_an_assertion_of_the_answer_is_its_own():
    def exercise(x):
        assert x > 10, "too small"
        return 2 * x

    assert "your function raised AssertionError: too small" in check(exercise, doubled).message


def test_an_expectation_inside_a_callback_keeps_its_own_words():
    def exercise(score):
        return score(3)

    def test(fn):
        fn(lambda x: expect(x == 4, "the score is asked for layer 4"))

    assert check(exercise, test).message == "the score is asked for layer 4"


def test_classes_can_be_exercises():
    class Layer:
        def __init__(self, size):
            self.size = size

        def run(self):
            raise NotImplementedError

    assert check(Layer, lambda fn: fn(3).run()).state == "not attempted"


def test_nothing_is_printed(capsys):
    check(lambda x: 2 * x, doubled)
    check(stub, doubled)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("got", "expected", "message"),
    [
        (None, 6, "size: got None; does the function return its result?"),
        ("6", 6, "size: expected numbers, got str"),
        ([1, [2]], 6, "size: expected numbers, got list"),
        (float("nan"), 6.0, "size: got NaN"),
        (5.0, 6.0, "size: expected 6, got 5"),
        ([1.0, 2.0], [1.0], "size: expected the shape (1), got (2)"),
        (3.0, [1.0], "size: expected the shape (1), got of a single number"),
        (
            torch.tensor([[1.0, 2.0], [3.0, 9.0]], requires_grad=True),
            np.array([[1.0, 2.5], [3.0, 4.0]]),
            "size: 2 of 4 values differ, the most at [1, 1]: expected 4, got 9",
        ),
        ([1.0, float("inf")], [1.0, 2.0], "[1]: expected 2, got inf"),
        (True, False, "size: expected False, got True"),
    ],
)
def test_messages_of_expect_close(got, expected, message):
    with pytest.raises(checks.Unmet) as caught:
        expect_close(got, expected, "size")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (6, 6.0),
        (np.float32(6.00001), 6),
        (torch.tensor([1.0, 2.0], dtype=torch.bfloat16), [1, 2]),
        ([float("nan"), 1.0], [float("nan"), 1.0]),
        (np.zeros((0, 3)), np.zeros((0, 3))),
        (1 + 2j, 1 + 2j),
    ],
)
def test_what_expect_close_accepts(got, expected):
    expect_close(got, expected, "size")


def test_tolerances():
    expect_close(1.01, 1.0, "x", rtol=0.02)
    expect_close(0.01, 0.0, "x", atol=0.02)
    with pytest.raises(checks.Unmet):
        expect_close(1.01, 1.0, "x", rtol=0.005)


def test_expect_shape():
    expect_shape(np.zeros((2, 5)), (2, None), "audio")
    with pytest.raises(checks.Unmet, match=r"audio: expected the shape \(2, any\), got \(5\)"):
        expect_shape(torch.zeros(5), (2, None), "audio")
    with pytest.raises(checks.Unmet, match="got None"):
        expect_shape(None, (1,), "audio")


def test_expect():
    expect(np.bool_(True), "fine")
    with pytest.raises(checks.Unmet, match="the mel is upside down"):
        expect([], "the mel is upside down")


@pytest.mark.parametrize("state", ["passed", "failed", "not attempted"])
def test_html_says_the_state_in_words(state):
    html = CheckResult("output_length", state, "a < b & `hop`")._repr_html_()
    words = {"passed": "passed", "failed": "not yet right", "not attempted": "not attempted yet"}
    assert words[state] in html and ">output_length</code>" in html
    assert "a &lt; b &amp; <code" in html and ">hop</code>" in html


def test_modules_of_notebooks_are_loaded_when_named(tmp_path, monkeypatch):
    (tmp_path / "nb98.py").write_text("answer = 42\n")
    (tmp_path / "nb97.py").write_text("import no_such_package\n")
    monkeypatch.setattr(checks, "__path__", [*checks.__path__, str(tmp_path)])
    assert checks.nb98.answer == 42
    monkeypatch.delitem(sys.modules, "labutils.checks.nb98")
    with pytest.raises(AttributeError, match="has no nb99"):
        _ = checks.nb99
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        _ = checks.nb97
