"""The runners' interface: shapes, refusals, life and death, and PyTorch as the reference."""

import gc
import weakref
from collections.abc import Callable

import numpy as np
import pytest
import tiny_config
import torch
from tiny_config import TinyConfig
from tiny_network import Tiny
from torch import nn

from labutils import vocoders
from labutils.runners import MelError, Runner, RunnerError, TorchRunner, check_mel


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Tiny()


def make_mel(batch=2, **given):
    return tiny_config.make_mel(batch, **given)


def test_shapes_and_types(model):
    with TorchRunner(model) as runner:
        audio = runner.infer(make_mel(3, frames=11))
        assert audio.shape == (3, 44) and audio.dtype == np.float32 and audio.flags.c_contiguous
        assert runner.infer(make_mel(1, frames=1)).shape == (1, 4)
        assert runner.name == "tiny, torch float32 on cpu" and runner.device == "cpu"
        assert runner.config is model.config and isinstance(runner, Runner)


@pytest.mark.parametrize("name", ["melgan", "hifigan-small", "bigvgan-small"])
def test_bit_equal_to_the_module_itself(name):
    module = vocoders.create(name, seed=1)
    mel = make_mel(1, bands=module.config.n_mels, frames=12)
    with torch.inference_mode():
        expected = module(torch.from_numpy(mel))[:, 0].numpy()
    with TorchRunner(module) as runner:
        np.testing.assert_array_equal(runner.infer(mel), expected)
        np.testing.assert_array_equal(runner.prepare(mel)()[:, 0].numpy(), expected)
        assert runner.infer(mel).shape == (1, 12 * module.config.hop_length)


def test_evaluation_mode_whatever_mode_the_model_is_in(model):
    model.train()
    mel = make_mel()
    with TorchRunner(model) as runner:
        np.testing.assert_array_equal(runner.infer(mel), runner.infer(mel))
    assert model.training


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_close_and_leaves_the_model_alone(model, dtype):
    mel = make_mel()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with TorchRunner(model) as full, TorchRunner(model, dtype=dtype) as half:
        difference = np.abs(full.infer(mel) - half.infer(mel)).max()
        assert half.infer(mel).dtype == np.float32
        assert half.prepare(mel)().dtype == getattr(torch, dtype)
    assert 0 < difference < 0.05
    for key, value in model.state_dict().items():
        assert value.dtype == torch.float32 and torch.equal(value, before[key])
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_runner_keeps_its_weights_when_the_model_changes(model):
    mel = make_mel()
    with TorchRunner(model) as runner:
        before = runner.infer(mel)
        with torch.no_grad():
            model.up.weight.zero_()
        np.testing.assert_array_equal(runner.infer(mel), before)


def test_the_callers_mel_is_not_changed(model):
    mel = make_mel()
    copy = mel.copy()
    with TorchRunner(model) as runner:
        runner.infer(mel)
        runner.prepare(mel)()
    np.testing.assert_array_equal(mel, copy)


def test_no_gradients_are_recorded(model):
    with TorchRunner(model) as runner:
        audio = runner.prepare(make_mel())()
        assert audio.is_inference() and not audio.requires_grad


def test_a_closed_runner_refuses_and_closing_again_is_harmless(model):
    runner = TorchRunner(model)
    launch = runner.prepare(make_mel())
    runner.close()
    runner.close()
    assert runner.closed and "closed" in repr(runner)
    with pytest.raises(RunnerError, match="closed"):
        runner.infer(make_mel())
    with pytest.raises(RunnerError, match="closed"):
        runner.prepare(make_mel())
    with pytest.raises(RunnerError, match="closed"):
        launch()
    with pytest.raises(RunnerError, match="closed"), runner:
        pass


def test_closing_frees_the_model_even_while_a_prepared_call_lives(model):
    runner = TorchRunner(model)
    launch = runner.prepare(make_mel())
    launch()
    alive = weakref.ref(runner._model)
    weights = weakref.ref(runner._model.up.weight)
    runner.close()
    gc.collect()
    assert alive() is None and weights() is None and launch is not None


def test_the_block_closes_the_runner_when_it_raises(model):
    with pytest.raises(ZeroDivisionError), TorchRunner(model) as runner:
        raise ZeroDivisionError
    assert runner.closed


