"""Packages and tools that the workbook uses: what needs them, how to install them, what is here.

Versions are read from the installed metadata: nothing is imported, asking costs milliseconds.
"""

import importlib.metadata
import importlib.util
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "PACKAGES",
    "Package",
    "package",
    "package_folder",
    "release_parts",
    "tool",
    "torch_cuda",
    "version_of",
]

_BASE = "pip install -e ."
_GPU = 'pip install -e ".[gpu]"'


@dataclass(frozen=True)
class Package:
    """Facts about one package.

    `module` is what Python imports, `distributions` the names under which pip may know it;
    `needed_for`, `install` and `note` (what else the installation needs) are for the reader;
    `minimum` is the oldest version the code works with; `gpu_only` tells that it does nothing
    without an NVIDIA GPU.
    """

    module: str
    distributions: tuple[str, ...]
    needed_for: str
    install: str = _BASE
    note: str = ""
    minimum: str | None = None
    gpu_only: bool = False

    @property
    def name(self) -> str:
        return self.distributions[0]


PACKAGES = (
    Package("torch", ("torch",), "all notebooks", minimum="2.11"),
    Package("numpy", ("numpy",), "all notebooks", minimum="2.0"),
    Package("librosa", ("librosa",), "all notebooks (mel filters, pitch, Griffin-Lim)"),
    Package("soundfile", ("soundfile",), "all notebooks (sound files)"),
    Package("safetensors", ("safetensors",), "all notebooks (checkpoints)"),
    Package("matplotlib", ("matplotlib",), "all notebooks (pictures)"),
    Package("onnx", ("onnx",), "notebook 04 and later (export)"),
    Package(
        "onnxruntime",
        ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml"),
        "notebooks 04, 10, 11 (ONNX on the processor)",
    ),
    Package("onnxsim", ("onnxsim",), "notebook 04 (simplifying ONNX)"),
    Package("auraloss", ("auraloss",), "notebook 14 and training (spectral losses)"),
    Package("pystoi", ("pystoi",), "notebook 14 (intelligibility, STOI)"),
    Package(
        "pesq",
        ("pesq",),
        "notebooks 01, 14 (perceptual quality, PESQ)",
        install='pip install -e ".[pesq]"',
        note="pip compiles it: needs a C compiler",
    ),
    Package("anywidget", ("anywidget",), "notebook 14 (listening tests in the page)"),
    Package(
        "tensorrt",
        (
            "tensorrt", "tensorrt-cu13", "tensorrt-cu12", "tensorrt-cu13-bindings",
            "tensorrt-cu12-bindings", "tensorrt-bindings",
        ),
        "notebooks 05 to 13, 15, 16 (engines)",
        install=_GPU,
        minimum="8.6",
        gpu_only=True,
    ),
    Package(
        "pycuda",
        ("pycuda",),
        "notebook 06 (device memory, streams, events)",
        install=_GPU,
        note=(
            "pip compiles it with a C++ compiler and the CUDA headers; "
            "ready-made: `conda install -c conda-forge pycuda`"
        ),
        gpu_only=True,
    ),
    Package("torch_tensorrt", ("torch-tensorrt",), "notebook 09", install=_GPU, gpu_only=True),
    Package(
        "triton",
        ("triton", "triton-windows"),
        "notebooks 03, 12 (torch.compile, own kernels)",
        install=_GPU,
        note="comes with torch's CUDA build on Linux",
        gpu_only=True,
    ),
)  # fmt: skip


def package(module: str) -> Package:
    """Facts about the package that holds `module`; one outside the list gets `pip install`."""
    top = module.split(".")[0]
    for known in PACKAGES:
        if known.module == top:
            return known
    name = top.replace("_", "-")
    return Package(top, (name,), "this cell", install=f"pip install {name}")


def version_of(module: str) -> str | None:
    """Installed version of the package that holds `module`: "2.13.0+cpu"; None without it."""
    for name in package(module).distributions:
        try:
            return importlib.metadata.version(name)
        except (importlib.metadata.PackageNotFoundError, ValueError, OSError):
            continue
    return None


def release_parts(version: str) -> tuple[int, ...]:
    """The numbers of a version for comparing: "2.13.0+cpu" becomes (2, 13, 0)."""
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])


def package_folder(module: str) -> Path | None:
    """Folder of an installed package, found without importing it; None without it."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin).parent if spec and spec.origin else None


def torch_cuda() -> str | None:
    """CUDA version that the installed torch was built for; None for a CPU build or no torch."""
    folder = package_folder("torch")
    try:
        text = (folder / "version.py").read_text() if folder else ""
    except OSError:
        return None
    found = re.search(r"^cuda\b[^=\n]*=\s*[\"']([\d.]+)[\"']", text, re.M)
    return found.group(1) if found else None


def tool(name: str) -> Path | None:
    """Path of a command-line tool (nvcc, trtexec): on the PATH or where its installer puts it."""
    usual = {
        "nvcc": ["/usr/local/cuda/bin/nvcc"],
        "trtexec": ["/usr/src/tensorrt/bin/trtexec", "/opt/tensorrt/bin/trtexec"],
    }
    for candidate in [shutil.which(name), *usual.get(name, [])]:
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    return None
