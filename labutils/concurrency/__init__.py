"""Many requests at once: contexts, streams, host threads, a queue over devices, and their memory.

python -m labutils.concurrency --contexts --memory --shared --leak --devices --save data/records

measures on a GPU and writes the records of notebook 08. `RunnerPool`, `ProcessRunner`, `threads`
and `hunt` work with every runner, on the processor, too.
"""

from labutils.concurrency.choosing import gain, knee, room
from labutils.concurrency.earlier import earlier
from labutils.concurrency.failing import FailingRunner
from labutils.concurrency.load import Load, in_turn, threads
from labutils.concurrency.memory import Ledger, gpu_ledger, hunt
from labutils.concurrency.pictures import memory_picture, room_picture, throughput_picture
from labutils.concurrency.pool import PoolError, RunnerPool
from labutils.concurrency.process import ProcessRunner

__all__ = [
    "FailingRunner",
    "Ledger",
    "Load",
    "PoolError",
    "ProcessRunner",
    "RunnerPool",
    "earlier",
    "gain",
    "gpu_ledger",
    "hunt",
    "in_turn",
    "knee",
    "memory_picture",
    "room",
    "room_picture",
    "threads",
    "throughput_picture",
]
