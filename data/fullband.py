"""Sounds with content up to half of 48 kHz: composed music, percussion, noises, tones, wide speech.

Speech synthesisers stop at 8 to 16 kHz; these sounds teach and test a vocoder's top octave.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from scipy import signal
from synthesisers import SynthesiserError

__all__ = ["bursts", "extend_band", "music", "noise", "percussion", "tones"]

SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")  # MIT licence


def extend_band(
    samples: np.ndarray, sample_rate: int, edge: float, rng: np.random.Generator
) -> np.ndarray:
    """Fill the band above `edge` (Hz) from the band below it.

    The upper half of the known band is moved up (whole STFT bins, so that it is a true frequency
    shift) as often as needed, with a falling tilt; noise with the same envelope in time is added,
    since sibilants are noise up there. Returns float32 (samples,).
    """
    n_fft, hop = 1024, 256
    bins = n_fft // 2 + 1
    hertz = sample_rate / n_fft
    window = signal.get_window("hann", n_fft)
    transform = signal.ShortTimeFFT(window, hop, sample_rate, mfft=n_fft)
    spectrum = transform.stft(samples.astype(np.float64))
    power = np.mean(np.abs(spectrum) ** 2, axis=1) + 1e-20
    start = int(edge / hertz)
    usual = power[int(0.6 * start) : int(0.8 * start)].mean()
    while power[start - 8 : start].mean() < 0.06 * usual and start > 0.75 * edge / hertz:
        start -= 4  # the voice's own low-pass reaches further down than half its rate
    if start >= bins - 4:
        return samples
    # A multiple of 4 bins: with hop n_fft / 4 the phases then stay in step from frame to frame.
    shift = max(4, int(start * rng.uniform(0.4, 0.5)) // 4 * 4)
    hiss = transform.stft(rng.standard_normal(len(samples)))
    below = power[start - shift // 4 : start].mean()
    source_start = power[start - shift : start - shift + shift // 4].mean()
    seam = min(1.0, np.sqrt(below / source_start)) * rng.uniform(1.0, 2.0)
    envelope = np.sqrt(np.mean(np.abs(spectrum[start - shift : start]) ** 2, axis=0))
    hiss *= envelope / np.sqrt(np.mean(np.abs(hiss) ** 2))
    index = np.arange(start, bins)
    source = index - shift * (1 + (index - start) // shift)
    tilt = 10 ** (-(index - start) * hertz / 1000 * rng.uniform(0.8, 2.0) / 20)
    high = 0.8 * spectrum[source] + rng.uniform(0.3, 0.6) * hiss[index]
    spectrum[index] = high * (seam * tilt)[:, None]
    wide = transform.istft(spectrum, k1=len(samples))
    return np.real(wide).astype(np.float32)


def noise(sample_rate: int, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Coloured noise: random tilt, one or two resonances, slow or fast changes of level."""
    count = int(seconds * sample_rate)
    hertz = np.fft.rfftfreq(count, 1 / sample_rate)
    shape = np.maximum(hertz, 40.0) ** (-rng.uniform(0.0, 0.9))
    for _ in range(rng.integers(0, 3)):
        centre, width = rng.uniform(300, 20000), rng.uniform(300, 5000)
        shape *= 1 + rng.uniform(1, 6) * np.exp(-(((hertz - centre) / width) ** 2))
    sound = np.fft.irfft(np.fft.rfft(rng.standard_normal(count)) * shape, count)
    knots = rng.uniform(0.1, 1.0, max(4, int(seconds * rng.uniform(1, 9))))
    sound *= np.interp(np.linspace(0, 1, count), np.linspace(0, 1, len(knots)), knots)
    return (sound / np.abs(sound).max()).astype(np.float32)


