"""A mixed precision: as much work in INT8 as a quality budget allows."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labutils import tables
from labutils.quantization.sensitivity import Sensitivity

__all__ = ["Choice", "choose", "combined_snr"]


def combined_snr(snrs: Iterable[float]) -> float:
    """The SNR in dB that several independent noises give together.

    Powers of independent noises add, decibels do not: 10 * log10(1 / sum of 10 ** (-snr / 10)).
    Infinite for no noise at all.
    """
    noise = sum(10 ** (-snr / 10) for snr in snrs)
    return math.inf if noise == 0 else -10 * math.log10(noise)


@dataclass(frozen=True)
class Choice:
    """What `choose` found: `layers` become INT8, which gave `score` when it was measured.

    `share` is their part of the work, 0 to 1; `predicted` the score from the single layers alone.
    `tried` holds a row for each measurement.
    """

    layers: tuple[str, ...]
    share: float
    score: float
    predicted: float
    budget: float
    tried: tuple[dict[str, Any], ...]

    def __repr__(self) -> str:
        return (
            f"{len(self.layers)} layers, {self.share:.0%} of the work in INT8: {self.score:.1f} dB "
            f"(budget {self.budget:g} dB, predicted {self.predicted:.1f} dB)"
        )

    def _repr_html_(self) -> str:
        word = ("within the budget", "good") if self.layers else ("nothing fits", "bad")
        return tables.strip([word], repr(self)) + tables.table(list(self.tried))


def choose(
    sensitivities: Sequence[Sensitivity],
    *,
    budget: float,
    measure: Callable[[Sequence[str]], float],
    work: Mapping[str, float] | None = None,
) -> Choice:
    """The layers to quantise so that the score stays at `budget` or above.

    Layers come in the order of their noise per work: what costs least sound for the most
    arithmetic first. `work` {layer: share} is as `network_costs` gives it; None counts layers. How
    many of them fit is found by halving, and each number is measured: `measure(names)` quantises
    these layers and gives the score in dB. What is returned was measured, not predicted.

    Raises ValueError without layers.
    """
    if not sensitivities:
        raise ValueError("no layers to choose from")
    weight = {s.name: _work(s, work) for s in sensitivities}
    order = sorted(sensitivities, key=lambda s: 10 ** (-s.score / 10) / weight[s.name])
    whole = sum(weight.values())
    tried: dict[int, dict[str, Any]] = {}

    def fits(count: int) -> bool:
        names = [name for s in order[:count] for name in s.layers]
        score = measure(names)
        tried[count] = {
            "INT8 layers": len(names),
            "share of the work": sum(weight[s.name] for s in order[:count]) / whole,
            "predicted (dB)": combined_snr(s.score for s in order[:count]),
            "measured (dB)": score,
            "fits": score >= budget,
        }
        return bool(score >= budget)

    low, high = 0, len(order)
    if fits(high):
        low = high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    rows = tuple(tried[count] for count in sorted(tried))
    if low == 0:
        return Choice((), 0.0, math.inf, math.inf, budget, rows)
    row = tried[low]
    return Choice(
        tuple(name for s in order[:low] for name in s.layers),
        row["share of the work"],
        row["measured (dB)"],
        row["predicted (dB)"],
        budget,
        rows,
    )


def _work(sensitivity: Sensitivity, work: Mapping[str, float] | None) -> float:
    if work is None:
        return float(len(sensitivity.layers))
    return sum(work[name] for name in sensitivity.layers)
