"""Whether float32 on a GPU is float32, or TF32 with ten bits behind the point."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["tf32"]


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Within the block, matrix products and convolutions of float32 may use TF32, or may not.

    PyTorch's own defaults are mixed: convolutions may, matrix products may not. The earlier
    settings come back at the end. A CUDA graph or an engine keeps what held when it was made.
    """
    settings = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [setting.allow_tf32 for setting in settings]
    try:
        for setting in settings:
            setting.allow_tf32 = allowed
        yield
    finally:
        for setting, value in zip(settings, before, strict=True):
            setting.allow_tf32 = value
