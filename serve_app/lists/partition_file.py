"""The file that a partition is mapped from: one for each node, built by one process and opened by all.

It begins with :data:`MAGIC`, the length of a header (eight octets, little-endian) and the header, JSON: its origin,
the banks, and the dtype, shape and offset of each array. It holds PDQs, which are sensitive: its mode is 0600.
"""

from __future__ import annotations

import glob
import json
import math
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from serve_app.domain.lists import Bank
from serve_app.lists.partition import Partition, PartitionBuilder

MAGIC: Final = b"PWLISTS1"
_MAX_HEADER_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Origin:
    """What a partition was built from: ``version`` of the lists of the store that calls itself ``lineage``."""

    lineage: str
    version: int


class IndexFileError(Exception):
    """A file of the index is damaged, or from another version: it is built again."""


@dataclass(frozen=True, slots=True)
class IndexFile:
    """What a file holds. ``banks`` by their names, as they were when it was built."""

    partition: Partition
    origin: Origin
    banks: Mapping[str, Bank]


def write_partition(builder: PartitionBuilder, origin: Origin, banks: Iterable[Bank], path: Path) -> None:
    """Write the entries of ``builder`` to ``path``; whoever opens it sees the old file or the new one, whole.

    Processes that have mapped the old file go on with it. This takes seconds for a million entries.
    """
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
        unfinished = Path(folder, "unfinished")
        with unfinished.open("w+b") as file:
            os.fchmod(file.fileno(), 0o600)
            layout = _Layout(file.fileno())
            builder.finish(layout.allocate)
            header = json.dumps(
                {**asdict(origin), "banks": [asdict(bank) for bank in banks], "arrays": layout.described}
            ).encode()
            if len(header) > _MAX_HEADER_BYTES - 16:
                raise IndexFileError("the header of the index is too long")
            file.seek(0)
            file.write(MAGIC + len(header).to_bytes(8, "little") + header)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)


def remove_unfinished(path: Path) -> None:
    """Remove what processes that were killed while they wrote ``path`` have left; nobody may be writing it."""
    for folder in path.parent.glob(f".{glob.escape(path.name)}-????????"):
        shutil.rmtree(folder, ignore_errors=True)


class _Layout:
    """Gives each array its place in a file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._end = _MAX_HEADER_BYTES
        self.described: dict[str, tuple[str, list[int], int]] = {}
        os.ftruncate(descriptor, self._end)

    def allocate(self, name: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        size_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        offset = self._end
        self.described[name] = (dtype, list(shape), offset)
        if size_bytes == 0:
            return np.zeros(shape, dtype=dtype)
        self._end += math.ceil(size_bytes / mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        # Allocated and not only lengthened: a write to a mapped hole of a full disk would kill the process.
        os.posix_fallocate(self._descriptor, offset, self._end - offset)
        mapped = mmap.mmap(self._descriptor, self._end - offset, offset=offset)
        return np.frombuffer(mapped, dtype=dtype, count=math.prod(shape)).reshape(shape)


def open_partition(path: Path) -> IndexFile:
    """The partition in ``path``, mapped, with what it was built from.

    Raises:
        IndexFileError: the file is missing, damaged, or from another version of Pictwarden.
    """
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if mapped[:8] != MAGIC:
            raise IndexFileError(f"{path} is no index of lists")
        length = int.from_bytes(mapped[8:16], "little")
        header = json.loads(mapped[16 : 16 + min(length, _MAX_HEADER_BYTES)])
        arrays: dict[str, NDArray[Any]] = {
            name: np.frombuffer(mapped, dtype=dtype, count=math.prod(shape), offset=offset).reshape(shape)
            if math.prod(shape)
            else np.zeros(shape, dtype=dtype)
            for name, (dtype, shape, offset) in header["arrays"].items()
        }
        partition = Partition(arrays)
        # A look-up touches pages all over the file: read them now, and not one by one then.
        mapped.madvise(mmap.MADV_WILLNEED)
        banks = [Bank(**each) for each in header["banks"]]
        origin = Origin(str(header["lineage"]), int(header["version"]))
        return IndexFile(partition, origin, {bank.name: bank for bank in banks})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IndexFileError(f"{path} cannot be read: {error}") from error
