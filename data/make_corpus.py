"""Make the training corpus: `python data/make_corpus.py` fills build/corpus in 4 minutes.

speech-24k: 24 kHz speech of many synthetic voices; fullband-48k: 48 kHz music, noises and speech
whose band was extended. Each is a row of FLAC shards and a manifest that says where every
utterance lies. The same seed and the same Debian packages give the same corpus.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import fullband
import numpy as np
import soundfile
from make_speech import CLIPS
from scipy import signal
from sentences import load_texts, nonsense, sentence
from synthesisers import Request, SynthesiserError, render, set_level
from voices import (
    ESPEAK_LANGUAGES,
    ESPEAK_VARIANTS,
    HELD_OUT,
    VOICES,
    espeak_voice,
    training_voices,
)

__all__ = ["FULLBAND_PLAN", "SPEECH_PLAN", "Part", "main", "make", "requests_for"]

HERE = Path(__file__).resolve().parent
SHARD_BYTES = 36_000_000
BATCH = 12  # requests of one recorded voice in one run of the synthesiser
ESPEAK_BATCH = 3  # fewer, so that more of espeak-ng's voices are heard


@dataclass(frozen=True)
class Part:
    """Minutes of one kind of sound: a voice's name, "espeak-ng", or a kind of fullband.py.

    shift: the range of the factor on pitch and formants; wide: how large a share is extended to
    half the sample rate.
    """

    source: str
    minutes: float
    shift: tuple[float, float] = (0.9, 1.1)
    wide: float = 0.0


SPEECH_PLAN = (
    Part("espeak-ng", 28, (0.96, 1.06)),
    Part("festival/cmu_us_slt_arctic_hts", 20, (0.76, 1.2)),
    Part("festival/czech_ph", 7, (0.85, 1.2)),
    Part("festival/czech_dita", 7, (0.8, 1.12)),
    Part("festival/czech_krb", 4, (0.8, 1.05)),
    Part("festival/suo_fi_lj_diphone", 4, (0.85, 1.12)),
    Part("festival/hy_fi_mv_diphone", 4, (0.9, 1.2)),
    Part("flite/slt", 5, (0.85, 1.15), 0.5),
    Part("flite/rms", 8, (0.88, 1.25), 0.5),
    Part("festival/msu_ru_nsh_clunits", 8, (0.88, 1.25), 0.5),
    Part("festival/kal_diphone", 4, (0.9, 1.25), 0.5),
    Part("festival/ked_diphone", 4, (0.9, 1.25), 0.5),
    Part("festival/pc_diphone", 4, (0.9, 1.2), 0.5),
    Part("festival/hindi_NSK_diphone", 3, (0.9, 1.2), 0.5),
)
FULLBAND_PLAN = (
    Part("espeak-ng", 4, (0.96, 1.06), 1.0),
    Part("festival/cmu_us_slt_arctic_hts", 5, (0.78, 1.2), 1.0),
    Part("festival/czech_ph", 3, (0.9, 1.15), 1.0),
    Part("festival/czech_dita", 2, (0.85, 1.12), 1.0),
    Part("flite/rms", 1.5, (0.9, 1.2), 1.0),
    Part("festival/msu_ru_nsh_clunits", 1.5, (0.9, 1.2), 1.0),
    Part("music", 8),
    Part("percussion", 2),
    Part("tones", 3.5),
    Part("bursts", 2.5),
    Part("noise", 1.5),
)


def requests_for(part: Part, texts: dict, rng: np.random.Generator) -> list[Request]:
    """A batch of requests for one voice, drawn at random; never a held-out voice."""
    shift = float(rng.uniform(*part.shift))
    if part.source != "espeak-ng":
        voice = {voice.name: voice for voice in training_voices()}[part.source]
        return [Request(voice, sentence(texts[voice.language], rng), float(rng.uniform(0.85, 1.25)),
                        shift=shift * float(rng.uniform(0.98, 1.02)))
                for _ in range(BATCH)]  # fmt: skip
    family = str(rng.choice(list(ESPEAK_LANGUAGES)))
    variants = [name for name in ESPEAK_VARIANTS if f"espeak-ng/{name}" not in HELD_OUT]
    variant = str(rng.choice(variants))
    voice = espeak_voice(str(rng.choice(ESPEAK_LANGUAGES[family])), variant)
    pitch = float(rng.uniform(-0.7, 0.7))
    return [Request(voice,
                    nonsense(rng) if rng.random() < 0.08 else sentence(texts[family], rng),
                    float(rng.uniform(0.75, 1.25)), pitch + float(rng.uniform(-0.25, 0.25)), shift)
            for _ in range(ESPEAK_BATCH)]  # fmt: skip


def _colour(samples: np.ndarray, rate: int, rng: np.random.Generator) -> np.ndarray:
    """What a recording adds: sometimes a gentle equaliser, a small room, a noise floor."""
    if rng.random() < 0.3:
        pole = rng.uniform(-0.3, 0.3)
        samples = signal.lfilter([1 - abs(pole)], [1, -pole], samples)
    if rng.random() < 0.1:
        count = int(rng.uniform(0.1, 0.35) * rate)
        tail = rng.standard_normal(count) * np.exp(-np.arange(count) / count * 6.9)
        tail *= rng.uniform(0.1, 0.35) / np.sqrt(np.sum(tail**2))
        wet = np.concatenate([np.zeros(rate // 200), signal.fftconvolve(samples, tail)])
        samples = samples + wet[: len(samples)]
    if rng.random() < 0.12:
        floor = np.sqrt(np.mean(np.square(samples))) * 10 ** (rng.uniform(-55, -34) / 20)
        hiss = signal.lfilter([1], [1, -rng.uniform(0, 0.9)], rng.standard_normal(len(samples)))
        samples = samples + floor * hiss / hiss.std()
    return np.asarray(samples, dtype=np.float32)


def _speech_batch(task: tuple) -> list[tuple[dict, np.ndarray]]:
    """Worker: one batch of speech as (manifest entry, int16 samples) pairs."""
    part, requests, rate, seed = task
    rng = np.random.default_rng(seed)
    out = []
    for request, samples in zip(requests, render(requests, rate), strict=True):
        if not 1.0 <= len(samples) / rate <= 12.0:
            continue
        band = min(request.band, rate / 2)
        wide = rng.random() < part.wide and band < 0.46 * rate
        if wide:
            samples = fullband.extend_band(samples, rate, 0.92 * band, rng)
        samples = set_level(_colour(samples, rate, rng), float(rng.uniform(-27, -16)), 0.95)
        entry = {"voice": request.voice.name, "synthesiser": request.voice.synthesiser,
                 "language": request.voice.language, "text": request.text,
                 "shift": round(request.shift, 4), "band_khz": round(band / 1000, 2),
                 "extended": bool(wide)}  # fmt: skip
        out.append((entry, np.round(samples * 32767).astype(np.int16)))
    return out


def _sound_batch(task: tuple) -> list[tuple[dict, np.ndarray]]:
    """Worker: one piece of music or another sound, in parts of about five seconds."""
    part, _, rate, seed = task
    rng = np.random.default_rng(seed)
    if part.source in ("music", "percussion"):
        sound = getattr(fullband, part.source)(rate, 8, rng)
    else:
        sound = getattr(fullband, part.source)(rate, float(rng.uniform(3, 6)), rng)
    level = float(rng.uniform(-30, -17)) - (6 if part.source == "noise" else 0)
    synthesiser = "fluidsynth" if part.source in ("music", "percussion") else "numpy"
    entry = {"voice": part.source, "synthesiser": synthesiser, "language": None,
             "text": None, "shift": 1.0, "band_khz": rate / 2000, "extended": False}  # fmt: skip
    pieces = np.array_split(sound, max(1, round(len(sound) / (5 * rate))))
    return [(dict(entry), np.round(set_level(piece, level, 0.95) * 32767).astype(np.int16))
            for piece in pieces if np.abs(piece).max() > 1e-3]  # fmt: skip


def _make_part(part: Part, number: int, rate: int, seed: int, pool, texts: dict) -> Iterator[tuple]:
    """Rounds of batches until the part's minutes are full."""
    seconds, batch, mean = 0.0, 0, 40.0
    speech = part.source in VOICES or part.source == "espeak-ng"
    while seconds < part.minutes * 60:
        count = max(1, int((part.minutes * 60 - seconds) / mean) + 1)
        tasks = []
        for index in range(batch, batch + count):
            rng = np.random.default_rng([seed, rate, number, index])
            requests = requests_for(part, texts, rng) if speech else None
            tasks.append((part, requests, rate, [seed, rate, number, index, 1]))
        batch += count
        for results in pool.imap(_speech_batch if speech else _sound_batch, tasks):
            for entry, samples in results:
                if seconds < part.minutes * 60:
                    seconds += len(samples) / rate
                    yield entry, samples
        mean = max(1.0, seconds / batch)


