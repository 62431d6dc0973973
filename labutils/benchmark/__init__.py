"""What a runner takes: its time (`timing`), its memory (`footprint`), and pictures of both."""

from labutils.benchmark.footprint import device_bytes, leak_test, memory
from labutils.benchmark.timing import BenchmarkError, Timing, asking_ms, measure, time_call

__all__ = [
    "BenchmarkError",
    "Timing",
    "asking_ms",
    "device_bytes",
    "leak_test",
    "measure",
    "memory",
    "time_call",
]
