"""Trained weights in and out: the authors' formats are read, our own files are safetensors.

Loading is strict: every key and every shape is accounted for, and nothing but tensors is ever
unpickled.
"""

import copy
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from labutils import weights
from labutils.vocoders.config import VocoderConfig
from labutils.vocoders.files import HEADER, CheckpointError, read_file, read_header
from labutils.vocoders.presets import PRESETS, preset
from labutils.vocoders.random_weights import build
from labutils.vocoders.weight_norm import add_weight_norm, fold_weight_norm
from labutils.whole_file import whole_file

__all__ = [
    "CheckpointError",
    "load",
    "load_checkpoint",
    "read_metadata",
    "save_checkpoint",
    "shipped",
]

_NAMES = {"melgan": "MelGAN", "hifigan": "HiFi-GAN", "bigvgan": "BigVGAN"}
_SPELLINGS = (
    (".parametrizations.weight.original0", ".weight_g"),
    (".parametrizations.weight.original1", ".weight_v"),
)


def load_checkpoint(
    path: str | Path, config: str | VocoderConfig | None = None, *, fold: bool = True
) -> nn.Module:
    """A trained vocoder out of a file, float32, in eval mode on the CPU.

    Reads the authors' files (a state dict, flat or under "generator" or "model_g", weight norm kept
    or folded, in either spelling, with or without "module." in front) and safetensors. `config` is
    a configuration or a preset's name; it may be left out for files of `save_checkpoint`, which
    carry theirs. With `fold=False` the model has weight norm, for training. `model.weights` names
    the file, `model.metadata` is what was saved with it.

    Raises CheckpointError in one line for a file that is missing, empty, damaged, of another
    architecture, with missing, extra or misshapen keys, or with anything but tensors in it (whose
    code does not run).
    """
    path = Path(path)
    config = preset(config) if isinstance(config, str) else config
    state, header = read_file(path)
    if "config" in header:
        stored = _stored_config(path, header)
        if config is not None and stored != config:
            raise CheckpointError(
                f"{path.name} was saved with another configuration: {_difference(stored, config)}"
            )
        config = stored
    if config is None:
        raise CheckpointError(
            f"{path.name} does not carry its configuration: pass a preset's name or a configuration"
        )
    state = _official(path, state)
    normed = any(key.endswith(".weight_g") for key in state)
    model = build(config, weight_norm=normed)
    own = {_spelling(key): key for key in model.state_dict()}
    _check(path, state, {key: model.state_dict()[own[key]].shape for key in own}, config)
    model.load_state_dict({own[key]: value.float() for key, value in state.items()}, strict=True)
    if normed and fold:
        fold_weight_norm(model)
    elif not normed and not fold:
        add_weight_norm(model)
    model.weights = f"loaded from {path.name}"
    model.metadata = header.get("metadata", {})
    return model.eval()


def shipped() -> list[str]:
    """The presets that were trained for this workbook and come with it."""
    return [name for name in PRESETS if weights.shipped_file(name).exists()]


def load(name: str, checkpoint: str | Path | None = None) -> nn.Module:
    """The trained vocoder of that preset: from `checkpoint`, or the one that this workbook ships.

    Raises CheckpointError where none is shipped and none is given, ValueError for an unknown name.
    """
    config = preset(name)
    if checkpoint is not None:
        return load_checkpoint(checkpoint, config)
    path = weights.shipped_file(name)
    if not path.exists():
        raise CheckpointError(
            f"no trained {name} is shipped (shipped: {', '.join(shipped()) or 'none'}): "
            "pass the authors' file as checkpoint, or measure speed only with "
            f"vocoders.create({name!r})"
        )
    weights.note(name)
    return load_checkpoint(path, config)


