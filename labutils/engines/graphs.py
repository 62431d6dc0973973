"""ONNX files of a network's forms, of one fixed shape or of any, made ahead in another process."""

from __future__ import annotations

import logging
import multiprocessing
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from labutils import onnx_export, vocoders
from labutils.engines.rewrites import AS_IT_IS, rewrite
from labutils.onnx_export import files, mend

__all__ = ["GraphSpec", "Graphs", "fix_shape", "make"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GraphSpec:
    """Which ONNX file: a preset or trained vocoder in a form, FP16 or FP32, of one shape or any.

    `shape` is (batch, frames), or None where both stay open. `trained` takes the shipped weights.
    """

    vocoder: str
    form: str = AS_IT_IS
    half: bool = True
    shape: tuple[int, int] | None = None
    trained: bool = False

    @property
    def file(self) -> str:
        parts = [self.vocoder, self.form.replace(", ", "+").replace(" ", "-")]
        parts += [f"{self.shape[0]}x{self.shape[1]}"] if self.shape else []
        parts += ["trained"] if self.trained else []
        return "--".join([*parts, "fp16" if self.half else "fp32"]) + ".onnx"


def fix_shape(path: str | Path, out: str | Path, batch: int, frames: int) -> Path:
    """Write a copy of a vocoder's file that takes one shape only; returns `out`.

    With numbers in place of names all arithmetic on lengths is done now, by onnxsim, and TensorRT
    need not plan for other lengths. Raises OnnxError for frames or batch below 1.
    """
    if batch < 1 or frames < 1:
        raise files.OnnxError(f"batch {batch}, {frames} frames: both must be 1 or more")
    model = files.read(path)
    (source,), (sink,) = model.graph.input, model.graph.output
    bands, samples = files.dimensions(source)[1], files.dimensions(sink)[2]
    hop = int(str(samples).partition("*")[0])  # export calls it "256*frames"
    mend.name_dimensions(source, (batch, bands, frames))
    mend.name_dimensions(sink, (batch, 1, hop * frames))
    if files.shape_arithmetic(model):
        notes = files.metadata(model)
        model = mend.simplified(model)
        mend.clean(model)
        files.set_metadata(model, notes)
    return files.write(model, out)


def make(spec: GraphSpec, folder: str | Path) -> Path:
    """Write the file of `spec` into a folder, unless it is there already; returns its path.

    Raises ValueError for an unknown vocoder or form, OnnxError where the export fails.
    """
    folder = Path(folder)
    path = folder / spec.file
    if path.is_file():
        return path
    if spec.shape:
        source = make(GraphSpec(spec.vocoder, spec.form, spec.half, None, spec.trained), folder)
        return fix_shape(source, path, *spec.shape)
    if spec.half:
        source = make(GraphSpec(spec.vocoder, spec.form, False, None, spec.trained), folder)
        return onnx_export.to_fp16(source, path)
    model = vocoders.load(spec.vocoder) if spec.trained else vocoders.create(spec.vocoder)
    # The older exporter: several times as fast, and it takes the reshapes of every form.
    onnx_export.export(rewrite(model, spec.form), path, exporter="legacy")
    return path


class Graphs:
    """Files made by one other process while this one measures; a context manager.

    `ask` starts a file and returns at once, `get` waits for it. The files of earlier runs in the
    folder are taken as they are: use a folder for one version of the code.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        # Not a thread: it would hold Python's lock while kernels are launched and timed. Not a
        # fork: this process may have started CUDA.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(max_workers=1, mp_context=context)
        self._asked: dict[GraphSpec, Future[Path]] = {}

    def ask(self, spec: GraphSpec) -> Future[Path]:
        """Have this file made after those that were asked for before."""
        if spec not in self._asked:
            self._asked[spec] = self._pool.submit(make, spec, self.folder)
        return self._asked[spec]

    def get(self, spec: GraphSpec, seconds: float | None = None) -> Path:
        """Path of the file. Raises what `make` raised, TimeoutError after so many seconds."""
        asked = self.ask(spec)
        try:
            return asked.result(seconds)
        except TimeoutError:
            raise TimeoutError(f"{spec.file} was not exported within {seconds:.0f} s") from None

    def close(self) -> None:
        """Stop at once: what is half made has a temporary name."""
        workers = list((getattr(self._pool, "_processes", None) or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:  # Python would wait at its end for exports that nobody wants
            worker.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
