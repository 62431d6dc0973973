"""How a pruned vocoder is judged: on recordings of voices that it was not trained on.

A pruned network is another network, so the recording is the reference, not the output of the
network before pruning; SNR would punish what nobody hears.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from labutils import audio, evaluation, metrics
from labutils.audio import SpeechClip
from labutils.vocoders import VocoderConfig

__all__ = ["SCORES", "held_out", "scores", "speech_mel"]

SCORES = ("log_mel_l1", "pesq_wb")


def held_out(count: int = 3) -> list[SpeechClip]:
    """The first held-out clips of speech."""
    return [clip for clip in audio.clips("held-out") if not clip.full_band][:count]


def scores(
    model: nn.Module, clips: Sequence[SpeechClip] | None = None, *, seconds: float = 3.0
) -> dict[str, float | None]:
    """Means over clips of what `SCORES` names, each on its first seconds, against the recording.

    "log_mel_l1" is taken with the metrics' own mel, so that vocoders can be compared; "pesq_wb" is
    None where the package is missing. Without `clips` those of `held_out`.
    """
    rows = []
    for clip in held_out() if clips is None else clips:
        samples = clip.load()[: round(seconds * clip.sample_rate)]
        reference, copied = evaluation.copy_synthesis(model, samples, clip.sample_rate)
        rate = model.config.output_sample_rate
        rows.append(metrics.compare(reference, copied, rate, only=SCORES))
    found = {name: [row[name] for row in rows if row[name] is not None] for name in SCORES}
    return {name: float(np.mean(values)) if values else None for name, values in found.items()}


def speech_mel(config: VocoderConfig, seconds: float = 4.0) -> Tensor:
    """Log mel (1, n_mels, frames) of the training clips, one after the other: for `energy`."""
    rate = config.mel.sample_rate
    samples = np.concatenate([clip.load(rate)[: round(seconds * rate / 2)]
                              for clip in audio.clips("train")])  # fmt: skip
    return torch.from_numpy(
        evaluation.log_mel(samples[: round(seconds * rate)], rate, config)
    ).float()
