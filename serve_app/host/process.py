"""How a process that serves pictures uses its memory and writes its log, whatever else runs in it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import re
import resource
import threading
from pathlib import Path

from serve_app.host.core_dumps import write_no_core

# A request makes and drops some thousand objects, nearly none of them in a cycle. With Python's own thresholds the
# collector runs several times for each; with these, one picture in forty more goes through two cores.
_GC_THRESHOLDS = (20_000, 50, 100)

_STANDARD_ERROR = 2

# mallopt(3), malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 1024 * 1024
_LARGEST_MMAP_THRESHOLD_BYTES = 32 * 1024 * 1024  # the highest that glibc accepts
_RETAINED_BYTES = 512 * 1024 * 1024  # more than a pass frees: none of it goes back in between

_SPINS_BETWEEN_LAYERS = "10000"
"""A tenth of a millisecond on an AMD EPYC, where that was measured: longer than between layers of a pass."""

# madvise(2), mman.h.
_MADV_DONTNEED = 4

# The heading of a mapping, which is private and read-only, and the line of its anonymous memory.
_UNWRITTEN_LIBRARY = re.compile(
    r"^(\w+)-(\w+) r-[-x]p .*\.so[.\d]*\n(?:\w+:.*\n)*?Anonymous: +0 kB$", re.ASCII | re.MULTILINE
)


def set_up_process() -> None:
    """Set what holds for all of a process that serves.

    The garbage collector runs rarely; a log line that fails is lost without a word on the standard error; no crash
    writes pictures to a disk; and threads of torch that wait for the next pass sleep. Call it first of all: torch reads
    how they wait once, when it is imported, and files that were opened before may be standard streams.
    """
    _occupy_standard_streams()
    # By default they spin for milliseconds, which takes the cores from decoding: 1.0 core-ms a picture and not 0.3 in
    # the thread of the passes, and 193 pictures/s instead of 243 (demo model, 16 connections, two cores).
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        # Between two layers of a pass they spin all the same: to be woken a hundred times took 8 of the 38 ms of a view
        # alone (ViT-B-32, two cores), and under load nothing is lost by it.
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS_BETWEEN_LAYERS)
    gc.set_threshold(*_GC_THRESHOLDS)
    logging.raiseExceptions = False
    write_no_core()


def _occupy_standard_streams() -> None:
    """Open what was closed of the standard streams: the next file or socket would be one, and libraries print there."""
    while (opened := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        pass
    os.close(opened)


def allow_open_files() -> None:
    """Have this process open as many files and sockets as the system lets it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS names a limit that it does not grant
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def name_thread(name: str) -> None:
    """Have ``ps`` and ``top`` show the calling thread, and those that it starts, by ``name``. Linux only."""
    with contextlib.suppress(OSError):
        Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(name, "ascii")


def return_large_memory() -> None:
    """Have glibc give memory of a megabyte and more back to the system as soon as it is freed.

    By default it learns from large bodies to keep such memory, in pieces that the next one does not fit into. Not for a
    process that computes passes: :func:`reuse_large_memory`.
    """
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def reuse_large_memory() -> None:
    """Have glibc keep freed memory for the next pass, until :func:`return_freed_memory`.

    A pass of torch or ONNX Runtime allocates and frees all of its intermediate results. With memory that the system has
    to make anew for each of them, a view of ViT-B-32 in float32 cost 6,000 to 9,500 page faults and 15 to 24 core-ms of
    system time (``getrusage`` around ``encode``, batches of 4 to 24); with memory that is reused, less than 1 ms.
    """
    with contextlib.suppress(AttributeError, OSError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _RETAINED_BYTES)


def return_freed_memory() -> None:
    """Give back all memory that is freed now, also in the middle of what is used. Takes milliseconds."""
    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def release_start_memory() -> None:
    """Give back what starting took and serving does not need: freed memory, and pages of libraries. Linux only.

    glibc keeps what loading a model freed. The dynamic linker touched 150 MB of torch's CUDA libraries, which count as
    this process's memory and which a CPU never computes with. A page that is needed is mapped again at its next use.
    """
    gc.collect()
    return_freed_memory()
    with contextlib.suppress(AttributeError, OSError):  # another C library, or no /proc
        libc = ctypes.CDLL(None)
        for start, end in unwritten_library_mappings(Path("/proc/self/smaps").read_text("utf-8", "replace")):
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)


def unwritten_library_mappings(smaps: str) -> list[tuple[int, int]]:
    """Start and end of each mapping that is as its library's file is, and cannot be written (``smaps``: proc(5)).

    The linker wrote into some mappings before it closed them: those have anonymous memory, and would lose it.
    """
    return [(int(start, 16), int(end, 16)) for start, end in _UNWRITTEN_LIBRARY.findall(smaps)]
