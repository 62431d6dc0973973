"""Experiments on a service: 1,000 inferences and their memory; a queue over several GPUs."""

from __future__ import annotations

import functools
import gc
import logging
from collections.abc import Iterator
from typing import Any

import torch

from labutils import records, vocoders
from labutils.baseline import trials as torch_trials
from labutils.benchmark.footprint import device_bytes, process_bytes
from labutils.concurrency import makers, measuring
from labutils.concurrency.experiments import SOURCES, plan_file
from labutils.concurrency.memory import hunt
from labutils.concurrency.parallel import data_parallel_row
from labutils.concurrency.process import ProcessRunner
from labutils.engines.settings import settings
from labutils.records import Noted
from labutils.runners import TensorRTRunner

__all__ = ["devices", "leak"]

_RUNNERS = ["labutils.runners.tensorrt_runner", "labutils.runners.engine_lanes"]
_POOL = [f"labutils.concurrency.{m}" for m in ("pool", "process", "parallel", "makers", "streams")]

log = logging.getLogger(__name__)


@records.experiment(
    "08-leak", needs=("tensorrt", "cuda"), covers=[*_RUNNERS, "labutils.concurrency.memory"]
)
def leak(vocoder: str = "hifigan-small", runs: int = 1000) -> Iterator[Noted]:
    """1,000 inferences of an engine in four ways, with the memory after each.

    Yields {way: {reader: growth, verdict, levels}} after each way.
    """
    found: dict[str, Any] = {}
    with settings(500.0) as given:
        path = plan_file(vocoder, given)
        model = vocoders.load(vocoder)
        mels = [vocoders.speech_like_mel(model.config.mel, n).numpy() for n in (48, 100, 172)]
        readers: dict[str, Any] = {
            "GPU": lambda: device_bytes("cuda"),
            "torch's tensors": lambda: torch.cuda.memory_allocated("cuda"),
            "host": process_bytes,
        }
        longer = vocoders.speech_like_mel(model.config.mel, 860).numpy()
        kept: list[Any] = []

        def plain(runner: TensorRTRunner, number: int) -> None:
            runner.infer(mels[number % 3])

        def every_length(runner: TensorRTRunner, number: int) -> None:
            runner.infer(longer[:, :, : 16 + number % 840])

        def keep(runner: TensorRTRunner, number: int) -> None:
            on_gpu = torch.from_numpy(mels[2]).cuda()
            kept.append(runner.launch(on_gpu).clone())  # for later, says the caller

        ways = {
            "launches": (plain, {}, runs),
            "graphs of three lengths": (plain, {"graph": True}, runs),
            "a graph for every length": (every_length, {"graph": True, "max_graphs": 10**6}, 300),
            "audio kept on the GPU": (keep, {}, runs),
        }
        for way, (call, options, count) in ways.items():
            row: dict[str, Any] = {}
            with torch_trials.noting(row):
                with TensorRTRunner(path, model.config, **options) as runner:
                    numbers = iter(range(count + 10))
                    step = functools.partial(_next, call, runner, numbers)
                    row |= hunt(step, count, readers=readers)
                kept.clear()
                gc.collect()
                torch.cuda.empty_cache()
            found[way] = row
            yield Noted(found, tactic_sources=SOURCES)


def _next(call: Any, runner: Any, numbers: Iterator[int]) -> None:
    call(runner, next(numbers))


@records.experiment(
    "08-devices",
    needs=("tensorrt", "2 gpus"),
    covers=[*_RUNNERS, *_POOL, "labutils.concurrency.measuring"],
)
def devices(vocoder: str = "hifigan-v1", frames: int = 172, count: int = 480) -> Iterator[Noted]:
    """Sentences through a queue: one GPU or all, threads or processes, one or two runners a GPU.

    `DataParallel` beside it, in batches of 16. Yields {"rows": [...]} after each way.
    """
    config = vocoders.preset(vocoder)
    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    mels = [vocoders.speech_like_mel(config.mel, frames, seed=n).numpy() for n in range(16)]
    mels = [mels[n % 16] for n in range(count)]
    sound = count * config.output_length(frames) / config.output_sample_rate
    rows: list[dict[str, Any]] = []
    with settings(500.0) as given:
        plan = str(plan_file(vocoder, given))

        def engine_on(gpu: str) -> Any:
            return functools.partial(makers.tensorrt_runner, plan, vocoder, device=gpu, graph=True)

        def torch_on(gpu: str) -> Any:
            return functools.partial(
                makers.torch_runner, vocoder, device=gpu, dtype="float16", graph=True
            )

        def apart(gpu: str) -> Any:
            return functools.partial(ProcessRunner, engine_on(gpu))

        ways = {
            "torch FP16 graph": (torch_on, 1),
            "TensorRT": (engine_on, 1),
            "TensorRT, two a GPU": (engine_on, 2),
            "TensorRT, processes": (apart, 1),
            "TensorRT, two processes a GPU": (apart, 2),
        }
        for way, (make, each) in ways.items():
            for used in (gpus[:1], gpus):
                pool = {f"{g} {k}": make(g) for g in used for k in range(each)}
                row = measuring.pool_row(
                    pool, mels, audio_seconds=sound, way=way, GPUs=len(used), frames=frames
                )
                rows.append(_against_one(row, rows))
                yield Noted({"vocoder": vocoder, "rows": rows}, tactic_sources=SOURCES)
        for used in (gpus[:1], gpus):
            row = data_parallel_row(vocoder, mels, used, batch=16, audio_seconds=sound)
            rows.append(_against_one(row | {"frames": frames}, rows))
            yield Noted({"vocoder": vocoder, "rows": rows}, tactic_sources=SOURCES)


def _against_one(row: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The row with `scaling`: its throughput over that of the same way on one GPU."""
    one = next((r for r in [*rows, row] if r["way"] == row["way"] and r["GPUs"] == 1), {})
    if row.get("per_second") and one.get("per_second"):
        row["scaling"] = row["per_second"] / one["per_second"]
    log.info("%s", row)
    return row
