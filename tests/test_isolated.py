"""Work in a Python process of its own: its result comes back, and its crash is told."""

import pytest

from labutils.isolated import IsolatedError, isolated


def test_work_in_another_process_comes_back_and_its_crash_is_told():
    assert isolated("math:hypot", 3, 4) == 5
    with pytest.raises(IsolatedError, match="status 9"):
        isolated("os:_exit", 9)
