"""Lengths, padding, buckets, waiting: what is computed, and that cut sound is the sound."""

import itertools

import numpy as np
import pytest
from tiny_vocoders import tiny

from labutils import vocoders
from labutils.runners import BucketedRunner, MelError, Runner, RunnerError, TorchRunner
from labutils.shapes import Lengths, design, lengths, padding, pictures, waiting


def test_log_normal_lengths_follow_the_seed_and_stay_in_range():
    one, same = (lengths.log_normal(400, 100.0, seed=3) for _ in range(2))
    assert one.frames == same.frames != lengths.log_normal(400, 100.0, seed=4).frames
    assert 30 <= min(one.frames) and max(one.frames) <= 1180
    assert one.quantile(0.5) == pytest.approx(300, rel=0.12)
    assert one.quantile(1.0) == max(one.frames) and one.quantile(0.0) == min(one.frames)
    assert "log-normal around 3 s, seed 3" in repr(one)
    inside = np.mean([156 < f < 575 for f in one.frames])
    assert inside == pytest.approx(0.68, abs=0.08)


def test_lengths_of_the_clips_and_of_the_reader():
    assert all(200 < f < 600 for f in lengths.clips(100.0).frames)
    assert lengths.measured([1.0, 2.5], 80.0).frames == (80, 200)


@pytest.mark.parametrize("frames", [(), (3, 0), (2.5,), (True,)])
def test_lengths_that_are_none(frames):
    with pytest.raises(ValueError):
        Lengths(frames, 80.0, "x")


def test_a_median_outside_the_range_is_refused():
    with pytest.raises(ValueError, match="the median inside the range"):
        lengths.log_normal(5, 80.0, median=20.0)


def test_buckets_and_waste():
    assert [padding.bucket(f, [64, 8, 32]) for f in (1, 8, 9, 64)] == [8, 8, 32, 64]
    with pytest.raises(ValueError, match="65 frames do not fit"):
        padding.bucket(65, [8, 64])
    assert padding.waste([50, 100], [100]) == pytest.approx(0.25)
    assert padding.waste([50, 100], [50, 100]) == 0.0
    assert padding.padded_share([50, 100, 100], [[0, 1], [2]]) == pytest.approx(1 - 250 / 300)


