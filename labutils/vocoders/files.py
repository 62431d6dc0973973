"""Reads checkpoint files of every format without running code from them; knows no vocoders."""

import json
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

__all__ = ["HEADER", "CheckpointError", "read_file", "read_header"]

HEADER = "vocoder"  # the one entry of our safetensors header: JSON with config and metadata


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message says why and what to do."""


def read_file(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The file's content, whatever its format, and our header if it has one."""
    if _kind(path) == "safetensors":
        return _safetensors(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # torch warns of TorchScript archives, which are refused below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        if found is None and "nsupported" not in str(error):
            raise CheckpointError(f"{path.name} is damaged or cut short: fetch it again") from None
        what = f" ({found[1]})" if found else ""
        raise CheckpointError(
            f"{path.name} holds Python objects{what}, not only tensors; loading those can run any "
            "code, so it was refused: ask its author for the state dict"
        ) from None
    except Exception as error:  # torch raises many types for a broken file
        if "TorchScript" in str(error):
            raise CheckpointError(
                f"{path.name} is a TorchScript archive, not a state dict"
            ) from None
        raise CheckpointError(f"{path.name} is damaged or cut short: fetch it again") from None
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path.name} holds a {type(content).__name__}, not a state dict")
    if {"mpd", "msd"} & set(content) or {"mpd", "mrd"} & set(content):
        raise CheckpointError(
            f"{path.name} holds the discriminators: the generator is in the file beside it (g_...)"
        )
    for wrapper in ("generator", "model_g"):
        if isinstance(content.get(wrapper), Mapping):
            return dict(content[wrapper]), {}
    return dict(content), {}


def _kind(path: Path) -> str:
    """ "pickle" or "safetensors" by the first bytes; all else is refused by name."""
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}")
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        raise CheckpointError(f"{path.name} is empty: fetch it again")
    if start.startswith((b"PK\x03\x04", b"\x80")) and start[8:9] != b"{":
        return "pickle"
    if start[8:9] == b"{":
        return "safetensors"
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(
            f"{path.name} is a Git LFS pointer, not the weights: fetch the file itself"
        )
    if path.suffix.lower() in (".yml", ".yaml", ".json") or b"!!python" in start:
        raise CheckpointError(
            f"{path.name} holds settings, not weights: give the .pt or .pth file beside it"
        )
    raise CheckpointError(f"{path.name} is no checkpoint: neither a PyTorch nor a safetensors file")


def _safetensors(
    path: Path, *, tensors: bool = True
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(HEADER, "{}"))
            return {key: file.get_tensor(key) for key in file.keys() if tensors}, header
    except (SafetensorError, json.JSONDecodeError, OSError):
        raise CheckpointError(f"{path.name} is damaged or cut short: fetch it again") from None


def read_header(path: Path) -> dict[str, Any]:
    """Our header of a safetensors file; {} for any other. Raises CheckpointError as read_file."""
    return _safetensors(path, tensors=False)[1] if _kind(path) == "safetensors" else {}
