"""How many threads a pass on the CPU has."""

from __future__ import annotations

import os


def count_cpu_threads(wanted: int | None) -> int:
    """``wanted``, or one for each core that this process may use, if None."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return wanted or usable
