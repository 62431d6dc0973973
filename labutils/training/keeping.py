"""Saving a training run, resuming it, and beginning a new one with the weights of a checkpoint."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import torch

from labutils import vocoders
from labutils.training.loop import Trainer
from labutils.whole_file import whole_file

__all__ = ["resume", "save", "start_from"]


def save(trainer: Trainer, folder: Path) -> None:
    """Write ``state.pt`` (all of the run) and ``curve.json``, each whole or not at all."""
    folder = Path(folder)
    config = asdict(trainer.config)
    state = {
        "config": config,
        "step": trainer.step,
        "seconds": trainer.seconds,
        "curve": trainer.curve,
        "generator": trainer.learner.generator.state_dict(),
        "critics": trainer.learner.critics.state_dict(),
        "averaged": trainer.learner.averaged,
        "random": trainer.random.get_state(),
        "noise": _noise(trainer.device).get_rng_state(),
        "optimisers": [optimiser.state_dict() for optimiser in trainer.learner.optimisers],
    }
    with whole_file(folder / "state.pt") as temporary:
        torch.save(state, temporary)
    with whole_file(folder / "curve.json") as temporary:
        temporary.write_text(json.dumps({"config": config, "points": trainer.curve}))


def resume(trainer: Trainer, folder: Path) -> bool:
    """Continue what `save` wrote; False where ``folder`` holds nothing yet.

    Call it before the first step.

    Raises:
        ValueError: the saved run trains another preset.
    """
    path = Path(folder) / "state.pt"
    if not path.is_file():
        return False
    state = torch.load(path, map_location=trainer.device, weights_only=True)
    mine, saved = trainer.config.preset, state["config"]["preset"]
    if mine != saved:
        raise ValueError(f"{path} trains {saved}, not {mine}: choose another folder")
    trainer.learner.generator.load_state_dict(state["generator"])
    trainer.learner.critics.load_state_dict(state["critics"])
    trainer.set_average(state["averaged"])
    for optimiser, moments, rate in zip(
        trainer.learner.optimisers, state["optimisers"], trainer.learner.rates, strict=True
    ):
        optimiser.load_state_dict(moments)
        for group in optimiser.param_groups:  # a loaded state brings a rate of its own
            group["lr"] = rate
    trainer.random.set_state(state["random"].cpu())
    _noise(trainer.device).set_rng_state(state["noise"].cpu())
    trainer.step, trainer.seconds, trainer.curve = state["step"], state["seconds"], state["curve"]
    return True


def _noise(device: torch.device) -> ModuleType:
    """Where what a step draws on a device comes from (the noise of `SteadinessLoss`)."""
    return torch.cuda if device.type == "cuda" else torch


def start_from(trainer: Trainer, checkpoint: Path) -> None:
    """Begin with a checkpoint's weights; critics and optimisers are new.

    Raises:
        CheckpointError: a file that is not of the trainer's preset.
    """
    model = vocoders.load_checkpoint(checkpoint, trainer.config.preset)
    trainer.learner.generator.load_state_dict(vocoders.add_weight_norm(model).state_dict())
    trainer.set_average(list(trainer.learner.generator.parameters()))
