"""What runs inside a decode worker: the process in which hostile bytes meet the decoders.

:mod:`serve_app.media.workers` owns it, and asks it over a socket, an order of one picture or a few at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import pickle
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from serve_app.domain import Deadline, OnTruncated, UnscannedError, Views, in_words
from serve_app.domain.limits import MediaLimits
from serve_app.host.core_dumps import write_no_core
from serve_app.media import reader as _reader  # noqa: F401 - while its libraries can be read: before it is confined
from serve_app.media.confinement import confine
from serve_app.media.worker_messages import (
    CONFINED,
    GO_ON_BYTES,
    GO_ON_S,
    ORDER,
    OUT_OF_TIME,
    READY,
    REQUEST,
    SETUP,
    pack_error,
    pack_replies,
    pack_views,
)

# More than seven numbers can have.
_STATM_BYTES = 256


def main(channel_fd: int) -> None:
    """Answer until the owner closes the channel, or ends."""
    _end_with_owner()
    write_no_core()
    with socket.socket(fileno=channel_fd) as channel:
        (setup_bytes,) = SETUP.unpack(_receive(channel, SETUP.size))
        decode, limits, detector, reachable = pickle.loads(_receive(channel, setup_bytes))  # noqa: S301 - from the parent
        _be_silent()
        with contextlib.suppress(FileNotFoundError):
            _opened_statm()  # while it can be opened
        channel.sendall(CONFINED if confine(reachable) else READY)
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                decodes = [
                    partial(
                        decode,
                        body,
                        view_size_px,
                        limits,
                        deadline,
                        OnTruncated.SCAN if scans_cut else OnTruncated.REFUSE,
                        detector if with_faces else None,
                    )
                    for body, view_size_px, deadline, scans_cut, with_faces in _requests(channel)
                ]
                _send(channel, _answers(decodes, limits))


def _requests(channel: socket.socket) -> list[tuple[bytes, int, Deadline, bool, bool]]:
    """The bodies of one order, each with what is wanted of it."""
    count, bodies_bytes = ORDER.unpack(_receive(channel, ORDER.size))
    heads = list(REQUEST.iter_unpack(_receive(channel, count * REQUEST.size)))
    bodies = _receive(channel, bodies_bytes)
    requests, at = [], 0
    for body_bytes, view_size_px, remaining_s, scans_cut, with_faces in heads:
        # All of the bytes are no copy of them.
        body = bodies[at : at + body_bytes]
        requests.append((body, view_size_px, Deadline.after(remaining_s), scans_cut, with_faces))
        at += body_bytes
    return requests


def _answers(decodes: Sequence[Callable[[], Views]], limits: MediaLimits) -> list[bytes | memoryview]:
    """The parts of the message about as many as are done soon."""
    began_s, replies, replies_bytes = time.monotonic(), list[tuple[bytes, bytes, memoryview]](), 0
    for views in decodes:
        replies.append(_answer(views, limits))
        replies_bytes += len(replies[-1][-1])
        if time.monotonic() - began_s > GO_ON_S or replies_bytes > GO_ON_BYTES:
            break
    return pack_replies(replies)


def _answer(views: Callable[[], Views], limits: MediaLimits) -> tuple[bytes, bytes, memoryview]:
    try:
        with _bounded_cpu_time(limits.max_decode_s), _bounded_memory(limits.max_decode_memory_bytes):
            return pack_views(views())
    except Exception as error:
        if _ran_out_of_memory(error):
            # Too large and not undecodable: the operator can raise this limit, and the same bytes will be read.
            return pack_error("TooLargeError", "needs more memory than max_decode_memory_bytes")
        if isinstance(error, UnscannedError):
            return pack_error(type(error).__name__, str(error))
        return pack_error("UnavailableError", "decoding failed", in_words(error))


def _ran_out_of_memory(error: BaseException | None) -> bool:
    """Whether that is what ``error`` comes from: those who decode take a MemoryError for one of the bytes."""
    while error is not None and not isinstance(error, MemoryError):
        error = error.__cause__ or error.__context__
    return error is not None


def _receive(channel: socket.socket, size: int) -> bytes:
    """Exactly ``size`` bytes, in one system call where the kernel does not cut it short."""
    received = channel.recv(size, socket.MSG_WAITALL)
    while len(received) < size:
        more = channel.recv(size - len(received), socket.MSG_WAITALL)
        if not more:
            raise EOFError
        received += more
    return received


def _send(channel: socket.socket, parts: Sequence[bytes | memoryview]) -> None:
    """All parts, in one system call where they fit: each further one would wake the owner for a piece of the answer."""
    sent = channel.sendmsg(parts)
    for part in parts:
        if sent < len(part):
            channel.sendall(part[sent:])
        sent = max(0, sent - len(part))


def _be_silent() -> None:
    """From now on nothing goes to the standard output and error.

    Decoders and their libraries would write there about the picture, and not of which request it is; what matters goes
    to the owner, whose log says both.
    """
    with Path(os.devnull).open("w") as nowhere:
        for standard_stream in (1, 2):
            os.dup2(nowhere.fileno(), standard_stream)


def _end_with_owner() -> None:
    """Have the kernel end this process with its owner, even in the middle of a decode that never returns.

    Standard input is a pipe that only the owner holds open, and nobody writes to: when the owner is gone, however it
    went, the pipe hangs up, and SIGIO ends the process (its default on Linux; elsewhere an idle worker still sees the
    end of its channel). Not PR_SET_PDEATHSIG, which is sent when the owner's *thread* that started us ends.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the owner
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    signal.signal(OUT_OF_TIME, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGIO, OUT_OF_TIME})
    lifeline = sys.stdin.fileno()
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([lifeline], [], [], 0)[0]:
        raise SystemExit("the owner ended before its worker began")


@contextlib.contextmanager
def _bounded_cpu_time(limit_s: float) -> Iterator[None]:
    """Within, the kernel ends the process by :data:`OUT_OF_TIME` once it has computed for ``limit_s``.

    Time in which the process waited, or the whole machine stood still, does not count.
    """
    signal.setitimer(signal.ITIMER_PROF, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


@contextlib.contextmanager
def _bounded_memory(growth_bytes: int) -> Iterator[None]:
    """Within, the process may come to hold ``growth_bytes`` more; beyond it allocations fail. On Linux only.

    The limit is on writable private memory (RLIMIT_DATA): RLIMIT_AS would count what allocators reserve and never use.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    with contextlib.suppress(FileNotFoundError):
        limit = _data_bytes() + growth_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def _data_bytes() -> int:
    pages = int(os.pread(_opened_statm(), _STATM_BYTES, 0).split()[5])
    return pages * resource.getpagesize()


@functools.cache
def _opened_statm() -> int:
    """Where the kernel tells the sizes of this process."""
    return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
