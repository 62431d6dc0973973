"""Copy synthesis compares the right samples; the verdict on Griffin-Lim is what it says."""

import numpy as np
import pytest
import torch

from labutils import audio, evaluation, vocoders


class Delta(torch.nn.Module):
    """Stands for a vocoder: one sample of 1 at the start of every frame that is not silent."""

    def __init__(self, config):
        super().__init__()
        self.config = config

    def forward(self, mel):
        loud = (mel.mean(1, keepdim=True) > self.config.mel.lowest_value / 2).float()
        out = torch.zeros(*loud.shape, self.config.hop_length)
        out[..., 0] = loud
        return out.flatten(2)


@pytest.mark.parametrize("name", ["hifigan-v2", "gpt-sovits-v4"])
def test_recording_and_copy_have_one_length_and_one_clock(name):
    config = vocoders.preset(name)
    rate = 44100
    sound = np.zeros(rate, np.float32)
    sound[rate // 2 :] = 0.3 * np.random.default_rng(0).standard_normal(rate // 2)
    recording, copy = evaluation.copy_synthesis(Delta(config), sound, rate)
    assert len(recording) == len(copy) and len(copy) % config.hop_length == 0
    assert len(copy) == pytest.approx(config.output_sample_rate, abs=2 * config.hop_length)
    begins = [np.flatnonzero(np.abs(x) > 0.01)[0] for x in (recording, copy)]
    assert abs(begins[0] - begins[1]) < 3 * config.hop_length


def test_griffin_lim_gets_the_same_mel_and_gives_the_same_length():
    config = vocoders.preset("hifigan-v2")
    clip = audio.clip("en-slt")
    samples = clip.load()[: clip.sample_rate]
    recording, copy = evaluation.griffin_lim_copy(config, samples, clip.sample_rate, iterations=5)
    model_recording, _ = evaluation.copy_synthesis(Delta(config), samples, clip.sample_rate)
    assert np.array_equal(recording, model_recording) and len(recording) == len(copy)
    mel = evaluation.log_mel(samples, clip.sample_rate, config)
    assert mel.shape == (1, 80, len(copy) // 256) and mel.dtype == np.float32


def _medians(stft, f1, pesq):
    better = {"multi_resolution_stft": 1.0, "voicing_f1": 0.9, "pesq_wb": 2.0}
    mine = {"multi_resolution_stft": stft, "voicing_f1": f1, "pesq_wb": pesq}
    return [
        {"method": evaluation.VOCODER, **mine},
        {"method": evaluation.GRIFFIN_LIM, **better},
    ]


@pytest.mark.parametrize(
    ("scores", "met"),
    [
        ((0.9, 0.91, 2.0), ["yes", "yes", "yes"]),
        ((0.91, 0.9, 1.99), ["no", "no", "no"]),
        ((0.5, 0.95, None), ["yes", "yes", "not measured"]),
    ],
)
def test_the_verdict_against_griffin_lim(scores, met):
    assert [r["met"] for r in evaluation.against_griffin_lim(_medians(*scores))] == met


def test_medians_leave_out_what_was_not_measured():
    rows = [
        {"clip": clip, "method": "vocoder", "start": 0, "a": a, "pesq_wb": None}
        for clip, a in (("x", 1.0), ("y", 5.0), ("z", 2.0))
    ]
    assert evaluation.medians(rows) == [{"method": "vocoder", "a": 2.0, "pesq_wb": None}]


def test_a_clip_counts_once_however_many_starts_it_had():
    rows = [
        {"clip": clip, "method": "m", "start": start, "a": a}
        for clip, values in (("x", [1.0, 3.0]), ("y", [10.0, 20.0]), ("z", [4.0]))
        for start, a in enumerate(values)
    ]
    assert evaluation.medians(rows) == [{"method": "m", "a": 4.0}]
    one_sound = [{"method": "m", "start": start, "a": a} for start, a in enumerate((1.0, 2.0, 6.0))]
    assert evaluation.medians(one_sound) == [{"method": "m", "a": 3.0}]


def test_griffin_lim_is_scored_from_several_starts():
    config, clip = vocoders.preset("hifigan-v2"), audio.clip("en-slt")
    samples = clip.load()[: clip.sample_rate]
    rows = evaluation.compare_copies(Delta(config), samples, clip.sample_rate, starts=2)
    methods = [(row["method"], row["start"]) for row in rows]
    lim = evaluation.GRIFFIN_LIM
    assert methods == [(evaluation.VOCODER, 0), (lim, 0), (lim, 1)]
    first, second = (row["multi_resolution_stft"] for row in rows[1:])
    assert first != second and first == pytest.approx(second, rel=0.1)


def test_the_human_voice_is_its_files_one_after_the_other_or_none(tmp_path):
    assert evaluation.human_voice(tmp_path) is None
    audio.save(tmp_path / "Noise.wav", np.full(100, 0.5, np.float32), 8000)
    audio.save(tmp_path / "Rear_Left.wav", np.full(4000, 0.2, np.float32), 8000)
    audio.save(tmp_path / "Front_Left.wav", np.full(16000, 0.1, np.float32), 16000)
    samples, rate = evaluation.human_voice(tmp_path)
    assert rate == 16000 and len(samples) == 16000 + 8000
    assert samples[8000] == pytest.approx(0.1, abs=1e-3)
    assert samples[20000] == pytest.approx(0.2, abs=1e-3)
