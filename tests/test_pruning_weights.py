"""Pruning single weights: how many zeros, which ones, what is refused, and what a file weighs."""

import pytest
import torch
from pruning_parts import FAMILIES, mel_for
from tiny_vocoders import tiny
from torch import nn
from torch.nn.utils import prune

from labutils import pruning, vocoders
from labutils.pruning import PruningError


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_zeros_are_as_many_as_asked_for_and_the_smallest(name, scope):
    model = tiny(name)
    pruned = pruning.prune_unstructured(model, 0.5, scope=scope)
    assert pruning.sparsity(pruned) == pytest.approx(0.5, abs=0.01)
    assert pruning.sparsity(model) < 0.01  # the model that was given stays as it is
    assert pruned.state_dict().keys() == model.state_dict().keys()
    shares = [row["share"] for row in pruning.sparsity_rows(pruned)]
    uniform = max(shares) - min(shares) < 0.15  # small layers are rounded
    assert uniform == (scope == "layer")
    for path, layer in pruning.convolutions(pruned).items():
        before = model.get_submodule(path).weight
        gone, left = before[layer.weight == 0].abs(), before[layer.weight != 0].abs()
        if len(gone) and len(left):
            assert gone.max() <= left.min()
        if layer.bias is not None:
            assert torch.equal(layer.bias, model.get_submodule(path).bias)


def test_masks_of_torch_are_made_final_by_finish():
    masked = pruning.prune_unstructured(tiny("hifigan-v1"), 0.5, remove=False)
    assert "conv_pre.weight_orig" in masked.state_dict()
    with torch.no_grad():
        sound = masked(mel_for(masked))
        done = pruning.finish(masked)
        assert torch.equal(done(mel_for(done)), sound)
    assert not any("weight_orig" in key for key in done.state_dict())
    assert not prune.is_pruned(done)


def test_bad_requests_are_refused():
    model = tiny("hifigan-v1")
    for amount in (-0.1, 1.0, float("nan")):
        with pytest.raises(PruningError, match="amount"):
            pruning.prune_unstructured(model, amount)
    with pytest.raises(PruningError, match="scope 'row'"):
        pruning.prune_unstructured(model, 0.5, scope="row")
    with pytest.raises(PruningError, match="no convolution conv_last; there are: conv_pre"):
        pruning.prune_unstructured(model, 0.5, exclude=["conv_last"])
    with pytest.raises(PruningError, match="fold it first"):
        pruning.prune_unstructured(vocoders.add_weight_norm(tiny("hifigan-v1")), 0.5)
    with pytest.raises(PruningError, match="no Conv1d"):
        pruning.prune_unstructured(nn.Linear(2, 2), 0.5)
    for keep in (0.0, 1.1, 0.01):
        with pytest.raises(PruningError, match="keep"):
            pruning.prune_channels(model, keep)
    with pytest.raises(PruningError, match="not known here"):
        pruning.groups(nn.Conv1d(1, 1, 1))


def test_what_is_excluded_stays():
    model = tiny("hifigan-v1")
    pruned = pruning.prune_unstructured(model, 0.9, exclude=["conv_post", "conv_pre"])
    assert torch.equal(pruned.conv_post.weight, model.conv_post.weight)
    assert torch.equal(pruned.conv_pre.weight, model.conv_pre.weight)
    assert (pruned.ups[0].weight == 0).float().mean() == pytest.approx(0.9, abs=0.01)


def test_zeros_make_no_file_smaller_until_it_is_compressed():
    model = tiny("hifigan-v1")
    dense, zeros = (pruning.file_bytes(m) for m in (model, pruning.prune_unstructured(model, 0.9)))
    # The header says where the weights come from, a few bytes more or less.
    assert zeros["bytes"] == pytest.approx(dense["bytes"], rel=0.01)
    assert zeros["compressed"] < 0.75 * dense["compressed"]
