"""Checks of notebook 08: how many contexts, how many fit, and a worker whose runner dies."""

from collections import deque
from types import SimpleNamespace
from typing import Any

from labutils.checks.core import CheckResult, check, expect, expect_close

__all__ = ["choose", "contexts_that_fit", "serve"]


def _rows(*values: tuple[int, float, float]) -> list[dict[str, float]]:
    return [{"contexts": n, "per_second": v, "p95_ms": ms} for n, v, ms in values]


def choose(fn) -> CheckResult:
    """``fn(rows, limit_ms)``: the number of contexts to use, or None."""

    rows = _rows((1, 400, 2.6), (2, 700, 3.0), (3, 880, 3.5), (4, 890, 4.6), (8, 910, 9.0))

    def knee(fn):
        got = fn([dict(row) for row in rows], 20.0)
        expect(got != 8, "a limit of 20 ms: 8 contexts are the fastest by 3 %, and everybody waits "
               "2.5 times as long as with 3; 5 % of the best is near enough")  # fmt: skip
        expect_close(got, 3, "a limit of 20 ms, contexts",
                     hint="the fewest within 5 % of the best throughput")  # fmt: skip

    def limited(fn):
        got = fn([dict(row) for row in rows], 3.2)
        why = "only 1 and 2 contexts answer in time"
        expect(got is not None, f"a limit of 3.2 ms: got None, but {why}; compare with the best of "
               "those, not with the best of all")  # fmt: skip
        expect_close(got, 2, "a limit of 3.2 ms, contexts", hint=why)

    def edge(fn):
        got = fn(_rows((8, 100, 4), (4, 95, 2), (2, 94, 1)), 9)
        expect_close(
            got,
            4,
            "95, 100 and 94 inferences a second, contexts",
            hint="95 is within 5 % of 100, 94 is not; the rows come in any order",
        )
        got = fn(_rows((1, 50, 3), (2, 100, 4)), 4)
        expect_close(got, 2, "a limit of 4 ms and a p95_ms of 4, contexts",
                     hint="a latency that equals the limit is in time")  # fmt: skip

    def none(fn):
        got = fn([dict(row) for row in rows], 1.0)
        expect(got is None, f"a limit of 1 ms: nothing is that fast, expected None, got {got!r}")

    return check(fn, knee, limited, edge, none,
                 passed="as few as do the work, and none that makes a listener wait")  # fmt: skip


def contexts_that_fit(fn) -> CheckResult:
    """``fn(free, weights, activations, buffers, at_once)``: how many contexts."""

    def told(fn, wanted, free, weights, activations, buffers, at_once, why):
        what = (
            f"{free} MB free, weights {weights}, activations {activations}, buffers {buffers}, "
            f"at once {at_once}: contexts"
        )
        expect_close(fn(free, weights, activations, buffers, at_once), wanted, what, hint=why)

    def own(fn):
        told(
            fn,
            8,
            1000,
            100,
            100,
            10,
            None,
            "the weights are there once; activations, mel and audio for each context",
        )
        told(fn, 1, 310, 100, 100, 10, None, "two would need 320 MB: mel and audio count, too")
        told(fn, 0, 150, 100, 100, 10, None, "not even one fits")
        told(fn, 0, 50, 100, 100, 10, None, "the engine itself does not fit")

    def shared(fn):
        told(fn, 70, 1000, 100, 100, 10, 2, "of contexts that share, at_once blocks of activations "
             "are enough; each context has its own mel and audio")  # fmt: skip
        told(fn, 80, 1000, 100, 100, 10, 1, "one block for all of them")

    def few(fn):
        told(
            fn,
            1,
            310,
            100,
            100,
            10,
            4,
            "fewer contexts than at_once need only as many blocks as there are contexts",
        )
        told(fn, 3, 430, 100, 100, 10, 4, "three need 100 + 3 times 110 MB")

    passed = "weights once, activations for those that run, mel and audio for each"
    return check(fn, own, shared, few, passed=passed)


