"""The experiments of notebook 07: TensorRT engines of many lengths, with PyTorch beside them.

All engines are FP16, of random weights where the vocoder is a published one: they measure speed.
`python -m labutils.shapes` makes the records on a GPU.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from labutils import benchmark, records
from labutils.baseline import trials as torch_trials
from labutils.baseline import variants
from labutils.engines.building import Built
from labutils.engines.experiments import SOURCES
from labutils.records import Noted
from labutils.runners import BucketedRunner, GraphRunner, TensorRTRunner, TorchRunner
from labutils.runners.torch_graph import capture_graph
from labutils.shapes import trials
from labutils.shapes.bench import RANGE, Bench, bench
from labutils.trt import Profile, load_engine

__all__ = ["BUCKETS", "FRAMES", "NARROW", "OPTS", "RANGE", "WIDE", "batches", "graphs", "lengths",
           "opts"]  # fmt: skip

FRAMES = (16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
OPTS = (256, 1024, 32)  # the first is the wide engine's own
WIDE = (Profile((RANGE[0], OPTS[0], RANGE[1])),)
NARROW = (Profile((16, 64, 128)), Profile((128, 256, 512)), Profile((512, 768, 1024)))
BATCHED = (Profile((16, 256, 1024), batch=(1, 4, 8)),)
BUCKETS = (96, 160, 256, 448, 1024)
BATCHES = (1, 2, 4, 8)
COVERS = [
    "labutils.shapes.bench", "labutils.shapes.trials", "labutils.shapes.padding",
    "labutils.shapes.lengths",
    "labutils.trt.build", "labutils.trt.options", "labutils.trt.versions", "labutils.trt.profiles",
    "labutils.runners.tensorrt_runner", "labutils.runners.engine_lanes",
    "labutils.runners.bucketed_runner", "labutils.onnx_export", benchmark.time_call,
]  # fmt: skip
_NEEDS = ("tensorrt", "cuda")

log = logging.getLogger(__name__)
Row = dict[str, Any]


def _noted(data: Row) -> Noted:
    return Noted(data, tactic_sources=SOURCES)


def _engine_rows(
    here: Bench, built: Built, *, graph: bool, labels: Row, data: Row
) -> Iterator[Noted]:
    """Rows over length of one engine, added to data["rows"]; its facts to data["engines"]."""
    variants.release("cuda")
    with (
        load_engine(built.path) as engine,
        TensorRTRunner(engine, here.config, graph=graph, max_graphs=len(FRAMES)) as runner,
    ):
        if not any(row["engine"] == labels["engine"] for row in data["engines"]):
            facts = {"engine": labels["engine"]} | trials.facts(engine, built)
            data["engines"].append(facts | {"snr_db": here.checked(runner)})
        for row in trials.length_rows(runner, FRAMES):
            data["rows"].append(labels | {"graph": graph} | row)
            yield _noted(data)


@records.experiment("07-lengths", needs=_NEEDS, covers=COVERS)
def lengths(vocoder: str = "hifigan-v1", level: int = 1) -> Iterator[Noted]:
    """Time over length at batch 1: PyTorch, an engine of one wide profile, one of three narrow.

    Yields ``{"rows": [...], "engines": [...]}`` anew with every row; "engine" is "PyTorch FP16",
    "one wide" or "three narrow", "graph" tells launches from CUDA graphs.
    """
    data: Row = {"vocoder": vocoder, "level": level, "rows": [], "engines": []}
    with bench(vocoder, level) as here:
        for graph, kind in ((True, GraphRunner), (False, TorchRunner)):
            row: Row = {"engine": "PyTorch FP16", "graph": graph}
            with torch_trials.noting(row), variants.backends(tf32=False):
                variants.release("cuda")
                with kind(here.model, device="cuda", dtype="float16") as runner:
                    for found in trials.length_rows(runner, FRAMES):
                        data["rows"].append(row | found)
                        yield _noted(data)
            if "error" in row:
                data["rows"].append(row)
        for name, profiles in (("one wide", WIDE), ("three narrow", NARROW)):
            row = {"engine": name}
            with torch_trials.noting(row):
                built = here.build(profiles)
                for graph in (True, False):
                    yield from _engine_rows(
                        here, built, graph=graph, labels={"engine": name}, data=data
                    )
            if "error" in row:
                data["rows"].append(row)
            log.info("%s", data["engines"][-1:] or row)
            yield _noted(data)


@records.experiment("07-opt", needs=_NEEDS, covers=COVERS)
def opts(vocoder: str = "hifigan-v1", level: int = 1) -> Iterator[Noted]:
    """Three engines of one range that were tuned for different lengths (opt), as CUDA graphs.

    Yields ``{"rows": [{"opt", "frames", "median_ms", ...}], "engines": [...]}``.
    """
    data: Row = {"vocoder": vocoder, "level": level, "rows": [], "engines": []}
    with bench(vocoder, level) as here:
        for opt in OPTS:
            row: Row = {"engine": f"opt {opt}", "opt": opt}
            with torch_trials.noting(row):
                built = here.build((Profile((RANGE[0], opt, RANGE[1])),))
                yield from _engine_rows(here, built, graph=True, labels=dict(row), data=data)
            if "error" in row:
                data["rows"].append(row)
            log.info("%s", data["engines"][-1:] or row)
            yield _noted(data)


@records.experiment("07-graphs", needs=_NEEDS, covers=COVERS)
def graphs(vocoder: str = "hifigan-v1", level: int = 1, requests: int = 200) -> Iterator[Noted]:
    """Requests of all lengths on the wide engine: launched, as a graph each, and in buckets.

    The first row has as many requests of one length, that of the middle one: what it takes less
    than the second is what a change of length costs. Yields ``{"rows": [...]}``; a row counts the
    graphs that were recorded in all passes.
    """
    data: Row = {"vocoder": vocoder, "level": level, "buckets": list(BUCKETS), "rows": []}
    with bench(vocoder, level) as here:
        mels = here.sentences(requests, seed=1)
        data["lengths"] = len({mel.shape[1] for mel in mels})
        middle = sorted(mels, key=lambda mel: mel.shape[1])[len(mels) // 2]
        counted: list[tuple[int, ...]] = []

        def capture(forward: Any, mel: Any, *more: Any) -> Any:
            counted.append(tuple(mel.shape))
            return capture_graph(forward, mel, *more)

        def launched(engine: Any) -> TensorRTRunner:
            return TensorRTRunner(engine, here.config)

        def as_graphs(engine: Any, most: int = 16) -> TensorRTRunner:
            return TensorRTRunner(engine, here.config, graph=True, max_graphs=most, capture=capture)

        def in_buckets(engine: Any) -> BucketedRunner:
            return BucketedRunner(as_graphs(engine), BUCKETS)

        everything = functools.partial(as_graphs, most=len(FRAMES) + requests)
        ways: tuple[tuple[str, Callable[[Any], Any], list[np.ndarray]], ...] = (
            ("launch by launch, all of one length", launched, [middle] * len(mels)),
            ("launch by launch", launched, mels),
            ("a graph for each length, 16 kept", as_graphs, mels),
            ("a graph for each length, all kept", everything, mels),
            (f"{len(BUCKETS)} buckets, a graph each", in_buckets, mels),
        )
        built = here.build(WIDE)
        for name, way, given in ways:
            row: Row = {"way": name}
            with torch_trials.noting(row):
                here.need_time()
                counted.clear()
                variants.release("cuda")
                with load_engine(built.path) as engine, way(engine) as runner:
                    row |= trials.request_row(runner, given)
                row["graphs recorded"] = len(counted)
            data["rows"].append(row)
            log.info("%s", row)
            yield _noted(data)


@records.experiment("07-batches", needs=_NEEDS, covers=COVERS)
def batches(vocoder: str = "hifigan-v1", level: int = 1, sentences: int = 64) -> Iterator[Noted]:
    """Sentences of unequal length: one by one, in batches as they came, sorted, in buckets.

    Yields ``{"rows": [...]}``, PyTorch in FP16 first; the SNR is against the engine's single calls.
    """
    data: Row = {"vocoder": vocoder, "level": level, "buckets": list(BUCKETS), "rows": []}
    with bench(vocoder, level) as here:
        mels = here.sentences(sentences, seed=2)
        data["seconds of sound"] = sum(m.shape[1] for m in mels) / here.config.mel.frame_rate

        def torch_way() -> Any:
            return TorchRunner(here.model, device="cuda", dtype="float16")

        row: Row = {"way": "PyTorch FP16, sorted, 8 a batch"}
        with torch_trials.noting(row), variants.backends(tf32=False):
            with torch_way() as runner:
                run = trials.sound_of(runner, 8, by_length=True)
                row |= trials.batch_row(run, mels, here.config)[0]
        data["rows"].append(row)
        yield _noted(data)
        built = here.build(BATCHED)
        singles: list[np.ndarray] | None = None
        for name, size, by_length in (
            ("one by one", 1, False),
            ("8 a batch, as they came", 8, False),
            ("8 a batch, sorted", 8, True),
            ("8 a batch, sorted, buckets and graphs", 8, True),
        ):
            row = {"way": name}
            with torch_trials.noting(row):
                here.need_time()
                variants.release("cuda")
                with load_engine(built.path) as engine:
                    bucketed = "buckets" in name
                    runner = TensorRTRunner(engine, here.config, graph=bucketed, max_graphs=32)
                    if bucketed:
                        runner = BucketedRunner(runner, BUCKETS, batches=BATCHES)
                    with runner:
                        run = trials.sound_of(runner, size, by_length=by_length)
                        if bucketed:
                            run = runner.infer_many
                        taken, sounds = trials.batch_row(run, mels, here.config, expected=singles)
                row |= taken
                singles = sounds if singles is None else singles
            data["rows"].append(row)
            log.info("%s", row)
            yield _noted(data)
