"""The encoder of AV1, SVT-AV1, makes the thread that calls it a real-time one where it is root's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def usual_priority() -> Iterator[None]:
    """Afterwards this thread is scheduled as before: else it, and all that it starts, would starve every other one."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)
