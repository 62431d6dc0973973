"""The last exception of a notebook, and how to let go of what it holds.

An exception holds its traceback, that holds the frames of all functions that were running, and
those hold every local variable: memory on the GPU among them. Python keeps the last exception for
its debugger, and IPython keeps its traceback besides, until the next one takes the place.
"""

from __future__ import annotations

import gc
import sys

__all__ = ["forget"]

_KEPT = ("last_exc", "last_value", "last_traceback", "last_type")  # the first since Python 3.12


def forget() -> None:
    """Let go of the exception that Python and IPython keep, and collect what it held.

    ``%debug`` has nothing to look at afterwards. Names of your own (``except ... as error`` that
    was kept) hold as before.
    """
    for name in _KEPT:
        if hasattr(sys, name):
            delattr(sys, name)
    if "IPython" in sys.modules:
        from IPython import get_ipython

        shell = get_ipython()
        if shell is not None:
            shell.InteractiveTB.tb = None
            if (result := shell.last_execution_result) is not None:
                result.error_in_exec = result.error_before_exec = None
    gc.collect()
