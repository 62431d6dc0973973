"""2:4: the two largest of every four weights stay, in the layers where the pattern fits."""

import pytest
import torch
from pruning_parts import FAMILIES
from tiny_vocoders import tiny
from torch import nn

from labutils import pruning
from labutils.pruning import PruningError


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("seed", range(4))
def test_the_mask_keeps_the_two_largest_of_every_four(axis, seed):
    """Property: exactly two of four stay, none that goes is larger than one that stays."""
    random = torch.Generator().manual_seed(seed)
    sizes = [int(torch.randint(1, 9, (), generator=random)) for _ in range(3)]
    sizes[axis] *= 4
    weight = torch.randn(*sizes, generator=random)
    if seed == 3:
        weight = weight.round()  # many equal ones, many zeros
    mask = pruning.mask_2_4(weight, axis)
    assert mask.shape == weight.shape and mask.dtype == torch.bool
    fours = weight.abs().movedim(axis, -1).reshape(-1, 4)
    stays = mask.movedim(axis, -1).reshape(-1, 4)
    assert (stays.sum(1) == 2).all()
    for values, chosen in zip(fours, stays, strict=True):
        assert values[chosen].min() >= values[~chosen].max()
    assert pruning.is_2_4(weight * mask, axis)
    again = pruning.mask_2_4(weight * mask, axis)
    assert torch.equal(weight * mask * again, weight * mask)  # a second time changes nothing


def test_is_2_4_counts_along_the_input_channels():
    weight = torch.zeros(4, 8, 2)
    weight[0, [0, 1, 4, 5], 0] = 1.0
    assert pruning.is_2_4(weight)
    weight[0, 2, 1] = 1.0  # another tap: no third one of its four
    assert pruning.is_2_4(weight)
    weight[0, 2, 0] = 1.0
    assert not pruning.is_2_4(weight)
    assert not pruning.is_2_4(torch.zeros(4, 6, 2))
    with pytest.raises(PruningError, match="6 input channels are no multiple of 4"):
        pruning.mask_2_4(torch.zeros(4, 6, 2))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("transposed", [False, True])
def test_layers_get_the_pattern_where_it_fits(name, transposed):
    model = tiny(name)
    exclude = ["conv_pre"] if name != "melgan" else []
    rows = pruning.rows_2_4(pruning.prune_2_4(model, exclude=exclude, transposed=transposed))
    for row in rows:
        wanted = row["fits"] and (transposed or row["kind"] == "Conv1d")
        wanted = wanted and row["layer"] != "conv_pre"
        assert row["2:4"] == wanted, row
    assert any(row["2:4"] for row in rows) and not all(row["2:4"] for row in rows)


def test_the_polyphase_form_of_2_4_weights_is_2_4():
    from labutils.engines.polyphase import polyphase

    sparse = pruning.prune_2_4(tiny("hifigan-v1"), transposed=True)
    kinds = {row["kind"] for row in pruning.rows_2_4(sparse)}
    made = polyphase(sparse)
    layers = [m for m in made.modules() if isinstance(m, nn.Conv1d)]
    assert kinds == {"Conv1d", "ConvTranspose1d"} and len(layers) == len(pruning.rows_2_4(sparse))
    assert all(pruning.is_2_4(m.weight) for m in layers if m.in_channels % 4 == 0)
