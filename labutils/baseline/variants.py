"""The ways to run one network in plain PyTorch, and a call that builds, times, compares one."""

from __future__ import annotations

import contextlib
import gc
import shutil
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labutils import benchmark, costs, environment
from labutils.baseline.layouts import channels_last
from labutils.metrics.scores import snr_db
from labutils.runners.base import Runner
from labutils.runners.torch_graph import CompiledRunner, GraphRunner
from labutils.runners.torch_runner import DTYPES, TorchRunner

__all__ = [
    "CPU",
    "GPU",
    "Autocast",
    "Traced",
    "Variant",
    "backends",
    "build",
    "compiler_missing",
    "measure",
    "release",
]

_MAX = "max-autotune-no-cudagraphs"


@dataclass(frozen=True)
class Variant:
    """One way to run a network. `dtype` is what weights are cast to, `autocast` what torch.autocast
    casts to at each operation; `compile` a mode of CompiledRunner."""

    name: str
    dtype: str = "float32"
    tf32: bool = False
    autocast: str | None = None
    channels_last: bool = False
    trace: bool = False
    compile: str | None = None
    graph: bool = False


# From simple to slow to build: a run that is out of time has measured the most important ones.
GPU = (
    Variant("FP32"),
    Variant("TF32", tf32=True),
    Variant("FP16 autocast", autocast="float16"),
    Variant("FP16", "float16"),
    Variant("BF16", "bfloat16"),
    Variant("FP16, graph", "float16", graph=True),
    Variant("FP16, compile, graph", "float16", compile="default", graph=True),
    Variant("FP16, channels last, graph", "float16", channels_last=True, graph=True),
    Variant(
        "FP16, compile, channels last, graph",
        "float16", compile="default", channels_last=True, graph=True,
    ),
    Variant("FP16, max-autotune, graph", "float16", compile=_MAX, graph=True),
    Variant(
        "FP16, max-autotune, channels last, graph",
        "float16", compile=_MAX, channels_last=True, graph=True,
    ),
)  # fmt: skip
CPU = (
    Variant("FP32"),
    Variant("FP32, channels last", channels_last=True),
    Variant("FP32, jit.trace", trace=True),
    Variant("BF16 autocast", autocast="bfloat16"),
    Variant("BF16", "bfloat16"),
    Variant("FP32, compile", compile="default"),
)


class Autocast(nn.Module):
    """A generator under torch.autocast: float32 weights, operations in `dtype` where it pays."""

    def __init__(self, model: nn.Module, dtype: str) -> None:
        super().__init__()
        self.model, self.config = model, model.config
        self.dtype = DTYPES[dtype]

    def forward(self, mel: Tensor) -> Tensor:
        with torch.autocast(mel.device.type, dtype=self.dtype):
            return self.model(mel)


class Traced(nn.Module):
    """A generator as TorchScript, traced with one mel (B, n_mels, T) and frozen."""

    def __init__(self, model: nn.Module, mel: Tensor) -> None:
        super().__init__()
        self.config = model.config
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # that TorchScript is deprecated: the notebook says so
            self.script = torch.jit.freeze(torch.jit.trace(model.eval(), mel, check_trace=False))

    def forward(self, mel: Tensor) -> Tensor:
        return self.script(mel)

    def __deepcopy__(self, memo: dict[int, Any]) -> Traced:
        return self  # frozen: nothing in it can change


@contextlib.contextmanager
def backends(*, tf32: bool, cudnn_benchmark: bool = True) -> Iterator[None]:
    """TF32 for matrix products and convolutions, and cuDNN's search, within a `with` block.

    Sets the old switches, which set the new ones of torch 2.9 (`fp32_precision`), too; the other
    way round, torch.compile fails (pytorch issue 166387).
    """
    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    before = (_tf32(cuda.matmul), _tf32(getattr(cudnn, "conv", None)), cudnn.benchmark)
    try:
        _switch(tf32, tf32, cudnn_benchmark)
        yield
    finally:
        _switch(*before)


def _tf32(owner: Any) -> bool:
    """Whether TF32 is on; asks the new switch where there is one, the old one may raise."""
    if hasattr(owner, "fp32_precision"):
        return owner.fp32_precision == "tf32"
    return (owner or torch.backends.cudnn).allow_tf32


