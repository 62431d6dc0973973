"""Pictures of graphs and differences, and what the two exporters know of a shape."""

import logging

import numpy as np
import pytest
import torch
from tiny_vocoders import tiny
from torch import nn
from torch.nn import functional

from labutils.onnx_export import OnnxError, drawing, export, exporters, files, pictures

pytestmark = pytest.mark.xdist_group("onnx-pictures")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return export(tiny("melgan"), tmp_path_factory.mktemp("onnx") / "a", exporter="legacy").path


def texts(picture):
    return [text.get_text() for ax in picture.axes for text in ax.texts]


def test_a_graph_shows_its_nodes_with_their_constants(path):
    names = [node.name for node in files.read(path).graph.node]
    picture = drawing.graph_picture(path, names[:4], title="the beginning")
    shown = texts(picture)
    assert "reflect\n3 + 3" in shown and "kernel 7\n10 → 16" in shown and "slope 0.2" in shown
    assert "kernel 8\nstride 4\n16 → 8" in shown
    assert picture.axes[0].get_title(loc="left") == "the beginning"
    assert "Pad reflect 3 + 3, Conv kernel 7 10 → 16" in picture.alt


def test_the_branch_around_a_block_is_drawn_over_it(path):
    block = [n.name for n in files.read(path).graph.node if n.name.startswith("model.4")]
    lines = drawing.graph_picture(path, block, columns=9).axes[0].lines
    assert len(lines) == 1  # from the shortcut to the sum; the others are arrows between neighbours
    lines = drawing.graph_picture(path, block, columns=3).axes[0].lines
    assert len(lines) > 1  # and to the next rows


def test_too_much_or_nothing_to_draw(path):
    names = [node.name for node in files.read(path).graph.node]
    with pytest.raises(OnnxError, match="0 nodes of these names"):
        drawing.graph_picture(path, ["conv_pre"])
    with pytest.raises(OnnxError, match="draw 1 to 24"):
        drawing.graph_picture(path, names)


def test_nodes_are_counted_before_and_after():
    counts = {"before": {"Conv": 3, "Pad": 9}, "after": {"Conv": 3}}
    picture = pictures.operators_picture(counts, title="MelGAN")
    assert picture.alt == "MelGAN, before: 12; after: 3 nodes"
    assert [label.get_text() for label in picture.axes[0].get_yticklabels()] == ["Conv", "Pad"]
    assert {bar.get_width() for bar in picture.axes[0].patches} == {3, 9, 0}


def test_differences_are_shown_where_they_are():
    sound = np.sin(np.arange(1000) / 5)
    other = sound.copy()
    other[250] += 0.1
    [line] = pictures.difference_picture(sound, {"other": other}, 1000, window=0.1).axes[0].lines
    levels = line.get_ydata()
    assert levels[2] == pytest.approx(-20, abs=0.01)
    assert np.all(np.delete(levels, 2) == -140)


def test_bars_stand_in_their_order():
    picture = pictures.bars_picture([("a", 3.0), ("b", 12.0)], unit="dB", title="Bars", marked="b")
    assert picture.alt == "Bars in dB: a 3, b 12"
    ax = picture.axes[0]
    assert [bar.get_width() for bar in ax.patches] == [3.0, 12.0] and ax.yaxis_inverted()
    assert ax.patches[0].get_facecolor() != ax.patches[1].get_facecolor()


class Stage(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose1d(4, 2, 16, stride=8, padding=4)

    def forward(self, sound):
        return self.up(functional.leaky_relu(sound, 0.1))


def test_the_tracer_sees_numbers_and_torch_export_names():
    axes = {0: torch.export.Dim("batch"), 2: torch.export.Dim("frames")}
    rows = exporters.what_they_see(Stage(), torch.zeros(2, 4, 37), axes)
    assert [row["operation"] for row in rows] == ["leaky_relu", "conv_transpose1d"]
    assert [row["the tracer saw"] for row in rows] == ["(2, 4, 37)", "(2, 2, 296)"]
    assert [row["torch.export knows"] for row in rows] == [
        "(batch, 4, frames)",
        "(batch, 2, 8*frames)",
    ]


def test_quiet_leaves_the_loggers_as_they_were():
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    with pytest.raises(ZeroDivisionError), exporters.quiet():
        assert logger.level == logging.CRITICAL
        1 / 0  # noqa: B018
    assert logger.level == before
