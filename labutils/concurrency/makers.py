"""Functions that make runners, which other processes can import: for RunnerPool, ProcessRunner.

functools.partial(makers.torch_runner, "hifigan-small", device="cuda:1")
"""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Any

from labutils import runners, vocoders
from labutils.concurrency.failing import FailingRunner
from labutils.concurrency.streams import capture_beside, quiet
from labutils.runners import Runner

__all__ = ["failing", "onnx_runner", "tensorrt_runner", "torch_runner"]

Path = str | PathLike[str]


def torch_runner(
    vocoder: str,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    graph: bool = False,
    threads: int | None = None,
) -> Runner:
    """PyTorch with the trained weights of a vocoder, or with seeded random ones where there are
    none. `graph` replays CUDA graphs. `threads` are for the whole process, on the processor."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    shipped = vocoder in vocoders.shipped()
    model = vocoders.load(vocoder) if shipped else vocoders.create(vocoder)
    with quiet(device):
        if graph:
            return runners.GraphRunner(model, device=device, dtype=dtype, capture=capture_beside)
        return runners.TorchRunner(model, device=device, dtype=dtype)


def onnx_runner(path: Path, *, threads: int | None = 1) -> Runner:
    """ONNX Runtime on the processor, with so many threads in each operation."""
    return runners.OnnxRunner(path, threads=threads)


def tensorrt_runner(
    plan: Path, vocoder: str, *, device: str = "cuda", graph: bool = False, max_graphs: int = 16
) -> Runner:
    """An engine of a vocoder, loaded on a GPU."""
    config = vocoders.preset(vocoder)
    with quiet(device):
        return runners.TensorRTRunner(
            plan, config, device=device, graph=graph, max_graphs=max_graphs, capture=capture_beside
        )


def failing(make: Callable[[], Runner], **when: Any) -> Runner:
    """The runner that `make()` gives, which fails when FailingRunner is told to."""
    return FailingRunner(make(), **when)
