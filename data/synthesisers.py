"""Open speech synthesisers of Debian behind one function: requests in, samples out.

What a voice is and where it comes from stands in voices.py.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from voices import Voice

__all__ = ["Request", "SynthesiserError", "render", "set_level", "trim"]

FESTIVAL_VOICES = Path("/usr/share/festival/voices")


class SynthesiserError(RuntimeError):
    """A synthesiser is missing or refused a sentence; the message names the Debian package."""


@dataclass(frozen=True)
class Request:
    """One sentence to say.

    speed: 1 is the voice's own; pitch: -1 (low) to 1 (high), espeak-ng only; shift: factor on
    pitch and formants together, made by resampling (the speed is kept), so that one recorded
    voice gives many speakers.
    """

    voice: Voice
    text: str
    speed: float = 1.0
    pitch: float = 0.0
    shift: float = 1.0

    @property
    def band(self) -> float:
        """Highest frequency in Hz that this request can contain."""
        return 0.5 * self.voice.rate * self.shift


def _run(command: Sequence[str], voice: Voice) -> None:
    if shutil.which(command[0]) is None:
        raise SynthesiserError(
            f"{command[0]} is not installed: sudo apt-get install {voice.synthesiser}"
        )
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise SynthesiserError(f"{voice.name} failed: {words[-1] if words else done.returncode}")


def _speak_espeak(request: Request, path: Path) -> None:
    words_per_minute = round(165 * request.speed / request.shift)
    pitch = round(50 + 45 * request.pitch)
    # Amplitude 50: at its usual 100 some variants clip.
    _run(["espeak-ng", "-v", request.voice.identifier, "-s", str(words_per_minute),
          "-p", str(pitch), "-a", "50", "-w", str(path), request.text], request.voice)  # fmt: skip


def _speak_flite(request: Request, path: Path) -> None:
    stretch = request.shift / request.speed
    _run(["flite", "-voice", request.voice.identifier, "--setf", f"duration_stretch={stretch:.4f}",
          "-t", request.text, "-o", str(path)], request.voice)  # fmt: skip


def _speak_festival(requests: Sequence[Request], paths: Sequence[Path]) -> None:
    voice = requests[0].voice
    if shutil.which("festival") and not list(FESTIVAL_VOICES.glob(f"*/{voice.identifier}")):
        raise SynthesiserError(
            f"the voice {voice.identifier} is not installed: sudo apt-get install {voice.package}"
        )
    hts = voice.identifier.endswith("_hts")
    lines = [f"(voice_{voice.identifier})"]
    if hts:
        lines.append("(set! own_params hts_engine_params)")
    for request, path in zip(requests, paths, strict=True):
        if hts:  # the HTS engine ignores festival's durations; it has a speed of its own
            speed = f'\'(("-r" {request.speed / request.shift:.4f}))'
            lines.append(f"(set! hts_engine_params (append own_params {speed}))")
        else:
            lines.append(f"(Parameter.set 'Duration_Stretch {request.shift / request.speed:.4f})")
        text = request.text.replace("\\", " ").replace('"', " ")
        lines.append(f'(utt.save.wave (utt.synth (Utterance Text "{text}")) "{path}" \'riff)')
    script = paths[0].with_suffix(".scm")
    script.write_bytes("\n".join(lines).encode(voice.encoding, "ignore"))
    _run(["festival", "-b", str(script)], voice)


def render(requests: Sequence[Request], sample_rate: int) -> list[np.ndarray]:
    """Say the requests, which share one voice; returns one float32 array (samples,) for each.

    The samples are resampled (soxr VHQ) to `sample_rate` in Hz and trimmed; the level is the
    synthesiser's own. Raises SynthesiserError.
    """
    if len({request.voice for request in requests}) > 1:
        raise ValueError("render() takes requests of one voice")
    sounds = []
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{index}.wav") for index in range(len(requests))]
        if requests[0].voice.synthesiser == "festival":
            _speak_festival(requests, paths)
        for request, path in zip(requests, paths, strict=True):
            if request.voice.synthesiser == "espeak-ng":
                _speak_espeak(request, path)
            elif request.voice.synthesiser == "flite":
                _speak_flite(request, path)
            if not path.is_file():
                raise SynthesiserError(f"{request.voice.name} wrote nothing for: {request.text}")
            samples, rate = soundfile.read(path, dtype="float32")
            if rate != request.voice.rate:
                raise SynthesiserError(
                    f"{request.voice.name} wrote {rate} Hz, not {request.voice.rate} Hz"
                )
            samples = soxr.resample(samples, rate * request.shift, sample_rate, quality="VHQ")
            sounds.append(trim(samples, sample_rate))
    return sounds


def trim(samples: np.ndarray, sample_rate: int, margin: float = 0.12) -> np.ndarray:
    """Cut silence (60 dB under the peak) at both ends down to `margin` seconds; fade the cuts."""
    samples = np.asarray(samples, dtype=np.float32)
    loud = np.flatnonzero(np.abs(samples) > 1e-3 * max(float(np.abs(samples).max(initial=0)), 1e-6))
    if loud.size == 0:
        return samples
    pad = int(margin * sample_rate)
    samples = samples[max(0, loud[0] - pad) : loud[-1] + pad].copy()
    fade = min(int(0.01 * sample_rate), len(samples) // 2)
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    samples[:fade] *= ramp
    samples[len(samples) - fade :] *= ramp[::-1]
    return samples


def set_level(samples: np.ndarray, rms_db: float, peak: float = 0.9) -> np.ndarray:
    """Scale to an RMS in dB re full scale over the parts that sound; never above `peak`."""
    active = samples[np.abs(samples) > 0.01 * max(float(np.abs(samples).max(initial=0)), 1e-9)]
    if active.size == 0:
        return samples
    gain = 10 ** (rms_db / 20) / float(np.sqrt(np.mean(np.square(active, dtype=np.float64))))
    return (samples * min(gain, peak / float(np.abs(samples).max()))).astype(np.float32)
