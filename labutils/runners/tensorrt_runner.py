"""Runs a TensorRT engine on torch's memory and streams, launch by launch or as CUDA graphs."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labutils.runners.base import MelError, Runner, RunnerError, VocoderShape
from labutils.runners.engine_lanes import EngineLanes, Lane
from labutils.runners.torch_graph import Captured, capture_graph

__all__ = ["TensorRTRunner"]

_ALIGNMENT = 256  # of every address that TensorRT is given; torch's own allocations have it


class TensorRTRunner(Runner):
    """A TensorRT engine behind the interface of all runners, without a copy between it and torch.

    `engine` is what `labutils.trt.load_engine` takes, or an Engine: that one stays open at the
    end. Several profiles are served, each mel by the narrowest that holds it. All memory is
    allocated once, for the largest shape of all profiles. It runs on torch's current stream; where
    that is the default stream, on one of its own that the default stream waits for, since newer
    versions of TensorRT stop the host there at every launch.

    With `graph=True` the first mel of a shape (batch, frames) records a CUDA graph, later ones
    replay it; `max_graphs` are kept, the one not used for longest goes first. `capture` is replaced
    in tests. An engine of FP16 input or output is fed and read as such.

    Not for several threads or streams at once. Raises RunnerError without an NVIDIA GPU and for an
    engine of another vocoder, EngineError as `load_engine`, MelError for a shape outside all
    profiles.
    """

    def __init__(
        self,
        engine: Any,
        config: VocoderShape,
        *,
        device: str = "cuda",
        graph: bool = False,
        max_graphs: int = 16,
        name: str | None = None,
        capture: Callable[..., Captured] = capture_graph,
    ) -> None:
        if max_graphs < 1:
            raise ValueError(f"{max_graphs} graphs: keep 1 or more")
        self._device = _gpu(device)
        self.config, self.device = config, device
        family = getattr(config, "family", "vocoder")
        self.name = name or f"{family}, TensorRT on {device}{', CUDA graph' if graph else ''}"
        self._use_graphs, self._max_graphs, self._capture = graph, max_graphs, capture
        self._graphs: OrderedDict[tuple[int, ...], tuple[Lane, Captured]] = OrderedDict()
        self._source: Tensor | None = None  # what the graphs' input holds a copy of
        # A tensor made in inference mode could not be written outside of it.
        with torch.cuda.device(self._device), torch.inference_mode(False):
            self._lanes = EngineLanes(engine, config, self.name)
            # What is held here goes in this order, by `close` or with the last reference.
            self._buffers: dict[str, Tensor] = {}
            self._finalizer = weakref.finalize(
                self, _release, self._device, self._graphs, self._lanes, self._buffers
            )
            try:
                self._allocate()
            except BaseException:
                self._finalizer()
                raise
        self.max_frames, self.max_batch = self._lanes.max_frames, self._lanes.max_batch

    def _allocate(self) -> None:
        lanes, buffers = self._lanes, self._buffers
        sizes = {"mel": lanes.mel_size, "audio": lanes.audio_size}
        for key, dtype in (("mel", lanes.mel_dtype), ("audio", lanes.audio_dtype)):
            kind = _torch_dtype(dtype)
            buffers[key] = torch.zeros(sizes[key], dtype=kind, device=self._device)
            pinned = self._device.type == "cuda"  # it is "cpu" only in tests
            buffers[f"host {key}"] = torch.zeros(sizes[key], dtype=kind, pin_memory=pinned)
        nbytes = lanes.scratch_bytes
        buffers["scratch"] = torch.empty(nbytes, dtype=torch.uint8, device=self._device)
        lanes.lend(buffers["scratch"].data_ptr(), nbytes)
        self._side = torch.cuda.Stream(self._device)
        # Zeros are written by this stream; the first inference may be on another one.
        torch.cuda.current_stream(self._device).synchronize()

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(batch, frames) of the graphs that are held, the latest last."""
        return [(shape[0], shape[2]) for shape in self._graphs]

    def launch(self, mel: Tensor) -> Tensor:
        """Audio (batch, 1, samples) of a mel that lies on the GPU; the host does not wait.

        `mel` is (batch, n_mels, frames), contiguous, in the engine's number format. The audio
        stands in the runner's own memory until the next call, on torch's current stream. Numbers
        are not looked at: NaN goes in and out. On the GPU the mel is copied only for graphs, whose
        addresses are fixed, and where it starts at an odd address (a slice of a batch). Raises
        MelError, RunnerError.
        """
        self._need_open()
        self._check_tensor(mel)
        mel = mel.detach()  # also: the caller may have written into the same tensor since
        self._source = None
        if mel.data_ptr() % _ALIGNMENT:
            mel = self._view("mel", tuple(mel.shape)).copy_(mel)
        return self._launch(mel)

    def _check_tensor(self, mel: Tensor) -> None:
        wanted = _torch_dtype(self._lanes.mel_dtype)
        if mel.ndim != 3 or mel.shape[1] != self.config.n_mels:
            raise MelError(
                f"expected a mel of shape (batch, {self.config.n_mels}, frames), got "
                f"{tuple(mel.shape)}"
            )
        if mel.device != self._device or mel.dtype != wanted or not mel.is_contiguous():
            how = "" if mel.is_contiguous() else ", not contiguous"
            raise MelError(
                f"expected a contiguous mel of {wanted} on {self._device}, got {mel.dtype} on "
                f"{mel.device}{how}: use mel.to({str(self._device)!r}, {wanted}).contiguous()"
            )
        self._lanes.profile(tuple(mel.shape))

    def _launch(self, mel: Tensor) -> Tensor:
        """As `launch`, checked, and with graphs the same tensor again is taken as unchanged."""
        self._need_open()
        with torch.cuda.device(self._device), torch.inference_mode(False):
            if not self._use_graphs:
                stream = torch.cuda.current_stream(self._device)
                return self._execute(self._lane(tuple(mel.shape), stream), mel, stream)
            captured = self._graph(tuple(mel.shape))
            if self._source is not mel:
                if mel.data_ptr() != captured.mel.data_ptr():
                    captured.mel.copy_(mel)
                self._source = mel
            captured.replay()
            return captured.audio

    def _lane(self, shape: tuple[int, ...], stream: torch.cuda.Stream) -> Lane:
        return self._lanes.lane(shape, stream.cuda_stream)

    def _execute(self, lane: Lane, mel: Tensor, stream: torch.cuda.Stream) -> Tensor:
        """Launch on that stream, or beside it where it is the default one."""
        shape = tuple(mel.shape)
        samples = self._lanes.samples(shape[2])
        lane.bind(shape, mel.data_ptr(), self._buffers["audio"].data_ptr(), samples)
        if stream.cuda_stream == 0:
            self._side.wait_stream(stream)
            lane.execute(self._side.cuda_stream)
            stream.wait_stream(self._side)
        else:
            lane.execute(stream.cuda_stream)
        return self._view("audio", (shape[0], 1, samples))

    def _graph(self, shape: tuple[int, ...]) -> Captured:
        if shape not in self._graphs:
            while len(self._graphs) >= self._max_graphs:
                torch.cuda.synchronize(self._device)  # it may still be running
                self._graphs.popitem(last=False)
            stream = torch.cuda.current_stream(self._device)
            lane = self._lanes.new_lane(self._lanes.profile(shape), stream.cuda_stream)
            stream.synchronize()

            def forward(mel: Tensor) -> Tensor:
                return self._execute(lane, mel, torch.cuda.current_stream(self._device))

            try:
                captured = self._capture(forward, self._view("mel", shape))
            except RuntimeError as error:
                text = " ".join(str(error).split())
                raise RunnerError(
                    f"{self.name}: no CUDA graph of {shape}: {text[:300]}; use graph=False"
                ) from error
            self._graphs[shape] = (lane, captured)
        self._graphs.move_to_end(shape)
        return self._graphs[shape][1]

    def _view(self, key: str, shape: tuple[int, ...]) -> Tensor:
        """The start of a buffer as a tensor of this shape."""
        return self._buffers[key][: int(np.prod(shape))].view(shape)

    def _infer(self, mel: np.ndarray) -> np.ndarray:
        with torch.cuda.device(self._device), torch.inference_mode(False):
            # NumPy copies on the host: torch would wake a thread on every processor for that, and
            # wait for the last of them.
            staged = self._view("host mel", mel.shape)
            np.copyto(staged.numpy(), mel, casting="same_kind")
            on_device = self._view("mel", mel.shape)
            on_device.copy_(staged, non_blocking=True)
            self._source = None
            audio = self._launch(on_device)
            host = self._view("host audio", tuple(audio.shape))
            host.copy_(audio, non_blocking=True)
            torch.cuda.current_stream(self._device).synchronize()
            return host[:, 0].numpy().astype(np.float32)

    def prepare(self, mel: np.ndarray) -> Callable[[], Tensor]:
        """As Runner.prepare; the call returns the audio (batch, 1, samples) on the GPU, which the
        next call overwrites. With graphs it is captured now, and the call replays."""
        self._need_open()
        checked = torch.from_numpy(self._checked(mel))
        on_device = checked.to(self._device, _torch_dtype(self._lanes.mel_dtype))
        if self._use_graphs:
            self._launch(on_device)
        return lambda: self._launch(on_device)

    def synchronize(self) -> None:
        """Wait for the GPU."""
        torch.cuda.synchronize(self._device)

    def _checked(self, mel: np.ndarray) -> np.ndarray:
        return self._lanes.checked(mel)

    def _close(self) -> None:
        self._source = None
        self._finalizer()


def _release(
    device: torch.device, graphs: dict, lanes: EngineLanes, buffers: dict[str, Tensor]
) -> None:
    try:
        torch.cuda.synchronize(device)
    except RuntimeError:  # after a failed kernel every call fails; what is held goes all the same
        pass
    graphs.clear()
    lanes.close()
    buffers.clear()


def _gpu(device: str) -> torch.device:
    """The GPU with its index. Raises RunnerError where it is not there."""
    wanted = torch.device(device)
    if wanted.type != "cuda":
        raise RunnerError(f'TensorRT needs an NVIDIA GPU, not "{device}"')
    if not torch.cuda.is_available():
        raise RunnerError(f'device "{device}" is not here: torch finds no NVIDIA GPU')
    return torch.device(
        "cuda", torch.cuda.current_device() if wanted.index is None else wanted.index
    )


def _torch_dtype(dtype: np.dtype) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype)).dtype
