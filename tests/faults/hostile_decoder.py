"""What workers decode with in test_decode_workers.py: a function that does what its body says."""

import logging
import os
import signal
import socket
import time
import warnings

import numpy as np

from serve_app import domain
from serve_app.domain import ViewPlace, Views
from serve_app.media import worker_main
from serve_app.media.decoder_errors import decoding

# In a worker on a slow machine, several bodies of one message would otherwise be answered in several.
vars(worker_main)["GO_ON_S"] = 60.0

SECRET_TEXT = "what stands in the picture"


def decode(body, view_size_px, limits, deadline, on_truncated, detector):
    action, _, argument = body.decode().partition(" ")
    return _ACTIONS[action](argument, view_size_px, limits)


def _views(argument, view_size_px, limits):
    """Three views of a process's own number, so that a test can tell which worker answered."""
    places = tuple(ViewPlace(number, (0.0, 0.25, 0.5, 1 / 3)) for number in range(3))
    pixels = np.full((3, view_size_px, view_size_px, 3), 7, np.uint8)
    return Views(pixels, places, f"image/{os.getpid()}", 3, 9)


def _late(argument, view_size_px, limits):
    """Says that it is time to answer for what is decoded."""
    vars(worker_main)["GO_ON_S"] = 0.0
    return _views(argument, view_size_px, limits)


def _hang(argument, view_size_px, limits):
    _tell(argument)
    while True:
        pass


def _compute(argument, view_size_px, limits):
    """Computes for half of the time that it may."""
    _tell(argument)
    began_s = time.process_time()
    while time.process_time() - began_s < limits.max_decode_s / 2:
        pass
    return _views(argument, view_size_px, limits)


def _wait(argument, view_size_px, limits):
    """Until the file is there; burns nothing that the tests count."""
    with open(argument) as fifo:  # noqa: PTH123 - the decoder imports as little as it can
        fifo.read()
    return _views(argument, view_size_px, limits)


def _big_answer(argument, view_size_px, limits):
    """Views of so many bytes."""
    views = int(argument) // (view_size_px * view_size_px * 3)
    places = tuple(ViewPlace(number, (0.0, 0.25, 0.5, 1 / 3)) for number in range(views))
    return Views(
        np.zeros((views, view_size_px, view_size_px, 3), np.uint8), places, f"image/{os.getpid()}", views, views
    )


def _tell(path):
    """Open a fifo for writing: whoever reads it goes on when we have begun."""
    if path:
        with open(path, "w") as fifo:  # noqa: PTH123 - as above
            fifo.write(str(os.getpid()))


def _die_once(argument, view_size_px, limits):
    try:
        os.mkdir(argument)  # noqa: PTH102 - as above
    except FileExistsError:
        return _views(argument, view_size_px, limits)
    return os.kill(os.getpid(), signal.SIGKILL)


def _allocate(argument, view_size_px, limits):
    np.ones(int(argument), np.uint8)
    return _views(argument, view_size_px, limits)


def _allocate_in_a_decoder(argument, view_size_px, limits):
    with decoding("image/png"):
        return _allocate(argument, view_size_px, limits)


def _reach(argument, view_size_px, limits):
    """Open a file, as code in a decoder would that looks for secrets."""
    try:
        os.close(os.open(argument, os.O_RDONLY))
    except PermissionError:
        raise domain.UnsupportedError("denied") from None
    return _views(argument, view_size_px, limits)


def _kill(argument, view_size_px, limits):
    try:
        os.kill(int(argument), 0)
    except PermissionError:
        raise domain.UnsupportedError("denied") from None
    return _views(argument, view_size_px, limits)


def _connect(argument, view_size_px, limits):
    with socket.socket() as connection:
        try:
            connection.connect(("127.0.0.1", int(argument)))
        except PermissionError:
            raise domain.UnsupportedError("denied") from None
    return _views(argument, view_size_px, limits)


def _raise(argument, view_size_px, limits):
    raise getattr(domain, argument)(f"a message of {argument}")


def _fail(argument, view_size_px, limits):
    raise LookupError(SECRET_TEXT)


def _print(argument, view_size_px, limits):
    warnings.warn(SECRET_TEXT, stacklevel=1)
    logging.getLogger("a.decoder").error(SECRET_TEXT)
    print(SECRET_TEXT, flush=True)
    os.write(2, SECRET_TEXT.encode())
    return _views(argument, view_size_px, limits)


_ACTIONS = {
    "print": _print,
    "views": _views,
    "late": _late,
    "hang": _hang,
    "compute": _compute,
    "wait": _wait,
    "big-answer": _big_answer,
    "die-once": _die_once,
    "allocate": _allocate,
    "allocate-in-a-decoder": _allocate_in_a_decoder,
    "raise": _raise,
    "fail": _fail,
    "reach": _reach,
    "kill": _kill,
    "connect": _connect,
    "segfault": lambda *_: os.kill(os.getpid(), signal.SIGSEGV),
    "exit": lambda *_: os._exit(0),
}
