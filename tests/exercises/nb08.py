"""Wrong answers to the exercises of notebook 08, and what the checks must say of them."""

_CHOOSE = "def choose(rows, limit_ms):\n"
_FIT = "def contexts_that_fit(free, weights, activations, buffers, at_once):\n"
_SERVE = "def serve(waiting, answer, runner):\n"
_LOOP = "    while waiting:\n        request = waiting.popleft()\n        request.attempts += 1\n"
_TRY = "        try:\n            answer(request.number, runner.infer(request.mel))\n"
_MEL = "        except ValueError as error:\n            answer(request.number, error)\n"
_DEAD = "        except Exception as error:\n"
_TRUE = "    return True"

WRONG = {
    "choose": [
        (
            _CHOOSE + "    return max(rows, key=lambda row: row['per_second'])['contexts']",
            "everybody waits",
        ),
        (
            _CHOOSE + "    best = max(row['per_second'] for row in rows)\n"
            "    good = [r['contexts'] for r in rows if r['per_second'] >= 0.95 * best]\n"
            "    return min(good)",
            "only 1 and 2 contexts answer in time",
        ),
        (
            _CHOOSE + "    best = max(row['per_second'] for row in rows)\n"
            "    good = [r['contexts'] for r in rows\n"
            "            if r['per_second'] >= 0.95 * best and r['p95_ms'] <= limit_ms]\n"
            "    return min(good, default=None)",
            "not with the best of all",
        ),
        (
            _CHOOSE + "    good = [row for row in rows if row['p95_ms'] <= limit_ms]\n"
            "    best = max(row['per_second'] for row in good)\n"
            "    return min(r['contexts'] for r in good if r['per_second'] >= 0.95 * best)",
            "ValueError",
        ),
        (
            _CHOOSE + "    good = [row for row in rows if row['p95_ms'] < limit_ms]\n"
            "    best = max((row['per_second'] for row in good), default=0)\n"
            "    fast = [r['contexts'] for r in good if r['per_second'] >= 0.95 * best]\n"
            "    return min(fast, default=None)",
            "equals the limit",
        ),
        (
            _CHOOSE + "    good = [row for row in rows if row['p95_ms'] <= limit_ms]\n"
            "    best = max((row['per_second'] for row in good), default=0)\n"
            "    return next((r['contexts'] for r in good if r['per_second'] >= 0.95 * best), None)",
            "in any order",
        ),
    ],
    "contexts_that_fit": [
        (_FIT + "    return free // (weights + activations + buffers)", "there once"),
        (_FIT + "    return max(0, (free - weights) // activations)", "mel and audio for each"),
        (_FIT + "    return (free - weights) // (activations + buffers)", "does not fit"),
        (
            _FIT + "    return max(0, (free - weights) // (activations + buffers))",
            "at_once blocks of activations are enough",
        ),
        (
            _FIT + "    if at_once is None:\n"
            "        return max(0, (free - weights) // (activations + buffers))\n"
            "    return max(0, (free - weights - at_once * activations) // buffers)",
            "only as many blocks",
        ),
    ],
    "serve": [
        (  # asks the dead runner for ever
            _SERVE
            + _LOOP
            + _TRY
            + _MEL
            + _DEAD
            + "            waiting.appendleft(request)\n"
            + _TRUE,
            "return False",
        ),
        (
            _SERVE + _LOOP + _TRY + "        except Exception as error:\n"
            "            answer(request.number, error)\n" + _TRUE,
            "must not be used again",
        ),
        (
            _SERVE + _LOOP + _TRY + _MEL + _DEAD + "            return False\n" + _TRUE,
            "expected requests 1 and 2",
        ),
        (
            _SERVE
            + _LOOP
            + _TRY
            + _MEL
            + _DEAD
            + "            waiting.append(request)\n            return False\n"
            + _TRUE,
            "in this order",
        ),
        (
            _SERVE
            + _LOOP
            + _TRY
            + _MEL
            + _DEAD
            + "            waiting.appendleft(request)\n            return False\n"
            + _TRUE,
            "kills one runner after the other",
        ),
        (
            _SERVE
            + _LOOP
            + _TRY
            + _MEL
            + _DEAD
            + "            answer(request.number, error)\n            return False\n"
            + _TRUE,
            "another runner may try it",
        ),
        (
            _SERVE
            + "    while waiting:\n        request = waiting.popleft()\n"
            + _TRY
            + "        except Exception as error:\n            request.attempts += 1\n"
            "            if request.attempts < 2:\n                waiting.appendleft(request)\n"
            "            else:\n                answer(request.number, error)\n"
            "            return False\n" + _TRUE,
            "its sender must get the error",
        ),
    ],
}
