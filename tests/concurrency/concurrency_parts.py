"""What tests of notebook 08's tools share: runners that fail when told to, slow lanes."""

import time

from labutils.concurrency import FailingRunner
from labutils.runners import TorchRunner

WAIT = 60  # seconds: a test that waits longer has found a request that nobody answers


def runner_of(model, **when):
    return lambda: FailingRunner(TorchRunner(model), **when)


class SleepingLane:
    """A lane whose work takes `seconds` from the moment it is asked, beside all others."""

    def __init__(self, seconds):
        self.seconds, self.ends, self.asked = seconds, None, 0

    def enqueue(self):
        assert self.ends is None, "asked again before it was waited for"
        self.ends, self.asked = time.perf_counter() + self.seconds, self.asked + 1

    def synchronize(self):
        if self.ends is not None:
            time.sleep(max(0.0, self.ends - time.perf_counter()))
        self.ends = None
