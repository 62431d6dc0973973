"""Runs a generator from an ONNX file in ONNX Runtime, on the processor or a GPU."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from labutils.environment import require
from labutils.onnx_export.files import runtime_message
from labutils.runners.base import MelError, Runner, RunnerError, VocoderShape
from labutils.vocoders import VocoderConfig

__all__ = ["OnnxRunner"]

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class OnnxRunner(Runner):
    """A session of ONNX Runtime behind the interface of all runners.

    `config` may be left out for files of `onnx_export.export`, which carry theirs. `providers` are
    ONNX Runtime's, the first that can is used ("CPUExecutionProvider", "CUDAExecutionProvider").
    `threads` work on one operation; None takes as many as PyTorch does. With `optimise=False` ONNX
    Runtime runs the graph as it stands, to see what its own optimiser does. A file of FP16 input
    or output is fed and read as such; `infer` always takes and gives float32.

    Raises RunnerError for a file that is missing or can not be loaded, for one that is no
    vocoder of this configuration, and for a provider that is not here.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        config: VocoderShape | None = None,
        *,
        providers: Sequence[str] = ("CPUExecutionProvider",),
        threads: int | None = None,
        optimise: bool = True,
        name: str | None = None,
    ) -> None:
        runtime, self.path = require("onnxruntime"), Path(path)
        if missing := [p for p in providers if p not in runtime.get_available_providers()]:
            here = ", ".join(runtime.get_available_providers())
            raise RunnerError(f"{missing[0]} is not in this ONNX Runtime, which has {here}")
        if threads is not None and threads < 1:
            raise ValueError(f"threads: 1 or more, not {threads}")
        options = runtime.SessionOptions()
        self.threads = threads or torch.get_num_threads()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 4  # what fails is raised
        if not optimise:
            options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = _load(runtime, self.path, options, list(providers))
        self._provider = self._session.get_providers()[0]
        self.device = "cuda" if self._provider.startswith(("CUDA", "Tensorrt")) else "cpu"
        self.config = config or self._stored_config()
        self._check_ends()
        source = self._session.get_inputs()[0]
        self._dtype = _TYPES[source.type]
        self._fixed = [d if isinstance(d, int) else None for d in source.shape]
        family = getattr(self.config, "family", self.path.stem)
        count = f", {threads} thread{'s' if threads > 1 else ''}" if threads else ""
        self.name = name or f"{family}, ONNX Runtime on {self.device}{count}"

    def _stored_config(self) -> VocoderConfig:
        stored = self._session.get_modelmeta().custom_metadata_map.get("vocoder.config")
        if not stored:
            raise RunnerError(f"{self.path.name} does not carry its configuration: pass config")
        try:
            return VocoderConfig.from_json(stored)
        except ValueError as error:
            raise RunnerError(f"the configuration in {self.path.name}: {error}") from None

    def _check_ends(self) -> None:
        """One input (batch, n_mels, frames), one output (batch, 1, samples) or (batch, samples)."""
        ends = self._session.get_inputs(), self._session.get_outputs()
        if [len(end) for end in ends] != [1, 1] or any(e[0].type not in _TYPES for e in ends):
            kinds = " to ".join(", ".join(f"{v.name} {v.type}" for v in end) for end in ends)
            raise RunnerError(f"{self.path.name} is no vocoder, it maps {kinds}")
        shape = ends[0][0].shape
        if len(shape) != 3 or shape[1] not in (self.config.n_mels, None):
            raise RunnerError(
                f"{self.path.name} takes {tuple(shape)}, but the configuration has "
                f"{self.config.n_mels} mel bands"
            )

    def _checked(self, mel: np.ndarray) -> np.ndarray:
        mel = super()._checked(mel)
        for size, fixed, what in zip(mel.shape, self._fixed, ("batch", "", "frames"), strict=True):
            if what and fixed not in (None, size):
                raise MelError(
                    f"{self.path.name} was exported for {what} {fixed} only, got {size}: export "
                    "it with dynamic axes"
                )
        return mel

    def _infer(self, mel: np.ndarray) -> np.ndarray:
        feed = {self._session.get_inputs()[0].name: mel.astype(self._dtype, copy=False)}
        try:
            audio = self._session.run(None, feed)[0]
        except Exception as error:  # onnxruntime's own types share no public base
            raise RunnerError(f"{self.name}: {runtime_message(error)}") from None
        return audio[:, 0] if audio.ndim == 3 else audio

    def prepare(self, mel: np.ndarray) -> Callable[[], Any]:
        """As Runner.prepare; the call returns ONNX Runtime's values on the device."""
        self._need_open()
        runtime = require("onnxruntime")
        mel = self._checked(mel).astype(self._dtype, copy=False)
        binding = self._session.io_binding()
        value = runtime.OrtValue.ortvalue_from_numpy(mel, self.device, 0)
        binding.bind_ortvalue_input(self._session.get_inputs()[0].name, value)
        binding.bind_output(self._session.get_outputs()[0].name, self.device, 0)

        def launch() -> Any:
            self._need_open()
            self._session.run_with_iobinding(binding)
            return binding.get_outputs()

        return launch

    def synchronize(self) -> None:
        """Nothing to do: ONNX Runtime returns when the device has done its work."""

    def _close(self) -> None:
        self._session = None


def _load(runtime: Any, path: Path, options: Any, providers: list[str]) -> Any:
    if not path.is_file():
        raise RunnerError(f"no ONNX file at {path}")
    try:
        return runtime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # onnxruntime's own types share no public base
        raise RunnerError(
            f"ONNX Runtime cannot load {path.name}: {runtime_message(error)}"
        ) from None
