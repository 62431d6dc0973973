"""A training step as a CUDA graph, parts side by side: the gradients of one after the other."""

import numpy as np
import pytest
import torch

from labutils import vocoders
from labutils.baseline import variants
from labutils.training.config import TrainingConfig
from labutils.training.data import Corpus, Mixture
from labutils.training.loop import Trainer

pytestmark = pytest.mark.gpu


def trainer_of(preset: str, *, fast: bool) -> Trainer:
    config = vocoders.preset(preset)
    noise = np.random.default_rng(0).normal(0, 3000, (3, 2 * config.output_sample_rate))
    corpus = Corpus.from_arrays(
        list(noise.astype(np.int16)), config.output_sample_rate, config, device="cuda"
    )
    mixture = Mixture([(corpus, 1.0)], 8, 32)
    settings = TrainingConfig(preset, steps=10, batch=8, frames=32, critic_width=0.5)
    trainer = Trainer(settings, mixture, mixture, graphs=fast)
    if not fast:
        trainer.side_by_side.device = torch.device("cpu")  # no streams
    for rate in trainer.rates:
        rate.fill_(0)
    return trainer


def gradients(trainer: Trainer) -> torch.Tensor:
    modules = (trainer.generator, trainer.critics)
    return torch.cat([p.grad.flatten() for m in modules for p in m.parameters()])


@pytest.mark.parametrize("preset", ["melgan", "hifigan-small", "bigvgan-small"])
def test_a_replayed_step_has_the_gradients_of_a_plain_one(preset):
    with variants.backends(tf32=False, cudnn_benchmark=False):
        plain, fast = trainer_of(preset, fast=False), trainer_of(preset, fast=True)
        plain._run(adversarial=True)
        expected = gradients(plain)
        for _ in range(20):  # a race does not show every time
            fast._run(adversarial=True)
            error = (gradients(fast) - expected).norm() / expected.norm()
            assert error < 1e-4
