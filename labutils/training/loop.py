"""The training loop: reconstruct first, then against the critics; it can be resumed."""

from __future__ import annotations

import json
import logging
import math
import time

import torch
from torch import Tensor, nn

from labutils import vocoders
from labutils.training.config import TrainingConfig
from labutils.training.data import Mixture
from labutils.training.step import Step

__all__ = ["Trainer"]

log = logging.getLogger(__name__)


class Trainer:
    """Trains one generator; ``advance`` runs steps; `labutils.training.keeping` saves and resumes.

    Args:
        config: the run.
        mixture: where batches come from; its device is the device of the run.
        validation: another mixture, of utterances that are never trained on.
        graphs: on a GPU, capture a step as a CUDA graph.
    """

    def __init__(
        self, config: TrainingConfig, mixture: Mixture, validation: Mixture, *, graphs: bool = True
    ):
        self.config, self.mixture = config, mixture
        self.device = mixture.parts[0][0].source.device
        torch.manual_seed(config.seed)
        self.random = torch.Generator(device=self.device).manual_seed(config.seed)
        fixed = torch.Generator(device=self.device).manual_seed(1)
        self.validation = [validation.draw(fixed) for _ in range(4)]
        self.learner = Step(config, *mixture.draw(self.random), graphs=graphs)
        self.step, self.seconds, self.curve = 0, 0.0, []

    @property
    def progress(self) -> float:
        """Share of the run that is done, 0 to 1."""
        shares = [0.0]
        if self.config.minutes:
            shares.append(self.seconds / 60 / self.config.minutes)
        if self.config.steps:
            shares.append(self.step / self.config.steps)
        return min(1.0, max(shares))

    def advance(self, steps: int) -> dict[str, float]:
        """Run ``steps`` steps (fewer at the end of the run); returns the last losses."""
        began = time.monotonic()
        before = self.seconds
        for _ in range(steps):
            if self.progress >= 1:
                break
            cosine = 0.5 * (1 + math.cos(math.pi * self.progress))
            factor = self.config.final_rate + (1 - self.config.final_rate) * cosine
            factor *= min(1.0, (self.step + 1) / self.config.warmup)
            for rate, top in zip(
                self.learner.rates,
                (self.config.generator_rate, self.config.critic_rate),
                strict=True,
            ):
                rate.fill_(top * factor)
            adversarial = self.progress >= self.config.reconstruct_first
            self.learner.run(*self.mixture.draw(self.random), adversarial=adversarial)
            self.step += 1
            self.seconds = before + time.monotonic() - began
        # What follows waits for the device.
        losses = {name: float(value) for name, value in self.learner.losses.items()}
        self.seconds = before + time.monotonic() - began
        if not all(math.isfinite(v) for v in losses.values()):
            raise FloatingPointError(
                f"step {self.step}: a loss is not finite {losses}: resume from the last save"
            )
        return losses

    @torch.no_grad()
    def validate(self) -> float:
        """Front-end loss of the averaged generator on the validation segments."""
        model = self.average()
        distance = self.learner.reconstruction.front_end
        return sum(float(distance(model(mel), audio)) for mel, audio in self.validation) / len(
            self.validation
        )

    @torch.no_grad()
    def set_average(self, weights: list[Tensor]) -> None:
        """Put the moving average of the generator's weights to these values."""
        for mine, value in zip(self.learner.averaged, weights, strict=True):
            mine.copy_(value)

    def average(self) -> nn.Module:
        """A copy of the generator with averaged weights, in evaluation mode, weight norm kept."""
        with torch.random.fork_rng(devices=[]):  # its first weights are drawn for nothing
            model = vocoders.build(vocoders.preset(self.config.preset)).to(self.device)
        with torch.no_grad():
            for mine, averaged in zip(model.parameters(), self.learner.averaged, strict=True):
                mine.copy_(averaged)
        return model.eval()

    def log_point(self, losses: dict[str, float]) -> None:
        """Add a point to the curve: step, minutes, the losses and the validation loss."""
        point = {
            "step": self.step,
            "minutes": round(self.seconds / 60, 3),
            **losses,
            "validation": self.validate(),
        }
        self.curve.append({k: float(f"{v:.5g}") for k, v in point.items()})
        log.info("%s", json.dumps(self.curve[-1]))
