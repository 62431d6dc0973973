"""What a network has to do for one input, counted from its graph: operations, elements and bytes
of every layer."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["LayerCost", "OperationCounter", "count", "module_paths", "totals"]

# Views and shape changes move no data by themselves.
_FREE = {
    "view",
    "_unsafe_view",
    "reshape",
    "unsqueeze",
    "squeeze",
    "expand",
    "slice",
    "select",
    "transpose",
    "t",
    "permute",
    "detach",
    "alias",
    "as_strided",
    "split",
    "chunk",
    "_reshape_alias",
    "empty",
    "_to_copy",
    "empty_like",
}


@dataclass(frozen=True)
class LayerCost:
    """One operation of the graph.

    Attributes:
        layer: path of the module that ran it, such as ``resblocks.0.convs1.2``.
        operation: name of the tensor operation, such as ``convolution`` or ``sin``.
        macs: multiply-accumulate operations; one per element for pointwise operations counts as
        half.
        elements: values written.
        bytes: values read and written, in the element size of the tensors (weights included).
        shape: of the output.
    """

    layer: str
    operation: str
    macs: float
    elements: int
    bytes: int
    shape: tuple[int, ...]


class OperationCounter(TorchDispatchMode):
    """Within its block every operation that computes something becomes a LayerCost in `rows`."""

    def __init__(self) -> None:
        super().__init__()
        self.path = ["(whole)"]
        self.rows: list[LayerCost] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        with self:  # inference_mode does not take composite operations such as conv1d apart
            parts = func.decompose(*args, **(kwargs or {}))
        if parts is not NotImplemented:
            return parts
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in _FREE or not isinstance(out, Tensor):
            return out
        inputs = [
            a for a in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(a, Tensor)
        ]
        moved = sum(t.numel() * t.element_size() for t in [*inputs, out])
        row = LayerCost(
            self.path[-1], name, _macs(name, args, out), out.numel(), moved, tuple(out.shape)
        )
        self.rows.append(row)
        self.counted(row, func, args, kwargs or {})
        return out

    def counted(self, row: LayerCost, func, args: tuple, kwargs: dict) -> None:
        """Called after each operation with its row and its call; a subclass may time it."""


def _macs(name: str, args: tuple, out: Tensor) -> float:
    if name == "convolution":
        x, weight, transposed = args[0], args[1], args[6]
        # Every input value (transposed) or output value (plain) meets the kernel once per channel
        # of its group.
        positions = x.numel() if transposed else out.numel()
        return float(positions * weight[0].numel())
    return out.numel() / 2


@contextlib.contextmanager
def module_paths(model: nn.Module, counter: OperationCounter) -> Iterator[None]:
    """Within the block the counter knows which of the model's modules is running."""

    def enter(path):
        return lambda module, args: counter.path.append(path)

    def leave(module, args, output):
        counter.path.pop()

    handles = []
    for path, module in model.named_modules():
        if path:
            handles += [
                module.register_forward_pre_hook(enter(path)),
                module.register_forward_hook(leave),
            ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def count(
    model: nn.Module, frames: int, *, batch: int = 1, dtype: torch.dtype = torch.float32
) -> list[LayerCost]:
    """Count every operation that ``model`` does for ``(batch, n_mels, frames)``; nothing is
    computed.

    The copy that is counted lives on torch's ``meta`` device, which knows shapes only, so even the
    112 million parameters of BigVGAN v2 take well under a second. Each operation counts as if
    it read its inputs from memory and wrote its output there: a backend that fuses operations
    moves less.
    """
    model = copy.deepcopy(model).to(device="meta", dtype=dtype).eval()
    mel = torch.empty(batch, model.config.n_mels, frames, device="meta", dtype=dtype)
    counter = OperationCounter()
    with torch.no_grad(), module_paths(model, counter), counter:
        model(mel)
    return counter.rows


def totals(rows: list[LayerCost]) -> dict[str, float]:
    """Sums over a graph: ``macs``, ``elements`` and ``bytes``."""
    return {name: sum(getattr(row, name) for row in rows) for name in ("macs", "elements", "bytes")}
