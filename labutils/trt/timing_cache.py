"""What kernels took on this GPU, kept between builds: a second build takes seconds, not minutes.

The file is TensorRT's timing cache in a sealed container, so that damage shows before TensorRT
reads it. It belongs to one version of TensorRT and one GPU.

The real trtexec keeps the bytes as TensorRT gives them, without a seal, and can read no other file.
One that it wrote is taken as it is and stays so. What such bytes are worth TensorRT alone can tell:
it refuses those of another version or GPU. trtexec knows nothing of the lock of these files, so a
build here and one there should not end at the same moment.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labutils.locks import locked
from labutils.trt import versions
from labutils.trt.sealed import SealError, is_sealed, seal, unseal
from labutils.whole_file import whole_file

if TYPE_CHECKING:
    import tensorrt as trt

__all__ = ["TimingCache", "attach", "read", "start_raw", "write"]

_LOG = logging.getLogger("labutils.trt")
_BOUND_TO = ("tensorrt", "library", "gpu", "capability")
_WHOLE = seal({}, b"")


def read(path: Path, machine: Mapping[str, Any]) -> bytes:
    """The timing cache in a file; nothing, with a warning, where it can not be used here.

    That is: damaged, or of another GPU or version than `machine` (`versions.machine_facts`). Bytes
    without a seal, the real trtexec's, come as they are: TensorRT judges them.
    """
    return _read(path, machine)[0]


def _read(path: Path, machine: Mapping[str, Any]) -> tuple[bytes, bool | None]:
    """What `read` gives, and whether the file has no seal; None where there is no file."""
    try:
        data = path.read_bytes()
        if not _has_seal(data):
            return data, True
        facts, content = unseal(data)
    except FileNotFoundError:
        return b"", None
    except (SealError, OSError) as error:
        _LOG.warning("timing cache %s is not used: %s; this build starts anew", path.name, error)
        return b"", False
    other = [k for k in _BOUND_TO if facts.get("machine", {}).get(k) != machine.get(k)]
    if other:
        _LOG.warning(
            "timing cache %s is not used: it is of another machine (%s); this build starts anew",
            path.name,
            ", ".join(f"{k} {facts.get('machine', {}).get(k)}" for k in other),
        )
        return b"", False
    return content, False


def _has_seal(data: bytes) -> bool:
    """Whether a file was sealed; also where so little is left of it that its first word is cut."""
    return bool(data) and is_sealed(data + _WHOLE[len(data) :])


def write(path: Path, machine: Mapping[str, Any], content: bytes, *, raw: bool = False) -> None:
    """Write a timing cache of this machine; the file appears whole or not at all.

    `raw` leaves the seal out, for the real trtexec.
    """
    facts = {"kind": "timing cache", "machine": dict(machine)}
    with whole_file(path, durable=True) as temporary:
        temporary.write_bytes(content if raw else seal(facts, content))


def start_raw(path: Path) -> None:
    """Make an empty file where there is none: the next build fills it without a seal.

    The real trtexec reads an empty file as a cache in which nothing is yet. Does nothing where the
    file can not be made; saving will tell.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError:
        pass


class TimingCache:
    """The timing cache of one build. `entries_bytes` were read from its file."""

    def __init__(self, config: Any, path: Path, machine: Mapping[str, Any]) -> None:
        self.path, self.machine = path, machine
        self._config = config
        content, self._raw = _read(path, machine)
        if self._raw and not content:
            _LOG.info("timing cache %s is empty; this build fills it", path.name)
        self._cache = self._set(content)
        if self._cache is None and content:
            _LOG.warning(
                "timing cache %s is not used: TensorRT refuses it%s; this build starts anew",
                path.name,
                " (it is of another GPU or version, or no timing cache)" if self._raw else "",
            )
            content, self._cache = b"", self._set(b"")
        self.entries_bytes = len(content)

    def _set(self, content: bytes) -> Any:
        """TensorRT's cache made of these bytes and given to the build, or None."""
        config: trt.IBuilderConfig = self._config
        cache = config.create_timing_cache(content)
        fits = cache is not None and config.set_timing_cache(cache, False)
        return cache if fits else None

    def save(self) -> None:
        """Write it back, with what other processes have added to the file meanwhile.

        A file without a seal stays one. A file that can not be written is a warning: the engine is
        there.
        """
        config: trt.IBuilderConfig = self._config
        ours = config.get_timing_cache()
        if ours is None:
            return
        try:
            with locked(self.path.with_name(f".{self.path.name}.lock")):
                theirs, raw = _read(self.path, self.machine)
                other = config.create_timing_cache(theirs) if theirs else None
                if other is not None:
                    ours.combine(other, False)
                raw = bool(self._raw if raw is None else raw)
                write(self.path, self.machine, bytes(ours.serialize()), raw=raw)
        except OSError as error:
            _LOG.warning("timing cache %s was not saved: %s", self.path.name, error)


def attach(
    config: trt.IBuilderConfig, path: Path | None, machine: Mapping[str, Any] | None = None
) -> TimingCache | None:
    """Give a build the timing cache of a file, or a new one; `save` it after the build.

    None where no path is given: then TensorRT forgets its timings with the build.
    """
    if path is None:
        return None
    return TimingCache(config, path, machine or versions.machine_facts())