def _switch(matmul: bool, convolution: bool, cudnn_benchmark: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.backends.cuda.matmul.allow_tf32 = matmul
        torch.backends.cudnn.allow_tf32 = convolution
    torch.backends.cudnn.benchmark = cudnn_benchmark


def compiler_missing(device: str) -> str | None:
    """What torch.compile lacks here, in words; None where it can work."""
    names = ("cc", "gcc", "clang") if device.startswith("cuda") else ("c++", "g++", "clang++")
    if not any(map(shutil.which, names)):
        return "torch.compile needs a C++ compiler: Debian, Ubuntu: apt install g++"
    if device.startswith("cuda") and not environment.has("triton"):
        return "torch.compile needs Triton on a GPU: pip install triton"
    return None


def build(model: nn.Module, variant: Variant, *, device: str, mel: np.ndarray) -> Runner:
    """A runner for this variant of a float32 generator; `mel` is the example that a trace needs."""
    if variant.channels_last:
        model = channels_last(model)
    if variant.autocast:
        model = Autocast(model, variant.autocast)
    if variant.trace:
        model = Traced(model, torch.from_numpy(mel))
    given = {"device": device, "dtype": variant.dtype}
    if variant.graph:
        return GraphRunner(model, mode=variant.compile, **given)
    if variant.compile:
        return CompiledRunner(model, mode=variant.compile, **given)
    return TorchRunner(model, **given)


def measure(
    model: nn.Module,
    variant: Variant,
    mel: np.ndarray,
    *,
    device: str,
    reference: np.ndarray | None = None,
    runs: int = 50,
    max_seconds: float = 6.0,
) -> tuple[dict[str, Any], np.ndarray]:
    """Build a variant, time it for a mel (batch, n_mels, frames), compare it with `reference`.

    Returns a row of plain data and the audio (batch, samples). The row has what `Timing.row` gives,
    `first_call_seconds` (building, compiling, cuDNN's search), `peak_mb` (a graph: what it holds)
    and `snr_db` against `reference`, None without one and for `same_bits`. Runs end after
    `max_seconds`. Torch's switches are as before afterwards.
    """
    release(device)
    dtype = DTYPES[variant.autocast or variant.dtype]
    cost = costs.count(model, mel.shape[2], batch=mel.shape[0], dtype=dtype)
    with backends(tf32=variant.tf32):
        held = _held(device)
        start = time.perf_counter()
        runner = build(model, variant, device=device, mel=mel)
        with runner:
            launch = runner.prepare(mel)
            launch()
            runner.synchronize()
            first = time.perf_counter() - start
            audio = runner.infer(mel)
            given = {"device": device, "warmup": 3, "runs": runs, "max_seconds": max_seconds}
            device_ms = benchmark.time_call(launch, **given)
            limits = {"warmup": 1, "runs": 10, "max_seconds": max_seconds / 3}
            host_ms = benchmark.time_call(lambda: runner.infer(mel), **limits)
            peak = _peak(variant, launch, device, held)
            del launch
    seconds = audio.size / model.config.output_sample_rate
    clock = "CUDA events" if device.startswith("cuda") else "host clock"
    timing = benchmark.Timing(
        variant.name, device, clock, device_ms, host_ms, seconds, mel.shape, costs.totals(cost)
    )
    row = timing.row(variant=variant.name, batch=mel.shape[0], frames=mel.shape[2])
    row = {key: value for key, value in row.items() if key != "p99_ms"}
    row |= {"first_call_seconds": first, "compile_seconds": first if variant.compile else None}
    same = reference is not None and np.array_equal(reference, audio)
    snr = None if reference is None or same else snr_db(reference.ravel(), audio.ravel())
    return row | {"peak_mb": peak, "snr_db": snr, "same_bits": same}, audio


def release(device: str) -> None:
    """Forget compiled code and give unused memory back, so that a variant starts as if alone."""
    if "torch._dynamo" in sys.modules:  # loading it takes seconds
        torch.compiler.reset()
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def _held(device: str) -> Mapping[str, int]:
    if not device.startswith("cuda"):
        return {}
    return {"allocated": torch.cuda.memory_allocated(), "reserved": torch.cuda.memory_reserved()}


def _peak(variant: Variant, launch: Any, device: str, held: Mapping[str, int]) -> float | None:
    """MB that a variant needs more than was held before it."""
    if held and variant.graph:  # a replay allocates nothing: all stays with the graph
        torch.cuda.empty_cache()
        return (torch.cuda.memory_reserved() - held["reserved"]) / 1e6
    if variant.compile or variant.trace:
        if not held:
            return None  # what compiled code allocates on the processor is not seen
    return benchmark.memory(launch, device=device)["peak_mb"] - held.get("allocated", 0) / 1e6
