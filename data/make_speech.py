"""Make the demo clips: `python data/make_speech.py` writes data/speech and its clips.json.

All clips are synthetic. Held-out clips say words that the training corpus never joins, and those
of a held-out voice are of a voice that it never uses (voices.HELD_OUT).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import fullband
import numpy as np
import soundfile
from synthesisers import Request, SynthesiserError, render, set_level
from voices import VOICES, Voice, espeak_voice

__all__ = ["CLIPS", "Clip", "main", "make_clip"]

HERE = Path(__file__).resolve().parent
LEVEL_DB = -21.0  # RMS of what sounds, the same for all clips
ABOUT = (
    "Synthetic speech and sound, made by data/make_speech.py with free software; nobody was "
    "recorded for it. Texts were written for this project."
)


@dataclass(frozen=True)
class Clip:
    """One clip to make. Speech has a voice and a text; `sound` makes one of another kind.

    wide: the band above the voice's own is filled by fullband.extend_band (48 kHz clips).
    """

    name: str
    split: str
    voice: Voice | None = None
    text: str = ""
    sample_rate: int = 24000
    speed: float = 1.0
    wide: bool = False
    sound: Callable[[np.random.Generator], np.ndarray] | None = None
    seed: int = 0


def _piece_of_music(rng: np.random.Generator) -> np.ndarray:
    return fullband.music(48000, 3, rng)[: 5 * 48000]


def _percussion_and_noise(rng: np.random.Generator) -> np.ndarray:
    drums = fullband.percussion(48000, 2, rng)[: 4 * 48000]
    sea = fullband.noise(48000, len(drums) / 48000, rng)
    return drums + 0.05 * sea


_SLT = VOICES["festival/cmu_us_slt_arctic_hts"]

CLIPS = (
    # Held out: text, with a voice that the corpus has.
    Clip("en-slt", "held-out", _SLT,
         "Fresh snow covered the rooftops, and three children hurried outside to build a castle."),
    Clip("en-rms", "held-out", VOICES["flite/rms"],
         "Our captain steered north by the stars, although thick clouds were gathering.",
         speed=1.1),
    Clip("ru-nsh", "held-out", VOICES["festival/msu_ru_nsh_clunits"],
         "Зимой дни короткие, зато вечером так уютно пить чай с вареньем."),
    Clip("cs-dita", "held-out", VOICES["festival/czech_dita"],
         "Babička peče v neděli švestkový koláč a dům voní skořicí."),
    Clip("fi-lj", "held-out", VOICES["festival/suo_fi_lj_diphone"],
         "Lumi narisee saappaiden alla, kun lapset juoksevat kouluun."),
    # Held out: text and voice.
    Clip("en-awb", "held-out", VOICES["flite/awb"],
         "Steam rises from the kettle as the first guests shake rain from their coats."),
    Clip("ca-ona", "held-out", VOICES["festival/upc_ca_ona_hts"],
         "Els núvols baixen de la muntanya i la plaça s'omple de veus.", speed=1.1),
    Clip("it-lp", "held-out", VOICES["festival/lp_diphone"],
         "La nonna racconta favole ai bambini seduti sul tappeto rosso."),
    Clip("cs-machac", "held-out", VOICES["festival/czech_machac"],
         "Rychlík z Brna přijede na třetí kolej o deset minut později."),
    Clip("zh-andrea", "held-out", espeak_voice("cmn-latn-pinyin", "Andrea"),
         "今天下午天气很好，我们去公园散步，顺便买一点儿水果。", speed=0.95),
    Clip("de-denis", "held-out", espeak_voice("de", "Denis"),
         "Im Herbst fallen bunte Blätter, und die Kinder sammeln glänzende Kastanien."),
    Clip("es-anika", "held-out", espeak_voice("es", "anika"),
         "La lluvia golpea las ventanas mientras el gato duerme junto al fuego."),
    # Voices and sentences of the training corpus.
    Clip("en-kal", "train", VOICES["festival/kal_diphone"],
         "The museum guide searches for missing keys near the frozen lake."),
    Clip("hi-nsk", "train", VOICES["festival/hindi_NSK_diphone"],
         "बूढ़ा माली पाँच ताज़ा आम खरीदता है सूरज डूबने से पहले."),
    Clip("fr-f3", "train", espeak_voice("fr-fr", "f3"),
         "Le vieux jardinier cherche les clés perdues avant le coucher du soleil."),
    # Full band, 48 kHz.
    Clip("wide-sibilants", "held-out", _SLT,
         "Six shy tailors choose silk scissors, and each one snips a sash for his sister.",
         sample_rate=48000, wide=True),
    Clip("wide-czech", "held-out", VOICES["festival/czech_ph"],
         "Sníh šustí pod lyžemi a slunce svítí nad lesem.", sample_rate=48000),
    Clip("wide-music", "held-out", sample_rate=48000, sound=_piece_of_music, seed=3),
    Clip("wide-percussion", "held-out", sample_rate=48000, sound=_percussion_and_noise, seed=5),
)  # fmt: skip


def make_clip(clip: Clip) -> tuple[np.ndarray, dict]:
    """The samples of one clip, int16 (samples,), and its row of clips.json.

    Raises SynthesiserError where a Debian package is missing; the message names it.
    """
    rng = np.random.default_rng([2024, clip.seed])
    rate = clip.sample_rate
    if clip.voice is not None:
        request = Request(clip.voice, clip.text, clip.speed)
        samples = render([request], rate)[0]
        band, source = min(request.band, rate / 2), f"{clip.voice.synthesiser} (synthetic speech)"
        if clip.wide:
            samples, band = fullband.extend_band(samples, rate, 0.94 * band, rng), rate / 2
    else:
        samples, band = clip.sound(rng), rate / 2
        fade = np.linspace(1, 0, rate // 4)
        samples[-len(fade) :] *= fade
        source = "fluidsynth (synthetic music)"
    pcm = np.round(set_level(samples, LEVEL_DB) * 32767).astype(np.int16)
    voice = clip.voice
    row = {
        "name": clip.name,
        "path": f"{clip.name}.flac",
        "sample_rate": rate,
        "seconds": round(len(pcm) / rate, 3),
        "language": voice.language if voice else "",
        "voice": voice.name if voice else "FluidR3 General MIDI",
        "synthesiser": source,
        "licence": voice.licence if voice else "MIT (sound font)",
        "text": clip.text,
        "split": clip.split,
        "band_khz": round(band / 1000, 2),
    }
    return pcm, row


def _write(folder: Path, pcm: np.ndarray, row: dict) -> None:
    part = folder / f".{row['path']}.part"
    with soundfile.SoundFile(
        part, "w", row["sample_rate"], 1, "PCM_16", format="FLAC", compression_level=1.0
    ) as file:
        file.title = row["name"]
        file.comment = f"{row['synthesiser']}, voice {row['voice']}"
        file.write(pcm)
    os.replace(part, folder / row["path"])


def main(arguments: list[str] | None = None) -> int:
    """Make all clips, or those named, and write the manifest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=HERE / "speech")
    folder = parser.parse_args(arguments).folder
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for clip in CLIPS:
        try:
            pcm, row = make_clip(clip)
        except SynthesiserError as error:
            sys.stderr.write(f"error: {clip.name}: {error}\n")
            return 1
        _write(folder, pcm, row)
        rows.append(row)
    part = folder / ".clips.json.part"
    text = json.dumps({"about": ABOUT, "clips": rows}, ensure_ascii=False, indent=1)
    part.write_text(text + "\n", encoding="utf-8")
    os.replace(part, folder / "clips.json")
    sys.stdout.write(
        f"{len(rows)} clips, {sum(row['seconds'] for row in rows):.0f} s in {folder}\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
