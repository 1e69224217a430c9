"""What a figure was measured on and with: no figure is worth anything without it."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import psutil

_DISTRIBUTIONS = ("pictwarden", "ray", "torch", "open_clip_torch", "openvino")

CPU_FEATURES = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")
"""Variables that keep torch from instructions which the processor has."""

_ENVIRONMENT = (*CPU_FEATURES, "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def describe() -> str:
    """Processor, cores that this process may use, and Python, in one line."""
    return f"{_processor()}, {cores()} cores, {platform.system()}, Python {platform.python_version()}"


def facts() -> dict[str, str]:
    """The same and more, by name, for a report."""
    return {
        "processor": _processor(),
        "cores": str(cores()),
        "memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        "gpu": ", ".join(_gpus()) or "none",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **_versions(),
        "environment": limits_of_the_cpu(os.environ) or f"sets none of {', '.join(_ENVIRONMENT)}",
        "busy before the run": f"{os.getloadavg()[0]:.1f} runnable threads, on average over a minute",
        "commit": _commit() or "not known",
    }


def limits_of_the_cpu(environment: Mapping[str, str]) -> str:
    """The variables in ``environment`` that make the same processor slower or faster; empty if there are none."""
    return ", ".join(f"{name}={environment[name]}" for name in _ENVIRONMENT if name in environment)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def busy_s() -> float:
    """Processor time that everybody on this machine has used since its start, and that other machines took from it."""
    times = psutil.cpu_times()
    # Guests are counted in user and nice already.
    idle_s = times.idle + getattr(times, "iowait", 0.0) + getattr(times, "guest", 0.0)
    return float(sum(times) - idle_s - getattr(times, "guest_nice", 0.0))


def _processor() -> str:
    names = _values(Path("/proc/cpuinfo"), "model name")
    return names[0] if names else platform.processor() or platform.machine()


def _gpus() -> list[str]:
    """As the kernel's driver names them: torch would take seconds to say the same."""
    files = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    return [name for file in files for name in _values(file, "Model")]


def _values(file: Path, key: str) -> list[str]:
    """Of the lines ``key: value`` in one of the kernel's files; none where it is not there."""
    try:
        lines = file.read_text("utf-8", errors="ignore").splitlines()
    except OSError:
        return []
    return [line.partition(":")[2].strip() for line in lines if line.startswith(key)]


def _versions() -> dict[str, str]:
    found = {}
    for name in _DISTRIBUTIONS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _commit() -> str:
    """Of the source that runs, with ``-dirty`` behind it where files differ; empty outside a repository."""
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    with contextlib.suppress(OSError):
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
        return done.stdout.strip()
    return ""
