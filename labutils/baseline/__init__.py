"""The baseline: the fastest plain PyTorch that keeps the quality, for each vocoder and batch.

python -m labutils.baseline --vocoder NAME --save data/records [--seconds 400]

measures every variant of `variants` on a GPU and writes the record after each of them.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from labutils import benchmark, records, vocoders
from labutils.baseline import trials, variants
from labutils.baseline.pictures import variants_picture
from labutils.show.figures import Picture

__all__ = [
    "BATCHES",
    "FRAMES",
    "MINIMUM_SNR",
    "best",
    "caption",
    "compare",
    "main",
    "measured",
    "of",
    "picture",
    "recorded_rows",
    "steps",
    "summary",
]

FRAMES = {"melgan": 862, "hifigan-v1": 862, "gpt-sovits-v4": 500, "bigvgan-v2-24khz": 468}
BATCHES = (1, 8)
MINIMUM_SNR = 40.0  # dB against FP32: an error of a hundredth of the sound; notebook 14 asks ears
SECONDS = "LABUTILS_SECONDS"  # environment variable: time budget of one record
_BUDGET = 400.0

log = logging.getLogger(__name__)


@records.experiment(
    "03-baseline",
    needs="cuda",
    covers=[
        "labutils.baseline.trials", "labutils.baseline.variants", "labutils.baseline.layouts",
        benchmark.time_call, "labutils.runners.torch_runner", "labutils.runners.torch_graph",
    ],
)  # fmt: skip
def measured(vocoder: str) -> Iterator[records.Noted]:
    """Every variant of a preset with random weights, at batch 1 and 8, on 5 to 10 s of speech.

    Yields ``{"rows": [...], "baseline": {"1": row, "8": row}, ...}``, anew after every variant. The
    time budget is that of the environment variable LABUTILS_SECONDS, else 400 s.
    """
    model = vocoders.create(vocoder)
    frames = FRAMES.get(vocoder) or round(5 * model.config.mel.frame_rate)
    mels = [vocoders.speech_like_mel(model.config.mel, frames, batch=b).numpy() for b in BATCHES]
    seconds = float(os.environ.get(SECONDS) or _BUDGET)
    done: list[dict[str, Any]] = []
    for row in trials.rows(model, mels, variants.GPU, device="cuda", seconds=seconds):
        done.append(row)
        log.info("%s", {key: row.get(key) for key in ("variant", "batch", "median_ms", "error")})
        data = {
            "vocoder": vocoder, "weights": model.weights, "frames": frames, "rows": done,
            "baseline": {str(b): best(done, b) for b in BATCHES},
            "complete": len(done) == len(mels) * len(variants.GPU),
        }  # fmt: skip
        yield records.Noted(data, cudnn=torch.backends.cudnn.version())


def best(
    measured_rows: Sequence[dict[str, Any]], batch: int = 1, *, minimum_snr: float = MINIMUM_SNR
) -> dict[str, Any]:
    """The fastest row of a batch that keeps the quality: {} where none was measured.

    FP32 is its own reference; all others need `minimum_snr` dB against it.
    """
    good = [
        row
        for row in measured_rows
        if row["batch"] == batch and "error" not in row and _keeps(row, minimum_snr)
    ]
    return min(good, key=lambda row: row["median_ms"], default={})


def _keeps(row: dict[str, Any], minimum_snr: float) -> bool:
    if row["variant"] == "FP32" or row["same_bits"]:
        return True
    return row["snr_db"] is not None and row["snr_db"] >= minimum_snr


def of(vocoder: str, batch: int = 1) -> dict[str, Any]:
    """The frozen baseline of a vocoder from its record: the row of its fastest good variant.

    Empty where there is no record yet.
    """
    record = measured.recorded(vocoder=vocoder)
    return record["baseline"].get(str(batch), {}) if record.available else {}


def picture(
    names: Sequence[str] = tuple(FRAMES),
    batches: Sequence[int] = (1,),
    path: str | os.PathLike[str] | None = None,
) -> Picture:
    """Bars of all recorded variants of each vocoder, the baseline marked; saved to `path` if given.

    A vocoder without a record gets an empty panel that says so.
    """
    panels = {}
    for batch in batches:
        for name in names:
            shown = list(recorded_rows(name, batch).values())
            panels[f"{name}, batch {batch}"] = (shown, of(name, batch).get("variant"))
    drawn = variants_picture(panels, minimum_snr=MINIMUM_SNR)
    if path is not None:
        drawn.save(path)
    return drawn


def recorded_rows(vocoder: str, batch: int = 1) -> dict[str, dict[str, Any]]:
    """{variant: row} of a vocoder's record; empty where there is none yet."""
    record = measured.recorded(vocoder=vocoder)
    rows = record["rows"] if record.available else []
    return {row["variant"]: row for row in rows if row["batch"] == batch}


