"""Forms of a network that compute the same, and the ONNX files of them."""

from dataclasses import replace

import onnx
import pytest
import torch
from tiny_vocoders import tiny
from torch import nn

from labutils import onnx_export, vocoders
from labutils.engines import graphs, polyphase, rewrites, snakes
from labutils.engines.graphs import Graphs, GraphSpec
from labutils.onnx_export import OnnxError, files

# Every structure once: full sizes are checked where their strides are the point.
NARROW = ("melgan", "hifigan-v3", "hifigan-small", "gpt-sovits-v4-small", "bigvgan-small")


def rounding(expected, got):
    """The largest difference, as a part of the peak."""
    return float((expected - got).abs().max() / expected.abs().max())


def cases():
    for name in NARROW:
        for form in rewrites.forms(vocoders.preset(name).family):
            yield pytest.param(name, form, id=f"{name}-{form}")


@pytest.fixture(scope="module")
def models():
    return {name: vocoders.create(name, seed=2) for name in NARROW}


@pytest.mark.parametrize(("name", "form"), list(cases()))
@torch.inference_mode()
def test_every_form_is_exact_to_rounding(name, form, models):
    model = models[name]
    mel = vocoders.speech_like_mel(model.config.mel, 5, batch=2)
    before = [parameter.clone() for parameter in model.parameters()]
    twin = rewrites.rewrite(model, form)
    assert rounding(model(mel), twin(mel)) < 1e-5
    assert twin.config is model.config and twin.weights == model.weights and not twin.training
    assert all(map(torch.equal, before, model.parameters()))


