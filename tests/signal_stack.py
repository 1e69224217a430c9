"""The alternate stack of the calling thread, on which Python's handlers of signals run."""

import ctypes
import sys

import pytest


class _SignalStack(ctypes.Structure):
    """stack_t of signal.h, as Linux lays it out."""

    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size_bytes", ctypes.c_size_t))


def signal_stack() -> tuple[int | None, int]:
    """Its address and its size in bytes; skips the test where the layout is another one."""
    if sys.platform != "linux":
        pytest.skip("the layout of stack_t is Linux's")
    found = _SignalStack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found)) == 0
    return found.address, found.size_bytes
