"""One step of a training: what the generator is told, both updates, and all of it as a CUDA graph.

These generators are so small that launching their kernels one by one would take longer than running
them: on a GPU a whole step, optimisers included, is one graph.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from labutils import vocoders
from labutils.training.branches import Branches, blocks_side_by_side, own_gradient
from labutils.training.config import TrainingConfig
from labutils.training.discriminators import Discriminators
from labutils.training.losses import (
    ReconstructionLoss,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
)
from labutils.training.steadiness import SteadinessLoss

__all__ = ["Step"]


class Step:
    """Generator, critics and their optimisers, and how they learn from one batch.

    Args:
        config: the run.
        mel, audio: a first batch, as `Mixture.draw` gives it; its device and shapes are the run's.
        graphs: on a GPU, capture a step as a CUDA graph.

    Attributes:
        averaged: the moving average of the generator's weights, in their order.
        rates: learning rates of generator and critics, tensors to be written into.
        losses: the losses of the last step, scalars on the device.
    """

    def __init__(self, config: TrainingConfig, mel: Tensor, audio: Tensor, *, graphs: bool = True):
        self.config, self.mel, self.audio, self.device = config, mel, audio, mel.device
        # PyTorch's own initial weights: with weights scaled for a speech-like level, BigVGAN's
        # gradients start 200 times larger.
        self.generator = vocoders.build(vocoders.preset(config.preset)).train().to(self.device)
        self.critics = Discriminators(config.critic_width).to(self.device)
        self.averaged = [p.detach().clone() for p in self.generator.parameters()]
        self.side_by_side = Branches(self.device)
        blocks_side_by_side(self.generator, self.side_by_side)
        names = ("front_end", "mel", "phase", "loudness", "voicing")
        weights = {name: getattr(config, f"{name}_weight") for name in names}
        self.reconstruction = ReconstructionLoss(self.generator.config, weights).to(self.device)
        self.steadiness = SteadinessLoss()
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
        self.losses: dict[str, Tensor] = {}
        self._use_graphs = graphs and on_gpu
        self._graphs: dict[bool, torch.cuda.CUDAGraph] = {}

    def run(self, mel: Tensor, audio: Tensor, *, adversarial: bool) -> None:
        """Learn from one batch; on a GPU the host does not wait."""
        self.mel.copy_(mel)
        self.audio.copy_(audio)
        if not self._use_graphs:
            self._step(adversarial)
            return
        if adversarial not in self._graphs:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    self._step(adversarial)
            torch.cuda.current_stream().wait_stream(side)
            self._graphs[adversarial] = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graphs[adversarial]):
                self._step(adversarial)
        self._graphs[adversarial].replay()

    def _step(self, adversarial: bool) -> None:
        fake = self.generator(self.mel)
        losses = self.reconstruction(fake, self.audio, self.side_by_side)
        loss = self.reconstruction.total(losses)
        if self.config.steadiness_weight:
            losses["steadiness"] = self.steadiness(self.generator, self.mel, fake, self.audio)
            loss = loss + self.config.steadiness_weight * losses["steadiness"]
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
        # Into tensors that stay, so that a replayed graph fills them, too.
        for name, value in losses.items():
            self.losses.setdefault(name, torch.zeros((), device=self.device)).copy_(value.detach())

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

    def _judge(self, fake: Tensor) -> Tensor:
        """What the critics get wrong."""

        def one(critic: nn.Module) -> Tensor:
            with self._autocast():
                real, made = critic(torch.cat([self.audio, fake]))[0].chunk(2)
                return discriminator_loss([real], [made])

        losses = self.side_by_side([partial(one, critic) for critic in self.critics.critics])
        return torch.stack(losses).sum()

    def _persuade(self, fake: Tensor) -> tuple[Tensor, Tensor]:
        """How far the generator is from fooling the critics, and from what they see in speech."""

        def one(critic: nn.Module) -> Tensor:
            with self._autocast():
                with torch.no_grad():
                    _, wanted = critic(self.audio)
                score, features = critic(own_gradient(fake))
                return torch.stack([adversarial_loss([score]), feature_loss([wanted], [features])])

        losses = self.side_by_side([partial(one, critic) for critic in self.critics.critics])
        return torch.stack(losses).sum(0).unbind()
