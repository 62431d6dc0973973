"""BigVGAN's filtered snakes on images of two rows, the even and the odd samples of twice the rate.

A filter is a depthwise convolution then, for which TensorRT has kernels in the layout of all other
convolutions; transposed ones of one channel it has none that are fast.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from labutils import audio, baseline, evaluation, onnx_export, records, vocoders
from labutils.baseline import trials as torch_trials
from labutils.engines import beside, trials
from labutils.engines.building import Builder
from labutils.engines.candidates import PLAIN, Candidate
from labutils.engines.experiments import COVERS, SOURCES
from labutils.engines.graphs import Graphs, GraphSpec
from labutils.engines.rewrites import AS_IT_IS, rewrite
from labutils.engines.settings import Settings, in_time, settings
from labutils.engines.snakes import PhaseSnake
from labutils.records import Noted

__all__ = ["BLOCKS", "ROWS", "RowSnake", "cases", "in_rows", "snake_rows", "write_rows"]

ROWS, BLOCKS = "image, snakes in rows", "image, snakes in blocks"
_CLIP, _FRAMES = "en-slt", 160  # of the trained vocoder: the gate's

Row = dict[str, Any]


class RowSnake(nn.Module):
    """A filtered snake of an image (B, C, 1, L), to the same; exact to rounding.

    A kernel of two rows on a signal between two rows of zeros gives both phases of the double rate.
    x + sin²(αx) / β has a number for each channel before the sine and one behind it. The filters
    are linear in each channel and take them along, so that a square of a sine is all that is left.
    Raises ValueError for a snake whose α is 0 in some channel.
    """

    def __init__(self, snake: PhaseSnake) -> None:
        super().__init__()
        channels, taps = snake.channels, snake.up.shape[-1]
        alpha, scale = (
            part.reshape(channels, 2, 1, 1)[:, :1] for part in (snake.act.alpha, snake.act.scale)
        )
        if not alpha.all():
            raise ValueError("a snake with an alpha of 0 has no sine: take another form")
        even, odd = snake.up.reshape(channels, 2, 1, taps).unbind(1)
        down = snake.down.reshape(channels, 1, 2, taps)
        self.channels, self.reach = channels, snake.reach
        self.register_buffer("up", alpha * torch.stack([odd, even], dim=2))
        self.register_buffer("even", alpha * even.unsqueeze(2))
        self.register_buffer("odd", alpha * odd.unsqueeze(2))
        self.register_buffer("straight", down / alpha)
        self.register_buffer("bent", down * scale)

    def forward(self, x: Tensor) -> Tensor:
        n, taps = self.reach, self.even.shape[-1]
        x = functional.pad(x, (n, n, 0, 0), mode="replicate")
        rows = functional.conv2d(x, self.up, padding=(1, 0), groups=self.channels)
        # In order the first sample is even, the last one odd: both rows continue with these. They
        # are made anew, since a piece cut out of the rows would want all rows in another layout.
        first = functional.conv2d(x[..., :taps], self.even, groups=self.channels)
        last = functional.conv2d(x[..., -taps:], self.odd, groups=self.channels)
        first = functional.pad(first, (n - 1, 0, 0, 1), mode="replicate")
        last = functional.pad(last, (0, n - 1, 1, 0), mode="replicate")
        rows = torch.cat([first, rows, last], dim=3)
        sine = torch.sin(rows)
        straight = functional.conv2d(rows, self.straight, groups=self.channels)
        return straight + functional.conv2d(sine * sine, self.bent, groups=self.channels)


def in_rows(model: nn.Module) -> nn.Module:
    """A copy of a BigVGAN as an image with a `RowSnake` for each snake; weight norm is folded.

    Raises ValueError for another network, and as `RowSnake`.
    """
    model = rewrite(model, "image, snakes in phases")
    for module in list(model.modules()):
        for key, child in list(module.named_children()):
            if isinstance(child, PhaseSnake):
                setattr(module, key, RowSnake(child))
    return model


def cases() -> list[tuple[dict[str, Any], Candidate]]:
    """(what a row says of it, the engine) for the published size, the most important ones first."""
    found = [(ROWS, 1, None), (BLOCKS, 1, None), (ROWS, 8, None), (ROWS, 1, 2), (ROWS, 8, 2)]
    return [
        ({"form": form, "by": "TensorRT", "more streams": more or "–"},
         replace(PLAIN, form=form, batch=batch, streams=more))
        for form, batch, more in found
    ]  # fmt: skip


@records.experiment(
    "05-rows", needs=("tensorrt", "cuda"),
    covers=[
        *COVERS, "labutils.engines.row_snakes", "labutils.engines.beside",
        "labutils.engines.by_kind",
    ],
)  # fmt: skip
def snake_rows(
    vocoder: str = "bigvgan-v2-24khz", trained: str = "bigvgan-small"
) -> Iterator[Noted]:
    """FP16 engines of a BigVGAN whose snakes are rows, beside blocks and the baseline in PyTorch,
    which gets the rows as well.

    What a call takes as a CUDA graph, SNR against FP32 in PyTorch, the layers by type; random
    weights. The first row is of trained weights and speech: the gate. Yields ``{"rows": [...]}``
    after each row.
    """
    rows: list[Row] = []
    with settings(400.0) as given, Graphs(given.graphs) as graphs, Builder(given.engines) as make:
        begin = time.monotonic()
        model, frames = vocoders.create(vocoder), baseline.FRAMES[vocoder]
        rows.append(_trained(trained, given=given, graphs=graphs, make=make, begin=begin))
        yield Noted({"rows": rows}, tactic_sources=SOURCES)
        rewritten = in_rows(model)
        for form, network in ((AS_IT_IS, model), (ROWS, rewritten)):
            left = begin + given.seconds - time.monotonic()
            for row in beside.baseline_rows(network, vocoder, frames, seconds=left):
                rows.append({"form": form, "by": "PyTorch", **row})
                yield Noted({"rows": rows}, tactic_sources=SOURCES)
        write_rows(rewritten, GraphSpec(vocoder, ROWS), graphs.folder)
        for row in beside.rows(
            model, vocoder, frames, cases(), given=given, graphs=graphs, make=make, begin=begin,
            layers=True,
        ):  # fmt: skip
            rows.append(row)
            yield Noted({"rows": rows}, tactic_sources=SOURCES)


def _trained(name: str, *, given: Settings, graphs: Graphs, make: Builder, begin: float) -> Row:
    """The row of a vocoder with trained weights, on speech."""
    model, clip = vocoders.load(name), audio.clip(_CLIP)
    mel = evaluation.log_mel(clip.load(), clip.sample_rate, model.config)[..., :_FRAMES]
    candidate = replace(PLAIN, form=ROWS, level=1)
    row: Row = {"vocoder": name, "form": ROWS, "by": "TensorRT", "batch": 1, "clip": _CLIP}
    with torch_trials.noting(row):
        spec = GraphSpec(name, ROWS, True, (1, mel.shape[2]), trained=True)
        write_rows(in_rows(model), spec, graphs.folder)
        options = candidate.options(mel.shape[2], timing_cache=given.timing_cache)
        left = in_time(begin, given, 10.0)
        built = make.build(graphs.get(spec, left), options, seconds=left)
        reference = trials.reference_audio(model, mel)
        taken = trials.measure_engine(model, built, candidate, True, mel, reference)
        row |= {key: taken[key] for key in ("median_ms", "p95_ms", "snr_db")}
    return row


def write_rows(rewritten: nn.Module, spec: GraphSpec, folder: Path) -> Path:
    """The FP32 file of what `in_rows` gave, for `spec`, where `graphs.make` looks before it makes
    one itself."""
    path = folder / replace(spec, half=False, shape=None).file
    onnx_export.export(rewritten, path, exporter="legacy")
    return path
