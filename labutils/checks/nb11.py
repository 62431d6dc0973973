"""Checks of notebook 11: sparsity of a vocoder, channels of a residual sum, the 2:4 mask."""

import torch
from torch import nn

from labutils.checks.core import CheckResult, check, expect, expect_close, expect_shape

__all__ = ["channels_to_keep", "mask_2_4", "share_of_zeros"]


class _Small(nn.Module):
    """A vocoder in small: transposed convolution, residual block in a list, last convolution."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.pre = nn.Conv1d(10, 8, 7, padding=3)
        self.ups = nn.ModuleList([nn.ConvTranspose1d(8, 4, 16, stride=8, padding=4)])
        self.blocks = nn.ModuleList([nn.Sequential(nn.LeakyReLU(), nn.Conv1d(4, 4, 3))])
        self.post = nn.Conv1d(4, 1, 7, padding=3, bias=False)


def _with_zeros(model: nn.Module, shares: dict[str, float]) -> tuple[int, int]:
    """Put zeros into weights, in place; returns how many there are, and how many weights."""
    zeros = weights = 0
    for path, layer in model.named_modules():
        if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
            flat = layer.weight.data.view(-1)
            count = round(shares.get(path, 0.0) * flat.numel())
            flat[:count] = 0.0
            zeros, weights = zeros + count, weights + flat.numel()
    return zeros, weights


def share_of_zeros(fn) -> CheckResult:
    """``fn(model)``: the share of zeros among the weights of all convolutions."""

    def dense(fn):
        expect_close(fn(_Small()), 0.0, "a network without zeros", atol=1e-9)

    def shares(fn):
        model = _Small()
        zeros, weights = _with_zeros(model, {"pre": 0.5})
        wrong = "are all weights of all layers counted, once?"
        expect_close(fn(model), zeros / weights, "zeros in the first layer only", hint=wrong)

    def transposed(fn):
        model = _Small()
        zeros, weights = _with_zeros(model, {"ups.0": 0.75})
        hint = "an upsampling layer is a ConvTranspose1d, which is no Conv1d"
        expect_close(fn(model), zeros / weights, "zeros in the upsampling layer only", hint=hint)

    def biases(fn):
        model = _Small()
        zeros, weights = _with_zeros(model, {"blocks.0.1": 0.25, "post": 1.0})
        with torch.no_grad():
            model.pre.bias.zero_()
        hint = "biases are no weights: pruning leaves them"
        expect_close(fn(model), zeros / weights, "a bias of zeros", hint=hint)

    return check(
        fn, dense, shares, transposed, biases,
        passed="every convolution counts, by its number of weights; a loop over Conv2d finds none",
    )  # fmt: skip


def channels_to_keep(fn) -> CheckResult:
    """``fn(weights, keep)``: which channels of a residual sum stay."""

    def weight(*norms: float, inputs: int = 3, taps: int = 5) -> torch.Tensor:
        """A Conv1d weight (out, in, taps) whose output channels have these norms."""
        pattern = torch.ones(len(norms), inputs, taps) / (inputs * taps) ** 0.5
        pattern[:, 0] *= -1
        return pattern * torch.tensor(norms)[:, None, None]

    def indices(got, keep, what):
        expect_shape(got, (keep,), f"{what}: indices of the channels that stay")
        return [int(i) for i in got]

    def one(fn):
        got = indices(fn([weight(3.0, 1.0, 2.0, 4.0)], 2), 2, "norms 3, 1, 2, 4, keep 2")
        expect(
            sorted(got) == [0, 3],
            f"one layer with norms 3, 1, 2, 4: channels 0 and 3 are the largest, got {got}",
        )
        expect(got == [0, 3], f"in rising order, so that the order of the network stays: got {got}")

    def several(fn):
        got = indices(fn([weight(3.0, 2.0), weight(0.0, 2.0)], 1), 1, "norms 3, 2 and 0, 2, keep 1")
        expect(got == [0], "channel 0 has 9 + 0, channel 1 has 4 + 4: add the squares of all "
               f"layers, not norms or magnitudes; expected [0], got {got}")  # fmt: skip
        layers = [weight(1.0, 2.0, 0.0, 0.1), weight(1.0, 0.0, 3.0, 0.1, inputs=2, taps=3)]
        got = indices(fn(layers, 2), 2, "two layers")
        expect(
            got == [1, 2],
            "two layers with norms 1, 2, 0, 0.1 and 1, 0, 3, 0.1: the squares of all layers "
            f"together are 2, 4, 9, 0.02, so 1 and 2 stay; got {got}",
        )

    def taps(fn):
        layers = [weight(2.0, 1.9, 0.5), weight(0.0, 1.0, 0.5, inputs=40, taps=11)]
        got = indices(fn(layers, 1), 1, "layers with different numbers of inputs and taps")
        expect(
            got == [1],
            f"squares 4, 4.61, 0.5: channel 1 stays, got {got}; sum the squares over inputs and "
            "taps, do not take a mean",
        )

    return check(
        fn, one, several, taps,
        passed="one choice for all layers that write the sum; the readers drop the same channels",
    )  # fmt: skip


def mask_2_4(fn) -> CheckResult:
    """``fn(weight)``: the mask that keeps two of every four input channels."""
    torch.manual_seed(1)

    def shape(fn):
        for size in ((6, 8, 3), (1, 16, 7), (5, 4, 1)):
            weight = torch.randn(size)
            got = fn(weight)
            expect_shape(got, size, f"the mask of a weight {size}")
            expect(
                set(torch.as_tensor(got).float().unique().tolist()) <= {0.0, 1.0},
                "a mask holds True and False (or 1 and 0), no weights",
            )

    def fours(fn):
        weight = torch.randn(6, 8, 3)
        mask = torch.as_tensor(fn(weight)).bool()
        kept = mask.reshape(6, 2, 4, 3).sum(2)
        expect(
            bool((kept == 2).all()),
            f"for each output channel and tap, 2 of input channels 0 to 3 and 2 of 4 to 7 stay; "
            f"got from {int(kept.min())} to {int(kept.max())}",
        )

    def largest(fn):
        weight = torch.tensor([0.1, -0.9, 0.3, 0.2, 5.0, 6.0, -8.0, 7.0]).reshape(1, 8, 1)
        got = torch.as_tensor(fn(weight)).bool().flatten().nonzero().flatten().tolist()
        expect(
            got == [1, 2, 6, 7],
            f"of 0.1, -0.9, 0.3, 0.2 channels 1 and 2 stay, of 5, 6, -8, 7 channels 6 and 7; "
            f"got {got}; the magnitude counts, not the sign",
        )

    def ties(fn):
        mask = torch.as_tensor(fn(torch.ones(2, 4, 3))).bool()
        most = int(mask.sum(1).max())
        expect(most == 2, f"four equal weights: 2 stay, got {most}; a threshold keeps all of them")

    return check(
        fn, shape, fours, largest, ties,
        passed="two of every four input channels, at every output channel and tap",
    )  # fmt: skip
