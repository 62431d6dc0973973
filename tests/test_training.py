"""Training: segments line up, ten steps run for every family, and an interrupted run goes on as if
it had not stopped."""

import json

import numpy as np
import pytest
import soundfile
import torch

from labutils import vocoders
from labutils.training import keeping
from labutils.training.config import TrainingConfig
from labutils.training.data import MARGIN, Corpus, CorpusError, Mixture
from labutils.training.loop import Trainer
from labutils.training.losses import (
    FrontEndLoss,
    MultiScaleMelLoss,
    PhaseAdvanceLoss,
    ReconstructionLoss,
)
from labutils.training.loudness import LoudnessLoss
from labutils.training.steadiness import SteadinessLoss
from labutils.training.voicing import VoicingLoss

SMALL = ["melgan", "hifigan-small", "gpt-sovits-v4-small", "bigvgan-small"]


def _utterances(rate: int, count: int = 4, seconds: float = 1.5) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    time = np.arange(int(rate * seconds)) / rate
    voices = []
    for _ in range(count):
        pitch = random.uniform(90, 250) * (1 + 0.1 * np.sin(2 * np.pi * 3 * time))
        phase = 2 * np.pi * np.cumsum(pitch) / rate
        tone = sum(np.sin(k * phase) / k for k in range(1, 8)) + 0.05 * random.standard_normal(
            len(time)
        )
        voices.append((tone / np.abs(tone).max() * 20000).astype(np.int16))
    return voices


def _mixture(preset: str, batch: int = 2, frames: int = 16) -> Mixture:
    config = vocoders.preset(preset)
    corpus = Corpus.from_arrays(
        _utterances(config.output_sample_rate), config.output_sample_rate, config
    )
    return Mixture([(corpus, 1.0)], batch, frames)


def _trainer(preset: str, **options) -> Trainer:
    config = TrainingConfig(
        preset,
        steps=10,
        batch=2,
        frames=16,
        critic_width=0.05,
        warmup=2,
        reconstruct_first=0.3,
        **options,
    )
    return Trainer(config, _mixture(preset), _mixture(preset))


@pytest.mark.parametrize("preset", SMALL)
def test_ten_steps_of_every_family(preset, tmp_path):
    trainer = _trainer(preset)
    before = trainer.validate()
    losses = trainer.advance(10)
    told = {"front_end", "mel", "phase", "critic", "adversarial", "feature"}
    assert set(losses) == told | {"gradient"}
    assert trainer.progress == 1 and trainer.step == 10
    trainer.config = trainer.config.__class__(**{**trainer.config.__dict__, "average": 0.0})
    assert trainer.validate() != before, "ten steps left the averaged generator as it was"
    path = vocoders.save_checkpoint(
        tmp_path / "model.safetensors",
        vocoders.fold_weight_norm(trainer.average()),
        metadata={"steps": 10},
    )
    again = vocoders.load_checkpoint(path, preset)
    assert again(torch.zeros(1, again.config.n_mels, 8)).shape == (
        1,
        1,
        8 * again.config.hop_length,
    )


def test_training_lowers_the_mel_loss():
    trainer = Trainer(
        TrainingConfig(
            "hifigan-small",
            steps=40,
            batch=4,
            frames=16,
            reconstruct_first=1.0,
            warmup=2,
            generator_rate=2e-3,
        ),
        _mixture("hifigan-small", 4),
        _mixture("hifigan-small"),
    )
    first = trainer.advance(1)["mel"]
    assert trainer.advance(39)["mel"] < 0.8 * first


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    draws = {"steadiness_weight": 1.0}  # a loss that draws noise
    whole = _trainer("hifigan-small", **draws)
    whole.advance(10)
    first = _trainer("hifigan-small", **draws)
    first.advance(6)
    first.log_point({"mel": 1.0})
    keeping.save(first, tmp_path)
    second = _trainer("hifigan-small", **draws)
    assert keeping.resume(second, tmp_path)
    assert second.step == 6 and len(second.curve) == 1
    second.advance(10)
    assert second.step == 10
    for a, b in zip(
        whole.learner.generator.parameters(), second.learner.generator.parameters(), strict=True
    ):
        assert torch.equal(a, b)
    assert json.loads((tmp_path / "curve.json").read_text())["config"]["preset"] == "hifigan-small"


