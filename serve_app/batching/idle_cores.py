"""The time that this machine's cores had nothing to do, which is the cost of waiting on a CPU."""

from __future__ import annotations

import os
import time
from pathlib import Path

_PROC_STAT = Path("/proc/stat")


def idle_s(proc_stat: Path = _PROC_STAT) -> float:
    """Idle seconds, on average over all cores; only differences have a meaning.

    Where ``proc_stat`` cannot be read (other systems than Linux), the cores count as idle all the time. In a container
    it describes the whole machine.
    """
    try:
        # "cpu", then ticks of user, nice, system, idle and iowait, of all cores together: proc(5).
        idle_ticks, iowait_ticks = map(int, proc_stat.read_text("ascii").split("\n", 1)[0].split()[4:6])
    except (OSError, ValueError):
        return time.monotonic()
    return (idle_ticks + iowait_ticks) / os.sysconf("SC_CLK_TCK") / (os.cpu_count() or 1)
