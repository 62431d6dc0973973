"""Tables about recorded engines: what precision brings, what was tried, what is promised.

Rows are those of the record "05-engines": "backend" ("torch" or "tensorrt"), "variant", "batch",
"median_ms", "snr_db"; engines also have "tried", "engine_mb" and "activation_mb", torch has
"peak_mb" and "is_baseline"; a failure has "error".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from labutils.engines.candidates import best_engine
from labutils.engines.precision import KEPT
from labutils.engines.rewrites import AS_IT_IS
from labutils.engines.settings import out_of_time

__all__ = [
    "distances",
    "gates",
    "halves",
    "no_time",
    "precisions",
    "promises",
    "tried",
    "unmeasured",
    "without_figures",
]

Row = Mapping[str, Any]


def _measured(rows: Sequence[Row], backend: str, batch: int) -> list[Row]:
    return [
        row
        for row in rows
        if row["backend"] == backend and row["batch"] == batch and row.get("median_ms")
    ]


def _named(rows: Sequence[Row], variant: str) -> Row:
    return next((row for row in rows if row["variant"] == variant), {})


def _baseline(rows: Sequence[Row]) -> Row:
    return next((row for row in rows if row.get("is_baseline")), {})


def _title(row: Row) -> str:
    """An engine's name without the library's: "FP16, image, graph"."""
    return row["variant"].removeprefix("TensorRT ")


def _times(before: Row, after: Row) -> float | None:
    return before["median_ms"] / after["median_ms"] if before and after else None


def precisions(rows: Mapping[str, Sequence[Row]], batch: int = 1) -> list[dict[str, Any]]:
    """Plain engines in FP32, TF32 and FP16, and what each step brings; a row a vocoder.

    `rows` {vocoder: rows}. The last columns say how many times faster a step made it; None where
    one of the two was not measured.
    """
    table = []
    for vocoder, found in rows.items():
        engines = _measured(found, "tensorrt", batch)
        ways = ("FP32", "TF32", "FP16", "FP16, graph")
        single, tf32, half, graph = (_named(engines, f"TensorRT {way}") for way in ways)
        if engines:
            made = zip(ways, (single, tf32, half, graph), strict=True)
            table.append(
                {"vocoder": vocoder}
                | {f"{way} (ms)": row.get("median_ms") for way, row in made}
                | {
                    "FP32 to TF32 (times)": _times(single, tf32),
                    "TF32 to FP16 (times)": _times(tf32, half),
                    "graph (times)": _times(half, graph),
                }
            )
    return table


def distances(rows: Mapping[str, Sequence[Row]], batch: int = 1) -> list[dict[str, Any]]:
    """SNR of the plain engines in FP32, TF32 and FP16 against PyTorch in FP32, in dB.

    `rows` {vocoder: rows}; a row a vocoder. None where an engine was not measured.
    """
    table = []
    for vocoder, found in rows.items():
        engines = _measured(found, "tensorrt", batch)
        made = {way: _named(engines, f"TensorRT {way}") for way in ("FP32", "TF32", "FP16")}
        if any(made.values()):
            snrs = {f"{way} engine (dB)": row.get("snr_db") for way, row in made.items()}
            table.append({"vocoder": vocoder} | snrs)
    return table


def gates(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Do engines of trained vocoders sound like PyTorch: a row a vocoder, SNR in dB and ms.

    `rows` of the record "05-gates". "passes with" is the first choice of FP32 layers with which an
    FP16 engine reaches its bound. What was not measured is None; a rewritten form that no vocoder
    was measured in has no column.
    """
    table = []
    rewritten = [row for row in rows if row["form"] != AS_IT_IS and "snr_db" in row]
    for vocoder in dict.fromkeys(row["vocoder"] for row in rows):
        mine = [row for row in rows if row["vocoder"] == vocoder]
        plain = {row["FP32 layers"]: row for row in mine if row["form"] == AS_IT_IS}
        single, ends, stage = (plain.get(kept, {}) for kept in ("all", *KEPT))
        table.append({
            "vocoder": vocoder,
            "FP32 (dB)": single.get("snr_db"),
            "FP16 (dB)": ends.get("snr_db"),
            "FP16 (ms)": ends.get("median_ms"),
            "first stage FP32 (dB)": stage.get("snr_db"),
            "first stage FP32 (ms)": stage.get("median_ms"),
            "passes with": next((kept for kept in KEPT if plain.get(kept, {}).get("passed")), None),
        })  # fmt: skip
        for form in dict.fromkeys(row["form"] for row in rewritten):
            found = next((row for row in mine if row["form"] == form), {})
            table[-1][f"{form} (dB)"] = found.get("snr_db")
    return table