def _pack(name: str, items: list, rate: int, folder: Path) -> None:
    """Write shards and, last, the manifest; files appear under their names when complete."""
    entries: list[dict] = []
    shards: list[str] = []
    writer = None
    for entry, samples in items:
        if writer is None:
            shard = f"{name}.{len(shards):03d}.flac"
            shards.append(shard)
            part = folder / f".{shard}.part"
            writer = soundfile.SoundFile(
                part, "w", rate, 1, "PCM_16", format="FLAC", compression_level=1.0
            )
            start = 0
        writer.write(samples)
        entries.append({"shard": shard, "start": start, "length": len(samples), **entry})
        start += len(samples)
        writer.flush()
        if part.stat().st_size > SHARD_BYTES or entry is items[-1][0]:
            writer.close()
            os.replace(part, folder / shard)
            writer = None
    minutes: Counter[str] = Counter()
    for entry in entries:
        minutes[entry["synthesiser"]] += entry["length"] / rate / 60
    manifest = {"name": name, "sample_rate": rate, "dtype": "int16", "shards": shards,
                "minutes": round(sum(minutes.values()), 2),
                "minutes_by_synthesiser": {key: round(value, 2) for key, value in minutes.items()},
                "utterances": entries}  # fmt: skip
    part = folder / f".{name}.json.part"
    part.write_text(json.dumps(manifest, ensure_ascii=False, indent=0), encoding="utf-8")
    os.replace(part, folder / f"{name}.json")


