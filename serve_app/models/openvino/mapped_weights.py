"""The memory of a weights file, given back once nothing reads it any more.

OpenVINO maps the file and makes copies of the weights in the layout and precision that its kernels want, at the first
passes. From then on it computes with the copies, and the pages of the file only count against the process: 350 MB for
ViT-B-32. A page that is wanted after all is read from the file again.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

_MADV_DONTNEED = 4


def release(file: Path) -> None:
    """Have the kernel take back what this process has mapped of ``file`` and cannot have changed. Only on Linux."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    for line in Path("/proc/self/maps").read_text("utf-8", errors="replace").splitlines():
        # address-address permissions offset device inode path
        addresses, permissions, *_ = fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5] == str(file) and permissions.startswith("r--"):
            start, end = (int(address, 16) for address in addresses.split("-"))
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)
