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

CPU_FEATURES = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")
"""Variables that keep torch from instructions which the processor has."""

_ENVIRONMENT = (*CPU_FEATURES, "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_DISTRIBUTIONS = ("pictwarden", "ray", "torch", "open_clip_torch", "openvino")
_CPUINFO = Path("/proc/cpuinfo")
_MATRIX_ISA = {"amx_bf16": "AMX bf16", "avx512_bf16": "AVX-512 bf16", "avx512f": "AVX-512", "avx2": "AVX2"}
"""By the kernel's names, the fastest first."""


def facts() -> dict[str, str]:
    """The machine, the versions and the commit, by name, for a record."""
    found = {
        "processor": (_values(_CPUINFO, "model name") or [platform.machine()])[0],
        "cores": str(cores()),
        "matrix instructions": matrix_isa((_values(_CPUINFO, "flags") or [""])[0]),
        "memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
    # As the kernel's driver names them: torch would take seconds to say the same.
    files = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    if gpus := [name for file in files for name in _values(file, "Model")]:
        found["gpu"] = ", ".join(gpus)
    for name in _DISTRIBUTIONS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    if limits := limits_of_the_cpu(os.environ):
        found["environment"] = limits
    return {**found, "busy before the run": f"{os.getloadavg()[0]:.1f} threads", "commit": _commit() or "not known"}


def describe(facts: Mapping[str, str]) -> str:
    """The facts in one line, without those that say whether others disturbed the run."""
    names = {"python": "Python", "ray": "Ray", "commit": "commit", "pictwarden": "Pictwarden"}
    told = [facts["processor"], f"{facts['cores']} cores", facts["matrix instructions"], facts["memory"]]
    told += [facts[name] for name in ("gpu", "environment") if name in facts]
    versions = ("python", "pictwarden", "ray", "torch", "openvino", "commit")
    return ", ".join([*told, *(f"{names.get(name, name)} {facts[name]}" for name in versions if name in facts)])


def has_amx() -> bool:
    """Whether this machine's processor multiplies bf16 by AMX."""
    return facts()["matrix instructions"] == _MATRIX_ISA["amx_bf16"]


def matrix_isa(flags: str) -> str:
    """The fastest instructions that a processor with the kernel's ``flags`` has for matrix products."""
    return next((told for name, told in _MATRIX_ISA.items() if name in flags.split()), "no AVX2")


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


def _values(file: Path, key: str) -> list[str]:
    """Of the lines ``key: value`` in one of the kernel's files; none where it is not there."""
    lines: list[str] = []
    with contextlib.suppress(OSError):
        lines = file.read_text("utf-8", errors="ignore").splitlines()
    return [line.partition(":")[2].strip() for line in lines if line.startswith(key)]


def _commit() -> str:
    """Of the source that runs, with ``-dirty`` behind it where files differ; empty outside a repository."""
    # Records of the same round, and prose, change nothing that is measured.
    command = ["git", "status", "--porcelain", "--untracked-files=no", "--", ":!benchmarks/results", ":!*.md"]
    with contextlib.suppress(OSError):
        head, changed = (
            subprocess.run(each, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False).stdout
            for each in (["git", "rev-parse", "--short=9", "HEAD"], command)
        )
        return head.strip() + ("-dirty" if changed.strip() else "")
    return ""
