"""What this machine can do: a survey with a fix for each missing part, `require` and `has`."""

import importlib
import platform
import re
from dataclasses import dataclass
from types import ModuleType

from labutils import tables
from labutils.environment import machine
from labutils.environment.capabilities import Capability
from labutils.environment.overview import Survey, survey
from labutils.environment.packages import Package, package, tool, version_of

__all__ = [
    "BrokenPackage",
    "Capability",
    "MissingPackage",
    "Survey",
    "Versions",
    "check_need",
    "device",
    "has",
    "require",
    "survey",
    "tool",
    "versions",
]

_GPU_COUNT = re.compile(r"(\d+) gpus?")


class MissingPackage(ImportError):
    """An optional package is not installed; the text names it, what needs it and the command."""


class BrokenPackage(MissingPackage):
    """A package is installed but its import fails; the text carries the original error's text."""


def require(module: str) -> ModuleType:
    """Import and return a module of an optional package, such as "tensorrt" or "pycuda.driver".

    Raises MissingPackage with one line (what is missing, what needs it, the command to install it),
    or BrokenPackage where the package is there but does not import.
    """
    facts = package(module)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        top = module.split(".")[0]
        if error.name in {top, module} and version_of(top) is None:
            note = f" ({facts.note})" if facts.note else ""
            raise MissingPackage(
                f"{facts.name} is not installed; needed for {facts.needed_for}. Install it with: "
                f"{facts.install}{note}",
                name=module,
            ) from None
        raise _broken(facts, module, error) from error
    except Exception as error:
        # A missing shared library is an OSError, a build for another version may be anything.
        raise _broken(facts, module, error) from error


def _broken(facts: Package, module: str, error: Exception) -> BrokenPackage:
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return BrokenPackage(
        f"{facts.name} {version_of(module) or ''} is installed but can not be imported ({reason}); "
        f"install it again: {facts.install} --force-reinstall".replace("  ", " "),
        name=module,
    )


def check_need(need: str) -> None:
    """Raise ValueError for a text that `has` can not understand; looks for nothing."""
    if not _GPU_COUNT.fullmatch(need) and not all(p.isidentifier() for p in need.split(".")):
        raise ValueError(
            f'"{need}" is not a need: expected "cuda", "2 gpus", "nvcc", "trtexec" or a module name'
        )


def has(need: str) -> bool:
    """Whether this machine meets a need. Never raises for a need that is merely not met.

    `need` is "cuda" (a GPU that torch can use), "2 gpus" (that many), "nvcc", "trtexec", or the
    name of a module; modules that drive a GPU ("tensorrt", "pycuda", "torch_tensorrt", "triton")
    count only where "cuda" is met, too. Raises ValueError for a text that is none of these.
    """
    check_need(need)
    count = _GPU_COUNT.fullmatch(need)
    if need == "cuda" or count:
        try:
            cuda = require("torch").cuda
            return cuda.is_available() and cuda.device_count() >= int(
                count.group(1) if count else 1
            )
        except (MissingPackage, RuntimeError):
            return False
    if need in {"nvcc", "trtexec"}:
        return tool(need) is not None
    if package(need).gpu_only and not has("cuda"):
        return False
    try:
        require(need)
    except MissingPackage:
        return False
    return True


def device() -> str:
    """ "cuda" where torch can use a GPU, otherwise "cpu"."""
    return "cuda" if has("cuda") else "cpu"


@dataclass(frozen=True)
class Versions:
    """Versions of packages and the machine, as one line for the top of a notebook."""

    entries: tuple[tuple[str, str | None], ...]
    machine: str

    def __repr__(self) -> str:
        parts = [f"{name} {version or 'missing'}" for name, version in self.entries]
        return ", ".join([*parts, self.machine])

    def _repr_html_(self) -> str:
        parts = [
            f"{name} <strong>{version}</strong>" if version else f"{name} {tables.badge('missing')}"
            for name, version in self.entries
        ]
        return (
            '<div style="opacity: 0.85; margin: 4px 0">'
            f"{' &middot; '.join([*parts, tables.code(self.machine)])}</div>"
        )


def versions(*packages: str) -> Versions:
    """Versions of the named packages (by default torch and numpy), of Python, and the machine."""
    named = packages or ("torch", "numpy")
    found = [(package(name).name, version_of(name)) for name in named]
    if has("cuda"):
        where = f"running on {require('torch').cuda.get_device_name()}"
    else:
        where = f"running on {machine.cpu_name()} ({machine.cores()} cores), no NVIDIA GPU in use"
    return Versions((("Python", platform.python_version()), *found), where)
