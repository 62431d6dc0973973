"""The engines that are held against the baseline: what each is, and which come first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from labutils.engines.graphs import GraphSpec
from labutils.engines.rewrites import AS_IT_IS, FORMS
from labutils.trt import BuildOptions, Profile

__all__ = [
    "MINIMUM_SNR",
    "PLAIN",
    "Candidate",
    "Step",
    "best_engine",
    "best_so_far",
    "facts",
    "plan",
]

MINIMUM_SNR = 40.0  # dB, as of the baseline
_GAIN = 0.995  # times the best: less is noise, and the simpler candidate stays


@dataclass(frozen=True)
class Candidate:
    """One engine for one batch. `form` as in `rewrites`; `half`: the ONNX graph is FP16.

    `permit` are types that TensorRT 8.6 may use beyond the graph's, `own_tactics` its edge mask and
    JIT convolutions, `streams` how many more streams branches may run on (None: as TensorRT likes),
    `fixed`: the graph has numbers for dimensions, `pad_to`: frames are padded to a multiple,
    `ends_fp32`: types by layer, the first and last convolution FP32.
    """

    batch: int = 1
    form: str = AS_IT_IS
    half: bool = True
    tf32: bool = False
    level: int = 3
    permit: tuple[str, ...] = ()
    own_tactics: bool = False
    streams: int | None = None
    fixed: bool = True
    pad_to: int = 1
    ends_fp32: bool = False

    @property
    def name(self) -> str:
        """As in "TensorRT FP16, image, level 4"; the batch is not in it."""
        precision = "FP16" if self.half else "TF32" if self.tf32 else "FP32"
        parts = ["FP16 allowed" if "float16" in self.permit else precision]
        parts += [self.form] if self.form != AS_IT_IS else []
        parts += [f"level {self.level}"] if self.level != 3 else []
        parts += ["own tactics"] if self.own_tactics else []
        parts += [f"{self.streams} more streams"] if self.streams is not None else []
        parts += ["named dimensions"] if not self.fixed else []
        parts += [f"padded to {self.pad_to}"] if self.pad_to > 1 else []
        parts += ["ends FP32"] if self.ends_fp32 else []
        return f"TensorRT {', '.join(parts)}"

    @property
    def dtype(self) -> str:
        """The ceiling that it is held against, by `roofline`'s names."""
        return "float16" if self.half or self.permit else "tf32" if self.tf32 else "float32"

    def frames(self, frames: int) -> int:
        """What the engine takes for so many frames."""
        return -(-frames // self.pad_to) * self.pad_to

    def graph(self, vocoder: str, frames: int) -> GraphSpec:
        shape = (self.batch, self.frames(frames)) if self.fixed else None
        return GraphSpec(vocoder, self.form, self.half, shape)

    def options(self, frames: int, **more: Any) -> BuildOptions:
        """Options of the build for so many frames; `more` are further fields of BuildOptions."""
        if self.streams is not None:
            more["aux_streams"] = self.streams
        return BuildOptions(
            profiles=(Profile.fixed(self.frames(frames), self.batch),),
            tf32=self.tf32,
            optimization_level=self.level,
            permit=self.permit,
            own_tactics=self.own_tactics,
            **more,
        )


PLAIN = Candidate()


@dataclass(frozen=True)
class Step:
    """A candidate to come. With `on_best` it changes the fastest so far, else the plain one.

    `change` is a mapping of settings, or a function of the candidate that gives one, or None where
    it does not fit. `tried` marks what may help or not, beside what is asked of every vocoder.
    """

    change: Mapping[str, Any] | Callable[[Candidate], Mapping[str, Any] | None]
    on_best: bool = False
    tried: bool = True

    def candidate(self, best: Candidate) -> Candidate | None:
        start = best if self.on_best else PLAIN
        change = self.change(start) if callable(self.change) else self.change
        return None if change is None else replace(start, **{"batch": 1, **change})


def plan(family: str, *, weak: bool) -> list[Step]:
    """The steps for a family ("melgan", "hifigan", "bigvgan"), the most important ones first.

    `weak`: TensorRT chooses types itself (8.6), so that types can be allowed and set by layer.
    """
    of_bigvgan = [
        Step({"form": "image, snakes in blocks"}),
        Step({"form": "image, snakes in phases"}),
    ]
    of_weak = [  # the same library, other kernels; and another way to say FP16
        Step({"own_tactics": True}, on_best=True),
        Step({"half": False, "permit": ("float16",)}, on_best=True),
    ]
    by_layer = Step({"half": False, "permit": ("float16",), "ends_fp32": True}, on_best=True)
    return [
        Step({}, tried=False),
        Step({"form": "image"}),
        *(of_bigvgan if family == "bigvgan" else []),
        Step({"half": False}, tried=False),
        Step({"half": False, "tf32": True}, tried=False),
        Step({"batch": 8}, tried=False),
        Step({"half": False, "batch": 8}, tried=False),
        Step({"half": False, "tf32": True, "batch": 8}, tried=False),
        Step(_with_polyphase, on_best=True),
        *(of_weak if weak else []),
        Step({"batch": 8}, on_best=True),
        Step({"level": 4}, on_best=True),
        Step({"streams": 2}, on_best=True),
        Step({"level": 5}, on_best=True),  # the longest build by far
        *([by_layer] if weak else []),
        Step({"fixed": False}),
        Step({"streams": 0}, on_best=True),
        Step({"pad_to": 32}, on_best=True),
        Step({"form": "polyphase"}),
        Step({"batch": 8}, on_best=True),
    ]


def _with_polyphase(candidate: Candidate) -> dict[str, Any] | None:
    first, _, snakes = candidate.form.partition(", ")
    parts = ["polyphase"] if first == AS_IT_IS else [first, "polyphase", snakes]
    form = ", ".join(part for part in parts if part)
    return {"form": form} if form in FORMS else None


def facts(candidate: Candidate) -> dict[str, Any]:
    """What a row says of its candidate, as plain data."""
    return {
        "form": candidate.form,
        "level": candidate.level,
        "precision": "FP16" if candidate.half or candidate.permit
        else "TF32" if candidate.tf32 else "FP32",
    }  # fmt: skip


def best_so_far(
    done: Sequence[tuple[Candidate, Mapping[str, Any]]], *, minimum_snr: float = MINIMUM_SNR
) -> Candidate:
    """The fastest FP16 candidate of batch 1 that keeps the quality; the plain one where none does.

    Padding and named dimensions are left out: they are questions about inputs.
    """
    best, fastest = PLAIN, float("inf")
    for candidate, row in done:
        snr = row.get("snr_db")
        if (
            candidate.batch == 1
            and candidate.dtype == "float16"
            and candidate.pad_to == 1
            and candidate.fixed
            and row.get("median_ms") is not None
            and snr is not None
            and snr >= minimum_snr
            and row["median_ms"] < _GAIN * fastest
        ):
            best, fastest = candidate, row["median_ms"]
    return best


def best_engine(
    rows: Sequence[Mapping[str, Any]], batch: int = 1, *, minimum_snr: float = MINIMUM_SNR
) -> dict[str, Any]:
    """The row of the fastest engine of a batch that keeps the quality; {} where there is none."""
    good = [
        dict(row)
        for row in rows
        if row.get("backend") == "tensorrt"
        and row["batch"] == batch
        and row.get("median_ms") is not None
        and (row["snr_db"] is None or row["snr_db"] >= minimum_snr)
    ]
    return min(good, key=lambda row: row["median_ms"], default={})
