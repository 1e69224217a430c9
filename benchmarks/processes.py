"""The processes of a local service: which they are, their memory, and the processor time of each stage."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
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

_THREADS = ("device", "upload")
"""The stages of one process that have threads of their own, by the names that the service gives them."""


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
    return sum(map(pss_bytes, tree(root)))


def pss_bytes(process: psutil.Process) -> int:
    """Proportional set size of one process, or as much as is resident where Linux does not say; 0 if it has ended."""
    with contextlib.suppress(psutil.Error):
        memory = process.memory_full_info()
        return int(getattr(memory, "pss", memory.rss))
    return 0


class Peak:
    """The most resident memory that some processes have had since this was made."""

    def __init__(self, processes: Sequence[psutil.Process]) -> None:
        self._held_bytes: dict[psutil.Process, int] = {}
        for each in processes:
            with contextlib.suppress(OSError, psutil.Error):
                # Its peak begins anew with the memory that it holds now (proc(5)).
                Path(f"/proc/{each.pid}/clear_refs").write_text("5", "ascii")
                self._held_bytes[each] = each.memory_info().rss

    def of_each_gb(self) -> list[tuple[str, float, float]]:
        """The name of each process that is still there, what it held before, and at its peak."""
        found = []
        for each, held_bytes in self._held_bytes.items():
            with contextlib.suppress(OSError, psutil.Error):
                status = Path(f"/proc/{each.pid}/status").read_text("utf-8", errors="replace").splitlines()
                peak_kib = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
                found.append((each.name(), held_bytes / 1e9, 1024 * peak_kib / 1e9))
        return found

    def grown_gb(self) -> float:
        """What all of them together grew by, if they had their peaks at one time: never less than it was."""
        return sum(peak_gb - held_gb for _, held_gb, peak_gb in self.of_each_gb())


def cpu_s(process: psutil.Process) -> float:
    """Processor time that a process has used, without its children; 0 if it has ended."""
    with contextlib.suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def kill_tree(root: psutil.Process) -> None:
    """SIGKILL to a process and its descendants."""
    # Ancestors first: nobody is left who would start a child anew.
    _kill(tree(root))


def end_trees(roots: Sequence[psutil.Process], timeout_s: float) -> None:
    """SIGTERM to processes, the last one first; what is left of them and their descendants after a time is killed."""
    # Listed now: a process that loses its parent later is no descendant any more.
    processes = [each for root in roots for each in tree(root)]
    for root in reversed(roots):
        with contextlib.suppress(psutil.NoSuchProcess):
            root.terminate()
    _, left = psutil.wait_procs(processes, timeout_s)
    _kill(left)
    psutil.wait_procs(left, timeout_s)


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


def _kill(processes: Sequence[psutil.Process]) -> None:
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()


def _cpu_by_thread_s(process: psutil.Process) -> dict[str, float]:
    """By the kernel's names of its threads, which those that they start inherit; all others serve HTTP and moderate."""
    used = dict.fromkeys(_THREADS, 0.0)
    for thread in process.threads():
        with contextlib.suppress(OSError):
            name = Path(f"/proc/{process.pid}/task/{thread.id}/comm").read_text("utf-8", errors="replace").strip()
            if name in used:
                used[name] += thread.user_time + thread.system_time
    return {**used, HTTP: max(0.0, cpu_s(process) - sum(used.values()))}
