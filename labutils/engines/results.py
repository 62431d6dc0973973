"""What the records say of the engines: tables and pictures for notebooks and the README."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from labutils import baseline
from labutils.engines import candidates, experiments
from labutils.engines.pictures import engines_picture
from labutils.show.figures import Picture

__all__ = ["best", "caption", "picture", "recorded_rows", "summary"]

_PLAIN = ("FP32", "TF32", "FP16", "FP16, graph")


def _rows(vocoder: str) -> list[dict[str, Any]]:
    record = experiments.measured.recorded(vocoder=vocoder)
    return record["rows"] if record.available else []


def recorded_rows(vocoder: str, batch: int = 1) -> dict[str, dict[str, Any]]:
    """{variant: row} of a vocoder's record, PyTorch's "FP32" and baseline among them; {} without.

    Engines are called "TensorRT FP16", "TensorRT FP16, graph" and so on.
    """
    return {row["variant"]: row for row in _rows(vocoder) if row["batch"] == batch}


def best(vocoder: str, batch: int = 1) -> dict[str, Any]:
    """The row of the fastest engine that keeps the quality; {} where there is no record yet."""
    return candidates.best_engine(_rows(vocoder), batch)


def caption(names: Sequence[str] = tuple(baseline.FRAMES)) -> str:
    """Where the records of these vocoders come from, in a line for each that differs."""
    captions = [experiments.measured.recorded(vocoder=name).caption for name in names]
    return "\n".join(dict.fromkeys(captions))


def _ends(vocoder: str, batch: int) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The rows of FP32, of the baseline, both of the engines' run, and of the best engine."""
    rows = recorded_rows(vocoder, batch)
    single = rows.get("FP32", {})
    frozen = next((row for row in rows.values() if row.get("is_baseline")), {})
    return single, frozen, best(vocoder, batch)


def _ratio(slow: dict[str, Any], fast: dict[str, Any]) -> float | None:
    known = slow.get("median_ms") and fast.get("median_ms")
    return slow["median_ms"] / fast["median_ms"] if known else None


def summary(batch: int = 1) -> list[dict[str, Any]]:
    """A row for each vocoder with a record: FP32, the baseline, the best engine. For tables."""
    table = []
    for name in baseline.FRAMES:
        single, frozen, fastest = _ends(name, batch)
        if fastest:
            table.append({
                "vocoder": name, "PyTorch FP32 (ms)": single.get("median_ms"),
                "baseline (ms)": frozen.get("median_ms"), "engine (ms)": fastest["median_ms"],
                "times faster than FP32": _ratio(single, fastest),
                "than the baseline": _ratio(frozen, fastest),
                "times real time": fastest["times_real_time"],
                "share of the ceiling (%)": _percent(fastest.get("share_of_ceiling")),
                "SNR (dB)": fastest["snr_db"], "engine (MB)": fastest["engine_mb"],
                "activations (MB)": fastest["activation_mb"],
                "the engine is": fastest["variant"].removeprefix("TensorRT "),
            })  # fmt: skip
    return table


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def picture(
    names: Sequence[str] = tuple(baseline.FRAMES),
    batches: Sequence[int] = (1,),
    path: str | os.PathLike[str] | None = None,
) -> Picture:
    """Bars of times real time: FP32, the baseline, plain engines, what was tried and helped least
    to most; saved to `path` if given. A vocoder without a record gets an empty panel."""
    panels = {}
    for batch in batches:
        for name in names:
            rows = list(recorded_rows(name, batch).values())
            fastest = best(name, batch).get("variant")
            panels[f"{name}, batch {batch}"] = (_shown(rows, fastest), fastest)
    drawn = engines_picture(panels, minimum_snr=baseline.MINIMUM_SNR)
    if path is not None:
        drawn.save(path)
    return drawn


def _shown(rows: list[dict[str, Any]], fastest: str | None, most: int = 4) -> list[dict[str, Any]]:
    """PyTorch and plain engines, the fastest engine, what was tried, in rising speed."""
    torch = [row for row in rows if row["backend"] == "torch"]
    ways = [f"TensorRT {way}" for way in _PLAIN]
    plain = [row for way in ways for row in rows if row["variant"] == way]
    tried = [row for row in rows if row.get("tried") and row.get("times_real_time")]
    tried = sorted(tried, key=lambda row: row["times_real_time"])[-most:]
    named = [*torch, *plain, *tried]
    other = [row for row in rows if row["variant"] == fastest and row not in named]
    return [*torch, *plain, *other, *tried]
