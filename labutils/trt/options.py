"""What can be asked of a build: BuildOptions, and the words of its errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labutils.trt.profiles import Profile

__all__ = ["PRECISIONS", "BuildError", "BuildOptions"]

PRECISIONS = ("float32", "float16", "int8")


class BuildError(RuntimeError):
    """An engine that could not be built; the text names the node or quotes TensorRT's error."""


@dataclass(frozen=True)
class BuildOptions:
    """How an engine is built. Its precision is not here: it stands in the ONNX graph.

    `profiles`: the shapes it takes, one Profile or several. `tf32`: whether float32 convolutions
    may use TF32. `workspace_mb`: scratch memory of one layer in MiB at the most, None for all the
    GPU has. `optimization_level`: 0 builds fastest, 5 searches longest. `timing_cache`: a file that
    keeps what kernels took, so that the next build is faster. `sparse`: permits kernels for 2:4
    sparse weights. `detailed`: the engine tells about its layers (names, kernels, types).
    `aux_streams`: on how many streams besides the caller's branches may run at once; None leaves it
    to TensorRT, 0 forbids it.

    TensorRT 8.6 only, refused by later versions, which take types from the graph alone:
    `layer_precisions` gives layers by name or pattern a type ({"conv_post*": "float32"}; later
    patterns win), `permit` allows types beyond the graph's ("float16", "int8"), as the flags of
    trtexec do. `own_tactics`, without effect on later versions, which do it by themselves: also
    tries TensorRT's edge mask and JIT convolutions.

    Raises ValueError for what is out of range.
    """

    profiles: tuple[Profile, ...]
    tf32: bool = False
    workspace_mb: int | None = 2048
    optimization_level: int = 3
    timing_cache: Path | None = None
    sparse: bool = False
    detailed: bool = True
    aux_streams: int | None = None
    layer_precisions: Mapping[str, str] = field(default_factory=dict, hash=False)
    permit: tuple[str, ...] = ()
    own_tactics: bool = False

    def __post_init__(self) -> None:
        profiles = (self.profiles,) if isinstance(self.profiles, Profile) else self.profiles
        self._set("profiles", tuple(profiles))
        self._set("permit", (self.permit,) if isinstance(self.permit, str) else tuple(self.permit))
        self._set("layer_precisions", dict(self.layer_precisions))
        if self.timing_cache is not None:
            self._set("timing_cache", Path(self.timing_cache))
        for profile in self.profiles:
            if not isinstance(profile, Profile):
                raise ValueError(f"profiles: expected Profile, got {profile!r}")
        level, space = self.optimization_level, self.workspace_mb
        if isinstance(level, bool) or not isinstance(level, int) or not 0 <= level <= 5:
            raise ValueError(f"optimization_level: 0 to 5, not {level!r}")
        if space is not None and (
            isinstance(space, bool) or not isinstance(space, int) or space < 1
        ):
            raise ValueError(f"workspace_mb: 1 MiB or more, or None, not {space!r}")
        streams = self.aux_streams
        if streams is not None and (
            isinstance(streams, bool) or not isinstance(streams, int) or streams < 0
        ):
            raise ValueError(f"aux_streams: 0 or more, or None, not {streams!r}")
        for name in (*self.layer_precisions.values(), *self.permit):
            if name not in PRECISIONS:
                raise ValueError(f"precision {name!r} is not one of {', '.join(PRECISIONS)}")

    def facts(self) -> dict[str, Any]:
        """All that changes the engine, as plain data; the timing cache only changes build time."""
        return {
            "profiles": [{"frames": list(p.frames), "batch": list(p.batch)} for p in self.profiles],
            "tf32": self.tf32,
            "workspace_mb": self.workspace_mb,
            "optimization_level": self.optimization_level,
            "sparse": self.sparse,
            "detailed": self.detailed,
            "aux_streams": self.aux_streams,
            # Pairs, not an object: of two patterns that fit a layer the later one holds.
            "layer_precisions": [list(pair) for pair in self.layer_precisions.items()],
            "permit": sorted(set(self.permit)),
            "own_tactics": self.own_tactics,
        }

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