def bursts(sample_rate: int, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Sibilants (band noise with soft edges), clicks and short chirps, with silence between."""
    sound = np.zeros(int(seconds * sample_rate))
    at = int(rng.uniform(0.02, 0.2) * sample_rate)
    while at < len(sound) - sample_rate // 10:
        kind = rng.choice(["sibilant", "sibilant", "click", "chirp"])
        length = int(sample_rate * (rng.uniform(0.03, 0.3) if kind != "click" else 0.01))
        time = np.arange(length) / sample_rate
        if kind == "sibilant":
            low = rng.uniform(2500, 9000)
            high = min(23500.0, low + rng.uniform(3000, 15000))
            sos = signal.butter(2, [low, high], "bandpass", fs=sample_rate, output="sos")
            piece = signal.sosfilt(sos, rng.standard_normal(length))
            piece *= signal.get_window(("tukey", rng.uniform(0.2, 1.0)), length)
        elif kind == "click":
            piece = rng.standard_normal(length) * np.exp(-time * rng.uniform(500, 6000))
        else:
            ends = rng.uniform(100, 22000, 2)
            piece = signal.chirp(time, ends[0], time[-1], ends[1])
            piece *= signal.get_window("hann", length)
        piece *= rng.uniform(0.15, 1.0) / (np.abs(piece).max() + 1e-9)
        end = min(len(sound), at + length)
        sound[at:end] += piece[: end - at]
        at += length + int(rng.uniform(0.02, 0.4) * sample_rate)
    return (sound / (np.abs(sound).max() + 1e-9)).astype(np.float32)


def tones(sample_rate: int, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A gliding harmonic tone with vibrato, partials up to half the rate, formants and breath."""
    count = int(seconds * sample_rate)
    time = np.arange(count) / sample_rate
    knots = rng.uniform(0, 1, rng.integers(3, 9))
    base = 70 * 2 ** (3.6 * np.interp(time / seconds, np.linspace(0, 1, len(knots)), knots))
    depth, speed = rng.uniform(0, 0.03), rng.uniform(3, 7)
    f0 = base * (1 + depth * np.sin(2 * np.pi * speed * time))
    phase = 2 * np.pi * np.cumsum(f0) / sample_rate
    sound = np.zeros(count)
    fall = rng.uniform(0.3, 1.2)
    formants = [(rng.uniform(250, 14000), rng.uniform(100, 1500)) for _ in range(4)]
    for number in range(1, int(0.49 * sample_rate / f0.min()) + 1):
        hertz = number * f0
        gain = number**-fall * (hertz < 0.49 * sample_rate)
        gain = gain * (0.25 + sum(np.exp(-(((hertz - c) / w) ** 2)) for c, w in formants))
        if np.max(gain) > 1e-5:
            sound += gain * np.sin(number * phase + rng.uniform(0, 6.28))
    sound += rng.uniform(0, 0.008) * np.abs(sound).max() * rng.standard_normal(count)
    knots = rng.uniform(0.0, 1.0, max(4, int(2 * seconds)))
    sound *= np.interp(time / seconds, np.linspace(0, 1, len(knots)), knots)
    return (sound / np.abs(sound).max()).astype(np.float32)


def _variable_length(number: int) -> bytes:
    out = [number & 0x7F]
    while number := number >> 7:
        out.append(0x80 | (number & 0x7F))
    return bytes(reversed(out))


def _midi(events: list[tuple[int, bytes]], tempo: int) -> bytes:
    """A type 0 MIDI file; events: (tick, message), 480 ticks a quarter, `tempo` beats a minute."""
    track = b"\x00\xff\x51\x03" + (60_000_000 // tempo).to_bytes(3, "big")
    now = 0
    for tick, message in sorted(events, key=lambda event: (event[0], event[1])):
        track += _variable_length(tick - now) + message
        now = tick
    track += b"\x00\xff\x2f\x00"
    head = b"MThd" + struct.pack(">IHHH", 6, 0, 1, 480)
    return head + b"MTrk" + struct.pack(">I", len(track)) + track


def _note(channel: int, pitch: int, start: int, length: int, loud: int) -> list[tuple[int, bytes]]:
    return [(start, bytes([0x90 | channel, pitch, loud])),
            (start + length, bytes([0x80 | channel, pitch, 0]))]  # fmt: skip


def _drums(bars: int, rng: np.random.Generator) -> list[tuple[int, bytes]]:
    events: list[tuple[int, bytes]] = []
    hat = rng.choice([42, 46, 51, 70, 82])
    for bar in range(bars):
        for step in range(8):
            at = bar * 1920 + step * 240
            if rng.random() < 0.8:
                events += _note(9, int(hat), at, 100, int(rng.integers(60, 115)))
            if step in (0, 4) or rng.random() < 0.15:
                events += _note(9, 36, at, 100, 110)
            if step in (2, 6) or rng.random() < 0.1:
                events += _note(9, int(rng.choice([38, 39, 40, 54])), at, 100, 100)
        if bar % 2 == 0:
            events += _note(9, int(rng.choice([49, 52, 55, 57])), bar * 1920, 400, 95)
    return events


def _render_midi(midi: bytes, sample_rate: int) -> np.ndarray:
    if shutil.which("fluidsynth") is None:
        raise SynthesiserError("fluidsynth is not installed: sudo apt-get install fluidsynth")
    if not SOUNDFONT.is_file():
        raise SynthesiserError(
            f"{SOUNDFONT.name} is missing: sudo apt-get install fluid-soundfont-gm"
        )
    with tempfile.TemporaryDirectory() as folder:
        score, wave = Path(folder, "score.mid"), Path(folder, "score.wav")
        score.write_bytes(midi)
        command = ["fluidsynth", "-ni", "-q", "-g", "0.4", "-r", str(sample_rate), "-T", "wav",
                   "-O", "float", "-F", str(wave), str(SOUNDFONT), str(score)]  # fmt: skip
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode or not wave.is_file():
            words = done.stderr.decode(errors="replace").strip().splitlines()
            raise SynthesiserError(f"fluidsynth failed: {words[-1] if words else done.returncode}")
        sound, _ = soundfile.read(wave, dtype="float32", always_2d=True)
    sound = sound.mean(axis=1)
    return sound / max(float(np.abs(sound).max()), 1e-6)


def music(sample_rate: int, bars: int, rng: np.random.Generator) -> np.ndarray:
    """A small piece for melody, chords, bass and drums, composed at random, major or minor."""
    scale = [0, 2, 4, 5, 7, 9, 11] if rng.random() < 0.5 else [0, 2, 3, 5, 7, 8, 10]
    root, tempo = int(rng.integers(45, 57)), int(rng.integers(76, 150))
    leads = [0, 6, 9, 11, 13, 22, 24, 25, 40, 46, 56, 60, 65, 68, 73, 75, 80, 81, 104, 107]
    pads = [0, 4, 19, 24, 26, 48, 50, 52, 61, 89]
    events = [(0, bytes([0xC0, int(rng.choice(leads))])), (0, bytes([0xC1, int(rng.choice(pads))])),
              (0, bytes([0xC2, int(rng.choice([32, 33, 34, 36, 38, 43]))]))]  # fmt: skip
    degree = 7
    for bar in range(bars):
        start, chord = bar * 1920, int(rng.choice([0, 3, 4, 5, 1]))
        for third in (0, 2, 4):
            note = chord + third
            events += _note(1, root + 12 + scale[note % 7] + 12 * (note // 7), start, 1850, 70)
        for beat in range(0, 4, int(rng.integers(1, 3))):
            events += _note(2, root - 12 + scale[chord % 7], start + beat * 480, 420, 90)
        at = 0
        while at < 1920:
            length = int(rng.choice([240, 240, 480, 720]))
            degree = int(np.clip(degree + rng.integers(-3, 4), 2, 16))
            if rng.random() < 0.85:
                pitch = root + 12 + scale[degree % 7] + 12 * (degree // 7)
                events += _note(0, pitch, start + at, length - 20, int(rng.integers(80, 120)))
            at += length
    if rng.random() < 0.8:
        events += _drums(bars, rng)
    return _render_midi(_midi(events, tempo), sample_rate)


def percussion(sample_rate: int, bars: int, rng: np.random.Generator) -> np.ndarray:
    """Drums and cymbals alone, with a cymbal of noise on top that reaches half the rate."""
    sound = _render_midi(_midi(_drums(bars, rng), int(rng.integers(80, 150))), sample_rate)
    sos = signal.butter(2, rng.uniform(5000, 11000), "highpass", fs=sample_rate, output="sos")
    splash = signal.sosfilt(sos, rng.standard_normal(len(sound)))
    gate = np.zeros(len(sound))
    gate[rng.integers(0, len(sound), max(1, int(1.5 * len(sound) / sample_rate)))] = 1
    decay = np.exp(-np.arange(sample_rate) / sample_rate * rng.uniform(6, 30))
    sound = sound + 0.12 * splash * np.minimum(signal.fftconvolve(gate, decay)[: len(sound)], 1)
    return (sound / np.abs(sound).max()).astype(np.float32)
