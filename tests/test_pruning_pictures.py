"""Pictures of pruning: sensitivity, the 2:4 pattern, training curves, a residual block."""

import re

from tiny_vocoders import tiny

from labutils.pruning import pictures


def test_pictures_say_what_they_show():
    rows = [{"layer": f"layer {i}", "damage": abs(i - 5) / 10} for i in range(12)]
    assert "layer 11" in pictures.sensitivity_picture(rows, title="x").alt
    weight = tiny("hifigan-v1").conv_pre.weight[:, :8]
    assert "two of every four" in pictures.pattern_picture(weight, channels=8).alt
    curve = [{"step": 0, "log_mel_l1": 2.0}, {"step": 5, "log_mel_l1": 1.0}]
    picture = pictures.curves_picture({"a": curve}, 0.5, title="x")
    assert re.search(r"before pruning 0\.50; end: a 1\.00", picture.alt)
    assert picture._repr_html_().startswith("<img")
    assert "upsampling" in pictures.residual_picture().alt
