"""A training step as a CUDA graph, parts side by side: the gradients of one after the other."""

import numpy as np
import pytest
import torch

from labutils import vocoders
from labutils.baseline import variants
from labutils.training.config import TrainingConfig
from labutils.training.data import Corpus, Mixture
from labutils.training.step import Step

pytestmark = pytest.mark.gpu


def step_of(preset: str, *, fast: bool) -> Step:
    config = vocoders.preset(preset)
    noise = np.random.default_rng(0).normal(0, 3000, (3, 2 * config.output_sample_rate))
    corpus = Corpus.from_arrays(
        list(noise.astype(np.int16)), config.output_sample_rate, config, device="cuda"
    )
    batch = Mixture([(corpus, 1.0)], 8, 32).draw(torch.Generator("cuda").manual_seed(0))
    settings = TrainingConfig(
        preset, steps=10, batch=8, frames=32, critic_width=0.5, loudness_weight=20.0,
        voicing_weight=20.0,
    )  # fmt: skip
    torch.manual_seed(0)
    step = Step(settings, *batch, graphs=fast)
    if not fast:
        step.side_by_side.device = torch.device("cpu")  # no streams
    for rate in step.rates:
        rate.fill_(0)
    return step


def gradients(step: Step) -> torch.Tensor:
    """Of one more step with the same batch."""
    step.run(step.mel, step.audio, adversarial=True)
    modules = (step.generator, step.critics)
    return torch.cat([p.grad.flatten() for m in modules for p in m.parameters()])


@pytest.mark.parametrize("preset", ["melgan", "hifigan-small", "bigvgan-small"])
def test_a_replayed_step_has_the_gradients_of_a_plain_one(preset):
    with variants.backends(tf32=False, cudnn_benchmark=False):
        expected = gradients(step_of(preset, fast=False))
        fast = step_of(preset, fast=True)
        for _ in range(20):  # a race does not show every time
            error = (gradients(fast) - expected).norm() / expected.norm()
            assert error < 1e-4