class _Runner:
    """Refuses mels of 0, dies at mels above 90, and must not be used after it has died."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.dead = False
        self.after = 0  # times that it was asked when it was dead

    def infer(self, mel):
        if self.dead:
            self.after += 1
            if self.after > 20:  # `except Exception` in a loop does not swallow this one
                raise SystemExit("infer was asked 20 times after the runner had died: return False")
        expect(not self.dead, "infer was called on a runner that had died")
        self.asked.append(mel)
        if mel == 0:
            raise ValueError("expected 1 frame or more, got 0")
        if mel > 90:
            self.dead = True
            raise RuntimeError("an illegal memory access was encountered")
        return 10 * mel


class _Desk:
    """Takes the answers and wants one for each request."""

    def __init__(self, *mels: int, attempts: int = 0) -> None:
        self.waiting = deque(
            SimpleNamespace(number=i, mel=mel, attempts=attempts) for i, mel in enumerate(mels)
        )
        self.given: dict[int, Any] = {}

    def answer(self, number, value):
        expect(number not in self.given, f"request {number} was answered twice")
        self.given[number] = value


def serve(fn) -> CheckResult:
    """``fn(waiting, answer, runner)``: whether the runner still lives."""

    def served(fn):
        desk, runner = _Desk(3, 5, 7), _Runner()
        alive = fn(desk.waiting, desk.answer, runner)
        expect(runner.asked == [3, 5, 7], f"expected the mels in their order, got {runner.asked}")
        expect(desk.given == {0: 30, 1: 50, 2: 70}, f"answers of three mels: got {desk.given}")
        expect(
            alive is True, f"the queue is empty and the runner lives: expected True, got {alive}"
        )
        expect(not desk.waiting, "requests that were answered are still in the queue")

    def refused(fn):
        desk, runner = _Desk(3, 0, 7), _Runner()
        alive = fn(desk.waiting, desk.answer, runner)
        expect(
            isinstance(desk.given.get(1), ValueError),
            "a mel that the runner refuses (ValueError): its sender must get the error",
        )
        expect(desk.given.get(2) == 70 and alive is True,
               "after a mel that was refused, the runner goes on with the next one")  # fmt: skip

    def died(fn):
        desk, runner = _Desk(3, 99, 7), _Runner()
        alive = fn(desk.waiting, desk.answer, runner)
        expect(
            alive is False,
            "the runner died over the second mel and must not be used again: expected False, got "
            f"{alive!r}",
        )
        left = [request.number for request in desk.waiting]
        expect(1 not in desk.given, "the runner died at the first attempt of request 1: another "
               "runner may try it, so its sender gets no answer yet")  # fmt: skip
        expect(left == [1, 2], "the runner died over request 1: expected requests 1 and 2 to wait, "
               f"in this order, got {left}")  # fmt: skip
        expect(desk.waiting[0].attempts == 1, "request 1 was tried once: expected attempts = 1, "
               f"got {desk.waiting[0].attempts}")  # fmt: skip

    def again(fn):
        desk, runner = _Desk(99, 7), _Runner()
        expect(fn(desk.waiting, desk.answer, runner) is False, "the first runner died")
        second = fn(desk.waiting, desk.answer, _Runner())
        expect(second is False, f"the second runner died, too: expected False, got {second!r}")
        expect(isinstance(desk.given.get(0), RuntimeError),
               "two runners died over request 0: its sender must get the error, or the request "
               "kills one runner after the other")  # fmt: skip
        expect(
            [request.number for request in desk.waiting] == [1],
            "after the second death request 0 must not wait any more, and request 1 must",
        )
        expect(fn(desk.waiting, desk.answer, _Runner()) is True and desk.given.get(1) == 70,
               "a third runner must be able to serve request 1")  # fmt: skip

    return check(fn, served, refused, died, again,
                 passed="each sender gets one answer, whoever dies")  # fmt: skip
