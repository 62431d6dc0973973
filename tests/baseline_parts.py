"""What tests of the baseline share: a network of one layer, and rows of a record."""

import torch
from tiny_config import TinyConfig
from torch import nn


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.config = TinyConfig()
        self.up = nn.ConvTranspose1d(5, 1, 8, stride=4, padding=2)
        self.weights = "random, seed 0"

    def forward(self, mel):
        return torch.tanh(self.up(mel))


def tiny_model():
    torch.manual_seed(0)
    return Tiny().eval()


def row(variant, ms, snr, batch=1, **more):
    return {
        "variant": variant, "batch": batch, "median_ms": ms, "snr_db": snr, "same_bits": False,
        "times_real_time": 1000 / ms,
    } | more  # fmt: skip
