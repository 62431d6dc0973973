"""Runs a generator in PyTorch as it is: the reference that every other runner is compared with."""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from labutils.runners.base import Runner, RunnerError

__all__ = ["DTYPES", "TorchRunner"]

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class TorchRunner(Runner):
    """Eager PyTorch on the processor or a GPU, in one number format throughout.

    `model` maps (batch, n_mels, frames) to (batch, 1, samples) and has a `.config`. The runner has
    a copy of its own in evaluation mode: the caller's model stays as and where it is. `device`
    is "cpu", "cuda" or "cuda:1"; `dtype` is "float32", "float16" or "bfloat16": weights and
    activations are cast, the mel goes in and the audio comes out as float32. Whether float32 may
    use TF32 is torch's setting, not the runner's.

    Raises ValueError for another dtype, TypeError for a model without a configuration, RunnerError
    where the device is not there.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        name: str | None = None,
    ) -> None:
        if dtype not in DTYPES:
            raise ValueError(f'dtype "{dtype}" is not one of {", ".join(DTYPES)}')
        config = getattr(model, "config", None)
        if not hasattr(config, "output_length"):
            raise TypeError(
                f"{type(model).__name__} has no .config with n_mels and output_length: make it "
                "with vocoders.create or vocoders.load"
            )
        self._device = torch.device(device)
        if self._device.type == "cuda" and not torch.cuda.is_available():
            raise RunnerError(f'device "{device}" is not here: torch finds no NVIDIA GPU')
        self.config = config
        self.device = str(self._device)
        self.dtype = dtype
        family = getattr(config, "family", type(model).__name__)
        self.name = name or f"{family}, torch {dtype} on {self.device}"
        model = copy.deepcopy(model).to(device=self._device, dtype=DTYPES[dtype])
        self._model: nn.Module | None = model.eval().requires_grad_(False)

    def _forward(self, mel: Tensor) -> Tensor:
        self._need_open()
        with torch.inference_mode():
            return self._model(mel)

    def _launch(self, mel: Tensor) -> Tensor:
        """Audio (batch, 1, samples) of a mel on the device; subclasses launch it in their way."""
        return self._forward(mel)

    def _input(self, mel: np.ndarray) -> Tensor:
        return torch.from_numpy(mel).to(device=self._device, dtype=DTYPES[self.dtype])

    def _infer(self, mel: np.ndarray) -> np.ndarray:
        audio = self._launch(self._input(mel))
        if audio.ndim != 3 or audio.shape[1] != 1:
            raise RunnerError(
                f"{self.name} gave audio of {tuple(audio.shape)}, expected (batch, 1, samples)"
            )
        return audio[:, 0].float().cpu().numpy()

    def prepare(self, mel: np.ndarray) -> Callable[[], Tensor]:
        """As Runner.prepare; the call returns the audio (batch, 1, samples) on the device."""
        self._need_open()
        on_device = self._input(self._checked(mel))
        return lambda: self._launch(on_device)

    def synchronize(self) -> None:
        """Wait for the GPU; on the processor every call has ended when it returns."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    def _close(self) -> None:
        self._model = None