def save_checkpoint(
    path: str | Path,
    model: nn.Module,
    *,
    dtype: torch.dtype = torch.float16,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Write a vocoder as safetensors: weight norm folded, parameters in `dtype`, filters float32.

    The configuration and `metadata` (JSON values) go into the header. The file appears whole or not
    at all. Raises CheckpointError for weights that are not finite in `dtype`.
    """
    path = Path(path)
    model = fold_weight_norm(copy.deepcopy(model).cpu())
    buffers = {name for name, _ in model.named_buffers()}
    tensors = {}
    for name, value in model.state_dict().items():
        tensors[name] = value.detach().to(torch.float32 if name in buffers else dtype).contiguous()
        if not tensors[name].isfinite().all():
            raise CheckpointError(
                f"{name} has values that are not finite in {dtype}: nothing was saved"
            )
    header = {"config": json.loads(model.config.to_json()), "metadata": dict(metadata or {})}
    with whole_file(path) as temporary:
        save_file(tensors, temporary, metadata={HEADER: json.dumps(header)})
    return path


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What `save_checkpoint` wrote beside the weights, {"config": ..., "metadata": ...}, or {}."""
    return read_header(Path(path))


def _stored_config(path: Path, header: dict[str, Any]) -> VocoderConfig:
    try:
        return VocoderConfig.from_json(header["config"])
    except ValueError as error:
        raise CheckpointError(
            f"{path.name} carries a configuration that cannot be read: {error}"
        ) from None


def _difference(stored: VocoderConfig, wanted: VocoderConfig) -> str:
    if stored.family != wanted.family:
        return f"it is a {_NAMES[stored.family]}, not a {_NAMES[wanted.family]}"
    a, b = (json.loads(config.to_json()) for config in (stored, wanted))
    for settings in (a, b):
        settings |= {f"mel {key}": value for key, value in settings.pop("mel").items()}
    differ = [f"{key} is {a[key]}, not {b[key]}" for key in a if a[key] != b[key]]
    return _some(differ)


def _spelling(key: str) -> str:
    """The older spelling of weight norm, which all the authors' files use."""
    for new, old in _SPELLINGS:
        if key.endswith(new):
            return key.removesuffix(new) + old
    return key


def _official(path: Path, content: dict[str, Any]) -> dict[str, Tensor]:
    """A state dict with the authors' key names; refuses what is none."""
    if not content or not all(isinstance(key, str) for key in content):
        raise CheckpointError(f"{path.name} holds no state dict")
    if all(key.startswith("module.") for key in content):
        content = {key.removeprefix("module."): value for key, value in content.items()}
    content = {_spelling(key): value for key, value in content.items()}
    for key, value in content.items():
        if not isinstance(value, Tensor):
            raise CheckpointError(
                f"{path.name} holds no state dict: {key!r} is of type "
                f"{type(value).__name__}, not a tensor"
            )
        if not value.is_floating_point():
            raise CheckpointError(f"{path.name}: {key} is {value.dtype}, not floating point")
        if not value.isfinite().all():
            raise CheckpointError(
                f"{path.name}: {key} has values that are not finite; training went wrong"
            )
    return content


def _check(
    path: Path, state: dict[str, Tensor], expected: dict[str, torch.Size], config: VocoderConfig
) -> None:
    """Compare keys and shapes; where they differ, name the nearest reason."""
    missing = [key for key in expected if key not in state]
    extra = [key for key in state if key not in expected]
    wrong = [key for key in expected if key in state and state[key].shape != expected[key]]
    if not (missing or extra or wrong):
        return
    if any(re.match(r"generator\.\d+\.(blocks|shortcuts)\.", key) for key in state):
        raise CheckpointError(
            f"{path.name} is a MelGAN of seungwonpark/melgan, which takes another mel (natural "
            "logarithm, up to 8 kHz, shifted): its weights cannot serve here"
        )
    family = _family(state)
    fits = _fitting(state)
    if family is None and len(missing) == len(expected):
        raise CheckpointError(f"{path.name} is no vocoder known here: it holds {_some(extra)}")
    if any(PRESETS[name] == config for name in fits):
        raise CheckpointError(
            f"{path.name} has weight norm on some layers only, {_some(missing)} are missing: "
            "fold it before saving, or load with a configuration of norm_ends=False"
        )
    if (family not in (None, config.family)) or fits:
        what = fits[0] if fits else f"a {_NAMES[family]}"
        asked = next(
            (name for name, known in PRESETS.items() if known == config),
            f"the {_NAMES[config.family]} asked for",
        )
        raise CheckpointError(
            f"{path.name} looks like {what}, not like {asked}"
            + (f": load it as {fits[0]!r}" if fits else "")
        )
    if missing:
        raise CheckpointError(f"{path.name} lacks {_some(missing)} of {len(expected)} keys")
    if extra:
        raise CheckpointError(
            f"{path.name} has keys that this {_NAMES[config.family]} does not know: {_some(extra)}"
        )
    key = wrong[0]
    raise CheckpointError(
        f"{path.name}: {key} has the shape {tuple(state[key].shape)}, not {tuple(expected[key])}"
        + (f", and {len(wrong) - 1} more differ" if wrong[1:] else "")
        + ": it was trained with another configuration"
    )


def _family(state: dict[str, Tensor]) -> str | None:
    if any("activation" in key for key in state):
        return "bigvgan"
    if any(re.match(r"model\.\d+\.", key) for key in state):
        return "melgan"
    return (
        "hifigan"
        if any(key.startswith(("conv_pre.", "ups.", "resblocks.")) for key in state)
        else None
    )


def _fitting(state: dict[str, Tensor]) -> list[str]:
    """Names of the presets that this state dict fits exactly."""
    shapes = {
        key.replace(".weight_v", ".weight"): value.shape
        for key, value in state.items()
        if not key.endswith(".weight_g")
    }
    first = shapes.get("conv_pre.weight", shapes.get("model.1.weight"))
    names = []
    for name, config in PRESETS.items():
        if first != (config.channels[0], config.n_mels, 7):
            continue  # only what may fit is worth building
        with torch.device("meta"):
            model = build(config, weight_norm=False)
        if shapes == {key: value.shape for key, value in model.state_dict().items()}:
            names.append(name)
    return names


def _some(keys: list[str]) -> str:
    shown = ", ".join(keys[:3])
    return shown if len(keys) <= 3 else f"{shown} and {len(keys) - 3} more"
