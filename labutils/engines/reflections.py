"""MelGAN's reflection paddings as joins of three pieces, and what an engine takes with them."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from labutils import baseline, onnx_export, records, vocoders
from labutils.engines import beside
from labutils.engines.building import Builder
from labutils.engines.candidates import PLAIN
from labutils.engines.experiments import COVERS, SOURCES
from labutils.engines.graphs import Graphs, GraphSpec
from labutils.engines.rewrites import AS_IT_IS, rewrite
from labutils.engines.settings import settings
from labutils.records import Noted

__all__ = ["FORMS", "JOINED", "Joined", "joined", "reflected", "write_joined"]

M = TypeVar("M", bound=nn.Module)
JOINED = "image, joined"
FORMS = (AS_IT_IS, "image", JOINED)


class Joined(nn.Module):
    """Reflects `edge` values at each end of the last axis, (..., L) to (..., L + 2 * edge).

    As nn.ReflectionPad1d, to the bit, and of any rank: two short pieces are read backwards and
    joined with the whole. L is more than `edge`.
    """

    def __init__(self, edge: int) -> None:
        super().__init__()
        self.edge = edge
        self.register_buffer("backwards", torch.arange(edge - 1, -1, -1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        ends = x[..., 1 : self.edge + 1], x[..., -self.edge - 1 : -1]
        left, right = (end.index_select(-1, self.backwards) for end in ends)
        return torch.cat([left, x, right], dim=-1)


def joined(model: M) -> M:
    """A copy of a generator, or of its image, in which every reflection is a `Joined`; exact.

    Raises ValueError where there is none, or one that is not the same at both ends.
    """
    model = copy.deepcopy(model)
    found = 0
    for module in list(model.modules()):
        for key, child in list(module.named_children()):
            if not isinstance(child, nn.ReflectionPad1d | nn.ReflectionPad2d):
                continue
            left, right, *rest = child.padding
            if left != right or any(rest):
                raise ValueError(f"{child} does not reflect alike at both ends of the last axis")
            setattr(module, key, Joined(left))
            found += 1
    if not found:
        raise ValueError("the network reflects nothing: this form is for a MelGAN")
    return model


@records.experiment(
    "05-reflections", needs=("tensorrt", "cuda"),
    covers=[
        *COVERS, "labutils.engines.reflections", "labutils.engines.beside",
        "labutils.engines.by_kind",
    ],
)  # fmt: skip
def reflected(vocoder: str = "melgan") -> Iterator[Noted]:
    """FP16 engines of a MelGAN in three forms, batch 1 and 8, beside each other in one run.

    What a call takes as a CUDA graph, SNR against FP32 in PyTorch, and the layers by type. Random
    weights. Yields ``{"rows": [...]}`` after each engine.
    """
    model, frames = vocoders.create(vocoder), baseline.FRAMES[vocoder]
    pairs = itertools.product(baseline.BATCHES, FORMS)
    cases = [({"form": f}, replace(PLAIN, batch=batch, form=f)) for batch, f in pairs]
    rows: list[dict[str, Any]] = []
    with settings(300.0) as given, Graphs(given.graphs) as graphs, Builder(given.engines) as make:
        begin = time.monotonic()
        write_joined(model, vocoder, graphs.folder)
        for row in beside.rows(
            model, vocoder, frames, cases, given=given, graphs=graphs, make=make, begin=begin,
            layers=True,
        ):  # fmt: skip
            rows.append(row)
            yield Noted({"rows": rows}, tactic_sources=SOURCES)


def write_joined(model: nn.Module, vocoder: str, folder: Path) -> Path:
    """The FP32 file of the joined form, where `graphs.make` looks before it makes one itself."""
    path = folder / GraphSpec(vocoder, JOINED, half=False).file
    onnx_export.export(joined(rewrite(model, "image")), path, exporter="legacy")
    return path
