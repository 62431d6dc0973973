"""What runners of TensorRT engines share: which profile, which context, which shapes and bytes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from labutils.runners.base import MelError, RunnerError, VocoderShape, check_mel
from labutils.trt import versions
from labutils.trt.engine import Engine, load_engine
from labutils.trt.messages import Messages
from labutils.trt.profiles import ProfileError, choose

if TYPE_CHECKING:
    import tensorrt as trt

__all__ = ["EngineLanes", "Lane"]

Shape = tuple[int, ...]


class Lane:
    """A context of one profile that remembers its shape and addresses, and where it may scribble.

    One lane runs one inference at a time. A CUDA graph needs a lane of its own: TensorRT forbids
    to change a context that was captured.
    """

    def __init__(self, context: trt.IExecutionContext, names: tuple[str, str], label: str) -> None:
        self._context = context
        self._input, self._output = names
        self._label = label
        self._bound: tuple[Shape, int, int] | None = None
        self._shape: Shape = ()

    def shape_for(self, mel_shape: Shape) -> Shape:
        """The audio's shape for a mel's; asks TensorRT, launches nothing. Raises RunnerError."""
        context = self._context
        self._bound = None
        with Messages() as said:
            taken = context.set_input_shape(self._input, mel_shape)
            missing = list(context.infer_shapes()) if taken else []
        if not taken or missing:
            what = f"nothing was set for {', '.join(missing)}" if missing else _last(said)
            raise RunnerError(f"{self._label}: TensorRT refused a mel of {mel_shape}: {what}")
        return tuple(context.get_tensor_shape(self._output))

    def bind(self, mel_shape: Shape, mel: int, audio: int, samples: int) -> Shape:
        """Set shape and addresses for the next `execute`; gives the audio's shape.

        `mel` and `audio` are addresses on the GPU, `samples` is how many the audio must have for
        each mel: a buffer was allocated for no more. Nothing is done where nothing has changed.
        """
        if self._bound == (mel_shape, mel, audio):
            return self._shape
        shape = self.shape_for(mel_shape)
        if shape not in ((mel_shape[0], 1, samples), (mel_shape[0], samples)):
            raise RunnerError(
                f"{self._label} gives audio of {shape} for a mel of {mel_shape}, expected "
                f"{(mel_shape[0], 1, samples)}: is it an engine of another vocoder?"
            )
        context = self._context
        for name, address in ((self._input, mel), (self._output, audio)):
            if not context.set_tensor_address(name, int(address)):
                raise RunnerError(f"{self._label}: TensorRT refused the address of {name}")
        self._bound, self._shape = (mel_shape, mel, audio), shape
        return shape

    def execute(self, stream: int) -> None:
        """Launch on a stream's handle; returns at once. Raises RunnerError."""
        context = self._context
        if not context.execute_async_v3(int(stream)):
            raise RunnerError(f"{self._label}: TensorRT could not launch; its log says why")


class EngineLanes:
    """An engine with one lane for each profile that was used, all on one lent scratch memory.

    `engine` is an Engine, which its owner closes, or whatever `load_engine` takes, which is loaded
    on the current GPU and closed here. Raises RunnerError for an engine of another number of mel
    bands or without profiles, EngineError as `load_engine`.
    """

    def __init__(self, engine: Any, config: VocoderShape, label: str) -> None:
        self._mine = not hasattr(engine, "new_context")
        self.engine: Engine = load_engine(engine) if self._mine else engine
        self.config, self.label = config, label
        self._lanes: dict[int, Lane] = {}
        self._scratch = (0, 0)
        try:
            self._check()
        except RunnerError:
            self.close()
            raise

    def _check(self) -> None:
        if self.engine.n_mels != self.config.n_mels:
            raise RunnerError(
                f"{self.label}: the engine takes {self.engine.n_mels} mel bands, the configuration "
                f"has {self.config.n_mels}"
            )
        if not self.engine.profiles:
            raise RunnerError(f"{self.label}: the engine has no profile")
        for name in (self.engine.input, self.engine.output):
            if self.dtype(name) not in (np.float32, np.float16):
                raise RunnerError(
                    f"{self.label}: {name} is {self.dtype(name)}, expected float32 or float16"
                )

    def dtype(self, name: str) -> np.dtype:
        return np.dtype(self.engine.dtype(name))

    @property
    def mel_dtype(self) -> np.dtype:
        return self.dtype(self.engine.input)

    @property
    def audio_dtype(self) -> np.dtype:
        return self.dtype(self.engine.output)

    @property
    def max_frames(self) -> int:
        return max(profile.frames[2] for profile in self.engine.profiles)

    @property
    def max_batch(self) -> int:
        return max(profile.batch[2] for profile in self.engine.profiles)

    @property
    def mel_size(self) -> int:
        """Numbers in the largest mel of any profile."""
        return max(math.prod(p.shapes(self.config.n_mels)[2]) for p in self.engine.profiles)

    @property
    def audio_size(self) -> int:
        """Numbers in the audio of the largest mel of any profile."""
        return max(p.batch[2] * self.samples(p.frames[2]) for p in self.engine.profiles)

    @property
    def scratch_bytes(self) -> int:
        """GPU memory that the lanes need to be lent; never 0, which nobody allocates."""
        return max(1, int(self.engine.scratch_bytes))

    def samples(self, frames: int) -> int:
        return self.config.output_length(frames)

    def checked(self, mel: np.ndarray) -> np.ndarray:
        """As `check_mel`; MelError, too, for a shape that no profile holds, with all ranges."""
        mel = check_mel(mel, self.config)
        self.profile(mel.shape)
        return mel

    def profile(self, mel_shape: Shape) -> int:
        """The narrowest profile that holds a mel of this shape. Raises MelError."""
        try:
            return choose(self.engine.profiles, mel_shape[0], mel_shape[2])
        except ProfileError as error:
            raise MelError(str(error)) from None

    def lend(self, address: int, nbytes: int) -> None:
        """The scratch memory of all lanes: only one of them may run at a time."""
        self._scratch = (int(address), int(nbytes))

    def lane(self, mel_shape: Shape, stream: int) -> Lane:
        """The lane that runs mels of this shape; made at its first use, on that stream."""
        profile = self.profile(mel_shape)
        if profile not in self._lanes:
            self._lanes[profile] = self.new_lane(profile, stream)
        return self._lanes[profile]

    def new_lane(self, profile: int, stream: int) -> Lane:
        """A lane besides, for a CUDA graph. The stream must be done before another one runs it."""
        with Messages() as said:
            context = versions.context_without_memory(self.engine.engine)
            if context is not None:
                versions.lend_memory(context, *self._scratch)
                if not _use_profile(context, profile, stream):
                    context = None
        if context is None:
            raise RunnerError(f"{self.label}: no context for profile {profile}: {_last(said)}")
        return Lane(context, (self.engine.input, self.engine.output), self.label)

    def close(self) -> None:
        """Give the contexts back, and the engine if it was loaded here. Harmless again."""
        self._lanes.clear()
        if self._mine:
            self.engine.close()


def _use_profile(context: trt.IExecutionContext, profile: int, stream: int) -> bool:
    if context.active_optimization_profile == profile:  # TensorRT gives the first one by itself
        return True
    return bool(context.set_optimization_profile_async(profile, int(stream)))


def _last(said: Messages) -> str:
    """TensorRT's last error in one line."""
    return " ".join((said.errors() or ["TensorRT gave no reason"])[-1].split())[:300]