def make(
    name: str,
    plan: tuple[Part, ...],
    rate: int,
    folder: Path,
    *,
    seed: int,
    scale: float,
    workers: int,
) -> None:
    """Make one corpus of `plan` (minutes times `scale`) in `folder`."""
    texts = load_texts()
    said = {clip.text for clip in CLIPS}
    items: list[tuple[dict, np.ndarray]] = []
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for number, part in enumerate(plan):
            part = Part(part.source, part.minutes * scale, part.shift, part.wide)
            items += [
                item
                for item in _make_part(part, number, rate, seed, pool, texts)
                if item[0]["text"] not in said
            ]
            sys.stderr.write(f"{name}: {part.source} {part.minutes:.1f} minutes done\n")
    order = np.random.default_rng([seed, rate]).permutation(len(items))
    _pack(name, [items[index] for index in order], rate, folder)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=HERE.parent / "build" / "corpus")
    parser.add_argument("--corpus", choices=["speech-24k", "fullband-48k", "both"], default="both")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on all minutes")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    try:
        if options.corpus != "fullband-48k":
            make(
                "speech-24k",
                SPEECH_PLAN,
                24000,
                options.folder,
                seed=options.seed,
                scale=options.scale,
                workers=options.workers,
            )
        if options.corpus != "speech-24k":
            make(
                "fullband-48k",
                FULLBAND_PLAN,
                48000,
                options.folder,
                seed=options.seed,
                scale=options.scale,
                workers=options.workers,
            )
    except SynthesiserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