@pytest.mark.parametrize("name", [n for n, p in vocoders.PRESETS.items() if p.family != "melgan"])
@torch.inference_mode()
def test_polyphase_fits_the_strides_of_every_preset(name):
    config = vocoders.preset(name)
    for rate, size in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
        layer = nn.ConvTranspose1d(6, 4, size, rate, padding=(size - rate) // 2)
        x = torch.randn(2, 6, 9)
        twin = polyphase.Polyphase(layer)
        assert rounding(layer(x), twin(x)) < 1e-5
        assert twin(x).shape == (2, 4, 9 * rate)


@pytest.mark.parametrize(
    ("size", "stride", "padding", "output_padding"),
    [(6, 3, 2, 1), (10, 5, 3, 1), (9, 3, 3, 0), (16, 4, 6, 0), (4, 4, 0, 0), (3, 2, 1, 1)],
)
@torch.inference_mode()
def test_polyphase_takes_odd_strides_and_other_kernels(size, stride, padding, output_padding):
    layer = nn.ConvTranspose1d(3, 2, size, stride, padding, output_padding, bias=False)
    x = torch.randn(1, 3, 7)
    assert rounding(layer(x), polyphase.Polyphase(layer)(x)) < 1e-5


def test_polyphase_refuses_what_it_can_not_do():
    with pytest.raises(ValueError, match="2 times as long"):
        polyphase.Polyphase(nn.ConvTranspose1d(3, 2, 4, 2))
    with pytest.raises(ValueError, match="of one group"):
        polyphase.Polyphase(nn.ConvTranspose1d(4, 4, 4, 2, padding=1, groups=2))
    with pytest.raises(ValueError, match="fold the weight norm first"):
        polyphase.polyphase(vocoders.create("hifigan-v3", weight_norm=True))


def kinds(model):
    return {type(module).__name__ for module in model.modules()}


def test_forms_leave_out_what_they_replace(models):
    assert "ConvTranspose1d" not in kinds(polyphase.polyphase(models["melgan"]))
    flat = kinds(rewrites.rewrite(models["melgan"], "image, polyphase"))
    assert not flat & {"Conv1d", "ConvTranspose1d", "ConvTranspose2d", "ReflectionPad1d"}
    big = models["bigvgan-small"]
    assert "AntiAliasedSnake" not in kinds(snakes.in_phases(big))
    blocks = snakes.in_blocks(big)
    # The first stage has 4 samples a frame: no block of 16 fits any number of frames.
    sizes = [m.block for m in blocks.modules() if isinstance(m, snakes.BlockSnake)]
    assert sizes == [16] * 18 + [32] * 73 and "PhaseSnake" in kinds(blocks)


@pytest.mark.parametrize("frames", [1, 2, 3])
@torch.inference_mode()
def test_snakes_are_exact_at_the_edges(frames, models):
    """One frame is all edge: both filters continue the first and the last sample."""
    model = models["bigvgan-small"]
    mel = vocoders.speech_like_mel(model.config.mel, frames, seed=5)
    for form in ("image, snakes in phases", "image, snakes in blocks"):
        assert rounding(model(mel), rewrites.rewrite(model, form)(mel)) < 1e-5


def test_snakes_refuse_other_networks(models):
    with pytest.raises(ValueError, match="has no filtered snakes"):
        rewrites.rewrite(models["melgan"], "image, snakes in blocks")
    with pytest.raises(ValueError, match='no form "fast": choose one of as it is'):
        rewrites.rewrite(models["melgan"], "fast")
    with pytest.raises(ValueError, match="blocks of 8 samples"):
        next(
            snakes.BlockSnake(m, 8)
            for m in models["bigvgan-small"].modules()
            if isinstance(m, vocoders.AntiAliasedSnake)
        )


# ONNX files


@pytest.fixture
def small(monkeypatch):
    """`vocoders.create` gives networks of a few channels."""
    real = {name: tiny(name) for name in ("melgan", "bigvgan-small")}
    monkeypatch.setattr(vocoders, "create", real.__getitem__)
    return real


@pytest.mark.parametrize(
    ("name", "form"),
    [("melgan", "polyphase"), ("melgan", "image, polyphase"), ("bigvgan-small", "image"),
     ("bigvgan-small", "image, snakes in phases")],
)  # fmt: skip
def test_the_file_of_a_form_agrees_with_the_network(name, form, small, tmp_path):
    path = graphs.make(GraphSpec(name, form, half=False), tmp_path)
    report = onnx_export.parity(small[name], path, lengths=[5, 16])
    assert report, report


def test_blocks_in_an_onnx_file(monkeypatch, tmp_path):
    base = vocoders.preset("bigvgan-small")
    config = replace(
        base, mel=replace(base.mel, n_fft=64, win_length=64, hop_length=16, n_mels=10),
        upsample_initial_channel=16, upsample_rates=(4, 4), upsample_kernel_sizes=(8, 8),
        resblock_kernel_sizes=(3,), resblock_dilation_sizes=((1, 3),),
    )  # fmt: skip
    model = vocoders.create(config)
    monkeypatch.setattr(vocoders, "create", lambda name: model)
    spec = GraphSpec("bigvgan-small", "image, polyphase, snakes in blocks", half=False)
    path = graphs.make(spec, tmp_path)
    report = onnx_export.parity(model, path, lengths=[3, 16], batches=[2])
    assert report, report
    found = files.operators(files.read(path))
    assert "MatMul" in found and "ConvTranspose" not in found


@pytest.mark.parametrize("form", ["polyphase", "image, snakes in phases"])
def test_a_file_of_one_shape_computes_no_lengths(form, small, tmp_path):
    name = "melgan" if form == "polyphase" else "bigvgan-small"
    path = graphs.make(GraphSpec(name, form, False, (2, 9)), tmp_path)
    model = files.read(path)
    config = small[name].config
    (source,), (sink,) = model.graph.input, model.graph.output
    assert files.dimensions(source) == (2, config.n_mels, 9)
    assert files.dimensions(sink) == (2, 1, 9 * config.hop_length)
    assert files.shape_arithmetic(model) == []
    assert onnx_export.parity(small[name], path, lengths=[9], batches=[2])
    assert not onnx_export.parity(small[name], path, lengths=[10], batches=[2])
    assert "vocoder.weights" in files.metadata(model)


def test_half_precision_reaches_the_middle_of_every_form(small, tmp_path):
    """Excluding the first reshape by its name must not exclude all reshapes of its type."""
    spec = GraphSpec("bigvgan-small", "image, snakes in phases", True, (1, 8))
    model = files.read(graphs.make(spec, tmp_path))
    assert files.operators(model)["Cast"] <= 3
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds


def test_bad_shapes_are_refused(small, tmp_path):
    path = graphs.make(GraphSpec("melgan", half=False), tmp_path)
    with pytest.raises(OnnxError, match="batch 0, 5 frames"):
        graphs.fix_shape(path, tmp_path / "x.onnx", 0, 5)
    assert not (tmp_path / "x.onnx").exists()


def test_files_are_made_in_another_process(tmp_path):
    with Graphs(tmp_path) as made:
        bad = GraphSpec("no vocoder")
        good = GraphSpec("hifigan-small", "polyphase", True, (1, 6), trained=True)
        asked = made.ask(good)
        assert made.ask(good) is asked
        with pytest.raises(ValueError, match="unknown vocoder 'no vocoder'"):
            made.get(bad, 120)
        path = made.get(good, 120)
        assert files.dimensions(files.read(path).graph.input[0]) == (1, 80, 6)
        assert "hifigan-small--polyphase--1x6--trained--fp16.onnx" == path.name
        with pytest.raises(TimeoutError, match=r"hifigan-small--as-it-is--fp32.onnx was not"):
            made.get(GraphSpec("hifigan-small", half=False), 0)
