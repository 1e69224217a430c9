"""Who else computed on this machine during a run: figures of a shared machine are read with this beside them."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

import psutil

from benchmarks import hardware
from benchmarks.memory import service_root


@dataclass(frozen=True, slots=True)
class _Moment:
    at_s: float
    busy_s: float
    ours_s: float


class Neighbours:
    """Processor time of everybody but the service at ``url`` and this process, from now on."""

    def __init__(self, url: str) -> None:
        self._root = service_root(url)
        self._began = self._now()

    def cores(self) -> float | None:
        """How many cores they have used on average since the beginning; None where the service cannot be seen."""
        if self._root is None:
            return None
        now = self._now()
        others_s = (now.busy_s - self._began.busy_s) - (now.ours_s - self._began.ours_s)
        return max(0.0, others_s) / (now.at_s - self._began.at_s)

    def _now(self) -> _Moment:
        ours_s = self._service_s() + _with_children_s(psutil.Process())
        return _Moment(time.perf_counter(), hardware.busy_s(), ours_s)

    def _service_s(self) -> float:
        if self._root is None:
            return 0.0
        own = psutil.Process()
        tree = {self._root, *self._root.children(recursive=True)} - {own}
        return sum(map(_alone_s, tree))


def _alone_s(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.Error):
        times = process.cpu_times()
        return times.user + times.system
    return 0.0


def _with_children_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system + times.children_user + times.children_system
