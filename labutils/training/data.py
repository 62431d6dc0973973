"""Random training segments, cut on the device from a corpus that lies there whole.

A corpus is a few FLAC shards and a manifest (made by ``data/make_corpus.py``). Kept as 16-bit
samples on the GPU, an hour takes 0.6 GB, and no data loader is needed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor

from labutils.mel import MelSpectrogram
from labutils.vocoders.config import VocoderConfig

__all__ = ["Corpus", "CorpusError", "Mixture", "read_utterances"]

MARGIN = 4  # frames of context on each side, so that no mel frame sees the cut of its segment


class CorpusError(ValueError):
    """A corpus that cannot be trained on; the message says which and why."""


def read_utterances(manifest: Path) -> tuple[list[np.ndarray], int]:
    """Read every utterance of a manifest as int16 ``(samples,)``, and their rate in Hz."""
    manifest = Path(manifest)
    if not manifest.is_file():
        raise CorpusError(
            f"no corpus manifest {manifest}: make it with `python data/make_corpus.py`"
        )
    content = json.loads(manifest.read_text())
    shards: dict[str, np.ndarray] = {}
    utterances = []
    for entry in content["utterances"]:
        if entry["shard"] not in shards:
            shards[entry["shard"]], _ = soundfile.read(
                manifest.parent / entry["shard"], dtype="int16"
            )
        shard = shards[entry["shard"]]
        if entry["start"] + entry["length"] > len(shard):
            raise CorpusError(
                f"{manifest.parent / entry['shard']} is shorter than its manifest says: "
                "make it again"
            )
        utterances.append(shard[entry["start"] : entry["start"] + entry["length"]])
    return utterances, content["sample_rate"]


def _resample(samples: np.ndarray, source: float, target: int) -> np.ndarray:
    return samples if source == target else soxr.resample(samples, source, target, "VHQ")


@dataclass
class Corpus:
    """Utterances at the rate of the mel and at the rate of the output, laid end to end.

    Attributes:
        source: int16 ``(frames * mel hop,)``, what the mel is computed from.
        target: int16 ``(frames * output hop,)``, what the generator should produce (the same
            tensor where both rates are equal).
        first, frames: int64 ``(utterances,)``, where each utterance starts and how long it is, in
        frames.
    """

    config: VocoderConfig
    source: Tensor
    target: Tensor
    first: Tensor
    frames: Tensor

    @classmethod
    def load(
        cls,
        manifest: Path,
        config: VocoderConfig,
        *,
        device: str = "cpu",
        part: str = "train",
        speeds: Sequence[float] = (1.0,),
    ) -> Corpus:
        """Read a corpus for one vocoder; every 50th utterance is the ``"validation"`` part.

        ``speeds`` as in :meth:`from_arrays`.

        Raises:
            CorpusError: no such manifest, a shard cut short, or no utterance long enough.
        """
        utterances, rate = read_utterances(manifest)
        chosen = [u for i, u in enumerate(utterances) if (i % 50 == 7) == (part == "validation")]
        return cls.from_arrays(chosen, rate, config, device=device, speeds=speeds)

    @classmethod
    def from_arrays(
        cls,
        utterances: list[np.ndarray],
        rate: int,
        config: VocoderConfig,
        *,
        device: str = "cpu",
        speeds: Sequence[float] = (1.0,),
    ) -> Corpus:
        """Resample int16 utterances ``(samples,)`` of ``rate`` Hz and cut each to whole frames.

        Every utterance is there once for each of ``speeds``; at another than 1 pitch and formants
        move with it, which makes another voice of it.
        """
        mel, hop = config.mel, config.hop_length
        sources, targets, frames = [], [], []
        for samples, speed in product(utterances, speeds):
            played = rate * speed
            source = _resample(samples, played, mel.sample_rate)
            target = (
                source
                if hop == mel.hop_length
                else _resample(samples, played, config.output_sample_rate)
            )
            count = min(len(source) // mel.hop_length, len(target) // hop)
            sources.append(source[: count * mel.hop_length])
            targets.append(target[: count * hop])
            frames.append(count)
        if not frames or max(frames) < 64:
            raise CorpusError("the corpus holds no utterance of 64 frames or more")
        lengths = torch.tensor(frames, dtype=torch.int64, device=device)
        source = torch.from_numpy(np.concatenate(sources)).to(device)
        same = hop == mel.hop_length
        return cls(
            config=config,
            source=source,
            target=source if same else torch.from_numpy(np.concatenate(targets)).to(device),
            first=lengths.cumsum(0) - lengths,
            frames=lengths,
        )

    @property
    def minutes(self) -> float:
        """Length of the whole corpus in minutes."""
        return len(self.source) / self.config.mel.sample_rate / 60

    def segments(
        self, batch: int, frames: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Cut ``batch`` random segments.

        Returns:
            source audio with ``MARGIN`` frames of context on both sides,
            ``(batch, (frames + 2 * MARGIN) * mel hop)``, and target audio
            ``(batch, 1, frames * hop)``,
            both float32 at one random gain between -14 and 0 dB per segment.
        """
        device, hop_in, hop_out = (
            self.source.device,
            self.config.mel.hop_length,
            self.config.hop_length,
        )
        # One frame is spare for the shift below.
        room = (self.frames - frames - 2 * MARGIN - 1).clamp(min=0)
        total = room.cumsum(0)

        def uniform(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator, device=device)

        pick = (uniform(batch) * total[-1]).long().clamp(max=total[-1] - 1)
        which = torch.searchsorted(total, pick, right=True)
        start = self.first[which] + pick - (total[which] - room[which])
        # Frames do not start at multiples of the hop in real use: shift by whole steps that both
        # rates share.
        steps = gcd(hop_in, hop_out)
        shift = (uniform(batch) * steps).long()
        a = start * hop_in + shift * (hop_in // steps)
        b = (start + MARGIN) * hop_out + shift * (hop_out // steps)
        gain = 10 ** (-14 / 20 * uniform(batch, 1)) / 32768
        source = self.source[
            a[:, None] + torch.arange((frames + 2 * MARGIN) * hop_in, device=device)
        ]
        target = self.target[b[:, None] + torch.arange(frames * hop_out, device=device)]
        return source * gain, (target * gain).unsqueeze(1)


class Mixture:
    """Several corpora drawn from in fixed shares of every batch.

    Args:
        corpora: each with its share; shares are normalised.
        batch: segments in a batch.
        frames: frames in a segment.
    """

    def __init__(self, corpora: list[tuple[Corpus, float]], batch: int, frames: int):
        whole = sum(share for _, share in corpora)
        counts = [round(batch * share / whole) for _, share in corpora]
        counts[0] = batch - sum(counts[1:])
        self.parts = [(corpus, n) for (corpus, _), n in zip(corpora, counts, strict=True) if n > 0]
        self.frames = frames
        first = self.parts[0][0]
        self.mel = MelSpectrogram(first.config.mel).to(first.source.device)

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """One batch: log mel ``(B, n_mels, frames)`` and audio ``(B, 1, frames * hop)``."""
        pairs = [corpus.segments(n, self.frames, generator) for corpus, n in self.parts]
        source, target = (torch.cat(side) for side in zip(*pairs, strict=True))
        return self.mel(source)[:, :, MARGIN:-MARGIN].contiguous(), target
