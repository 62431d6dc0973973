"""What the hardware is: processor, memory, NVIDIA GPUs and what nvidia-smi tells about them."""

import functools
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Gpu",
    "cores",
    "cpu_name",
    "driver_cuda",
    "gpus",
    "hidden_gpus",
    "memory_gb",
    "nvidia_smi",
    "slug",
]


@dataclass(frozen=True)
class Gpu:
    """One GPU as nvidia-smi lists it; `memory_gb` is in GiB, clocks in MHz, `power_limit_w` in W.

    The clocks are those of the moment of asking; what the driver does not tell is None.
    """

    name: str
    driver: str | None = None
    memory_gb: float | None = None
    sm_clock: float | None = None
    memory_clock: float | None = None
    max_sm_clock: float | None = None
    max_memory_clock: float | None = None
    power_limit_w: float | None = None


def _output(*command: str, timeout: float = 5.0) -> str:
    """What a command printed, or an empty text where it is missing, fails or hangs."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, errors="replace", check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


@functools.cache
def cpu_name() -> str:
    """Name of the processor, without trade marks and clock: "Intel Xeon Platinum 8370C"."""
    name = ""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
        name = found.group(1) if found else ""
    except OSError:
        if platform.system() == "Darwin":
            name = _output("sysctl", "-n", "machdep.cpu.brand_string")
    name = name.strip() or platform.processor() or platform.machine() or "unknown CPU"
    name = re.sub(r"\((R|TM|C)\)", "", name, flags=re.I)
    name = re.sub(r"\s+@.*$|\b(CPU|Processor)\b|\b\d+-Core\b", "", name)
    return re.sub(r"\s+", " ", name).strip()


def cores() -> int:
    """Number of processor cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def memory_gb() -> float | None:
    """Main memory in GiB; None where the system does not tell (Windows)."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, ValueError, OSError):
        return None


def nvidia_smi(*fields: str) -> list[dict[str, str | None]]:
    """Answers of `nvidia-smi --query-gpu` for each GPU; a field that it cannot tell is None.

    The list is empty without an NVIDIA driver. Never raises.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    text = _output(program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits")
    rows = [
        [part.strip() for part in line.split(",")] for line in text.splitlines() if line.strip()
    ]
    return [
        {
            field: None if re.fullmatch(r"\[.*\]|N/A|", value) else value
            for field, value in zip(fields, row, strict=True)
        }
        for row in rows
        if len(row) == len(fields)
    ]


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def gpus() -> list[Gpu]:
    """The NVIDIA GPUs that the driver lists, whether or not torch can use them."""
    fields = (
        "name", "driver_version", "memory.total", "clocks.sm", "clocks.mem",
        "clocks.max.sm", "clocks.max.mem", "power.limit",
    )  # fmt: skip
    found = []
    for row in nvidia_smi(*fields):
        mebibytes = _number(row["memory.total"])
        found.append(
            Gpu(
                name=row["name"] or "NVIDIA GPU",
                driver=row["driver_version"],
                memory_gb=None if mebibytes is None else mebibytes / 1024,
                sm_clock=_number(row["clocks.sm"]),
                memory_clock=_number(row["clocks.mem"]),
                max_sm_clock=_number(row["clocks.max.sm"]),
                max_memory_clock=_number(row["clocks.max.mem"]),
                power_limit_w=_number(row["power.limit"]),
            )
        )
    return found


def hidden_gpus() -> bool:
    """True where the variable CUDA_VISIBLE_DEVICES hides every GPU from CUDA programs."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in {"", "-1", "none"}


def driver_cuda() -> str | None:
    """Newest CUDA version that the installed driver can run, such as "13.0"; None if unknown."""
    program = shutil.which("nvidia-smi")
    found = re.search(r"CUDA (?:UMD )?Version:\s*(\d+\.\d+)", _output(program)) if program else None
    return found.group(1) if found else None


def slug(name: str) -> str:
    """A machine's name as part of a file name: "NVIDIA H200" becomes "nvidia-h200"."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unknown"