def caption(names: Sequence[str] = tuple(FRAMES)) -> str:
    """Where the records of these vocoders come from, in a line for each that differs."""
    captions = [measured.recorded(vocoder=name).caption for name in names]
    return "\n".join(dict.fromkeys(captions))


def summary(batch: int = 1) -> list[dict[str, Any]]:
    """A row for each vocoder: FP32 against the baseline. For tables; empty without records."""
    table = []
    for name in FRAMES:
        chosen = of(name, batch)
        if chosen:
            start = recorded_rows(name, batch).get("FP32", {}).get("median_ms")
            table.append({
                "vocoder": name, "FP32 (ms)": start, "baseline (ms)": chosen["median_ms"],
                "times faster": start / chosen["median_ms"] if start else None,
                "times real time": chosen["times_real_time"], "SNR (dB)": chosen["snr_db"],
                "the baseline is": chosen["variant"],
            })  # fmt: skip
    return table


def compare(*ways: str, batch: int = 1, key: str = "median_ms") -> list[dict[str, Any]]:
    """A row for each vocoder with one figure of the named variants; for tables.

    For times in ms a last column says how many times faster the last variant is than the first. A
    figure that was not measured is None; without records the table is empty. Raises ValueError for
    a name or key that no record has.
    """
    units = {"median_ms": "ms", "compile_seconds": "s", "peak_mb": "MB", "snr_db": "dB"}
    unit = units.get(key, key)
    found = {name: recorded_rows(name, batch) for name in FRAMES}
    recorded = [row for rows in found.values() for row in rows.values()]
    known = list(dict.fromkeys([v.name for v in variants.GPU] + [r["variant"] for r in recorded]))
    if wrong := [way for way in ways if way not in known]:
        raise ValueError(f"no variant {', '.join(wrong)}; there are: {'; '.join(known)}")
    keys = sorted({*units, *(k for row in recorded for k in row)})
    if key not in keys:
        raise ValueError(f'no figure "{key}"; there are: {", ".join(keys)}')
    table = []
    for name, rows in found.items():
        if not rows:
            continue
        values = [rows.get(way, {}).get(key) for way in ways]
        line = {"vocoder": name}
        line |= {f"{way} ({unit})": value for way, value in zip(ways, values, strict=True)}
        if key == "median_ms" and len(ways) > 1:
            first, last = values[0], values[-1]
            heading = f"{ways[0]} to {ways[-1]}: times faster"
            line[heading] = first / last if first and last else None
        table.append(line)
    return table


def steps(batch: int = 1) -> list[dict[str, Any]]:
    """A row for each vocoder: times faster of each step over the variant that it starts from."""
    chain = {
        "FP32 to TF32": ("FP32", "TF32"),
        "to FP16": ("TF32", "FP16"),
        "graph": ("FP16", "FP16, graph"),
        "compile": ("FP16, graph", "FP16, compile, graph"),
        "max-autotune": ("FP16, compile, graph", "FP16, max-autotune, graph"),
        "channels last": ("FP16, compile, graph", "FP16, compile, channels last, graph"),
    }
    table = []
    for name in FRAMES:
        rows = recorded_rows(name, batch)
        if rows:
            line: dict[str, Any] = {"vocoder": name}
            for step, ends in chain.items():
                before, after = (rows.get(end, {}).get("median_ms") for end in ends)
                line[step] = before / after if before and after else None
            table.append(line)
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns 0, or 1 where nothing could be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m labutils.baseline", description="Measure a vocoder's baseline on a GPU."
    )
    parser.add_argument("--vocoder", required=True, choices=sorted(vocoders.PRESETS))
    parser.add_argument("--save", type=Path, required=True, help="folder for the record")
    parser.add_argument("--seconds", type=float, default=_BUDGET, help="no variant begins later")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    log.setLevel(logging.INFO)
    os.environ[SECONDS] = str(options.seconds)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder  # compile times are those of a first compile
        try:
            done = measured.measure(vocoder=options.vocoder, save=options.save)
        except records.RecordError as error:
            log.error("%s", error)
            return 1
    log.info("%s", done.path)
    return 0 if all(done["baseline"].values()) else 1