def test_resume_refuses_the_run_of_another_preset(tmp_path):
    trainer = _trainer("hifigan-small")
    keeping.save(trainer, tmp_path)
    with pytest.raises(ValueError, match="trains hifigan-small, not bigvgan-small"):
        keeping.resume(_trainer("bigvgan-small"), tmp_path)
    assert not keeping.resume(trainer, tmp_path / "nothing-here")


@pytest.mark.parametrize("preset", ["hifigan-small", "gpt-sovits-v4-small"])
def test_segments_of_source_and_target_show_the_same_moment(preset):
    """A click at a known time must stand at the same place in both, whatever the two rates are."""
    config = vocoders.preset(preset)
    rate = config.output_sample_rate
    utterance = np.zeros(rate * 2, np.int16)
    utterance[rate] = 30000
    corpus = Corpus.from_arrays([utterance], rate, config)
    random = torch.Generator().manual_seed(0)
    seen = 0
    for _ in range(30):
        source, target = corpus.segments(4, 16, random)
        for a, b in zip(source, target[:, 0], strict=True):
            peak = int(b.abs().argmax())
            if b[peak] < 0.01:
                continue
            at = int(a.abs().argmax()) / config.mel.sample_rate - MARGIN / config.mel.frame_rate
            assert abs(at - peak / rate) < 2 / config.mel.sample_rate
            seen += 1
    assert seen > 5


def test_another_speed_makes_another_voice():
    config = vocoders.preset("hifigan-small")
    rate = config.output_sample_rate
    tone = (10000 * np.sin(2 * np.pi * 300 * np.arange(2 * rate) / rate)).astype(np.int16)
    corpus = Corpus.from_arrays([tone], rate, config, speeds=(1.0, 0.8))
    short, long = corpus.frames.tolist()
    assert long / short == pytest.approx(1 / 0.8, rel=0.01)
    heard = []
    for first, frames in zip(corpus.first.tolist(), (short, long), strict=True):
        part = corpus.target[first * config.hop_length :][: frames * config.hop_length]
        heard.append(np.abs(np.fft.rfft(part)).argmax() * rate / len(part))
    assert heard == pytest.approx([300, 240], abs=1.5)


def test_every_place_of_a_corpus_is_drawn_and_validation_is_kept_apart(tmp_path):
    rate = 22050
    voices = _utterances(rate, count=60, seconds=0.9)
    soundfile.write(tmp_path / "a.flac", np.concatenate(voices), rate)
    entries = [
        {"shard": "a.flac", "start": i * len(voices[0]), "length": len(voices[0])}
        for i in range(60)
    ]
    manifest = tmp_path / "a.json"
    manifest.write_text(json.dumps({"sample_rate": rate, "utterances": entries}))
    config = vocoders.preset("hifigan-small")
    train, held = (Corpus.load(manifest, config, part=p) for p in ("train", "validation"))
    assert (len(train.frames), len(held.frames)) == (58, 2)
    cut = len(voices[7]) // 256 * 256
    assert np.array_equal(held.source[:cut].numpy(), voices[7][:cut])
    starts, _ = train.segments(2000, 16, torch.Generator().manual_seed(0))
    assert starts.isfinite().all() and len(torch.unique(starts[:, 0])) > 500
    entries[-1]["length"] += 1
    manifest.write_text(json.dumps({"sample_rate": rate, "utterances": entries}))
    with pytest.raises(CorpusError, match="shorter than its manifest"):
        Corpus.load(manifest, config)
    with pytest.raises(CorpusError, match="no corpus manifest"):
        Corpus.load(tmp_path / "none.json", config)


