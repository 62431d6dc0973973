"""The training loop: reconstruct first, then against the critics; resumable, and short on purpose.

On a GPU one whole step (both optimisers included) is a CUDA graph: these generators are so small
that launching their kernels one by one would take longer than running them.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from labutils import vocoders
from labutils.training.data import Mixture
from labutils.training.discriminators import Discriminators
from labutils.training.losses import (
    FrontEndLoss,
    MultiScaleMelLoss,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
)

__all__ = ["TrainingConfig", "Trainer"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingConfig:
    """One training run. Learning rates rise over ``warmup`` steps and fall along half a cosine.

    ``minutes`` or ``steps`` is the length of the whole run over all its sessions: progress along the
    cosine is the larger share of the two that has been used (None: no such limit).
    """

    preset: str
    minutes: float | None = None
    steps: int | None = None
    seed: int = 1234
    batch: int = 16
    frames: int = 64
    critic_width: float = 1.0
    reconstruct_first: float = 0.12  # share of the run before the critics come in
    generator_rate: float = 4e-4
    critic_rate: float = 3e-4
    final_rate: float = 0.05  # of the first
    warmup: int = 200
    average: float = 0.999  # decay of the moving average of the generator's weights
    front_end_weight: float = 45.0
    mel_weight: float = 5.0
    feature_weight: float = 2.0
    clip: float = 500.0


class Trainer:
    """Trains one generator; ``advance`` runs steps, ``save`` and ``resume`` keep a run in a folder.

    Args:
        config: the run.
        mixture: where batches come from; its device is the device of the run.
        validation: another mixture, of utterances that are never trained on.
        graphs: on a GPU, capture a step as a CUDA graph.
    """

    def __init__(self, config: TrainingConfig, mixture: Mixture, validation: Mixture, *, graphs: bool = True):
        self.config, self.mixture = config, mixture
        self.device = mixture.parts[0][0].source.device
        torch.manual_seed(config.seed)
        # PyTorch's own initial weights: with weights scaled for a speech-like level, BigVGAN's gradients
        # start 200 times larger.
        self.generator = vocoders.build(vocoders.preset(config.preset)).train().to(self.device)
        self.critics = Discriminators(config.critic_width).to(self.device)
        vocoder = self.generator.config
        self.front_end_loss = FrontEndLoss(vocoder.mel, vocoder.output_sample_rate).to(self.device)
        self.mel_loss = MultiScaleMelLoss(vocoder.output_sample_rate).to(self.device)
        self.averaged = [p.detach().clone() for p in self.generator.parameters()]
        on_gpu = self.device.type == "cuda"
        options = {"betas": (0.8, 0.99), "weight_decay": 0.01, "fused": on_gpu, "capturable": on_gpu}
        self.rates = [torch.tensor(r, device=self.device) for r in (config.generator_rate, config.critic_rate)]
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
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda", cache_enabled=False)

    def _update(self, module: nn.Module, index: int, loss: Tensor) -> Tensor:
        optimiser = self.optimisers[index]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(module.parameters(), self.config.clip)
        optimiser.step()
        return norm

    def _one_step(self, adversarial: bool) -> None:
        fake = self.generator(self.mel)
        losses = {"front_end": self.front_end_loss(fake, self.audio), "mel": self.mel_loss(fake, self.audio)}
        loss = self.config.front_end_weight * losses["front_end"] + self.config.mel_weight * losses["mel"]
        if adversarial:
            with self._autocast():
                scores, _ = self.critics(torch.cat([self.audio, fake.detach()]))
                real, made = zip(*(s.chunk(2) for s in scores), strict=True)
                losses["critic"] = discriminator_loss(list(real), list(made))
            self._update(self.critics, 1, losses["critic"])
            self.critics.requires_grad_(False)
            with self._autocast():
                with torch.no_grad():
                    _, wanted = self.critics(self.audio)
                scores, features = self.critics(fake)
                losses["adversarial"] = adversarial_loss(scores)
                losses["feature"] = feature_loss(wanted, features)
            loss = loss + losses["adversarial"] + self.config.feature_weight * losses["feature"]
        losses["gradient"] = self._update(self.generator, 0, loss)
        self.critics.requires_grad_(True)
        with torch.no_grad():
            torch._foreach_lerp_(self.averaged, list(self.generator.parameters()), 1 - self.config.average)
        for name, value in losses.items():  # static tensors, so that a replayed graph fills them, too
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
            for rate, top in zip(self.rates, (self.config.generator_rate, self.config.critic_rate), strict=True):
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
            raise FloatingPointError(f"step {self.step}: a loss is not finite {losses}: resume from the last save")
        return losses

    @torch.no_grad()
    def validate(self) -> float:
        """Front-end loss of the averaged generator on the validation segments."""
        model = self.average()
        return sum(float(self.front_end_loss(model(mel), audio)) for mel, audio in self.validation) / len(self.validation)

    def average(self) -> nn.Module:
        """A copy of the generator with averaged weights, in evaluation mode, weight norm kept."""
        model = vocoders.build(vocoders.preset(self.config.preset)).to(self.device)
        with torch.no_grad():
            for mine, averaged in zip(model.parameters(), self.averaged, strict=True):
                mine.copy_(averaged)
        return model.eval()

    def log_point(self, losses: dict[str, float]) -> None:
        """Add a point to the curve: step, minutes, the losses and the validation loss."""
        point = {"step": self.step, "minutes": round(self.seconds / 60, 3), **losses, "validation": self.validate()}
        self.curve.append({k: float(f"{v:.5g}") for k, v in point.items()})
        log.info("%s", json.dumps(self.curve[-1]))

    # Keeping -------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write ``state.pt`` (all of the run) and ``curve.json`` into ``folder``, each in one move."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            "config": asdict(self.config), "step": self.step, "seconds": self.seconds, "curve": self.curve,
            "generator": self.generator.state_dict(), "critics": self.critics.state_dict(),
            "averaged": self.averaged, "random": self.random.get_state(),
            "optimisers": [o.state_dict() for o in self.optimisers],
        }
        partial = folder / "state.pt.part"
        torch.save(state, partial)
        os.replace(partial, folder / "state.pt")
        partial = folder / "curve.json.part"
        partial.write_text(json.dumps({"config": asdict(self.config), "points": self.curve}))
        os.replace(partial, folder / "curve.json")

    def start_from(self, checkpoint: Path) -> None:
        """Begin with the weights of a checkpoint of the same preset; critics and optimisers are new.

        Raises:
            CheckpointError: a file that is not of this preset.
        """
        model = vocoders.add_weight_norm(vocoders.load_checkpoint(checkpoint, self.config.preset))
        self.generator.load_state_dict(model.state_dict())
        with torch.no_grad():
            for averaged, mine in zip(self.averaged, self.generator.parameters(), strict=True):
                averaged.copy_(mine)

    def resume(self, folder: Path) -> bool:
        """Continue what ``save`` wrote; False where ``folder`` holds nothing yet.

        Call it before the first step. Moments of the optimisers may be missing (a state that was
        cut down to travel): they then start anew.

        Raises:
            ValueError: the saved run trains another preset.
        """
        path = Path(folder) / "state.pt"
        if not path.is_file():
            return False
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["config"]["preset"] != self.config.preset:
            raise ValueError(f"{path} trains {state['config']['preset']}, not {self.config.preset}: choose another folder")
        self.generator.load_state_dict(state["generator"])
        self.critics.load_state_dict(state["critics"])
        with torch.no_grad():
            for mine, saved in zip(self.averaged, state["averaged"], strict=True):
                mine.copy_(saved)
        for optimiser, saved, rate in zip(self.optimisers, state.get("optimisers") or (), self.rates, strict=False):
            optimiser.load_state_dict(saved)
            for group in optimiser.param_groups:  # a loaded state brings a rate of its own
                group["lr"] = rate
        if state.get("random") is not None:
            self.random.set_state(state["random"].cpu())
        self.step, self.seconds, self.curve = state["step"], state["seconds"], state["curve"]
        return True