@pytest.mark.parametrize("by_length", [False, True])
@pytest.mark.parametrize("size", [1, 3, 4, 20])
def test_every_sentence_is_in_one_batch(size, by_length):
    frames = [7, 3, 9, 3, 120, 5, 8, 8, 1, 60]
    batches = padding.group(frames, size, by_length=by_length)
    assert sorted(itertools.chain(*batches)) == list(range(10))
    assert max(map(len, batches)) <= size and len(batches) == -(-10 // size)
    if by_length:
        flat = [frames[i] for batch in batches for i in batch]
        assert flat == sorted(frames) and len(batches[-1]) == min(size, 10)


def mels_of(model, frames):
    return [
        vocoders.speech_like_mel(model.config.mel, f, seed=f).numpy()[0].astype(np.float32)
        for f in frames
    ]


def test_padding_is_silence_and_silence_is_not_zero():
    model = tiny("melgan")
    (mel,) = mels_of(model, [9])
    padded = padding.pad(mel, 12, model.config)
    assert np.array_equal(padded[:, :9], mel) and padded.dtype == np.float32
    assert padded[:, 9:] == pytest.approx(-5.0)  # log10 of the floor 1e-5
    assert padding.silence(tiny("hifigan-v1").config) == pytest.approx(np.log(1e-5))
    assert not padding.pad(mel, 12, model.config, fill="zero")[:, 9:].any()
    assert np.array_equal(padding.pad(mel, 12, model.config, fill="edge")[:, 11], mel[:, 8])
    with pytest.raises(ValueError, match="does not fit"):
        padding.pad(mel, 8, model.config)
    with pytest.raises(ValueError, match="is not one of"):
        padding.pad(mel, 12, model.config, fill="noise")


def test_a_batch_of_unequal_mels():
    model = tiny("hifigan-v1")
    mels = mels_of(model, [4, 9])
    stacked = padding.stack(mels, model.config, frames=11, batch=3)
    assert stacked.shape == (3, 10, 11) and stacked.dtype == np.float32
    assert np.array_equal(stacked[0, :, :4], mels[0]) and np.array_equal(stacked[1, :, :9], mels[1])
    silent = padding.silence(model.config)
    assert np.allclose(stacked[0, :, 4:], silent) and np.allclose(stacked[2], silent)
    sounds = padding.cut(np.zeros((3, 88)), [4, 9], model.config)
    assert [len(s) for s in sounds] == [32, 72]
    for wrong in ({"frames": 8}, {"batch": 1}):
        with pytest.raises(ValueError, match="do not fit"):
            padding.stack(mels, model.config, **wrong)


@pytest.mark.parametrize("preset", ["hifigan-v1", "melgan", "bigvgan-v2-24khz"])
def test_padding_reaches_as_far_back_as_the_receptive_field(preset):
    model = tiny(preset)
    field, hop = model.config.receptive_field, model.config.hop_length
    (mel,) = mels_of(model, [field + 20])
    with TorchRunner(model) as runner:
        plain = runner.infer(mel[None])[0]
        padded = runner.infer(padding.pad(mel, field + 60, model.config)[None])[0]
    kept = (mel.shape[1] - field) * hop
    assert np.abs(plain[:kept] - padded[:kept]).max() < 1e-6
    assert np.abs(plain - padded[: len(plain)]).max() > 1e-4


@pytest.mark.parametrize("preset", ["hifigan-v1", "melgan", "bigvgan-v2-24khz"])
def test_sound_depends_neither_on_the_bucket_nor_on_the_neighbours(preset):
    model = tiny(preset)
    field = model.config.receptive_field
    mels = mels_of(model, [12, 40, 5, 33, 12])
    buckets = [field + 12, field + 33, field + 40, field + 90]
    with BucketedRunner(TorchRunner(model), buckets, batches=(1, 4)) as runner:
        many = runner.infer_many(mels)
        for mel, sound in zip(mels, many, strict=True):
            alone = runner.infer(mel[None])[0]
            assert sound.shape == alone.shape == (mel.shape[1] * model.config.hop_length,)
            assert np.abs(sound - alone).max() < 1e-6
    with BucketedRunner(TorchRunner(model), buckets, guard=0) as unguarded:
        long = mels_of(model, [field + 31])[0]  # two frames of silence in its bucket
        one, two = (unguarded.infer(m[None])[0] for m in (long, long[:, 2:]))
        assert np.abs(one[-64:] - two[-64:]).max() > 1e-4  # what a guard is for


class Noting(Runner):
    """An inner runner that notes the shapes it got; its sound is the mel's first band."""

    name, device = "noting", "cpu"

    def __init__(self, config):
        self.config, self.shapes = config, []

    def _infer(self, mel):
        self.shapes.append((mel.shape[0], mel.shape[2]))
        return np.repeat(mel[:, 0], self.config.hop_length, axis=1)

    def prepare(self, mel):
        self.shapes.append((mel.shape[0], mel.shape[2]))
        return lambda: None

    def synchronize(self):
        pass

    def _close(self):
        self.shapes.append("closed")


def test_the_inner_runner_sees_few_shapes():
    config = tiny("hifigan-v1").config
    inner = Noting(config)
    with BucketedRunner(inner, (64, 16, 32), batches=(1, 2, 4), guard=2) as runner:
        assert (runner.max_frames, runner.max_batch, runner.buckets) == (62, 4, (16, 32, 64))
        mels = [np.full((10, f), f, np.float32) for f in (60, 14, 15, 3, 20, 61, 9)]
        sounds = runner.infer_many(mels)
        assert inner.shapes == [(4, 16), (4, 64)]
        for mel, sound in zip(mels, sounds, strict=True):
            assert (sound == mel.shape[1]).all() and len(sound) == 8 * mel.shape[1]
        assert runner.infer_many([]) == []
        inner.shapes.clear()
        assert runner.infer(np.zeros((3, 10, 20), np.float32)).shape == (3, 160)
        runner.prepare(np.zeros((1, 10, 14), np.float32))()
        assert inner.shapes == [(4, 32), (1, 16)]
        with pytest.raises(MelError, match="62 frames at the most"):
            runner.infer(np.zeros((1, 10, 63), np.float32))
        inner.shapes.clear()
        with pytest.raises(MelError, match="mel 1: expected finite"):
            runner.infer_many([mels[0], np.full((10, 5), np.nan, np.float32)])
        with pytest.raises(MelError, match="mel 0: expected .n_mels, frames."):
            runner.infer_many([mels[0][None]])
        assert inner.shapes == []
    assert inner.shapes == ["closed"]
    with pytest.raises(RunnerError):
        runner.infer_many(mels)


@pytest.mark.parametrize(
    "given", [{"buckets": ()}, {"buckets": (0, 8)}, {"buckets": (8.5,)}, {"buckets": (8,),
              "guard": 8}, {"buckets": (8,), "guard": -1}, {"buckets": (8,), "batches": ()}]
)  # fmt: skip
def test_buckets_that_are_none(given):
    with pytest.raises(ValueError):
        BucketedRunner(Noting(tiny("hifigan-v1").config), given.pop("buckets"), **given)


LINE = design.Latency((10, 100, 200), (1.0, 2.0, 4.0), "made up for a test")


def test_latency_is_straight_between_points():
    assert [LINE(f) for f in (1, 10, 55, 150, 300)] == pytest.approx([1.0, 1.0, 1.5, 3.0, 6.0])
    with pytest.raises(ValueError, match="two points"):
        design.Latency((10, 10), (1.0, 2.0), "x")


@pytest.mark.parametrize("cost", [LINE, float, lambda frames: frames**2], ids=["line", "x", "x2"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_no_other_buckets_are_better(cost, count):
    random = np.random.default_rng(5)
    frames = [int(f) for f in random.integers(5, 250, 12)]
    best = design.best_buckets(frames, count, cost)
    assert len(best) <= count and max(best) == max(frames)
    ends = sorted(set(frames))
    others = min(
        design.mean_ms(frames, [*chosen, ends[-1]], cost)
        for chosen in itertools.combinations(ends[:-1], count - 1)
    )
    assert design.mean_ms(frames, best, cost) == pytest.approx(others)


def test_where_calls_cost_the_same_one_bucket_is_enough_and_many_are_exact():
    frames = [5, 8, 8, 40]
    assert design.mean_ms(frames, design.best_buckets(frames, 3, lambda f: 1.0), lambda f: 1.0) == 1
    assert design.best_buckets(frames, 9, float) == [5, 8, 40]


def test_a_score_says_padding_and_loss():
    rows = design.score([10, 100], {"one": [100], "two": [100, 10]}, LINE)
    assert rows[0]["mean (ms)"] == 2.0 and rows[0]["padding (%)"] == pytest.approx(45.0)
    assert rows[0]["slower than exact lengths (%)"] == pytest.approx(100 / 3)
    assert rows[1]["slower than exact lengths (%)"] == pytest.approx(0.0)
    with pytest.raises(ValueError, match="100 frames does not fit"):
        design.mean_ms([10, 100], [50], LINE)
    assert design.equal_steps(100, 4) == [25, 50, 75, 100]


def test_the_recorded_line_rises_and_says_whose_it_is():
    line = design.latency()
    assert "recorded on" in line.source and "NVIDIA" in line.source
    assert 0 < line(16) < line(512) < line(5000)


def test_one_by_one_without_a_queue_nobody_waits():
    served = waiting.serve([0, 100, 200], [10, 100, 200], LINE, size=1)
    assert served.waited_ms == pytest.approx([1.0, 2.0, 4.0])
    assert served.batches == ((0,), (1,), (2,)) and served.mean_batch == 1
    assert served.busy == pytest.approx(7 / 204)


def test_a_window_makes_batches_and_waiting():
    given = ([0.0, 1.0, 2.0, 50.0], [100, 100, 100, 100], LINE)
    together = waiting.serve(*given, size=8, window_ms=5.0)
    assert together.batches == ((0, 1, 2), (3,))
    assert together.waited_ms[0] == pytest.approx(5.0 + LINE(300))
    full = waiting.serve(*given, size=3, window_ms=5.0)
    assert full.waited_ms[0] == pytest.approx(2.0 + LINE(300))  # full before the window ends
    late = waiting.serve([0.0, 1.0], [100, 100], LINE, size=1)
    assert late.waited_ms == pytest.approx([2.0, 3.0])  # the second waits for the first


def test_sentences_that_are_alike_share_a_call():
    served = waiting.serve([0, 0, 0, 0], [10, 200, 11, 190], float, size=4, alike=1.2)
    assert served.batches == ((0, 2), (1, 3))
    assert served.waited_ms == pytest.approx([22, 422, 22, 422])
    for wrong in ({"size": 0}, {"size": 1, "window_ms": -1}, {"size": 1, "alike": 0.5}):
        with pytest.raises(ValueError):
            waiting.serve([0], [10], float, **wrong)


def test_arrivals_come_at_the_rate_that_was_asked_for():
    times = waiting.arrivals(4000, 50.0, seed=2)
    assert (np.diff(times) > 0).all() and times[-1] / 4000 == pytest.approx(20.0, rel=0.06)


def test_pictures_tell_their_figures_in_words():
    some = lengths.log_normal(50, 80.0, seed=1)
    longest = max(some.frames)
    drawn = pictures.buckets_picture(some, {"one": [longest], "two": [200, longest]})
    assert f"one ({longest}): {100 * padding.waste(some.frames, [longest]):.0f} %" in drawn.alt
    lines = {"a": [(10, 1.0), (20, 2.0)], "b": [(10, 3.0), (20, 3.0)]}
    drawn = pictures.latency_picture(lines, title="t", steps=["b"], marks={"a": 15})
    assert "a: 1 ms at 10, 2 ms at 20" in drawn.alt
    drawn = pictures.batches_picture([5, 9, 9], {"x": [[0, 1], [2]], "y": [[0], [1, 2]]})
    assert "x: 15 % padding in 2 calls" in drawn.alt and "y: 0 %" in drawn.alt
    drawn = pictures.end_picture({"z": np.r_[np.zeros(80), np.ones(8)]}, 8, field=2)
    assert "z: -180 dB far before the end, 0 dB at it" in drawn.alt
    drawn = pictures.waiting_picture({"w": [(10, 5.0), (20, 50.0), (30, 900.0)]}, limit=100)
    assert "w: below 100 ms up to 20 a second" in drawn.alt
    assert drawn._repr_html_().startswith("<img alt=")