@pytest.mark.parametrize(
    ("mel", "message"),
    [
        ([[[0.0] * 7] * 5], "expected a numpy array, got list"),
        (torch.zeros(1, 5, 7), r"got Tensor: use mel.cpu\(\).numpy\(\)"),
        (make_mel()[0], r"expected a mel of shape \(batch, 5, frames\), got \(5, 7\): add"),
        (make_mel()[None], r"got \(1, 2, 5, 7\)"),
        (make_mel(bands=6), "expected 5 mel bands, got 6"),
        (make_mel().transpose(0, 2, 1), "expected 5 mel bands, got 7 .* swapped"),
        (make_mel(frames=0), "expected 1 frames or more, got 0"),
        (make_mel(batch=0), "batch of 1 or more, got 0"),
        (np.zeros((1, 5, 7), np.int64), "floating-point numbers, got int64"),
        (np.zeros((1, 5, 7), np.complex64), "floating-point numbers, got complex64"),
        (np.zeros((1, 5, 7), object), "floating-point numbers, got object"),
        (np.where(make_mel() > 1, np.nan, make_mel()), "got nan at batch"),
        (np.full((1, 5, 7), np.inf, np.float32), r"got inf at batch 0, .* frame 0 \(35 such"),
        (np.full((1, 5, 7), 1e300), "got inf"),
    ],
)
def test_a_mel_that_does_not_fit_is_refused_by_name(model, mel, message):
    with TorchRunner(model) as runner:
        for call in (runner.infer, runner.prepare):
            with pytest.raises(MelError, match=message) as caught:
                call(mel)
            assert "\n" not in str(caught.value)


def test_where_the_bad_value_is_said():
    mel = make_mel()
    mel[1, 3, 6] = np.nan
    with pytest.raises(MelError, match=r"nan at batch 1, band 3, frame 6 \(1 such"):
        check_mel(mel, TinyConfig())


def test_limits_of_length_and_batch():
    mel = make_mel(2, frames=9)
    assert check_mel(mel, TinyConfig(), max_frames=9, max_batch=2).shape == mel.shape
    with pytest.raises(MelError, match="8 frames at the most, got 9"):
        check_mel(mel, TinyConfig(), max_frames=8)
    with pytest.raises(MelError, match="a batch of 1 at the most, got 2"):
        check_mel(mel, TinyConfig(), max_batch=1)


def test_a_network_with_a_shortest_input_says_so():
    config = vocoders.preset("melgan")
    assert config.min_frames > 1
    with pytest.raises(MelError, match=f"expected {config.min_frames} frames or more, got 1"):
        check_mel(make_mel(1, bands=config.n_mels, frames=1), config)


def test_other_floats_and_layouts_are_converted():
    mel = make_mel()
    for other in (mel.astype(np.float64), np.asfortranarray(mel), mel[:, :, ::-1][:, :, ::-1]):
        checked = check_mel(other, TinyConfig())
        assert checked.dtype == np.float32 and checked.flags.c_contiguous
        np.testing.assert_array_equal(checked, mel)
    assert check_mel(mel.astype(np.float16), TinyConfig()).dtype == np.float32


def test_bad_construction(model):
    with pytest.raises(ValueError, match='dtype "half" is not one of float32, float16, bfloat16'):
        TorchRunner(model, dtype="half")
    with pytest.raises(TypeError, match="Linear has no .config"):
        TorchRunner(nn.Linear(2, 2))
    if not torch.cuda.is_available():
        with pytest.raises(RunnerError, match="no NVIDIA GPU"):
            TorchRunner(model, device="cuda")


def test_output_of_another_length_is_an_error_not_a_result(model):
    class Longer(Tiny):
        def forward(self, mel):
            return super().forward(mel).repeat(1, 1, 2)

    class Stereo(Tiny):
        def forward(self, mel):
            return super().forward(mel).repeat(1, 2, 1)

    with TorchRunner(Longer()) as runner, pytest.raises(RunnerError, match=r"\(2, 56\), expected"):
        runner.infer(make_mel())
    with TorchRunner(Stereo()) as runner, pytest.raises(RunnerError, match=r"\(2, 2, 28\)"):
        runner.infer(make_mel())


def test_a_backend_of_ones_own_needs_four_methods():
    class Silence(Runner):
        name, config, device, max_frames = "silence", TinyConfig(), "cpu", 8

        def _infer(self, mel):
            return np.zeros((mel.shape[0], self.config.output_length(mel.shape[2])), np.float64)

        def prepare(self, mel) -> Callable[[], None]:
            return lambda: None

        def synchronize(self):
            pass

        def _close(self):
            self.ended = getattr(self, "ended", 0) + 1

    with Silence() as runner:
        assert runner.infer(make_mel()).dtype == np.float32
        with pytest.raises(MelError, match="8 frames at the most"):
            runner.infer(make_mel(frames=9))
    runner.close()
    assert runner.ended == 1
