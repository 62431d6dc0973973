"""What the tests of trtexec share: versions, logs of the real tool, queries of given times."""

from pathlib import Path

import numpy as np

from labutils.trt.trtexec import traces

LOGS = Path(__file__).parent / "trtexec_logs"
V8, V10, V11 = (8, 6, 1), (10, 16, 1), (11, 0, 0)


def log(name):
    return (LOGS / f"{name}.log").read_text()


def trace(start, compute=1.0, copy=0.1, enqueue=0.05, back=None):
    """One query: copy in, compute, copy out (`back`, else as in), without gaps; all in ms."""
    a, b, c, d = np.cumsum([start, copy, compute, copy if back is None else back])
    return traces.Trace(enq=(start, start + enqueue), h2d=(a, b), compute=(b, c), d2h=(c, d))
