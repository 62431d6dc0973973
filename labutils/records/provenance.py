"""Where a figure comes from: hardware, versions, clocks, date, commit, as data and as words."""

import ctypes
import datetime
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from labutils import ROOT, environment
from labutils.environment import machine
from labutils.environment.packages import package, version_of

__all__ = ["collect", "describe", "machine_name", "tensorrt_library"]

# Month of release, for captions that compare versions of different years. Sources: PyTorch's
# release blog and trackers, NVIDIA's TensorRT release notes and its releases on GitHub.
_RELEASED = {
    "torch": {"2.11": "2026-03", "2.12": "2026-05", "2.13": "2026-07", "2.14": "2026-09"},
    "tensorrt": {"8.6": "2023-05", "10.14": "2025-11", "11.0": "2026-06", "11.1": "2026-06"},
}
_WORDS = {"tensorrt": "TensorRT", "onnxruntime": "ONNX Runtime", "torch_tensorrt": "Torch-TensorRT"}
# Written down where a process has loaded them.
_NOTED = (
    "torch", "tensorrt", "torch_tensorrt", "pycuda", "triton", "onnx", "onnxruntime", "onnxsim",
    "numpy", "scipy", "librosa", "pesq", "pystoi", "auraloss",
)  # fmt: skip


def machine_name() -> str:
    """The GPU that torch uses, or the processor where there is none: the machine of a figure."""
    if environment.has("cuda"):
        return environment.require("torch").cuda.get_device_name()
    return machine.cpu_name()


def collect(
    *, needs: Iterable[str] = (), seconds: float | None = None, **notes: Any
) -> dict[str, Any]:
    """Plain data on this machine and process, to be stored beside what was just measured.

    `needs` are an experiment's needs; `seconds` its wall-clock time; `notes` what only the
    experiment knows, such as `tactic_sources`. Clocks are read right after the measurement.
    """
    cuda = environment.has("cuda")
    torch = sys.modules.get("torch")
    loaded = {name for name in _NOTED if name in sys.modules} | {
        need for need in needs if need in _NOTED
    }
    tactic_sources = notes.pop("tactic_sources", None)
    commit, dirty = _commit()
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine_name(),
        "gpu": _gpu() if cuda else None,
        "cuda": {"torch": torch.version.cuda, "driver": machine.driver_cuda()} if cuda else None,
        "tensorrt": {
            "bindings": version_of("tensorrt"),
            "libraries": tensorrt_library(),
            "tactic_sources": tactic_sources,
        }
        if "tensorrt" in loaded and version_of("tensorrt")
        else None,
        "packages": {name: version for name in sorted(loaded) if (version := version_of(name))},
        "python": platform.python_version(),
        "system": platform.system(),
        "cpu": {"name": machine.cpu_name(), "cores": machine.cores()},
        "threads": torch.get_num_threads() if torch is not None else None,
        "seconds": None if seconds is None else round(seconds, 2),
        "commit": commit,
        "dirty": dirty,
        "notes": notes,
    }


def describe(provenance: Mapping[str, Any], *, needs: Iterable[str] = (), full: bool = True) -> str:
    """Words for a caption: machine, versions, date, as in "NVIDIA H200, torch 2.11.0, 2026-11-20".

    Names the versions of torch and of the packages in `needs`; with `full`, their builds and the
    months of their release, too, since recorded figures may be years older than the reader's own.
    """
    parts = [str(provenance.get("machine") or "unknown machine")]
    gpu, cpu = provenance.get("gpu") or {}, provenance.get("cpu") or {}
    if gpu.get("count", 1) > 1:
        parts[0] = f"{gpu['count']} x {parts[0]}"
    if not gpu and cpu.get("cores"):
        parts[0] += f" ({cpu['cores']} core{'s' if cpu['cores'] != 1 else ''})"
    packages = provenance.get("packages") or {}
    for name in [*(need for need in needs if need != "torch"), "torch"]:
        version = packages.get(name)
        if version is None:
            continue
        month = _RELEASED.get(name, {}).get(".".join(version.split(".")[:2]))
        text = (
            f"{_WORDS.get(name, package(name).name)} {version if full else version.split('+')[0]}"
        )
        parts.append(f"{text} ({month})" if full and month else text)
    parts.append(str(provenance.get("date") or "no date")[:10])
    return ", ".join(parts)


def tensorrt_library() -> str | None:
    """Version of the TensorRT library in this process ("8.6.0"); it may differ from the bindings'.

    None where none is loaded (or not on Linux, where loaded libraries can not be listed like this).
    """
    try:
        found = re.search(
            r"\s(/\S*libnvinfer\.so[\d.]*)$", Path("/proc/self/maps").read_text(), re.M
        )
        number = ctypes.CDLL(found.group(1)).getInferLibVersion() if found else 0
    except (OSError, AttributeError):
        return None
    # NV_TENSORRT_VERSION: major * 1000 + minor * 100 + patch until 9, major * 10000 from 10 on.
    unit = 1000 if number < 10_000 else 10_000
    return f"{number // unit}.{number % unit // 100}.{number % 100}" if number else None


def _gpu() -> dict[str, Any]:
    """The first GPU and how many of them; clocks in MHz where nvidia-smi tells them."""
    cuda = environment.require("torch").cuda
    known: dict[str, Any] = {
        "name": cuda.get_device_name(),
        "count": cuda.device_count(),
        "memory_gb": round(cuda.get_device_properties(0).total_memory / 2**30, 1),
        "capability": ".".join(str(part) for part in cuda.get_device_capability()),
        "driver": None,
        "clocks": None,
    }
    for gpu in machine.gpus()[:1]:
        known["driver"] = gpu.driver
        known["clocks"] = {
            "sm": gpu.sm_clock,
            "memory": gpu.memory_clock,
            "max_sm": gpu.max_sm_clock,
            "max_memory": gpu.max_memory_clock,
            "power_limit_w": gpu.power_limit_w,
        }
    return known


def _commit() -> tuple[str | None, bool | None]:
    """Commit of the checkout and whether tracked files differ from it.

    LABUTILS_COMMIT tells it where the code runs in a copy without its history.
    """

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=10
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD") if (ROOT / ".git").exists() else None
    if commit is None:
        return os.environ.get("LABUTILS_COMMIT") or None, None
    status = git("status", "--porcelain", "--untracked-files=no")
    return commit, None if status is None else bool(status)
