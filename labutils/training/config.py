"""The settings of a training run, with what each of them was found to be good for."""

from dataclasses import dataclass

__all__ = ["TrainingConfig"]


@dataclass(frozen=True)
class TrainingConfig:
    """One training run. Learning rates rise over ``warmup`` steps and fall along half a cosine.

    ``minutes`` or ``steps`` is the length of the whole run over all its sessions: progress along
    the cosine is the larger share of the two that has been used (None: no such limit).
    """

    preset: str
    minutes: float | None = None
    steps: int | None = None
    seed: int = 1234
    batch: int = 16
    frames: int = 64
    critic_width: float = 1.0  # multiplies the critics' channels
    reconstruct_first: float = 0.12  # share of the run before the critics come in
    generator_rate: float = 4e-4
    critic_rate: float = 3e-4
    final_rate: float = 0.05  # of the first
    warmup: int = 200
    average: float = 0.999  # decay of the moving average of the generator's weights
    front_end_weight: float = 45.0
    mel_weight: float = 5.0
    phase_weight: float = 20.0
    loudness_weight: float = 0.0
    voicing_weight: float = 0.0
    steadiness_weight: float = 0.0
    adversarial_weight: float = 1.0
    feature_weight: float = 2.0
    clip: float = 500.0