def halves(rows: Mapping[str, Sequence[Row]], batch: int = 1) -> list[dict[str, Any]]:
    """How far FP16 is from FP32 by who computes it: the SNR of PyTorch's baseline and of the plain
    engine, in dB. `rows` {vocoder: rows}; without both a vocoder is left out."""
    table = []
    for vocoder, found in rows.items():
        torch = _baseline(_measured(found, "torch", batch))
        engine = _named(_measured(found, "tensorrt", batch), "TensorRT FP16")
        snrs = torch.get("snr_db"), engine.get("snr_db")
        if all(snr is not None for snr in snrs) and "FP16" in torch["variant"]:
            made = {"PyTorch (dB)": snrs[0], "TensorRT (dB)": snrs[1]}
            table.append({"vocoder": vocoder} | made | {"between (dB)": snrs[0] - snrs[1]})
    return table


def tried(rows: Mapping[str, Sequence[Row]], batch: int = 1) -> list[dict[str, Any]]:
    """What was tried beside plain engines, a row each, with its figure or why there is none.

    `rows` {vocoder: rows}. "times faster" compares with the plain FP16 engine, launched in the same
    way, as a CUDA graph; below 1 it is slower. "build (s)" is None for an engine that was there
    before the run: what the GPU did beside that build is not known. A column without a figure is
    left out, and so is what the run had no time for (`no_time`).
    """
    table = []
    for vocoder, found in rows.items():
        engines = _measured(found, "tensorrt", batch)
        plain = _named(engines, "TensorRT FP16, graph")
        for row in found:
            if row["backend"] != "tensorrt" or row["batch"] != batch or not row.get("tried"):
                continue
            if out_of_time(row):
                continue
            ms = row.get("median_ms")
            table.append({
                "vocoder": vocoder,
                "tried": _title(row).removesuffix(", graph"),
                "ms": ms,
                "times faster": _times(plain, row) if ms else None,
                "SNR (dB)": row.get("snr_db"),
                "build (s)": None if row.get("kept") else row.get("build_seconds"),
                "why there is no figure": row.get("error", ""),
            })  # fmt: skip
    for column in ("build (s)", "why there is no figure"):
        if not any(line[column] for line in table):
            for line in table:
                del line[column]
    return table


def no_time(rows: Mapping[str, Sequence[Row]], batch: int = 1) -> dict[str, list[str]]:
    """{vocoder: the engines that its run had no time for}, of those where something is missing."""
    missing = {
        vocoder: [
            _title(row)
            for row in found
            if row["backend"] == "tensorrt" and row["batch"] == batch and out_of_time(row)
        ]
        for vocoder, found in rows.items()
    }
    return {vocoder: names for vocoder, names in missing.items() if names}


def unmeasured(rows: Mapping[str, Sequence[Row]], batch: int = 1) -> list[str]:
    """What is in the name of an engine that a run had no time for, and in that of no engine that
    was measured, for any vocoder: ["level 4", "padded to 32", …]. `rows` {vocoder: rows}."""
    late = [name for names in no_time(rows, batch).values() for name in names]
    engines = (row for found in rows.values() for row in _measured(found, "tensorrt", batch))
    known = {part for row in engines for part in _title(row).split(", ")}
    return sorted({part for name in late for part in name.split(", ")} - known)


def without_figures(rows: Sequence[Row], *facts: str) -> list[str]:
    """Why rows have no figures, a line for those that are alike in these facts and in the reason:
    "melgan: not measured: time (6 rows)"."""
    told = [
        f"{', '.join(str(row[fact]) for fact in facts)}: {row['error']}"
        for row in rows
        if "error" in row
    ]
    counts = Counter(told).items()
    return [f"{line} ({count} {'rows' if count > 1 else 'row'})" for line, count in counts]


def promises(rows: Mapping[str, Sequence[Row]], batch: int = 1) -> list[dict[str, Any]]:
    """ "2 to 5 times faster, 20 to 40 % less memory": a row a vocoder, of one run each.

    `rows` {vocoder: rows}. The engine is the plain FP16 one, launched as a tutorial does, without a
    graph; "the best engine" is the fastest that keeps the quality. Memory is engine and activations
    against the peak of torch's allocator; "less" is negative where the engine takes more.
    What was not measured is None.
    """
    table = []
    for vocoder, found in rows.items():
        torch, engines = (_measured(found, side, batch) for side in ("torch", "tensorrt"))
        single, plain = _named(torch, "FP32"), _named(engines, "TensorRT FP16")
        best = best_engine(found, batch)
        baseline = _baseline(torch)
        if not (torch or engines):
            continue
        taken = None
        if plain.get("engine_mb") is not None and plain.get("activation_mb") is not None:
            taken = plain["engine_mb"] + plain["activation_mb"]
        table.append({
            "vocoder": vocoder,
            "an FP16 engine against PyTorch FP32 (times)": _times(single, plain),
            "the same against the baseline (times)": _times(baseline, plain),
            "the best engine against the baseline (times)": _times(baseline, best),
            "PyTorch FP32, peak (MB)": single.get("peak_mb"),
            "baseline, peak (MB)": baseline.get("peak_mb"),
            "engine and activations (MB)": taken,
            "less than FP32 (%)": _less(taken, single.get("peak_mb")),
            "less than the baseline (%)": _less(taken, baseline.get("peak_mb")),
        })  # fmt: skip
    return table


def _less(taken: float | None, peak: float | None) -> float | None:
    return 100 * (1 - taken / peak) if taken and peak else None
