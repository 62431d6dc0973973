"""PyTorch with less work for the host: whole networks compiled, and replayed as CUDA graphs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from labutils.runners.base import RunnerError
from labutils.runners.torch_runner import TorchRunner

__all__ = ["MODES", "Captured", "CompiledRunner", "GraphRunner", "capture_graph"]

# torch.compile's own CUDA graphs are left out: GraphRunner captures compiled models, too.
MODES = ("default", "max-autotune-no-cudagraphs")
_WARM_UP = 3  # launches before a capture: libraries set themselves up and choose their kernels


class CompiledRunner(TorchRunner):
    """As TorchRunner, through `torch.compile`: it compiles at the first call of each input shape.

    `mode` is "default" or "max-autotune-no-cudagraphs"; None leaves the model eager. Kernels are
    made for the very shape (`dynamic=False`). Needs a C++ compiler on the processor, Triton and a C
    compiler on a GPU. Raises ValueError for another mode, and as TorchRunner.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        mode: str | None = "default",
        name: str | None = None,
    ) -> None:
        if mode is not None and mode not in MODES:
            raise ValueError(f'mode "{mode}" is not one of {", ".join(MODES)}')
        super().__init__(model, device=device, dtype=dtype, name=name)
        self.mode = mode
        if mode is not None:
            self.name = name or f"{self.name}, compiled ({mode})"
            self._model = torch.compile(self._model, mode=mode, dynamic=False)


@dataclass
class Captured:
    """A recorded launch: fill `mel`, call `replay`, read `audio`. The three never move.

    `source` is the input that `mel` holds a copy of.
    """

    mel: Tensor
    audio: Tensor
    replay: Callable[[], None]
    pool: object = None
    source: Tensor | None = None

    def run(self, mel: Tensor) -> Tensor:
        """Replay for this input; it is copied only if it is another one than last time."""
        if self.source is not mel:
            self.mel.copy_(mel)
            self.source = mel
        self.replay()
        return self.audio


def capture_graph(
    forward: Callable[[Tensor], Tensor], mel: Tensor, pool: object = None
) -> Captured:
    """Record what `forward` launches for one input as a CUDA graph.

    Inputs and outputs get fixed addresses; `mel` becomes the input. Graphs with the same `pool`
    share the memory between the layers: only one of them may run at a time, and its output lasts
    until the next replay of any of them.
    """
    side = torch.cuda.Stream(mel.device)
    side.wait_stream(torch.cuda.current_stream(mel.device))
    with torch.cuda.stream(side):
        for _ in range(_WARM_UP):
            forward(mel)
    torch.cuda.current_stream(mel.device).wait_stream(side)
    torch.cuda.synchronize(mel.device)
    graph = torch.cuda.CUDAGraph()
    # The stream is named: torch's default one for captures lies on whichever GPU asked first.
    with torch.cuda.device(mel.device), torch.cuda.graph(graph, pool=pool, stream=side):
        audio = forward(mel)
    return Captured(mel, audio, graph.replay, graph.pool())


class GraphRunner(CompiledRunner):
    """Replays one CUDA graph per shape (batch, frames): one launch in place of hundreds.

    The first input of a shape is captured, which takes several runs; the graphs share their memory.
    At most `max_graphs` are kept, the one not used for longest goes first. A padded service keeps
    few shapes. Not for several threads at once. `mode` compiles the model first; `capture` is
    replaced in tests. Raises RunnerError without an NVIDIA GPU, and as CompiledRunner.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        device: str = "cuda",
        dtype: str = "float16",
        mode: str | None = None,
        max_graphs: int = 16,
        name: str | None = None,
        capture: Callable[..., Captured] = capture_graph,
    ) -> None:
        if capture is capture_graph and torch.device(device).type != "cuda":
            raise RunnerError(f'CUDA graphs need an NVIDIA GPU, not "{device}": use CompiledRunner')
        if max_graphs < 1:
            raise ValueError(f"{max_graphs} graphs: keep 1 or more")
        super().__init__(model, device=device, dtype=dtype, mode=mode, name=name)
        self.name = name or f"{self.name}, CUDA graph"
        self._capture = capture
        self._max_graphs = max_graphs
        self._graphs: OrderedDict[tuple[int, ...], Captured] = OrderedDict()

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(batch, frames) of the graphs that are held, the latest last."""
        return [(shape[0], shape[2]) for shape in self._graphs]

    def _graph(self, mel: Tensor) -> Captured:
        self._need_open()
        shape = tuple(mel.shape)
        if shape not in self._graphs:
            pool = next((held.pool for held in self._graphs.values()), None)
            with torch.inference_mode():
                self._graphs[shape] = self._capture(self._forward, mel.clone(), pool)
            while len(self._graphs) > self._max_graphs:
                self._graphs.popitem(last=False)
        self._graphs.move_to_end(shape)
        return self._graphs[shape]

    def _launch(self, mel: Tensor) -> Tensor:
        with torch.inference_mode():
            return self._graph(mel).run(mel)

    def prepare(self, mel: np.ndarray) -> Callable[[], Tensor]:
        """As Runner.prepare: captures now, so that the call only replays. The audio (batch, 1,
        samples) stands in the graph's own memory: the next call overwrites it."""
        launch = super().prepare(mel)
        launch()
        return launch

    def _close(self) -> None:
        self._graphs.clear()
        super()._close()
