"""The time that the cores of this process had nothing to do, which is the cost of waiting on a CPU."""

from __future__ import annotations

import os
import time
from pathlib import Path

_PROC_STAT = Path("/proc/stat")


def idle_s(proc_stat: Path = _PROC_STAT) -> float:
    """Idle seconds, on average over the cores that this process may use; only differences have a meaning.

    Where ``proc_stat`` cannot be read (other systems than Linux), the cores count as idle all the time. A container
    that has a share of all cores, and none of its own, is told of the whole machine.
    """
    try:
        usable = {f"cpu{core}" for core in os.sched_getaffinity(0)}
        # "cpu0", then ticks of user, nice, system, idle and iowait, one line for each core: proc(5).
        lines = (line.split(maxsplit=6) for line in proc_stat.read_text("ascii").split("intr", 1)[0].splitlines())
        ticks = [int(words[4]) + int(words[5]) for words in lines if words[0] in usable]
        return sum(ticks) / len(ticks) / os.sysconf("SC_CLK_TCK")
    except (AttributeError, OSError, ValueError, IndexError, ZeroDivisionError):
        return time.monotonic()
