"""Experiments of notebook 11 that a processor can do in a minute or two."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from labutils import costs, evaluation, records, vocoders
from labutils.pruning import channels, judging, recovery, semi_structured, unstructured
from labutils.pruning.groups import groups

__all__ = ["TRAINED", "every_vocoder", "library", "miniature"]

TRAINED = ("hifigan-small", "melgan", "gpt-sovits-v4-small", "bigvgan-small")
WAYS = ["labutils.pruning.unstructured", "labutils.pruning.groups", "labutils.pruning.channels",
        "labutils.pruning.semi_structured", "labutils.pruning.judging"]  # fmt: skip

log = logging.getLogger(__name__)


@records.experiment("11-every-vocoder", covers=WAYS)
def every_vocoder() -> Iterator[list[dict[str, Any]]]:
    """The trained vocoders after each kind of pruning, without any training after it."""
    rows: list[dict[str, Any]] = []
    for name in TRAINED:
        model = vocoders.load(name)
        energy = channels.energy(model, judging.speech_mel(model.config))
        made: dict[str, nn.Module] = {"as trained": model}
        for share in (0.2, 0.5, 0.8):
            made[f"{share:.0%} zeros"] = unstructured.prune_unstructured(model, share)
        made["2:4"] = semi_structured.prune_2_4(model)
        made["90% of the channels, by weights"] = channels.prune_channels(model, 0.9)
        for keep in (0.9, 0.75, 0.5):
            narrow = channels.prune_channels(model, keep, importance=energy)
            made[f"{keep:.0%} of the channels"] = narrow
        whole = costs.totals(costs.count(model, 100))["macs"]
        for way, pruned in made.items():
            work = costs.totals(costs.count(pruned, 100))["macs"]
            row = {"vocoder": name, "way": way, **judging.scores(pruned)}
            row |= {"zeros": unstructured.sparsity(pruned), "share_of_work": work / whole}
            row["level_db"] = _level_db(pruned)
            row["parameters"] = sum(p.numel() for p in pruned.parameters())
            rows.append(row)
            log.info("%s", row)
        yield rows


def _level_db(model: nn.Module) -> float:
    """Level of the copy of a clip against the recording, without what lies at 0 Hz."""
    clip = judging.held_out(1)[0]
    samples = clip.load()[: 2 * clip.sample_rate]
    recording, copied = evaluation.copy_synthesis(model, samples, clip.sample_rate)
    return float(20 * np.log10((copied.std() + 1e-9) / recording.std()))


@records.experiment(
    "11-miniature-recovery",
    covers=[*WAYS, "labutils.pruning.recovery", "labutils.training.losses"],
)
def miniature(steps: int = 60, every: int = 10) -> Iterator[dict[str, Any]]:
    """Recovery of hifigan-small with ten seconds of speech, a curve for each way to train.

    Yields ``{"dense": scores, "curves": {name: rows}}`` after each of them.
    """
    model = vocoders.load("hifigan-small")
    energy = channels.energy(model, judging.speech_mel(model.config))
    narrow = channels.prune_channels(model, 0.75, importance=energy)
    mixture = recovery.clip_mixture(model.config)
    data: dict[str, Any] = {"dense": judging.scores(model), "curves": {}}
    for name, start, teacher in (
        ("75% of the channels", narrow, None),
        ("75% of the channels, from a teacher", narrow, model),
        ("the same size, random weights", vocoders.create(narrow.config), None),
        ("80% zeros", unstructured.prune_unstructured(model, 0.8), None),
        ("2:4", semi_structured.prune_2_4(model), None),
    ):
        done = recovery.recover(
            start, mixture, steps=steps, every=every, teacher=teacher, score=judging.scores
        )
        zeros = unstructured.sparsity(done.model)
        data["curves"][name] = [row | {"zeros": zeros} for row in done.curve]
        log.info("%s: %s", name, done.last)
        yield data


@records.experiment("11-library", covers=["labutils.pruning.groups"])
def library() -> list[dict[str, Any]]:
    """What torch-pruning, which traces any network, finds in these generators, and what we do.

    Half of all channels by weights; `same` says that for every layer its shapes are ours.
    Needs torch-pruning, which is no part of the workbook.
    """
    tool = importlib.import_module("torch_pruning")
    rows = []
    for name in TRAINED:
        model = vocoders.load(name)
        ours = channels.prune_channels(model, 0.5)
        row: dict[str, Any] = {"vocoder": name, "version": tool.__version__}
        row["groups here"] = len(groups(model))
        mel = vocoders.speech_like_mel(model.config.mel, 16)
        last = list(unstructured.convolutions(model).values())[-1]
        try:
            pruner = tool.pruner.MagnitudePruner(
                model, mel, importance=tool.importance.MagnitudeImportance(p=2),
                pruning_ratio=0.5, ignored_layers=[last],
            )  # fmt: skip
            pruner.step()
            with torch.no_grad():
                model(mel)
            shapes = [layer.weight.shape for layer in unstructured.convolutions(model).values()]
            wanted = [layer.weight.shape for layer in unstructured.convolutions(ours).values()]
            row |= {"it runs": True, "same shapes as here": shapes == wanted}
        except RuntimeError as error:
            row |= {"it runs": False, "error": " ".join(str(error).split())[:160]}
        rows.append(row)
    return rows
