"""Rows of the survey: how each part of a machine is found, and what to do where it is missing."""

import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace

from labutils.environment import machine
from labutils.environment.packages import (
    Package,
    package_folder,
    release_parts,
    tool,
    torch_cuda,
    version_of,
)

__all__ = ["HARDWARE", "TOOLS", "Capability", "gpu_names", "package_row"]

# Oldest driver for each major CUDA version (NVIDIA, "CUDA Compatibility", minor versions).
_OLDEST_DRIVER = {11: "450", 12: "525", 13: "580"}


@dataclass(frozen=True)
class Capability:
    """One row of the survey: a part, what was found, what needs it and what to do.

    `state` is "ok", "missing" or "too old"; `matters` is False where a missing part changes nothing
    on this machine, such as a GPU tool where there is no GPU.
    """

    name: str
    found: str | None
    needed_for: str
    fix: str = ""
    state: str = "ok"
    matters: bool = True
    is_package: bool = False


def gpu_names() -> list[str]:
    """One text a GPU. A torch that is loaded already is asked where nvidia-smi tells nothing."""
    listed = machine.gpus()
    if listed:
        return [
            gpu.name if gpu.memory_gb is None else f"{gpu.name}, {gpu.memory_gb:.0f} GiB"
            for gpu in listed
        ]
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return []


def _cpu(gpus: list[str]) -> Capability:
    count = machine.cores()
    found = f"{machine.cpu_name()}, {count} core{'s' if count != 1 else ''}"
    return Capability("CPU", found, "all notebooks")


def _memory(gpus: list[str]) -> Capability:
    size = machine.memory_gb()
    return Capability("memory", f"{size:.1f} GiB" if size else "not told", "all notebooks")


def _python(gpus: list[str]) -> Capability:
    old = sys.version_info < (3, 11)
    return Capability(
        "Python",
        platform.python_version(),
        "all notebooks",
        "install Python 3.11 or newer" if old else "",
        "too old" if old else "ok",
    )


def _gpu(gpus: list[str]) -> Capability:
    needed = "notebooks 02 to 13, 15, 16"
    if not gpus:
        return Capability(
            "GPU", None, needed, "nothing: recorded figures are shown", "missing", matters=False
        )
    found = gpus[0] if len(gpus) == 1 else f"{len(gpus)} GPUs: {'; '.join(sorted(set(gpus)))}"
    if machine.hidden_gpus():
        return Capability(
            "GPU", found, needed, "hidden from CUDA: `unset CUDA_VISIBLE_DEVICES`", "missing"
        )
    return Capability("GPU", found, needed)


def _driver(gpus: list[str]) -> Capability:
    listed = machine.gpus()
    needed = "every CUDA program"
    if not listed or listed[0].driver is None:
        fix = "install NVIDIA's driver, where there is a GPU"
        if shutil.which("nvidia-smi"):
            fix = "nvidia-smi is here but finds no GPU: run `nvidia-smi` and read its message"
        return Capability("driver", None, needed, fix, "missing", matters=bool(gpus))
    driver, newest = listed[0].driver, machine.driver_cuda()
    found = f"{driver} (up to CUDA {newest})" if newest else driver
    built_for = torch_cuda()
    oldest = _OLDEST_DRIVER.get(release_parts(built_for)[0]) if built_for else None
    if oldest and release_parts(driver) < release_parts(oldest):
        fix = f"torch is built for CUDA {built_for}: install driver {oldest} or newer"
        return Capability("driver", found, needed, fix, "too old")
    return Capability("driver", found, needed)


def _torch_cuda(gpus: list[str]) -> Capability:
    built_for, needed = torch_cuda(), "torch on the GPU"
    if built_for:
        return Capability("CUDA of torch", built_for, needed)
    release = (version_of("torch") or "2.13.0").split("+")[0]
    fix = (
        f"this torch is a CPU build: `pip install --force-reinstall torch=={release}` "
        "from an index with CUDA builds"
    )
    return Capability("CUDA of torch", None, needed, fix, "missing", matters=bool(gpus))


def _nvcc(gpus: list[str]) -> Capability:
    path, needed = tool("nvcc"), "notebook 12 (plugin); building pycuda"
    if path is None:
        fix = "install the CUDA Toolkit, or `conda install -c conda-forge cuda-nvcc`"
        return Capability("nvcc", None, needed, fix, "missing", matters=bool(gpus))
    try:
        text = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=5, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return Capability("nvcc", None, needed, f"{path} does not run: {error}", "missing")
    version = re.search(r"release ([\d.]+)", text)
    return Capability("nvcc", version.group(1) if version else str(path), needed)


def _trtexec(gpus: list[str]) -> Capability:
    path, needed = tool("trtexec"), "notebook 05"
    if path:
        return Capability("trtexec", str(path), needed)
    fix = (
        "in no pip wheel: `apt install libnvinfer-bin`, or NVIDIA's tar archive; "
        "`python -m labutils.trt.trtexec` stands in for it"
    )
    return Capability("trtexec", None, needed, fix, "missing", matters=False)


def _compiler(gpus: list[str]) -> Capability:
    needed = "notebook 03 (torch.compile); building pesq, pycuda"
    for name in filter(None, [os.environ.get("CXX"), "c++", "g++", "clang++", "cl"]):
        if shutil.which(name):
            return Capability("C++ compiler", name, needed)
    fix = "Debian, Ubuntu: `apt install g++`; macOS: `xcode-select --install`"
    return Capability("C++ compiler", None, needed, fix, "missing")


def package_row(facts: Package, gpus: list[str]) -> Capability:
    found = version_of(facts.module)
    row = Capability(facts.name, found, facts.needed_for, is_package=True)
    fix = f"`{facts.install}`" + (f" ({facts.note})" if facts.note else "")
    if found is None:
        return replace(row, fix=fix, state="missing", matters=bool(gpus) or not facts.gpu_only)
    if facts.minimum and release_parts(found) < release_parts(facts.minimum):
        fix = f"{facts.minimum} or newer is needed: `{facts.install} --upgrade`"
        return replace(row, fix=fix, state="too old")
    if facts.module == "onnxruntime":
        return replace(row, found=f"{found} ({', '.join(_onnxruntime_providers())})")
    return row


def _onnxruntime_providers() -> list[str]:
    """Execution providers, told by the shared libraries that lie in the package (no import)."""
    folder = package_folder("onnxruntime")
    names = (
        [path.name for path in (folder / "capi").glob("*onnxruntime_providers_*")] if folder else []
    )
    listed = [
        label
        for key, label in (("cuda", "CUDA"), ("tensorrt", "TensorRT"))
        if any(key in name for name in names)
    ]
    return ["CPU", *listed]


# Each is called with the GPUs' names and gives one row.
HARDWARE = (_cpu, _memory, _python, _gpu, _driver, _torch_cuda)
TOOLS = (_nvcc, _trtexec, _compiler)