@pytest.mark.parametrize(("loss", "six_decibels"), [
    (MultiScaleMelLoss(22050), 7 * np.log10(2)),  # at each of seven scales
    (FrontEndLoss(vocoders.preset("gpt-sovits-v4").mel, 48000), np.log(2)),
    # in ln, although its mel is in log10
    (FrontEndLoss(vocoders.preset("melgan").mel, 22050), np.log(2)),
])  # fmt: skip
def test_the_losses_hear_what_they_should(loss, six_decibels):
    noise = 0.1 * torch.randn(1, 1, 9600, generator=torch.Generator().manual_seed(0))
    assert loss(noise, noise) == 0
    assert loss(0.5 * noise, noise) == pytest.approx(six_decibels, rel=0.05)
    # The rounding noise of a 16-bit file: another draw of it is no error.
    quiet = [
        2e-5 * torch.randn(1, 1, 9600, generator=torch.Generator().manual_seed(s)) for s in (1, 2)
    ]
    assert loss(*quiet) < 0.15 * six_decibels


def test_the_phase_loss_hears_a_jitter_and_not_a_delay():
    time = torch.arange(24000) / 24000
    jitter = torch.randn(24000, generator=torch.Generator().manual_seed(0)).cumsum(0) * 0.02
    partials = [(k, k * 2 * torch.pi * 120 * time) for k in range(1, 20)]
    steady, late, hoarse = (
        sum(0.2 / k * torch.sin(angle + k * shift) for k, angle in partials)[None, None]
        for shift in (0.0, 1.0, jitter)
    )
    loss = PhaseAdvanceLoss()
    assert loss(steady, steady) < 0.02  # quiet bins count a little: their size has a floor
    assert loss(late, steady) < 0.2 * loss(hoarse, steady)
    silence = torch.zeros_like(steady).requires_grad_()
    (loss(silence, steady) + loss(steady.requires_grad_(), silence.detach())).backward()
    assert silence.grad.isfinite().all() and steady.grad.isfinite().all()


def test_the_voicing_loss_hears_a_hum_and_a_lost_period_and_not_another_draw_of_noise():
    draw = torch.Generator().manual_seed(0)
    time = torch.arange(11025) / 22050
    tone = sum(0.2 / k * torch.sin(2 * torch.pi * 120 * k * time) for k in range(1, 12))
    noise, other = 0.1 * torch.randn(2, len(time), generator=draw)
    hum = 0.1 * torch.randn(256, generator=draw).repeat(44)[: len(time)]  # one frame, repeated
    loss = VoicingLoss(22050)
    tone, noise, other, hum = (x[None, None] for x in (tone, noise, other, hum))
    assert loss(tone, tone) == 0
    assert loss(0.5 * tone, tone) < 0.01  # nor a level
    assert loss(other, noise) < 0.2 * loss(hum, noise)
    assert loss(other, noise) < 0.2 * loss(noise, tone)
    silence = torch.zeros_like(tone).requires_grad_()
    (loss(silence, tone) + loss(tone.requires_grad_(), silence.detach())).backward()
    assert silence.grad.isfinite().all() and tone.grad.isfinite().all()


