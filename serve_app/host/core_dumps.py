"""A crash of a process that holds pictures writes none of them to a disk. Decode workers load this too."""

from __future__ import annotations

import resource


def write_no_core() -> None:
    """Limit a core of this process to one byte, or to none where the system's own limit is that.

    One byte and not zero also keeps a core from a core_pattern that is a program (core(5)).
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    limit = 1 if hard == resource.RLIM_INFINITY else min(1, hard)
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
