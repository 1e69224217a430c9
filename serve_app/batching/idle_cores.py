"""How long the cores of this machine had nothing to do: what it costs a device that is made of them to wait."""

from __future__ import annotations

import os
import time
from pathlib import Path

_PROC_STAT = Path("/proc/stat")


def idle_s(proc_stat: Path = _PROC_STAT) -> float:
    """Seconds for which nothing ran, on average over all cores; only differences mean something.

    Where ``proc_stat`` cannot be read, which is everywhere but on Linux, the cores count as idle all the time. In a
    container it tells of the whole machine.
    """
    try:
        # "cpu", then ticks of user, nice, system, idle and iowait, of all cores together: proc(5).
        idle_ticks, iowait_ticks = map(int, proc_stat.read_text("ascii").split("\n", 1)[0].split()[4:6])
    except (OSError, ValueError):
        return time.monotonic()
    return (idle_ticks + iowait_ticks) / os.sysconf("SC_CLK_TCK") / (os.cpu_count() or 1)
