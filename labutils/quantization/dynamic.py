"""What PyTorch's dynamic quantization does to a network: which modules it replaces."""

import io
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from labutils import tables

__all__ = ["DynamicReport", "dynamic_report", "saved_bytes"]

_ASKED = (nn.Linear, nn.Conv1d, nn.ConvTranspose1d)


def saved_bytes(model: nn.Module) -> int:
    """How many bytes the file of a model's state_dict has."""
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    return buffer.tell()


@dataclass(frozen=True)
class DynamicReport:
    """What `quantize_dynamic` made of a network.

    `model` is what it returned; `replaced` are the paths of modules that are others now; `rows`
    one for each kind of module that has weights. `before` and `after` are sizes in bytes.
    """

    model: nn.Module
    replaced: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    before: int
    after: int

    def __repr__(self) -> str:
        return (
            f"{len(self.replaced)} modules replaced; {self.before / 1e6:.2f} MB before, "
            f"{self.after / 1e6:.2f} MB after"
        )

    def _repr_html_(self) -> str:
        word = ("quantised", "good") if self.replaced else ("nothing changed", "bad")
        return tables.strip([word], repr(self)) + tables.table(list(self.rows))


def dynamic_report(model: nn.Module) -> DynamicReport:
    """Quantise a copy dynamically, asking for linear layers and convolutions, and compare.

    PyTorch has dynamic INT8 for Linear and recurrent layers only; other kinds that are asked for
    are left as they are, without a word.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it points to torchao, whose API is another one
        made = torch.ao.quantization.quantize_dynamic(model, set(_ASKED), dtype=torch.qint8)
    before = {path: type(m) for path, m in model.named_modules()}
    after = {path: type(m) for path, m in made.named_modules()}
    replaced = tuple(path for path, kind in before.items() if after.get(path) is not kind)
    totals, changed, weights = Counter(), Counter(), Counter()
    for path, module in model.named_modules():
        own = sum(p.numel() for p in module.parameters(recurse=False))
        if own or isinstance(module, _ASKED):
            kind = type(module).__name__
            totals[kind] += 1
            weights[kind] += own
            changed[kind] += path in replaced
    for kind in _ASKED:
        totals.setdefault(kind.__name__, 0)
    rows = tuple(
        {
            "module": kind,
            "in the network": totals[kind],
            "of its weights": weights[kind] / max(1, sum(weights.values())),
            "replaced": changed[kind],
        }
        for kind in totals
    )
    return DynamicReport(made, replaced, rows, saved_bytes(model), saved_bytes(made))
