"""The processes of a local service: which they are, their memory, and the processor time of each stage."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar
from urllib.parse import urlsplit

import psutil

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

REPLICA = "ray::ServeReplica:pictwarden:"

FRONT_END, DECODE_WORKERS, RAY, REST = "front end (HAProxy)", "decode workers", "Ray's own processes", "rest"
HTTP = "HTTP and moderation"
_DEPLOYMENTS = {"Ingress": "ingress", "Preprocessor": "preprocessor", "ClipScorer": "scorer"}
_RAY_PROGRAMS = ("raylet", "gcs_server")

_THREADS = ("device", "staging")
"""The stages of one process that have threads of their own, by the names that the service gives them."""

# Reading the page tables of a gigabyte takes milliseconds, on the cores that are measured.
_SAMPLE_EVERY_S = 5.0


def measured_apart(
    measure: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Result:
    """What ``measure``, a function of a module, returns or raises in a new process, with nothing loaded before."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(measure, *arguments, **named).result()


def service_root(url: str) -> psutil.Process | None:
    """The `make run` above whoever listens on the port of ``url``, else that process; None if it cannot be seen."""
    port = urlsplit(url).port
    with contextlib.suppress(psutil.Error):
        listeners = (
            each.pid
            for each in psutil.net_connections("tcp")
            if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port and each.pid
        )
        if pid := next(listeners, None):
            process = psutil.Process(pid)
            return next((each for each in process.parents() if "deployments.run" in title_of(each)), process)
    return None


def tree(root: psutil.Process) -> list[psutil.Process]:
    """``root`` and its descendants, ancestors first; nothing if it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [root, *root.children(recursive=True)]
    return []


def replicas(deployment: str, among: list[psutil.Process]) -> list[psutil.Process]:
    """The replicas of a deployment (empty: of all) ``among`` some processes."""
    return [each for each in among if title_of(each).startswith(REPLICA + deployment)]


def command_of(process: psutil.Process) -> list[str]:
    """Its command line; empty if it has ended."""
    with contextlib.suppress(psutil.Error):
        return list(process.cmdline())
    return []


def title_of(process: psutil.Process) -> str:
    """Its command line, which Ray replaces by a title; empty if it has ended."""
    return " ".join(command_of(process))


def scorer_environment(root: psutil.Process | None) -> Mapping[str, str]:
    """The environment that the model computes in; empty where it cannot be seen. It holds secrets."""
    if root is not None:
        with contextlib.suppress(psutil.Error):
            return next(iter(replicas("ClipScorer", tree(root))), root).environ()
    return {}


def memory_bytes(root: psutil.Process) -> int:
    """Proportional set size of the whole tree: pages that processes share count once."""
    total = 0
    for process in tree(root):
        with contextlib.suppress(psutil.Error):
            total += pss_bytes(process)
    return total


def pss_bytes(process: psutil.Process | None = None) -> int:
    """Proportional set size of one process, by default this one; as much as is resident where Linux does not say."""
    memory = (process or psutil.Process()).memory_full_info()
    return int(getattr(memory, "pss", memory.rss))


def peak_bytes(process: int | str = "self") -> int:
    """The most resident memory that a process has had (VmHWM, proc(5))."""
    lines = Path(f"/proc/{process}/status").read_text("ascii").splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))


def reset_peak(process: int | str = "self") -> None:
    """Have :func:`peak_bytes` begin anew with the memory that is held now (proc(5))."""
    Path(f"/proc/{process}/clear_refs").write_text("5", "ascii")


def cpu_s(process: psutil.Process) -> float:
    """Processor time that a process has used, without its children; 0 if it has ended."""
    with contextlib.suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def cpu_by_stage_s(root: psutil.Process) -> dict[str, float]:
    """Processor time by stage: on Ray by role, in one process by the name of its threads, and its decode workers."""
    processes = tree(root)
    is_ray = any(title_of(each).startswith("ray::") for each in processes)
    stages: dict[int, str] = {}
    used: dict[str, float] = defaultdict(float)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if process == root and not is_ray:
                stages[process.pid] = DECODE_WORKERS  # of its children
                used |= _cpu_by_thread_s(process)
                continue
            parent = stages.get(process.ppid(), REST)
            stage = stages[process.pid] = stage_of(process.name(), title_of(process), parent)
            used[stage] += cpu_s(process)
    return used


def stage_of(program: str, title: str, parent: str) -> str:
    """The stage that a process works for, by its program's name, its title and its parent's stage."""
    if program == "haproxy" or "deployments.haproxy" in title:
        return FRONT_END
    if title.startswith(REPLICA):
        # Behind the name stands the method that runs, or nothing, or the room of a longer title.
        return next((stage for name, stage in _DEPLOYMENTS.items() if title.startswith(REPLICA + name)), REST)
    if title.startswith("ray::") or program in _RAY_PROGRAMS or "/ray/" in title:
        return RAY
    return DECODE_WORKERS if parent == _DEPLOYMENTS["Preprocessor"] else parent


async def with_memory(root: psutil.Process | None, loading: Awaitable[Result]) -> tuple[Result, list[int]]:
    """What ``loading`` gives, and a service's memory before, meanwhile and after; none where it cannot be seen."""
    if root is None:
        return await loading, []
    # In a thread: the load is made on this loop, and must not wait.
    sizes_bytes = [await asyncio.to_thread(memory_bytes, root)]
    task = asyncio.ensure_future(loading)
    while not (await asyncio.wait([task], timeout=_SAMPLE_EVERY_S))[0]:
        sizes_bytes.append(await asyncio.to_thread(memory_bytes, root))
    return task.result(), [*sizes_bytes, await asyncio.to_thread(memory_bytes, root)]


def _cpu_by_thread_s(process: psutil.Process) -> dict[str, float]:
    """By the kernel's names of its threads, which those that they start inherit; all others serve HTTP and moderate."""
    used = dict.fromkeys(_THREADS, 0.0)
    for thread in process.threads():
        with contextlib.suppress(OSError):
            name = Path(f"/proc/{process.pid}/task/{thread.id}/comm").read_text("utf-8", errors="replace").strip()
            if name in used:
                used[name] += thread.user_time + thread.system_time
    return {**used, HTTP: max(0.0, cpu_s(process) - sum(used.values()))}
