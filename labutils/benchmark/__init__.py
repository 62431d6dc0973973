"""What a runner takes: its time (`timing`), its memory (`footprint`), and pictures of both.

`quiet` keeps other processes from a GPU meanwhile.
"""

from labutils.benchmark.footprint import device_bytes, leak_test, memory
from labutils.benchmark.quiet import is_shared, quiet
from labutils.benchmark.timing import BenchmarkError, Timing, asking_ms, measure, time_call

__all__ = [
    "BenchmarkError",
    "Timing",
    "asking_ms",
    "device_bytes",
    "is_shared",
    "leak_test",
    "measure",
    "memory",
    "quiet",
    "time_call",
]
