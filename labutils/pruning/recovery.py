"""A short training after pruning: the weights that are left make good for those that are gone.

On a GPU minutes of it, on a processor a miniature with the clips of data/speech. What is zero stays
zero. The target is the recording, or what a teacher (the network before pruning) makes of the same
mel: distillation (Hinton et al. 2015, arXiv:1503.02531), which needs no recordings.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labutils import audio
from labutils.pruning.unstructured import PruningError, zero_masks
from labutils.training.data import Corpus, Mixture
from labutils.training.discriminators import Discriminators
from labutils.training.losses import (
    ReconstructionLoss,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
)
from labutils.vocoders import VocoderConfig

__all__ = ["Recovery", "clip_mixture", "corpus_mixture", "recover"]

_WARMUP = 10  # steps in which the learning rate rises
_WEIGHTS = {"front_end": 45.0, "mel": 5.0, "phase": 15.0}  # of the losses
_FEATURE = 2.0  # the same, with critics
_CLIP = 500.0  # largest norm of a gradient


@dataclass
class Recovery:
    """What a training gave: the `model` in eval mode on the CPU, and its `curve`.

    `curve`: a row for each point, with "step", "seconds" of training, "loss" (the mean since the
    point before; None at the start) and what `score` gave. `stopped` by time, not by steps.
    """

    model: nn.Module
    curve: list[dict[str, Any]] = field(default_factory=list)
    stopped: bool = False

    @property
    def last(self) -> dict[str, Any]:
        """The last point of the curve."""
        return self.curve[-1]


def clip_mixture(
    config: VocoderConfig, *, batch: int = 4, frames: int = 32, device: str = "cpu"
) -> Mixture:
    """Training segments cut from the clips of data/speech that are marked "train", and no others.

    Ten seconds of three voices: enough to see a curve go down, not to train a vocoder.
    """
    rate = config.output_sample_rate
    sounds = [(32767 * c.load(rate)).clip(-32768, 32767).astype(np.int16)
              for c in audio.clips("train")]  # fmt: skip
    corpus = Corpus.from_arrays(sounds, rate, config, device=device)
    return Mixture([(corpus, 1.0)], batch, frames)


def corpus_mixture(
    manifest: str | Path,
    config: VocoderConfig,
    *,
    batch: int = 16,
    frames: int = 64,
    device: str = "cpu",
) -> Mixture:
    """Training segments of a corpus of data/make_corpus.py. Raises CorpusError."""
    corpus = Corpus.load(Path(manifest), config, device=device)
    return Mixture([(corpus, 1.0)], batch, frames)


def recover(
    model: nn.Module,
    mixture: Mixture,
    *,
    steps: int,
    seconds: float | None = None,
    rate: float = 4e-4,
    teacher: nn.Module | None = None,
    critics: Discriminators | None = None,
    score: Callable[[nn.Module], Mapping[str, float]] = lambda model: {},
    every: int = 25,
    seed: int = 0,
) -> Recovery:
    """Train a copy of a pruned generator for so many steps; ends early after `seconds`.

    The losses are those of `labutils.training`: the front end's mel, mels of seven sizes and the
    advance of phases, and with `critics` theirs (the critics learn along). Zeros stay zero.
    `mixture` draws (mel, audio) and says on which device all runs. With a `teacher` its output is
    the target in place of the recording. `score(model)` is called before the first step, then after
    `every` and after the last, and its values go into the curve; its time does not count. `rate` is
    the learning rate, which rises over ten steps and falls along half a cosine to a twentieth.

    Raises PruningError for less than one step, for a teacher of another mel or hop, and where the
    loss is no longer finite.
    """
    if steps < 1 or every < 1:
        raise PruningError(f"{steps} steps, scores after every {every}: both must be 1 or more")
    run = _Run(model, mixture, rate, teacher, critics, seed)
    made = Recovery(run.model)

    def point(step: int, losses: list[Tensor]) -> None:
        loss = float(torch.stack(losses).mean()) if losses else None
        if loss is not None and not np.isfinite(loss):
            raise PruningError(f"step {step}: the loss is not finite; a lower rate may help")
        row = {"step": step, "seconds": run.seconds, "loss": loss}
        made.curve.append(row | dict(score(run.finished())))

    losses: list[Tensor] = []
    point(0, losses)
    for step in range(1, steps + 1):
        share = step / steps if seconds is None else max(step / steps, run.seconds / seconds)
        losses.append(run.step(share, step))
        over = seconds is not None and run.seconds >= seconds
        if step % every == 0 or step == steps or over:
            point(step, losses)
            losses = []
        if over and step < steps:
            made.stopped = True
            break
    made.model = run.finished()
    return made


class _Run:
    """Model, optimisers and losses of one training, all on the mixture's device."""

    def __init__(self, model, mixture, rate, teacher, critics, seed) -> None:
        self.masks = zero_masks(model)
        self.device = mixture.parts[0][0].source.device
        self.mixture, self.rate, self.seconds = mixture, rate, 0.0
        config = model.config
        self.model = copy.deepcopy(model).to(self.device).train().requires_grad_(True)
        self.masks = {name: mask.to(self.device) for name, mask in self.masks.items()}
        self.teacher = None
        if teacher is not None:
            if (teacher.config.mel, teacher.config.hop_length) != (config.mel, config.hop_length):
                raise PruningError("the teacher takes another mel or has another hop")
            self.teacher = copy.deepcopy(teacher).to(self.device).eval().requires_grad_(False)
        self.critics = None if critics is None else critics.to(self.device)
        self.reconstruction = ReconstructionLoss(config, _WEIGHTS).to(self.device)
        options = {"betas": (0.8, 0.99), "weight_decay": 0.0}
        trained = [m for m in (self.model, self.critics) if m is not None]
        self.optimisers = [torch.optim.AdamW(m.parameters(), lr=rate, **options) for m in trained]
        self.random = torch.Generator(device=self.device).manual_seed(seed)

    def step(self, share: float, number: int) -> Tensor:
        """One step at a share (0 to 1) of the whole; returns the loss on the device."""
        began = time.perf_counter()
        factor = 0.05 + 0.95 * 0.5 * (1 + np.cos(np.pi * min(share, 1.0)))
        factor *= min(1.0, number / _WARMUP)
        for optimiser in self.optimisers:
            optimiser.param_groups[0]["lr"] = self.rate * factor
        mel, target = self.mixture.draw(self.random)
        if self.teacher is not None:
            with torch.no_grad():
                target = self.teacher(mel)
        made = self.model(mel)
        loss = self.reconstruction.total(self.reconstruction(made, target))
        told = loss.detach()
        if self.critics is not None:
            loss = loss + self._criticised(made, target)
        self._update(self.model, self.optimisers[0], loss)
        with torch.no_grad():
            parameters = dict(self.model.named_parameters())
            for name, mask in self.masks.items():
                parameters[name].mul_(mask)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.seconds += time.perf_counter() - began
        return told

    def _criticised(self, made: Tensor, target: Tensor) -> Tensor:
        """Train the critics by one step, and return what they say of `made`."""
        scores, _ = self.critics(torch.cat([target, made.detach()]))
        real, fake = zip(*(s.chunk(2) for s in scores), strict=True)
        told = discriminator_loss(list(real), list(fake))
        self._update(self.critics, self.optimisers[1], told)
        self.critics.requires_grad_(False)
        with torch.no_grad():
            _, wanted = self.critics(target)
        scores, features = self.critics(made)
        self.critics.requires_grad_(True)
        return adversarial_loss(scores) + _FEATURE * feature_loss(wanted, features)

    def _update(self, module: nn.Module, optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), _CLIP)
        optimiser.step()

    def finished(self) -> nn.Module:
        """A copy of the generator as it is now, in eval mode on the CPU."""
        return copy.deepcopy(self.model).cpu().eval().requires_grad_(False)
