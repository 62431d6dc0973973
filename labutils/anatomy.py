"""A generator seen from outside: what each stage holds and costs, and how far one frame of the
input reaches."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import torch
from torch import nn

from labutils import costs, show, vocoders
from labutils.show.figures import house_style

__all__ = [
    "measured_reach",
    "overlap_picture",
    "reach_picture",
    "side_by_side",
    "stage_costs",
    "stages_picture",
]

_DRAWN = ("melgan", "hifigan-v1", "gpt-sovits-v4", "bigvgan-v2-24khz")


@torch.no_grad()
def measured_reach(model: nn.Module, frames: int = 101) -> np.ndarray:
    """Which output samples depend on the middle one of ``frames`` input frames.

    That frame is made NaN, and NaN spreads to everything that is computed from it.

    Returns:
        positions of the samples that became NaN, float64 ``(samples,)``, in frames from the start
        of the middle one: its own samples lie in [0, 1).

    Raises:
        ValueError: the first or the last sample is among them; more frames are needed.
    """
    mel = torch.zeros(1, model.config.n_mels, frames)
    middle = frames // 2
    mel[:, :, middle] = torch.nan
    audio = model(mel)[0, 0]
    if torch.isnan(audio[0]) or torch.isnan(audio[-1]):
        raise ValueError(f"one frame reaches all of {frames} frames: give more of them")
    touched = torch.isnan(audio).nonzero()[:, 0].numpy()
    return touched / model.config.hop_length - middle


def side_by_side(names: list[str] | tuple[str, ...]) -> list[dict[str, Any]]:
    """One row per preset: rates, parameters, cost of a second of audio and receptive field;
    counted, not measured."""
    rows = []
    for name in names:
        model = vocoders.build(vocoders.preset(name), weight_norm=False)
        config, frames = model.config, 200
        rows_of_graph = costs.count(model, frames)
        total = costs.totals(rows_of_graph)
        macs = sum(row.macs for row in rows_of_graph if row.operation == "convolution")
        seconds = config.output_length(frames) / config.output_sample_rate
        rows.append({
            "vocoder": name,
            "mel": f"{config.n_mels} x {config.mel.frame_rate:.0f}/s, {config.mel.log}",
            "output": f"{config.output_sample_rate / 1000:g} kHz",
            "samples per frame": config.hop_length,
            "million weights": sum(p.numel() for p in model.parameters()) / 1e6,
            "GMAC per second": macs / seconds / 1e9,
            "million values written per second": total["elements"] / seconds / 1e6,
            "sees frames each side": config.receptive_field,
        })  # fmt: skip
    return rows


def _stage(layer: str, parallel: int) -> int:
    """Which upsampling stage a layer of HiFi-GAN or BigVGAN belongs to; -1 before the first, 99
    after the last."""
    parts = layer.split(".")
    if parts[0] == "ups":
        return int(parts[1])
    if parts[0] == "resblocks":
        return int(parts[1]) // parallel
    return -1 if parts[0] == "conv_pre" else 99


def stage_costs(name: str, frames: int = 200) -> list[dict[str, Any]]:
    """Operations and values written by each upsampling stage of a preset, per second of audio.

    Returns rows ``{"stage", "rate" (Hz), "channels", "gmac", "million_values"}``;
    work that belongs to no stage (first and last convolution) is left out.
    """
    model = vocoders.build(vocoders.preset(name), weight_norm=False)
    config = model.config
    seconds = config.output_length(frames) / config.output_sample_rate
    macs, values = defaultdict(float), defaultdict(float)
    lengths = np.cumprod(config.rates) * frames
    for row in costs.count(model, frames):
        if hasattr(config, "resblock_kernel_sizes"):
            stage = _stage(row.layer, len(config.resblock_kernel_sizes))
        else:  # MelGAN is one sequence: the length of what a layer writes tells its stage
            stage = (
                int(np.searchsorted(lengths, row.shape[-1] - 60))
                if row.shape[-1] > frames + 60
                else -1
            )
        macs[stage] += row.macs
        values[stage] += row.elements
    return [
        {
            "stage": i + 1,
            "rate": config.output_sample_rate * lengths[i] / lengths[-1],
            "channels": config.channels[i + 1],
            "gmac": macs[i] / seconds / 1e9,
            "million_values": values[i] / seconds / 1e6,
        }
        for i in range(len(config.rates))
    ]


def stages_picture(names: tuple[str, ...] = _DRAWN) -> show.Picture:
    """Per vocoder and stage: how wide and long the signal is, what it costs to compute and to
    write."""
    from matplotlib.figure import Figure

    with house_style():
        figure = Figure(figsize=(9, 1.1 + 1.6 * len(names)), layout="constrained")
        grid = figure.subplots(len(names), 3, squeeze=False)
        for axes, name in zip(grid, names, strict=True):
            rows = stage_costs(name)
            labels = [f"{row['rate'] / 1000:.3g}" for row in rows]
            for ax, key, colour in zip(
                axes, ("channels", "gmac", "million_values"), show.COLOURS, strict=False
            ):
                ax.bar(labels, [row[key] for row in rows], color=colour)
                ax.margins(y=0.15)
            axes[0].set_ylabel(name.replace("-24khz", ""))
        for ax, title in zip(
            grid[0],
            ("channels", "GMAC per second of audio", "million values per second"),
            strict=True,
        ):
            ax.set_title(title)
        for ax in grid[-1]:
            ax.set_xlabel("rate of the stage (kHz)")
    return show.picture(
        figure, "Channels, operations and values written per upsampling stage of each vocoder"
    )


def reach_picture(reaches: dict[str, np.ndarray]) -> show.Picture:
    """Bars of ``measured_reach``: how many frames before and after its own one input frame
    changes."""
    from matplotlib.figure import Figure

    with house_style():
        figure = Figure(figsize=(9, 0.9 + 0.42 * len(reaches)), layout="constrained")
        ax = figure.subplots()
        for i, touched in enumerate(reaches.values()):
            low, high = touched.min(), touched.max()
            ax.barh(i, high - low, left=low, color=show.COLOURS[0], height=0.6)
            ax.text(
                high + 0.6, i, f"{-low:.1f} before, {high - 1:.1f} after", va="center", fontsize=9
            )
        ax.axvspan(0, 1, color=show.COLOURS[1], alpha=0.5)
        ax.set_yticks(range(len(reaches)), list(reaches))
        ax.invert_yaxis()
        ax.set(xlabel="mel frames (the frame that was changed is marked)", xlim=(-42, 62))
        ax.grid(axis="y", visible=False)
    return show.picture(figure, "How far one input frame reaches into the output, per vocoder")


def overlap_picture(copies: np.ndarray) -> show.Picture:
    """Copies of a kernel as a transposed convolution lays them, and their sum.

    Args:
        copies: ``(inputs, samples)``, what each input value adds to the output.
    """
    from matplotlib.figure import Figure

    with house_style():
        figure = Figure(figsize=(9, 2.4), layout="constrained")
        ax = figure.subplots()
        for i, copy in enumerate(copies):
            ax.fill_between(
                range(len(copy)), copy, alpha=0.35, color=show.COLOURS[i % 2], linewidth=0
            )
        ax.plot(
            copies.sum(0),
            color="black",
            linewidth=1.5,
            label="their sum: the output for six equal inputs",
        )
        ax.set(xlabel="output sample", ylabel="amplitude", xlim=(0, copies.shape[1] - 1))
        ax.set_ylim(top=1.35 * float(copies.sum(0).max()))
        ax.legend(loc="upper center", frameon=False)
    return show.picture(
        figure, "Six overlapping copies of a kernel, eight samples apart, and their sum"
    )