def test_the_loudness_loss_hears_what_an_ear_does():
    draw = torch.Generator().manual_seed(0)
    time = torch.arange(22050) / 22050
    voice = sum(0.2 / k * torch.sin(2 * torch.pi * 120 * k * time) for k in range(1, 40))
    noise = torch.randn(len(time), generator=draw)
    voice, noise = voice[None, None], noise[None, None]
    loss = LoudnessLoss(22050)
    assert loss(voice, voice) < 1e-3
    assert loss(voice * 1e-3, voice) > 2  # most of it is gone
    # The louder a noise the more, and by less than its level: 20 dB are not ten times.
    soft, loud = (loss(voice + level * noise, voice) for level in (3e-3, 3e-2))
    assert 1.5 * soft < loud < 8 * soft
    assert loss(0.05 * voice, 0.1 * voice) > 0.8 * loss(0.5 * voice, voice)  # nor how loud it is
    high = torch.sin(2 * torch.pi * 9500 * time)[None, None]
    assert loss(voice + 0.1 * high, voice) < 0.2 * loss(voice + 0.1 * noise, voice)
    silence = torch.zeros_like(voice).requires_grad_()
    (loss(silence, voice) + loss(voice.requires_grad_(), silence.detach())).backward()
    assert silence.grad.isfinite().all() and voice.grad.isfinite().all()


class _MadeUp(torch.nn.Module):
    """A generator whose phase is so many times what it reads."""

    def __init__(self, slope: float):
        super().__init__()
        self.up = torch.nn.ConvTranspose1d(1, 1, 1, bias=False)
        self.slope = torch.nn.Parameter(torch.tensor(slope))
        torch.nn.init.ones_(self.up.weight)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        return 0.3 * torch.sin(self.slope * self.up(mel))


def test_the_steadiness_loss_hears_a_phase_that_hangs_on_the_last_bits():
    torch.manual_seed(0)
    mel, loss = 5 * torch.rand(2, 1, 8192), SteadinessLoss()
    told = {}
    for slope in (0.1, 10.0, 100.0):
        generator = _MadeUp(slope)
        fake = generator(mel)
        told[slope] = loss(generator, mel, fake, fake.detach())
        told[slope].backward()
        assert torch.equal(generator(mel), fake), "the noise stayed in the generator"
        assert generator.slope.grad > 0 or slope == 100.0  # there it is lost in any case
    assert told[0.1] < -4 and -2.5 < told[10.0] < -1 and -1 < told[100.0] < 1
    steep = _MadeUp(10.0)
    unheard = torch.zeros(2, 1, 8192)
    assert loss(steep, unheard, steep(unheard), unheard) == 0  # silence stays silence


def test_what_has_no_weight_is_not_computed():
    assert "steadiness" not in _trainer("hifigan-small").advance(1)
    assert "steadiness" in _trainer("hifigan-small", steadiness_weight=1.0).advance(1)
    weights = {"front_end": 1.0, "mel": 1.0, "phase": 1.0, "voicing": 0.0}
    sounds = 0.1 * torch.randn(2, 1, 1, 8192, generator=torch.Generator().manual_seed(0))
    without = ReconstructionLoss(vocoders.preset("hifigan-small"), weights)
    losses = without(*sounds)
    assert set(losses) == {"front_end", "mel", "phase"}
    one = ReconstructionLoss(vocoders.preset("hifigan-small"), {"loudness": 1.0, "mel": 0.0})
    assert set(one(*sounds)) == {"loudness"}
    heard = ReconstructionLoss(vocoders.preset("hifigan-small"), weights | {"voicing": 2.0})
    more = heard(*sounds)
    assert heard.total(more) == pytest.approx(
        float(without.total(losses)) + 2 * float(more["voicing"]), rel=1e-5
    )


def test_a_run_can_begin_with_a_checkpoint(tmp_path):
    path = vocoders.save_checkpoint(
        tmp_path / "a.safetensors", vocoders.create("hifigan-small", seed=3), dtype=torch.float32
    )
    trainer = _trainer("hifigan-small")
    keeping.start_from(trainer, path)
    mel = torch.zeros(1, 80, 8)
    expected = vocoders.load_checkpoint(path)(mel)
    assert torch.allclose(trainer.learner.generator(mel), expected, atol=1e-6)
    assert torch.allclose(trainer.average()(mel), expected, atol=1e-6)
    with pytest.raises(vocoders.CheckpointError):
        keeping.start_from(_trainer("bigvgan-small"), path)
