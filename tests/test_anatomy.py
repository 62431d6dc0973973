"""What the pictures of notebook 01 show is what the configurations say."""

import numpy as np
import pytest

from labutils import anatomy, costs, vocoders


@pytest.mark.parametrize("name", ["melgan", "hifigan-v2", "gpt-sovits-v4-small", "bigvgan-small"])
def test_the_measured_reach_is_the_receptive_field(name):
    model = vocoders.create(name)
    touched = anatomy.measured_reach(model)
    frames = max(np.ceil(-touched.min()), np.floor(touched.max()))
    assert frames == model.config.receptive_field
    with pytest.raises(ValueError, match="reaches all of 5 frames"):
        anatomy.measured_reach(model, 5)


@pytest.mark.parametrize("name", ["melgan", "hifigan-v2", "bigvgan-small"])
def test_stages_share_all_the_work_but_the_ends(name):
    stages = anatomy.stage_costs(name)
    config = vocoders.preset(name)
    assert [row["channels"] for row in stages] == list(config.channels[1:])
    assert stages[-1]["rate"] == config.output_sample_rate
    model = vocoders.build(config, weight_norm=False)
    whole = costs.totals(costs.count(model, 200))["macs"]
    seconds = config.output_length(200) / config.output_sample_rate
    share = sum(row["gmac"] for row in stages) * 1e9 * seconds / whole
    assert 0.9 < share < 1


def test_side_by_side_counts_convolutions_only():
    (row,) = anatomy.side_by_side(["hifigan-v1"])
    assert row["GMAC per second"] == pytest.approx(26.4, abs=0.1)
    assert row["million weights"] == pytest.approx(13.926, abs=0.001)
    assert (row["samples per frame"], row["sees frames each side"]) == (256, 13)
