"""The training loop: reconstruct first, then against the critics; resumable, and short on purpose.

On a GPU one whole step (both optimisers included) is a CUDA graph: these generators are so small
that launching their kernels one by one would take longer than running them.
"""

from __future__ import annotations

import json
import logging
import math
import time

import torch
from torch import Tensor, nn

from labutils import vocoders
from labutils.training.branches import Branches, blocks_side_by_side, own_gradient
from labutils.training.config import TrainingConfig
from labutils.training.data import Mixture
from labutils.training.discriminators import Discriminators
from labutils.training.losses import (
    FrontEndLoss,
    MultiScaleMelLoss,
    PhaseAdvanceLoss,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
)

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
        # PyTorch's own initial weights: with weights scaled for a speech-like level, BigVGAN's
        # gradients
        # start 200 times larger.
        self.generator = vocoders.build(vocoders.preset(config.preset)).train().to(self.device)
        self.critics = Discriminators(config.critic_width).to(self.device)
        self.side_by_side = Branches(self.device)
        blocks_side_by_side(self.generator, self.side_by_side)
        vocoder = self.generator.config
        self.front_end_loss = FrontEndLoss(vocoder.mel, vocoder.output_sample_rate).to(self.device)
        self.mel_loss = MultiScaleMelLoss(vocoder.output_sample_rate).to(self.device)
        self.phase_loss = PhaseAdvanceLoss().to(self.device)
        self.averaged = [p.detach().clone() for p in self.generator.parameters()]
        on_gpu = self.device.type == "cuda"
        options = {
            "betas": (0.8, 0.99),
            "weight_decay": 0.01,
            "fused": on_gpu,
            "capturable": on_gpu,
        }
        self.rates = [
            torch.tensor(r, device=self.device) for r in (config.generator_rate, config.critic_rate)
        ]
        self.optimisers = [
            torch.optim.AdamW(module.parameters(), lr=rate, **options)
            for module, rate in zip((self.generator, self.critics), self.rates, strict=True)
        ]
        self.random = torch.Generator(device=self.device).manual_seed(config.seed)
        fixed = torch.Generator(device=self.device).manual_seed(1)
        self.validation = [validation.draw(fixed) for _ in range(4)]
        self.mel, self.audio = mixture.draw(self.random)
        self.losses: dict[str, Tensor] = {}
        self.step, self.seconds, self.curve = 0, 0.0, []
        self._use_graphs = graphs and self.device.type == "cuda"
        self._graphs: dict[bool, torch.cuda.CUDAGraph] = {}

    @property
    def progress(self) -> float:
        """Share of the run that is done, 0 to 1."""
        shares = [0.0]
        if self.config.minutes:
            shares.append(self.seconds / 60 / self.config.minutes)
        if self.config.steps:
            shares.append(self.step / self.config.steps)
        return min(1.0, max(shares))

    # One step ------------------------------------------------------------------------------

    def _autocast(self) -> torch.autocast:
        # Only the critics: the generator is cheap, and bfloat16 would put a noise floor under it.
        return torch.autocast(
            self.device.type,
            torch.bfloat16,
            enabled=self.device.type == "cuda",
            cache_enabled=False,
        )

    def _update(self, module: nn.Module, index: int, loss: Tensor) -> Tensor:
        optimiser = self.optimisers[index]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(module.parameters(), self.config.clip)
        optimiser.step()
        return norm

    def _distances(self, fake: Tensor) -> dict[str, Tensor]:
        mel, phase = list(self.mel_loss.resolutions), list(self.phase_loss.resolutions)
        front_end, *rest = self.side_by_side(
            [
                lambda part=part: part(own_gradient(fake), self.audio)
                for part in (self.front_end_loss, *mel, *phase)
            ]
        )
        return {
            "front_end": front_end,
            "mel": torch.stack(rest[: len(mel)]).sum(),
            "phase": torch.stack(rest[len(mel) :]).sum(),
        }

    def _judge(self, fake: Tensor) -> Tensor:
        """What the critics get wrong."""

        def one(critic: nn.Module) -> Tensor:
            with self._autocast():
                real, made = critic(torch.cat([self.audio, fake]))[0].chunk(2)
                return discriminator_loss([real], [made])

        losses = self.side_by_side([lambda c=c: one(c) for c in self.critics.critics])
        return torch.stack(losses).sum()

    def _persuade(self, fake: Tensor) -> tuple[Tensor, Tensor]:
        """How far the generator is from fooling the critics, and from what they see in speech."""

        def one(critic: nn.Module) -> Tensor:
            with self._autocast():
                with torch.no_grad():
                    _, wanted = critic(self.audio)
                score, features = critic(own_gradient(fake))
                return torch.stack([adversarial_loss([score]), feature_loss([wanted], [features])])

        losses = self.side_by_side([lambda c=c: one(c) for c in self.critics.critics])
        return torch.stack(losses).sum(0).unbind()

    def _one_step(self, adversarial: bool) -> None:
        fake = self.generator(self.mel)
        losses = self._distances(fake)
        loss = (
            self.config.front_end_weight * losses["front_end"]
            + self.config.mel_weight * losses["mel"]
            + self.config.phase_weight * losses["phase"]
        )
        if adversarial:
            losses["critic"] = self._judge(fake.detach())
            self._update(self.critics, 1, losses["critic"])
            self.critics.requires_grad_(False)
            losses["adversarial"], losses["feature"] = self._persuade(fake)
            loss = (
                loss
                + self.config.adversarial_weight * losses["adversarial"]
                + self.config.feature_weight * losses["feature"]
            )
        losses["gradient"] = self._update(self.generator, 0, loss)
        self.critics.requires_grad_(True)
        with torch.no_grad():
            torch._foreach_lerp_(
                self.averaged, list(self.generator.parameters()), 1 - self.config.average
            )
        for (
            name,
            value,
        ) in losses.items():  # static tensors, so that a replayed graph fills them, too
            self.losses.setdefault(name, torch.zeros((), device=self.device)).copy_(value.detach())

    def _run(self, adversarial: bool) -> None:
        if not self._use_graphs:
            self._one_step(adversarial)
            return
        if adversarial not in self._graphs:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    self._one_step(adversarial)
            torch.cuda.current_stream().wait_stream(side)
            self._graphs[adversarial] = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graphs[adversarial]):
                self._one_step(adversarial)
        self._graphs[adversarial].replay()

    # A run ---------------------------------------------------------------------------------

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
                self.rates, (self.config.generator_rate, self.config.critic_rate), strict=True
            ):
                rate.fill_(top * factor)
            mel, audio = self.mixture.draw(self.random)
            self.mel.copy_(mel)
            self.audio.copy_(audio)
            self._run(self.progress >= self.config.reconstruct_first)
            self.step += 1
            self.seconds = before + time.monotonic() - began
        losses = {name: float(value) for name, value in self.losses.items()}  # waits for the device
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
        return sum(
            float(self.front_end_loss(model(mel), audio)) for mel, audio in self.validation
        ) / len(self.validation)

    @torch.no_grad()
    def set_average(self, weights: list[Tensor]) -> None:
        """Put the moving average of the generator's weights to these values."""
        for mine, value in zip(self.averaged, weights, strict=True):
            mine.copy_(value)

    def average(self) -> nn.Module:
        """A copy of the generator with averaged weights, in evaluation mode, weight norm kept."""
        model = vocoders.build(vocoders.preset(self.config.preset)).to(self.device)
        with torch.no_grad():
            for mine, averaged in zip(model.parameters(), self.averaged, strict=True):
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
